#include "core/stack/packet_limits.hpp"

#include <string_view>
#include <variant>

#include "core/mqtt/reason_code.hpp"
#include "core/mqtt/topic.hpp"

namespace mqttstack {
namespace {

using mqtt::ReasonCode;

bool isTooMuch(std::string_view topic, const PacketLimits& limits) noexcept {
  // One that is no longer than it may have levels cannot have more.
  return topic.size() > limits.topicBytes ||
         (topic.size() >= limits.topicLevels && mqtt::levelCount(topic) > limits.topicLevels);
}

struct UserProperties {
  std::size_t count = 0;
  std::size_t bytes = 0;

  void add(const mqtt::Properties& properties) noexcept {
    for (const mqtt::Property& each : properties) {
      if (each.id != mqtt::PropertyId::userProperty) continue;
      ++count;
      bytes += each.name.size() + each.text.size();
    }
  }
};

template <class Filters>
bool anyIsTooMuch(Filters filters, const PacketLimits& limits) noexcept {
  while (!filters.empty()) {
    if constexpr (requires { filters.takeFront().filter; }) {
      if (isTooMuch(filters.takeFront().filter, limits)) return true;
    } else {
      if (isTooMuch(filters.takeFront(), limits)) return true;
    }
  }
  return false;
}

}  // namespace

std::error_code checkLimits(const mqtt::Packet& packet, const PacketLimits& limits) noexcept {
  UserProperties user;
  const ReasonCode topics = std::visit(
      [&](const auto& content) {
        using P = std::decay_t<decltype(content)>;
        if constexpr (requires { content.properties; }) user.add(content.properties);
        if constexpr (std::is_same_v<P, mqtt::Publish>) {
          if (isTooMuch(content.topic, limits)) return ReasonCode::topicNameInvalid;
        } else if constexpr (std::is_same_v<P, mqtt::Connect>) {
          if (content.will) user.add(content.will->properties);
          if (content.will && isTooMuch(content.will->topic, limits))
            return ReasonCode::topicNameInvalid;
        } else if constexpr (std::is_same_v<P, mqtt::Subscribe>) {
          if (anyIsTooMuch(content.entries, limits)) return ReasonCode::topicFilterInvalid;
        } else if constexpr (std::is_same_v<P, mqtt::Unsubscribe>) {
          if (anyIsTooMuch(content.filters, limits)) return ReasonCode::topicFilterInvalid;
        }
        return ReasonCode::success;
      },
      packet);
  if (topics != ReasonCode::success) return topics;
  if (user.count > limits.userProperties || user.bytes > limits.userPropertyBytes)
    return ReasonCode::packetTooLarge;
  return {};
}

}  // namespace mqttstack
