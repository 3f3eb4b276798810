#include "core/broker/retained_tree.hpp"

#include <algorithm>
#include <map>
#include <string>
#include <vector>

#include <catch2/catch.hpp>

#include "tests/core/broker/support.hpp"

using namespace mqttstack;
using namespace mqttstack::broker;
using namespace mqttstack::broker::test;

namespace {

const TimePoint kNow{std::chrono::hours{1}};

MessagePtr expiring(std::string_view topic, std::uint32_t seconds) {
  MessageFields fields;
  fields.topic = topic;
  fields.payload = "x";
  fields.expiryInterval = seconds;
  fields.received = kNow;
  return Message::create(std::move(fields));
}

std::vector<std::string> walk(RetainedTree& tree, std::string_view filter, std::size_t slice = 3,
                              TimePoint now = kNow) {
  std::vector<std::string> topics;
  RetainedCursor cursor{tree, filter};
  while (!cursor.done())
    cursor.next(slice, now,
                [&](const MessagePtr& message) { topics.emplace_back(message->topic()); });
  return topics;
}

using Topics = std::vector<std::string>;

}  // namespace

TEST_CASE("topics are ordered so that a subtree is one run", "[retained_tree]") {
  const std::vector<std::string> ordered{
      "/",    "/a",    "a",  "a/", "a//", "a/b",     "a/b/c", std::string{"a/b\x01", 4},
      "a/b!", "a\x01", "a!", "aa", "b",   "\xc3\xa9"};
  for (std::size_t i = 0; i < ordered.size(); ++i)
    for (std::size_t j = 0; j < ordered.size(); ++j) {
      INFO(ordered[i] << " and " << ordered[j]);
      const int order = compareTopics(ordered[i], ordered[j]);
      CHECK((order < 0) == (i < j));
      CHECK((order == 0) == (i == j));
    }
}

TEST_CASE("a retained message replaces the topic's former one [v311:3.3.1-5] [v5:3.3.1-5]",
          "[retained_tree]") {
  RetainedTree tree{1};
  CHECK(tree.store(makeMessage("a/b", "one")) == RetainedTree::Stored::added);
  CHECK(tree.store(makeMessage("a/b", "two")) == RetainedTree::Stored::replaced);
  CHECK(tree.size() == 1);
  REQUIRE(tree.find("a/b", kNow));
  CHECK(tree.find("a/b", kNow)->payload() == "two");
  CHECK(tree.bytes() == tree.find("a/b", kNow)->footprint());
  CHECK_FALSE(tree.find("a", kNow));
  CHECK_FALSE(tree.find("a/b/c", kNow));
}

TEST_CASE(
    "an empty payload removes the retained message and is not kept "
    "[v311:3.3.1-10] [v311:3.3.1-11] [v5:3.3.1-6] [v5:3.3.1-7]",
    "[retained_tree]") {
  RetainedTree tree{1};
  CHECK(tree.store(makeMessage("a", "")) == RetainedTree::Stored::nothing);
  tree.store(makeMessage("a", "x"));
  CHECK(tree.store(makeMessage("a", "")) == RetainedTree::Stored::removed);
  CHECK(tree.empty());
  CHECK(tree.bytes() == 0);
  CHECK_FALSE(tree.remove("a"));
}

TEST_CASE("a cursor visits what the filter matches, in order", "[retained_tree]") {
  RetainedTree tree{1};
  for (const char* topic : {"/", "/finance", "a", "a/", "a/b", "a/b/c", "a/c", "a!", "b/c", "b/b/c",
                            "$SYS/a", "$SYS/b/c"})
    tree.store(makeMessage(topic));
  CHECK(walk(tree, "#") ==
        Topics{"/", "/finance", "a", "a/", "a/b", "a/b/c", "a/c", "a!", "b/b/c", "b/c"});
  CHECK(walk(tree, "a/#") == Topics{"a", "a/", "a/b", "a/b/c", "a/c"});
  CHECK(walk(tree, "a/+") == Topics{"a/", "a/b", "a/c"});
  CHECK(walk(tree, "+/c") == Topics{"a/c", "b/c"});
  CHECK(walk(tree, "+/+/c") == Topics{"a/b/c", "b/b/c"});
  CHECK(walk(tree, "+") == Topics{"a", "a!"});
  CHECK(walk(tree, "/+") == Topics{"/", "/finance"});
  CHECK(walk(tree, "/#") == Topics{"/", "/finance"});
  CHECK(walk(tree, "$SYS/#") == Topics{"$SYS/a", "$SYS/b/c"});
  CHECK(walk(tree, "a/b") == Topics{"a/b"});
  CHECK(walk(tree, "c").empty());
  CHECK(walk(tree, "c/#").empty());
}

TEST_CASE("no leading wildcard finds $-topics [v311:4.7.2-1] [v5:4.7.2-1]", "[retained_tree]") {
  RetainedTree tree{1};
  for (int i = 0; i < 200; ++i) tree.store(makeMessage("$SYS/" + std::to_string(i)));
  tree.store(makeMessage("!"));
  tree.store(makeMessage("x/1"));
  CHECK(walk(tree, "#") == Topics{"!", "x/1"});
  CHECK(walk(tree, "+/1") == Topics{"x/1"});
  CHECK(walk(tree, "$SYS/1") == Topics{"$SYS/1"});
}

TEST_CASE("a cursor skips what was stored after it was made", "[retained_tree]") {
  RetainedTree tree{1};
  const MessagePtr early = makeMessage("c");
  for (const char* topic : {"a", "b", "d"}) tree.store(makeMessage(topic));
  RetainedCursor cursor{tree, "#"};
  RetainedCursor exact{tree, "b"};
  tree.store(early);  // made before, stored after
  tree.store(makeMessage("b", "new"));
  Topics topics;
  cursor.next(10, kNow, [&](const MessagePtr& m) { topics.emplace_back(m->topic()); });
  CHECK(topics == Topics{"a", "d"});
  CHECK(exact.next(10, kNow, [](const MessagePtr&) {}) == 0);
  CHECK(exact.done());
  CHECK(walk(tree, "#") == Topics{"a", "b", "c", "d"});
}

TEST_CASE("expired retained messages are neither found nor kept [v5:3.3.2-5]", "[retained_tree]") {
  RetainedTree tree{1};
  tree.store(expiring("a", 10));
  tree.store(expiring("b", 20));
  tree.store(makeMessage("c"));
  const TimePoint later = kNow + std::chrono::seconds{10};
  CHECK(tree.find("a", kNow));
  CHECK_FALSE(tree.find("a", later));
  CHECK(walk(tree, "a", 1, later).empty());
  CHECK(tree.size() == 2);
  CHECK(walk(tree, "#", 1, later + std::chrono::seconds{10}) == Topics{"c"});
  CHECK(tree.size() == 1);
}

TEST_CASE("the sweep removes expired messages a few at a time, round and round",
          "[retained_tree]") {
  RetainedTree tree{1};
  for (int i = 0; i < 100; ++i) {
    tree.store(expiring("e/" + std::to_string(i), 5));
    tree.store(makeMessage("k/" + std::to_string(i)));
  }
  CHECK(tree.removeExpired(kNow, 1000) == 0);
  const TimePoint later = kNow + std::chrono::seconds{5};
  std::size_t removed = 0;
  for (int i = 0; i < 60; ++i) removed += tree.removeExpired(later, 7);
  CHECK(removed == 100);
  CHECK(tree.size() == 100);
  CHECK(tree.removeExpired(later, 0) == 0);
}

TEST_CASE("a slice is bounded even if nothing matches", "[retained_tree]") {
  RetainedTree tree{1};
  for (int i = 0; i < 5000; ++i) tree.store(makeMessage("t/" + std::to_string(i) + "/x"));
  RetainedCursor cursor{tree, "+/+/y"};
  int slices = 0;
  while (!cursor.done()) {
    CHECK(cursor.next(10, kNow, [](const MessagePtr&) {}) == 0);
    ++slices;
  }
  CHECK(slices >= 5000 / 160);
}

TEST_CASE("a cursor goes on if its place is removed during the visit", "[retained_tree]") {
  RetainedTree tree{1};
  for (char c = 'a'; c <= 'j'; ++c) tree.store(makeMessage(std::string(1, c)));
  RetainedCursor cursor{tree, "#"};
  Topics topics;
  while (!cursor.done())
    cursor.next(2, kNow, [&](const MessagePtr& message) {
      topics.emplace_back(message->topic());
      tree.remove(message->topic());
      if (message->topic() == "c") tree.remove("d");
    });
  CHECK(topics == Topics{"a", "b", "c", "e", "f", "g", "h", "i", "j"});
  CHECK(tree.empty());

  tree.store(makeMessage("a"));
  tree.store(makeMessage("b"));
  RetainedCursor cleared{tree, "#"};
  CHECK(cleared.next(1, kNow, [&](const MessagePtr&) { tree.clear(); }) == 1);
  CHECK(cleared.next(1, kNow, [](const MessagePtr&) {}) == 0);
  CHECK(cleared.done());
  CHECK(cleared.next(1, kNow, [](const MessagePtr&) {}) == 0);
}

TEST_CASE("cursors agree with the plain definition while the tree changes", "[retained_tree]") {
  const std::uint32_t seed = GENERATE(21U, 22U, 23U, 24U, 25U, 26U);
  INFO("seed " << seed);
  TopicMaker make{seed};
  RetainedTree tree{seed};
  std::map<std::string, std::uint64_t> oracle;  // topic -> sequence of the message
  const auto change = [&](std::map<std::string, bool>* touched) {
    const std::string topic = make.topic();
    if (make.below(3) == 0) {
      tree.store(makeMessage(topic, ""));
      oracle.erase(topic);
    } else {
      const MessagePtr message = makeMessage(topic);
      tree.store(message);
      oracle[topic] = message->sequence();
    }
    if (touched != nullptr) (*touched)[topic] = true;
  };
  for (int i = 0; i < 400; ++i) change(nullptr);

  for (int round = 0; round < 200; ++round) {
    for (int i = 0; i < 5; ++i) change(nullptr);
    const std::string filter = make.below(5) == 0 ? make.topic() : make.filter();
    INFO("round " << round << ", filter " << filter);
    const auto before = oracle;
    std::map<std::string, bool> touched;
    std::map<std::string, std::uint64_t> seen;
    std::string last;
    RetainedCursor cursor{tree, filter};
    while (!cursor.done()) {
      cursor.next(1 + make.below(4), kNow, [&](const MessagePtr& message) {
        const std::string topic{message->topic()};
        if (!plainlyMatches(filter, topic)) FAIL(topic << " is not matched");
        if (!last.empty() && compareTopics(last, topic) >= 0) FAIL(topic << " is out of order");
        last = topic;
        seen[topic] = message->sequence();
        if (make.below(4) == 0) change(&touched);
      });
      if (make.below(2) == 0) change(&touched);
    }
    for (const auto& [topic, sequence] : seen) {
      const auto old = before.find(topic);
      if (old == before.end() || old->second != sequence) FAIL(topic << " is too new");
    }
    for (const auto& [topic, sequence] : before)
      if (!seen.contains(topic) && !touched.contains(topic) && plainlyMatches(filter, topic))
        FAIL(topic << " was not visited");
    REQUIRE(tree.size() == oracle.size());
  }
  for (const auto& [topic, sequence] : oracle) {
    REQUIRE(tree.find(topic, kNow));
    REQUIRE(tree.find(topic, kNow)->sequence() == sequence);
    tree.remove(topic);
  }
  CHECK(tree.size() == 0);
  CHECK(tree.bytes() == 0);
}
