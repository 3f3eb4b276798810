#pragma once

#include <cstdint>
#include <random>
#include <string>
#include <string_view>
#include <vector>

#include "core/broker/message.hpp"
#include "core/broker/session.hpp"
#include "core/mqtt/packet.hpp"

namespace mqttstack::broker::test {

/// Stand-ins for classes that the broker layer never looks into.
inline Client& someClient() {
  alignas(8) static char storage[8];
  return reinterpret_cast<Client&>(storage);
}
inline Stack& someStack() {
  alignas(8) static char storage[8];
  return reinterpret_cast<Stack&>(storage);
}

inline IdentityPtr identityOf(std::string clientId, std::string principal = "user") {
  IdentityFields fields;
  fields.principal = std::move(principal);
  fields.clientId = std::move(clientId);
  return makeIdentity(std::move(fields));
}

inline SessionPtr connectedSession(const std::string& clientId) {
  SessionPtr session{new Session{clientId, identityOf(clientId)}};
  session->attach(someClient(), someStack(), identityOf(clientId));
  return session;
}

inline MessagePtr makeMessage(std::string_view topic, std::string_view payload = "x",
                              mqtt::Qos qos = mqtt::Qos::atMostOnce) {
  MessageFields fields;
  fields.topic = topic;
  fields.payload = payload;
  fields.qos = qos;
  return Message::create(std::move(fields));
}

inline mqtt::SubscriptionOptions options(mqtt::Qos qos) {
  mqtt::SubscriptionOptions result;
  result.qos = qos;
  return result;
}

/// One of 1024 filters with 128 levels that match hostileTopic(), and share no node
/// but those of their first ten levels: about 120,000 nodes together.
inline std::string hostileFilter(std::size_t number) {
  std::string filter;
  for (int level = 0; level < 128; ++level) {
    if (level > 0) filter += '/';
    filter += level < 10 && (number >> level & 1U) != 0 ? "a" : "+";
  }
  return filter;
}
inline std::string hostileTopic() {
  std::string topic = "a";
  for (int level = 1; level < 128; ++level) topic += "/a";
  return topic;
}

/// Random topics and filters over a tiny alphabet, so that they often meet.
class TopicMaker {
public:
  explicit TopicMaker(std::uint32_t seed) : random_{seed} {}

  std::uint32_t below(std::uint32_t bound) {
    return std::uniform_int_distribution<std::uint32_t>{0, bound - 1}(random_);
  }

  std::string topic() {
    while (true) {
      std::string text;
      const std::uint32_t levels = 1 + below(5);
      for (std::uint32_t i = 0; i < levels; ++i) {
        if (i > 0) text += '/';
        text += level(i);
      }
      if (!text.empty()) return text;
    }
  }

  std::string filter() {
    while (true) {
      std::string text;
      const std::uint32_t levels = 1 + below(5);
      for (std::uint32_t i = 0; i < levels; ++i) {
        if (i > 0) text += '/';
        const std::uint32_t kind = below(10);
        if (kind == 0) return text + '#';
        text += kind < 4 ? std::string{"+"} : level(i);
      }
      if (!text.empty()) return text;
    }
  }

private:
  std::string level(std::uint32_t depth) {
    static const std::vector<std::string> kLevels{"a", "b", "c", "", "!", "aa", "\x01", "\xc3\xa9"};
    if (depth == 0 && below(8) == 0) return below(2) == 0 ? "$SYS" : "$x";
    return kLevels[below(static_cast<std::uint32_t>(kLevels.size()))];
  }

  std::mt19937 random_;
};

/// The definition of matching, level by level, in the simplest words there are:
/// the oracle for everything cleverer. [v5:4.7]
inline bool plainlyMatches(std::string_view filter, std::string_view topic) {
  const auto split = [](std::string_view text) {
    std::vector<std::string_view> levels;
    while (true) {
      const std::size_t end = text.find('/');
      levels.push_back(text.substr(0, end));
      if (end == std::string_view::npos) return levels;
      text.remove_prefix(end + 1);
    }
  };
  const auto wanted = split(filter);
  const auto levels = split(topic);
  if (topic[0] == '$' && (wanted[0] == "+" || wanted[0] == "#")) return false;
  for (std::size_t i = 0; i < wanted.size(); ++i) {
    if (wanted[i] == "#") return true;
    if (i == levels.size()) return false;
    if (wanted[i] != "+" && wanted[i] != levels[i]) return false;
    if (i + 1 == levels.size() && i + 2 == wanted.size() && wanted[i + 1] == "#") return true;
  }
  return wanted.size() == levels.size();
}

}  // namespace mqttstack::broker::test
