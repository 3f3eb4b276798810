#include "core/stack/topic_aliases.hpp"

namespace mqttstack {
namespace {

/// An alias saves the topic and costs three bytes, six the first time.
constexpr std::size_t kWorthwhileBytes = 4;

}  // namespace

TopicAliases::Use TopicAliases::forTopic(std::string_view topic, bool mayIntroduce) {
  if (topic.size() < kWorthwhileBytes) return {};
  if (const auto known = aliases_.find(topic); known != aliases_.end())
    return {known->second, true};
  if (!mayIntroduce || aliases_.size() >= maximum_) return {};
  const auto alias = static_cast<std::uint16_t>(aliases_.size() + 1);
  aliases_.emplace(topic, alias);
  return {alias, false};
}

void ReceivedAliases::set(std::uint16_t alias, std::string_view topic) {
  if (topics_.size() < alias) topics_.resize(alias);
  topics_[alias - 1U] = topic;
}

std::string_view ReceivedAliases::topic(std::uint16_t alias) const noexcept {
  return alias <= topics_.size() ? std::string_view{topics_[alias - 1U]} : std::string_view{};
}

}  // namespace mqttstack
