#pragma once

#include <cstddef>
#include <cstdint>
#include <functional>
#include <string>
#include <string_view>
#include <unordered_map>
#include <vector>

namespace mqttstack {

/// The aliases that we give to topics on one connection. [v5:3.3.2.3.4]
///
/// The first topics that are sent get one, until all are given: a client with
/// fewer topics than aliases (most of them) is served best by that, and a topic
/// that has one keeps it, so nothing is ever sent in vain.
class TopicAliases {
public:
  /// How one PUBLISH is to be written.
  struct Use {
    std::uint16_t alias = 0;  ///< 0: without
    bool omitTopic = false;   ///< the peer knows the alias already
  };

  explicit TopicAliases(std::uint16_t maximum) : maximum_{maximum} {}

  /// Without `mayIntroduce` a topic that has no alias gets none.
  /// REQUIRES: a PUBLISH for which this introduces an alias is sent, in the order
  /// of the calls.
  Use forTopic(std::string_view topic, bool mayIntroduce = true);

private:
  struct Hash {
    using is_transparent = void;
    std::size_t operator()(std::string_view text) const noexcept {
      return std::hash<std::string_view>{}(text);
    }
  };
  std::unordered_map<std::string, std::uint16_t, Hash, std::equal_to<>> aliases_;
  std::uint16_t maximum_;
};

/// The aliases that the peer gave to topics on one connection.
class ReceivedAliases {
public:
  explicit ReceivedAliases(std::uint16_t maximum) : maximum_{maximum} {}

  /// False if the alias is 0 or above the maximum. [v5:3.3.2-8] [v5:3.3.2-9]
  bool isValid(std::uint32_t alias) const noexcept { return alias != 0 && alias <= maximum_; }
  /// REQUIRES: isValid(alias). [v5:3.3.2-12]
  void set(std::uint16_t alias, std::string_view topic);
  /// The topic, or empty if there is no mapping. REQUIRES: isValid(alias).
  std::string_view topic(std::uint16_t alias) const noexcept;

private:
  std::vector<std::string> topics_;
  std::uint16_t maximum_;
};

}  // namespace mqttstack
