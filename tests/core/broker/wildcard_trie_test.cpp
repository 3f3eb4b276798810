#include "core/broker/wildcard_trie.hpp"

#include <string>
#include <utility>
#include <vector>

#include <catch2/catch.hpp>

#include "core/broker/topic_filter.hpp"
#include "tests/core/broker/support.hpp"

using namespace mqttstack::broker;
using namespace mqttstack::broker::test;

TEST_CASE("the trie keeps a node and a level only as long as a filter needs it",
          "[wildcard_trie]") {
  const std::uint32_t seed = GENERATE(1U, 2U, 3U);
  INFO("seed " << seed);
  TopicMaker make{seed};
  WildcardTrie trie{seed};
  std::vector<TopicFilter*> filters;
  std::vector<std::string> texts;
  while (filters.size() < 500) {
    // A first level of its own keeps the filters distinct.
    texts.push_back(std::to_string(filters.size()) + "/" + make.filter());
    if (texts.back().find_first_of("+#") == std::string::npos) continue;
    filters.push_back(TopicFilter::create(texts.back(), 0));
    trie.insert(*filters.back());
  }
  CHECK(trie.filters() == 500);
  CHECK(trie.nodes() >= 500);
  while (!filters.empty()) {
    const std::size_t i = make.below(static_cast<std::uint32_t>(filters.size()));
    trie.erase(*filters[i]);
    TopicFilter::destroy(filters[i]);
    filters[i] = filters.back();
    filters.pop_back();
  }
  CHECK(trie.filters() == 0);
  CHECK(trie.nodes() == 0);
  CHECK(trie.levels() == 0);
}

TEST_CASE("a chain of plus levels costs as many steps as it has nodes", "[wildcard_trie]") {
  // Every level both literal and plus: 2^20 paths if nodes were visited twice.
  WildcardTrie trie{1};
  std::vector<TopicFilter*> filters;
  for (int i = 0; i < 20; ++i) {
    std::string text;
    for (int level = 0; level < 20; ++level) {
      if (level > 0) text += '/';
      text += level == i ? "+" : "a";
    }
    filters.push_back(TopicFilter::create(text, 0));
    trie.insert(*filters.back());
  }
  std::string topic = "a";
  for (int level = 1; level < 20; ++level) topic += "/a";
  std::vector<TopicFilter*> matched;
  CHECK(trie.match(topic, matched));
  CHECK(matched.size() == 20);
  for (TopicFilter* filter : filters) {
    trie.erase(*filter);
    TopicFilter::destroy(filter);
  }
}

namespace {

/// A trie with filters of its own.
class Filled {
public:
  Filled() = default;
  Filled(const Filled&) = delete;
  Filled& operator=(const Filled&) = delete;
  ~Filled() {
    while (!filters.empty()) remove();
  }
  void add(const std::string& text) {
    filters.push_back(TopicFilter::create(text, 0));
    trie.insert(*filters.back());
  }
  void remove() {
    trie.erase(*filters.back());
    TopicFilter::destroy(filters.back());
    filters.pop_back();
  }
  /// How many match, and whether that is all.
  std::pair<std::size_t, bool> match(const std::string& topic) {
    std::vector<TopicFilter*> matched;
    const bool all = trie.match(topic, matched);
    return {matched.size(), all};
  }

  WildcardTrie trie{1};
  std::vector<TopicFilter*> filters;
};

}  // namespace

TEST_CASE("a trie that is made to blow up is left after so many nodes", "[wildcard_trie]") {
  Filled filled;
  // All ways to write the first ten levels, each with a tail of its own: every
  // node of it matches the beginning of the topic.
  const std::size_t count = 1024;
  for (std::size_t i = 0; i < count; ++i) filled.add(hostileFilter(i));
  filled.add("other/+");
  REQUIRE(filled.trie.nodes() > WildcardTrie::kMaxVisits);
  const std::string topic = hostileTopic();
  const auto [matched, all] = filled.match(topic);
  CHECK_FALSE(all);
  CHECK(matched > count / 2);
  CHECK(matched < count);
  CHECK(filled.match(topic) == std::pair{matched, false});  // nothing is left over
  CHECK(filled.match("other/topic") == std::pair{std::size_t{1}, true});

  filled.remove();
  while (filled.trie.nodes() >= WildcardTrie::kMaxVisits) filled.remove();
  CHECK(filled.match(topic) == std::pair{filled.filters.size(), true});
}

TEST_CASE("a walk over as many nodes as are allowed, the root among them, is whole",
          "[wildcard_trie]") {
  const bool onMore = GENERATE(false, true);
  const auto chain = [](std::size_t levels) {
    std::string text;
    for (std::size_t i = 0; i < levels; ++i) text += "/+";
    return text;
  };
  Filled filled;
  filled.add("+" + chain(29'999));
  filled.add("a" + chain(29'999));
  filled.add("+/a" + chain(29'998));
  const std::size_t room = WildcardTrie::kMaxVisits - 1 - filled.trie.nodes();
  filled.add("a/a" + chain(room - 1 + (onMore ? 1 : 0)) + "/#");
  REQUIRE(filled.trie.nodes() + 1 == WildcardTrie::kMaxVisits + (onMore ? 1 : 0));
  std::string topic = "+" + chain(29'999);
  for (char& c : topic)
    if (c == '+') c = 'a';
  CHECK(filled.match(topic) == std::pair<std::size_t, bool>{onMore ? 3U : 4U, !onMore});
}
