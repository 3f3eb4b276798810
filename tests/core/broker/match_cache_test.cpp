#include "core/broker/match_cache.hpp"

#include <string>
#include <vector>

#include <catch2/catch.hpp>

#include "core/broker/topic_filter.hpp"

using namespace mqttstack::broker;

namespace {

struct Fixture {
  explicit Fixture(std::size_t size = 1024) : cache{size} {}
  ~Fixture() {
    for (TopicFilter* filter : filters) TopicFilter::destroy(filter);
  }

  TopicFilter* filter(std::string_view text) {
    filters.push_back(TopicFilter::create(text, 0));
    return filters.back();
  }
  bool find(std::string_view topic) {
    found.clear();
    return cache.find(topic, hash(topic), hash, found);
  }
  void offer(std::string_view topic, const std::vector<TopicFilter*>& matched) {
    cache.offer(topic, hash(topic), hash, matched);
  }

  TextHash hash{5};
  MatchCache cache;
  std::vector<TopicFilter*> filters;
  std::vector<TopicFilter*> found;
};

}  // namespace

TEST_CASE("the cache takes a topic in at its second miss", "[match_cache]") {
  Fixture f;
  TopicFilter* const filter = f.filter("a/+");
  f.offer("a/b", {filter});
  CHECK_FALSE(f.find("a/b"));
  f.offer("a/b", {filter});
  REQUIRE(f.find("a/b"));
  CHECK(f.found == std::vector<TopicFilter*>{filter});
  CHECK(f.cache.entries() == 1);
}

TEST_CASE("the cache compares topics as text", "[match_cache]") {
  Fixture f;
  for (int i = 0; i < 2; ++i) f.cache.offer("a/b", 77, f.hash, {});
  std::vector<TopicFilter*> found;
  CHECK(f.cache.find("a/b", 77, f.hash, found));
  CHECK_FALSE(f.cache.find("a/c", 77, f.hash, found));
}

TEST_CASE("a new filter outdates the topics of its first level, or all", "[match_cache]") {
  Fixture f;
  for (int i = 0; i < 2; ++i) {
    f.offer("a/b", {});
    f.offer("x/b", {});
  }
  f.cache.outdate("a/+", f.hash);
  CHECK_FALSE(f.find("a/b"));
  CHECK(f.find("x/b"));
  f.cache.outdate("+/q", f.hash);
  CHECK_FALSE(f.find("x/b"));
  // A known topic is renewed at once.
  f.offer("x/b", {});
  CHECK(f.find("x/b"));
}

TEST_CASE("the cache stays within its bounds", "[match_cache]") {
  Fixture f{64};
  for (int i = 0; i < 10'000; ++i)
    for (int twice = 0; twice < 2; ++twice) f.offer("t/" + std::to_string(i), {});
  CHECK(f.cache.entries() <= 64);
  const std::string longTopic(MatchCache::kMaxTopicBytes + 1, 'a');
  for (int i = 0; i < 2; ++i) f.offer(longTopic, {});
  CHECK_FALSE(f.find(longTopic));
  const std::vector<TopicFilter*> many(MatchCache::kMaxMatches + 1, f.filter("#"));
  for (int i = 0; i < 2; ++i) f.offer("many", many);
  CHECK_FALSE(f.find("many"));
  f.cache.clear();
  CHECK(f.cache.entries() == 0);
}

TEST_CASE("a cache that many topics compete for grows", "[match_cache]") {
  Fixture f{16'384};
  for (int round = 0; round < 8; ++round)
    for (int i = 0; i < 4000; ++i)
      for (int twice = 0; twice < 2; ++twice) f.offer("t/" + std::to_string(i), {});
  CHECK(f.cache.entries() > 2000);
}
