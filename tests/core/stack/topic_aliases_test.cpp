#include "core/stack/topic_aliases.hpp"

#include <catch2/catch.hpp>

namespace mqttstack {
namespace {

TEST_CASE("topics get aliases from 1 up, until all are given [v5:3.3.2-11]", "[topic_aliases]") {
  TopicAliases aliases{2};
  CHECK(aliases.forTopic("topic/a").alias == 1);
  CHECK(aliases.forTopic("topic/b").alias == 2);
  CHECK(aliases.forTopic("topic/c").alias == 0);
  CHECK(aliases.forTopic("topic/a").omitTopic);
  CHECK_FALSE(aliases.forTopic("topic/c").omitTopic);
}

TEST_CASE("a topic that may not introduce an alias uses the one that it has", "[topic_aliases]") {
  TopicAliases aliases{2};
  CHECK(aliases.forTopic("topic/a", false).alias == 0);
  CHECK(aliases.forTopic("topic/a").alias == 1);
  CHECK(aliases.forTopic("topic/a", false).omitTopic);
}

TEST_CASE("aliases of a peer lie between 1 and the maximum [v5:3.3.2-8] [v5:3.3.2-9]",
          "[topic_aliases]") {
  const ReceivedAliases aliases{10};
  CHECK_FALSE(aliases.isValid(0));
  CHECK(aliases.isValid(1));
  CHECK(aliases.isValid(10));
  CHECK_FALSE(aliases.isValid(11));
  CHECK_FALSE(aliases.isValid(65'535));
}

TEST_CASE("a peer's alias stands for its last topic [v5:3.3.2-12]", "[topic_aliases]") {
  ReceivedAliases aliases{10};
  CHECK(aliases.topic(7).empty());
  aliases.set(7, "a");
  CHECK(aliases.topic(7) == "a");
  CHECK(aliases.topic(6).empty());
  CHECK(aliases.topic(8).empty());
  aliases.set(7, "b");
  CHECK(aliases.topic(7) == "b");
}

}  // namespace
}  // namespace mqttstack
