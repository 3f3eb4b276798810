#include "core/broker/wildcard_trie.hpp"

#include <string>
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
  trie.match(topic, matched);
  CHECK(matched.size() == 20);
  for (TopicFilter* filter : filters) {
    trie.erase(*filter);
    TopicFilter::destroy(filter);
  }
}
