#include <algorithm>
#include <cstdint>
#include <string>
#include <string_view>
#include <vector>

#include "core/mqtt/topic.hpp"
#include "tests/fuzz/check.hpp"

// The input is two filters and a topic, cut at line feeds. Matching agrees with the rules read word
// by word, and what an inner filter matches an outer one that contains it matches too.

using namespace mqttstack;
using fuzz::check;

namespace {

using Levels = std::vector<std::string_view>;

Levels split(std::string_view text) {
  Levels levels;
  while (true) {
    const std::size_t slash = text.find('/');
    levels.push_back(text.substr(0, slash));
    if (slash == std::string_view::npos) return levels;
    text.remove_prefix(slash + 1);
  }
}

bool matchesSlowly(std::string_view filter, std::string_view topic) {
  if (topic[0] == '$' && (filter[0] == '#' || filter[0] == '+')) return false;
  const Levels wanted = split(filter);
  const Levels found = split(topic);
  for (std::size_t i = 0; i < wanted.size(); ++i) {
    if (wanted[i] == "#") return true;
    if (i == found.size()) return false;
    if (wanted[i] != "+" && wanted[i] != found[i]) return false;
  }
  return wanted.size() == found.size();
}

bool isValidSlowly(std::string_view filter) {
  if (filter.empty() || filter.size() > 65'535) return false;
  Levels levels = split(filter);
  if (levels[0] == "$share" && levels.size() > 1) {
    if (levels.size() < 3 || levels[1].empty()) return false;
    if (levels[1].find_first_of("+#") != std::string_view::npos) return false;
    if (levels.size() == 3 && levels[2].empty()) return false;
    levels.erase(levels.begin(), levels.begin() + 2);
  }
  for (std::size_t i = 0; i < levels.size(); ++i) {
    const bool last = i + 1 == levels.size();
    if (levels[i] == "+" || (levels[i] == "#" && last)) continue;
    if (levels[i].find_first_of("+#") != std::string_view::npos) return false;
  }
  return true;
}

/// The hardest topics of `inner`: fresh levels that no filter names where it has a `+`, and none,
/// one, or more than `outer` has where it has a `#`. What matches them all contains `inner`.
bool matchesHardest(std::string_view outer, std::string_view inner) {
  const std::string fresh(std::max(outer.size(), inner.size()) + 1, 'z');
  for (const std::size_t below : {std::size_t{0}, std::size_t{1}, split(outer).size() + 1}) {
    std::string topic;
    bool first = true;
    const auto addLevel = [&topic, &first](std::string_view level) {
      if (!first) topic += '/';
      first = false;
      topic += level;
    };
    for (const std::string_view level : split(inner)) {
      if (level == "#") {
        for (std::size_t i = 0; i < below; ++i) addLevel(fresh);
      } else {
        addLevel(level == "+" ? std::string_view{fresh} : level);
      }
    }
    if (!topic.empty() && !matchesSlowly(outer, topic)) return false;
  }
  return true;
}

std::string_view takeLine(std::string_view& text) {
  const std::size_t end = text.find('\n');
  const std::string_view line = text.substr(0, end);
  text.remove_prefix(end == std::string_view::npos ? text.size() : end + 1);
  return line;
}

}  // namespace

extern "C" int LLVMFuzzerTestOneInput(const std::uint8_t* data, std::size_t size) {
  std::string_view text{reinterpret_cast<const char*>(data), size};
  std::string_view outer = takeLine(text);
  std::string_view inner = takeLine(text);
  const std::string_view topic = text;

  const bool topicIsValid = mqtt::isValidTopicName(topic);
  check(topicIsValid == (!topic.empty() && topic.size() <= 65'535 && !mqtt::hasWildcard(topic)),
        "a topic is judged right");
  for (std::string_view* filter : {&outer, &inner}) {
    const bool valid = mqtt::isValidTopicFilter(*filter);
    check(valid == isValidSlowly(*filter), "a filter is judged right");
    if (!valid) return 0;
    const mqtt::SharedFilter shared = mqtt::splitSharedFilter(*filter);
    check(!shared.filter.empty(), "a share has a filter");
    *filter = shared.filter;
    check(mqtt::levelCount(*filter) == split(*filter).size(), "levels are counted right");
  }

  check(mqtt::contains(outer, outer) && mqtt::contains(inner, inner), "a filter contains itself");
  if (outer.size() + inner.size() < 200) {
    check(mqtt::contains(outer, inner) == matchesHardest(outer, inner), "containment is exact");
  }
  if (!mqtt::hasWildcard(inner)) {
    check(mqtt::contains(outer, inner) == mqtt::matches(outer, inner),
          "to contain a topic is to match it");
  }
  if (!topicIsValid) return 0;
  const bool outerMatches = mqtt::matches(outer, topic);
  const bool innerMatches = mqtt::matches(inner, topic);
  check(outerMatches == matchesSlowly(outer, topic), "the outer filter matches as it should");
  check(innerMatches == matchesSlowly(inner, topic), "the inner filter matches as it should");
  if (innerMatches && mqtt::contains(outer, inner)) {
    check(outerMatches, "what contains a filter matches its topics");
  }
  return 0;
}
