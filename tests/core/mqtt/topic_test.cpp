#include "core/mqtt/topic.hpp"

#include <algorithm>
#include <string>
#include <vector>

#include <catch2/catch.hpp>

using namespace mqttstack::mqtt;

namespace {

using Parts = std::vector<std::string>;

Parts split(const std::string& text) {
  Parts parts{""};
  for (const char c : text) {
    if (c == '/') {
      parts.emplace_back();
    } else {
      parts.back().push_back(c);
    }
  }
  return parts;
}

/// The standard's rules level by level, without a thought for speed.
bool matchesParts(const Parts& filter, std::size_t f, const Parts& topic, std::size_t t) {
  if (f == filter.size()) return t == topic.size();
  if (filter[f] == "#") return true;
  if (t == topic.size()) return false;
  return (filter[f] == "+" || filter[f] == topic[t]) && matchesParts(filter, f + 1, topic, t + 1);
}

bool matchesSlowly(const std::string& filter, const std::string& topic) {
  if (topic[0] == '$' && (filter[0] == '#' || filter[0] == '+')) return false;
  return matchesParts(split(filter), 0, split(topic), 0);
}

/// All texts of up to `depth` levels out of `levels`, but for the empty text.
std::vector<std::string> textsOf(const std::vector<std::string>& levels, std::size_t depth) {
  std::vector<std::string> all;
  std::vector<std::string> longest = levels;
  for (std::size_t i = 0; i < depth; ++i) {
    for (const std::string& text : longest) {
      if (!text.empty()) all.push_back(text);
    }
    std::vector<std::string> next;
    for (const std::string& text : longest) {
      for (const std::string& level : levels) next.push_back(text + "/" + level);
    }
    longest = std::move(next);
  }
  return all;
}

std::vector<std::string> filtersOf(const std::vector<std::string>& levels, std::size_t depth) {
  std::vector<std::string> filters;
  for (std::string& text : textsOf(levels, depth)) {
    if (isValidTopicFilter(text)) filters.push_back(std::move(text));
  }
  return filters;
}

}  // namespace

TEST_CASE(
    "a topic name has a byte at least and no wildcards [v5:4.7.0-1] [v5:4.7.3-1] [v311:4.7.3-1] "
    "[v5:4.7.3-3] [v311:4.7.3-3]",
    "[topic]") {
  for (const char* name : {"a", "/", "//", "a/b", " ", "$SYS/x", "a b/c", "/a/", "\xE4\xB8\xAD"}) {
    INFO(name);
    CHECK(isValidTopicName(name));
  }
  for (const char* name : {"", "#", "+", "a/#", "a/+/b", "a+", "#a"}) {
    INFO(name);
    CHECK(!isValidTopicName(name));
  }
  CHECK(isValidTopicName(std::string(65'535, '/')));
  CHECK(!isValidTopicName(std::string(65'536, '/')));
}

TEST_CASE(
    "wildcards fill a whole level of a filter, # the last one [v311:4.7.1-2] [v311:4.7.1-3] "
    "[v5:4.7.1-1] [v5:4.7.1-2]",
    "[topic]") {
  for (const char* filter : {"#", "+", "/", "a", "a/#", "/#", "+/#", "+/+", "/+", "+/a/#",
                             "sport/+/player1", "a//#", "$SYS/#", "$share", "$shared/+", "$"}) {
    INFO(filter);
    CHECK(isValidTopicFilter(filter));
  }
  for (const char* filter : {"", "sport/tennis#", "sport/tennis/#/ranking", "sport+", "##", "#/",
                             "++", "+a", "a/+b", "a/b+/c", "#/#", "+#", "#+", "/#/"}) {
    INFO(filter);
    CHECK(!isValidTopicFilter(filter));
  }
  CHECK(isValidTopicFilter(std::string(65'535, 'a')));
  CHECK(!isValidTopicFilter(std::string(65'536, 'a')));
}

TEST_CASE("a shared filter has a group without wildcards, then a filter [v5:4.8.2-1] [v5:4.8.2-2]",
          "[topic]") {
  for (const char* filter : {"$share/g/a", "$share/g/#", "$share/g//finance", "$share/g//",
                             "$share/$/+/a/#", "$share/ /a"}) {
    INFO(filter);
    CHECK(isValidTopicFilter(filter));
    CHECK(splitSharedFilter(filter).shared());
  }
  for (const char* filter : {"$share/", "$share/g", "$share/g/", "$share//a", "$share//",
                             "$share/+/a", "$share/g#/a", "$share/#", "$share/g/a#", "$share/+"}) {
    INFO(filter);
    CHECK(!isValidTopicFilter(filter));
  }
}

TEST_CASE("a shared filter is taken apart", "[topic]") {
  CHECK(splitSharedFilter("$share/g/a/+").group == "g");
  CHECK(splitSharedFilter("$share/g/a/+").filter == "a/+");
  CHECK(splitSharedFilter("$share/g//finance").filter == "/finance");
  for (const char* filter : {"a", "$share", "$shared/g/a", "/$share/g/a", "$SHARE/g/a", "#"}) {
    INFO(filter);
    CHECK(!splitSharedFilter(filter).shared());
    CHECK(splitSharedFilter(filter).filter == filter);
  }
}

TEST_CASE("a filter matches the topics that the standard says it does [v311:4.7.1-1] [v5:4.7.3-4]",
          "[topic]") {
  const char* matching[][2] = {{"sport/tennis/player1/#", "sport/tennis/player1"},
                               {"sport/tennis/player1/#", "sport/tennis/player1/ranking"},
                               {"sport/#", "sport"},
                               {"#", "/"},
                               {"sport/tennis/+", "sport/tennis/player1"},
                               {"sport/+", "sport/"},
                               {"+/+", "/finance"},
                               {"/+", "/finance"},
                               {"+/tennis/#", "sport/tennis"},
                               {"/", "/"},
                               {"$SYS/#", "$SYS"},
                               {"$SYS/+/x", "$SYS/monitor/x"},
                               {"a/+/#", "a/"},
                               {"+/#", "a"}};
  for (const auto& [filter, topic] : matching) {
    INFO(filter << " matches " << topic);
    CHECK(matches(filter, topic));
    CHECK(matchesSlowly(filter, topic));
  }
  const char* others[][2] = {{"+", "/finance"},
                             {"sport/+", "sport"},
                             {"sport/tennis/+", "sport/tennis/a/b"},
                             {"sport/#", "sports"},
                             {"a/#", "b"},
                             {"#", "$SYS"},
                             {"+/monitor", "$SYS/monitor"},
                             {"+/#", "$SYS/a"},
                             {"ACCOUNTS", "Accounts"},
                             {"a", "a/"},
                             {"a/", "a"},
                             {"a/b", "a"},
                             {"ab", "a"},
                             {"a", "ab"},
                             {"+/+/#", "a"},
                             {"a//b", "a/b"}};
  for (const auto& [filter, topic] : others) {
    INFO(filter << " does not match " << topic);
    CHECK(!matches(filter, topic));
    CHECK(!matchesSlowly(filter, topic));
  }
}

TEST_CASE(
    "a filter that starts with a wildcard matches no topic with a $ [v311:4.7.2-1] "
    "[v5:4.7.2-1]",
    "[topic]") {
  for (const char* filter : {"#", "+", "+/#", "+/a", "+/+"}) {
    INFO(filter);
    CHECK(!matches(filter, "$SYS"));
    CHECK(!matches(filter, "$/a"));
    CHECK(!matches(filter, "$SYS/a"));
  }
  CHECK(matches("a/+", "a/$SYS"));
  CHECK(matches("#", "a/$SYS"));
}

TEST_CASE("matching agrees with the rules for all short filters and topics", "[topic]") {
  const auto topics = textsOf({"", "a", "b", "$a", "aa"}, 4);
  const auto filters = filtersOf({"", "a", "b", "$a", "+", "#"}, 4);
  REQUIRE(filters.size() > 500);
  for (const std::string& filter : filters) {
    for (const std::string& topic : topics) {
      if (matches(filter, topic) != matchesSlowly(filter, topic)) FAIL(filter << " and " << topic);
    }
  }
}

TEST_CASE("containment is exact for all short filters", "[topic]") {
  // "z" stands for the levels that no filter names; one level more than filters have for "#".
  const auto topics = textsOf({"", "a", "$a", "z"}, 4);
  const auto filters = filtersOf({"", "a", "$a", "+", "#"}, 3);
  std::size_t contained = 0;
  for (const std::string& outer : filters) {
    for (const std::string& inner : filters) {
      bool expected = true;
      for (const std::string& topic : topics) {
        expected = expected && (!matches(inner, topic) || matches(outer, topic));
      }
      if (contains(outer, inner) != expected) FAIL(outer << " and " << inner);
      contained += expected ? 1 : 0;
    }
  }
  CHECK(contained > filters.size());
}

TEST_CASE("overlap is exact for all short filters", "[topic]") {
  const auto topics = textsOf({"", "a", "$a", "z"}, 4);
  const auto filters = filtersOf({"", "a", "$a", "+", "#"}, 3);
  std::size_t overlapping = 0;
  for (const std::string& one : filters) {
    for (const std::string& other : filters) {
      const bool expected = std::any_of(topics.begin(), topics.end(), [&](const auto& topic) {
        return matches(one, topic) && matches(other, topic);
      });
      if (overlap(one, other) != expected) FAIL(one << " and " << other);
      overlapping += expected ? 1 : 0;
    }
  }
  CHECK(overlapping > filters.size());
}

TEST_CASE("containment of filters knows the corner cases", "[topic]") {
  CHECK(contains("#", "+/#"));
  CHECK(contains("+/#", "#"));
  CHECK(contains("#", "#"));
  CHECK(contains("a/#", "a"));
  CHECK(contains("a/#", "a/+/b/#"));
  CHECK(contains("+", "a"));
  CHECK(contains("+/#", "+"));
  CHECK(contains("/+/#", "/#"));
  CHECK(contains("+/+/#", "/#"));
  CHECK(!contains("+/+/#", "#"));
  CHECK(!contains("+/+/+/#", "/#"));
  CHECK(!contains("+/+/#", "+/#"));
  CHECK(!contains("#", "$SYS/#"));
  CHECK(!contains("+/#", "$SYS"));
  CHECK(!contains("a", "+"));
  CHECK(!contains("a/+", "a/#"));
  CHECK(!contains("a/+/#", "a/#"));
  CHECK(contains("$SYS/#", "$SYS/a/+"));
}

TEST_CASE("a filter as long as it can be is matched without recursion", "[topic]") {
  const std::string slashes(65'535, '/');
  std::string pluses = "+";
  while (pluses.size() + 2 <= 65'535) pluses += "/+";
  CHECK(matches(slashes, slashes));
  CHECK(matches("#", slashes));
  CHECK(!matches(pluses, slashes));
  CHECK(matches(pluses, std::string(32'767, '/')));
  CHECK(contains(pluses, std::string(32'767, '/')));
  CHECK(levelCount(slashes) == 65'536);
}

TEST_CASE("levels are counted with the empty ones", "[topic]") {
  CHECK(levelCount("a") == 1);
  CHECK(levelCount("a//b") == 3);
  CHECK(levelCount("/") == 2);
}

TEST_CASE("a wildcard anywhere counts", "[topic]") {
  CHECK(hasWildcard("a/+"));
  CHECK(hasWildcard("#"));
  CHECK(!hasWildcard("a/b"));
  CHECK(!hasWildcard(""));
}

TEST_CASE("$SYS, $CONTROL and what is below them are the server's [v5:4.7.2]", "[topic]") {
  CHECK(isServerTopic("$SYS"));
  CHECK(isServerTopic("$SYS/broker/uptime"));
  CHECK(isServerTopic("$CONTROL/x"));
  CHECK(!isServerTopic("$SYSTEM/x"));
  CHECK(!isServerTopic("$other/x"));
  CHECK(!isServerTopic("SYS/x"));
  CHECK(!isServerTopic("a/$SYS"));
  CHECK(!isServerTopic(""));
}
