#pragma once

#include <cstddef>
#include <string_view>

#include "core/util/expected.hpp"

namespace mqttstack::mqtt {

/// True for a topic name that may be published to: 1 to 65 535 bytes, no
/// wildcards. REQUIRES: valid UTF-8 without U+0000 (the decoder saw to it).
/// [v5:4.7.0-1] [v5:4.7.3-1] [v5:3.3.2-2]
bool isValidTopicName(std::string_view topic) noexcept;

/// True for a well-formed topic filter: `#` alone in the last level, `+` alone
/// in a level, not empty. `$share/…` filters are judged as a whole: a share
/// name without wildcards, then a filter. [v5:4.7.1-1] [v5:4.7.1-2] [v5:4.8.2-1] [v5:4.8.2-2]
bool isValidTopicFilter(std::string_view filter) noexcept;

/// True if the topic is matched by the filter. `$`-topics are not matched by a
/// leading wildcard. [v5:4.7.2-1] REQUIRES: both valid, `filter` not shared.
bool matches(std::string_view filter, std::string_view topic) noexcept;

/// True if every topic that `inner` matches is matched by `outer` too.
/// REQUIRES: both valid filters, not shared.
bool contains(std::string_view outer, std::string_view inner) noexcept;

/// True if there may be a topic that both match; false if there is none.
/// REQUIRES: both valid filters, not shared.
bool overlap(std::string_view a, std::string_view b) noexcept;

bool hasWildcard(std::string_view filter) noexcept;

/// True for topics that the server speaks on: `$SYS`, `$CONTROL` and what is
/// below them. Clients may not publish there. [v5:4.7.2]
bool isServerTopic(std::string_view topic) noexcept;

/// The number of levels, empty ones counted: "a//b" has three.
std::size_t levelCount(std::string_view topicOrFilter) noexcept;

/// A `$share/{group}/{filter}` taken apart; `group` is empty for any other
/// filter. [v5:4.8.2]
struct SharedFilter {
  std::string_view group;
  std::string_view filter;
  bool shared() const noexcept { return !group.empty(); }
};

/// REQUIRES: isValidTopicFilter(filter).
SharedFilter splitSharedFilter(std::string_view filter) noexcept;

}  // namespace mqttstack::mqtt
