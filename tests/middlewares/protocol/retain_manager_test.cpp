#include "middlewares/protocol/retain_manager.hpp"

#include <fmt/format.h>

#include <catch2/catch.hpp>

#include "tests/middlewares/protocol_broker.hpp"

namespace mqttstack::test {
namespace {

using namespace std::chrono_literals;

/// Has a publisher and some topics with retained messages.
struct Retaining : ProtocolBroker {
  explicit Retaining(const Parts& parts = {}, Version theVersion = Version::v5)
      : ProtocolBroker{parts},
        version{theVersion},
        publisher{join(*this, theVersion, "publisher")} {}
  void retain(std::string topic, std::string payload, unsigned qos = 0,
              Properties properties = {}) {
    publish(publisher, {.topic = std::move(topic),
                        .payload = std::move(payload),
                        .qos = qos,
                        .retain = true,
                        .properties = std::move(properties)});
  }
  void retainMany(unsigned count, const std::string& payload = "x", unsigned qos = 0) {
    for (unsigned i = 0; i < count; ++i) retain(fmt::format("many/{:05}", i), payload, qos);
  }
  /// What a new client gets that subscribes to `filter`.
  Lines replayed(const std::string& filter, unsigned options = 0) {
    Peer peer = join(*this, version, "late");
    peer.send(subscribePacket(version, 1, {{filter, options}}));
    advance(1s);
    const Lines lines = publishes(peer);
    peer.send(disconnectPacket(version));
    return lines;
  }

  Version version;
  Peer publisher;
};

TEST_CASE(
    "a new subscription gets the retained messages that match [v311:3.3.1-6] "
    "[v311:3.3.1-8] [v5:3.3.1-9]",
    "[retain_manager]") {
  const auto version = GENERATE(Version::v31, Version::v311, Version::v5);
  Retaining broker{{}, version};
  broker.retain("a/b", "1");
  broker.retain("a/c", "2", 2);
  broker.retain("a", "3", 1);
  broker.retain("b", "4");
  CHECK(broker.replayed("a/+", 1) ==
        Lines{"PUBLISH a/b '1' retain", "PUBLISH a/c '2' q1 #1 retain"});
  CHECK(broker.replayed("a/#", 2).size() == 3);
  CHECK(broker.replayed("#", 2).size() == 4);
  CHECK(broker.replayed("b") == Lines{"PUBLISH b '4' retain"});
  CHECK(broker.replayed("c") == Lines{});
}

TEST_CASE(
    "the last retained message counts, and an empty one removes it [v311:3.3.1-5] "
    "[v311:3.3.1-10] [v311:3.3.1-11] [v311:3.3.1-12] [v5:3.3.1-6] [v5:3.3.1-7]",
    "[retain_manager]") {
  const auto version = GENERATE(Version::v31, Version::v311, Version::v5);
  Retaining broker{{}, version};
  Peer peer = join(broker, version, "established");
  subscribe(peer, "t", 1);
  broker.retain("t", "1");
  broker.retain("t", "2", 1);
  publish(broker.publisher, {.topic = "t", .payload = "3"});
  CHECK(broker.replayed("t", 1) == Lines{"PUBLISH t '2' q1 #1 retain"});
  broker.retain("t", "");
  CHECK(broker.replayed("t", 1) == Lines{});
  CHECK(broker.metrics.value("retained_messages") == 0);
  // Who was subscribed before sees ordinary messages, the empty one too.
  CHECK(publishes(peer) ==
        Lines{"PUBLISH t '1'", "PUBLISH t '2' q1 #1", "PUBLISH t '3'", "PUBLISH t ''"});
}

TEST_CASE(
    "subscribing to the same filter again sends retained messages again [v311:3.8.4-3] "
    "[v5:3.3.1-9]",
    "[retain_manager]") {
  const auto version = GENERATE(Version::v31, Version::v311, Version::v5);
  Retaining broker{{}, version};
  broker.retain("t", "1");
  Peer peer = join(broker, version, "a");
  for (int i = 0; i < 2; ++i) {
    peer.send(subscribePacket(version, 1, {{"t", 0}}));
    broker.advance(1s);
    CHECK(publishes(peer) == Lines{"PUBLISH t '1' retain"});
  }
}

TEST_CASE(
    "retain handling 1 sends them to new subscriptions only, 2 never [v5:3.3.1-10] "
    "[v5:3.3.1-11]",
    "[retain_manager]") {
  Retaining broker;
  broker.retain("t", "1");
  Peer peer = join(broker, Version::v5, persistent(Version::v5, "a"));
  const auto asking = [&](unsigned options) {
    peer.send(subscribePacket(Version::v5, 1, {{"t", options}}));
    broker.advance(1s);
    return publishes(peer).size();
  };
  CHECK(asking(kSendNoRetained) == 0);
  CHECK(asking(kSendRetainedIfNew) == 0);
  CHECK(asking(0) == 1);
  peer.send(unsubscribePacket(Version::v5, 2, {"t"}));
  CHECK(asking(kSendRetainedIfNew) == 1);
  CHECK(asking(kSendRetainedIfNew) == 0);
  peer.reset();
  peer = join(broker, Version::v5, persistent(Version::v5, "a"));
  broker.advance(1s);
  CHECK(publishes(peer) == Lines{});  // resuming is not subscribing
  CHECK(asking(kSendRetainedIfNew) == 0);
}

TEST_CASE("retain as published keeps the flag, and only there [v5:3.3.1-12] [v5:3.3.1-13]",
          "[retain_manager]") {
  Retaining broker;
  Peer as = join(broker, Version::v5, "as");
  Peer plain = join(broker, Version::v5, "plain");
  subscribe(as, "t", kRetainAsPublished);
  subscribe(plain, "t");
  broker.retain("t", "1");
  publish(broker.publisher, {.topic = "t", .payload = "2"});
  CHECK(publishes(as) == Lines{"PUBLISH t '1' retain", "PUBLISH t '2'"});
  CHECK(publishes(plain) == Lines{"PUBLISH t '1'", "PUBLISH t '2'"});
}

TEST_CASE(
    "a retained message comes with the subscription's identifier and what is left of its "
    "expiry [v5:3.3.2-6] [v5:3.3.4-3]",
    "[retain_manager]") {
  Retaining broker;
  broker.retain("t", "1", 0, {property(PropertyId::messageExpiry, 100)});
  broker.advance(40s);
  Peer peer = join(broker, Version::v5, "a");
  peer.send(
      subscribePacket(Version::v5, 1, {{"t", 0}}, {property(PropertyId::subscriptionId, 300)}));
  CHECK(publishes(peer) == Lines{"PUBLISH t '1' retain messageExpiry=60 id=300"});
  broker.advance(61s);
  CHECK(broker.replayed("t") == Lines{});
  CHECK(broker.metrics.value("retained_messages") == 0);
}

TEST_CASE("shared subscriptions get no retained messages [v5:4.8.2]", "[retain_manager]") {
  const auto version = GENERATE(Version::v31, Version::v311, Version::v5);
  Retaining broker{{}, version};
  broker.retain("t", "1");
  CHECK(broker.replayed("$share/g/t") == Lines{});
}

TEST_CASE("a No Local subscription does not get its own retained messages [v5:3.8.3-3]",
          "[retain_manager]") {
  Retaining broker;
  broker.retain("t", "1");
  broker.publisher.send(subscribePacket(Version::v5, 1, {{"t", kNoLocal}}));
  CHECK(said(broker.publisher) == Lines{"SUBACK #1 0"});
  CHECK(broker.replayed("t", kNoLocal) == Lines{"PUBLISH t '1' retain"});
}

TEST_CASE("a subscription that is refused gets nothing", "[retain_manager]") {
  Retaining broker{{.second = [](TestBroker& b) {
    b.on<SubscribeTopic>([](SubscribeTopic& subscribe, Next next, Done) {
      subscribe.granted = mqtt::ReasonCode::notAuthorized;
      return next();
    });
  }}};
  broker.retain("t", "1");
  CHECK(broker.replayed("t") == Lines{});
}

TEST_CASE("a large replay goes in slices, and others have their turn between", "[retain_manager]") {
  const auto version = GENERATE(Version::v31, Version::v311, Version::v5);
  Retaining broker{{.retain = {.replaySlice = 10}}, version};
  broker.retainMany(100);
  Peer peer = join(broker, version, "a");
  broker.loop.hold();
  peer.send(subscribePacket(version, 1, {{"#", 0}}));
  CHECK(publishes(peer).size() == 10);
  for (int slice = 1; slice < 10; ++slice) {
    broker.loop.turn();
    broker.run();
    CHECK(publishes(peer).size() == 10);
  }
  broker.loop.turn();
  broker.run();
  CHECK(publishes(peer).empty());
}

TEST_CASE("a replay goes on as soon as the client takes what it was given", "[retain_manager]") {
  const unsigned qos = GENERATE(0U, 1U);
  Retaining broker{{.retain = {.replaySlice = 10}, .outbound = {.maxInflight = 10}}};
  broker.retainMany(300, std::string(5'000, 'x'), qos);
  Peer peer = join(broker, Version::v5, "a");
  peer.transport().limitWrites(0);
  peer.send(subscribePacket(Version::v5, 1, {{"#", qos}}));
  broker.run();
  CHECK(peer.client().outputBytes() < 100'000);
  peer.transport().allowWrites();
  broker.run();
  std::size_t received = 0;
  // No time goes by.
  while (const std::size_t more = receiveAll(peer).size()) {
    received += more;
    broker.run();
  }
  CHECK(received == 300);
}

TEST_CASE("a slow client gets all of a replay, no faster than it reads", "[retain_manager]") {
  const unsigned qos = GENERATE(0U, 1U);
  Retaining broker;
  broker.retainMany(200, std::string(10'000, 'x'), qos);
  Peer peer = join(broker, Version::v5, "a");
  peer.transport().limitWrites(0);
  peer.send(subscribePacket(Version::v5, 1, {{"#", qos}}));
  broker.advance(60s);
  // 2 MB wait; only a little of that is on its way.
  CHECK(peer.client().outputBytes() < 100'000);
  const auto* queue = peer.client().session()->queueIfAny();
  CHECK((!queue || queue->bytes() < 100'000));
  peer.transport().allowWrites();
  std::size_t received = 0;
  for (int i = 0; i < 100; ++i) {
    received += receiveAll(peer).size();
    broker.advance(1s);
  }
  CHECK(received == 200);
  CHECK(broker.metrics.value("messages_dropped_slow_consumer") == 0);
  CHECK(broker.metrics.value("messages_dropped_queue_full") == 0);
}

TEST_CASE("a replay to a client with a small window loses and reorders nothing",
          "[retain_manager]") {
  Retaining broker{{.outbound = {.maxInflight = 1}}};
  broker.retainMany(150, "x", 1);
  Peer peer = join(broker, Version::v5, "a");
  peer.send(subscribePacket(Version::v5, 1, {{"#", 1}}));
  Lines lines;
  for (int i = 0; i < 100; ++i) {
    for (std::string& line : receiveAll(peer)) lines.push_back(std::move(line));
    broker.advance(100ms);
  }
  REQUIRE(lines.size() == 150);
  for (unsigned i = 0; i < 150; ++i)
    CHECK(lines[i].starts_with(fmt::format("PUBLISH many/{:05} ", i)));
}

TEST_CASE("a replay ends with what asked for it", "[retain_manager]") {
  const auto version = GENERATE(Version::v31, Version::v311, Version::v5);
  Retaining broker{{.retain = {.replaySlice = 10}}, version};
  broker.retainMany(100);
  Peer peer = join(broker, version, persistent(version, "a"));
  broker.loop.hold();
  peer.send(subscribePacket(version, 1, {{"many/#", 0}}));
  CHECK(publishes(peer).size() == 10);
  SECTION("UNSUBSCRIBE [v311:3.10.4-2] [v5:3.10.4-2]") {
    peer.send(unsubscribePacket(version, 2, {"many/#"}));
    broker.loop.goOn();
    broker.advance(10s);
    CHECK(publishes(peer) == Lines{});
  }
  SECTION("UNSUBSCRIBE of something else") {
    peer.send(unsubscribePacket(version, 2, {"many/+"}));
    broker.loop.goOn();
    broker.advance(10s);
    CHECK(publishes(peer).size() == 90);
  }
  SECTION("the connection") {
    peer.reset();
    broker.loop.goOn();
    broker.advance(10s);
    Peer back = join(broker, version, persistent(version, "a"));
    broker.advance(10s);
    CHECK(publishes(back) == Lines{});
  }
  SECTION("subscribing anew begins it anew, and ends the first") {
    peer.send(subscribePacket(version, 2, {{"many/#", 0}}));
    broker.loop.goOn();
    broker.advance(10s);
    CHECK(publishes(peer).size() == 100);
  }
}

TEST_CASE("a replay skips what was stored after the SUBSCRIBE: that came live",
          "[retain_manager]") {
  Retaining broker{{.retain = {.replaySlice = 10}}};
  broker.retainMany(50);
  Peer peer = join(broker, Version::v5, "a");
  broker.loop.hold();
  peer.send(subscribePacket(Version::v5, 1, {{"#", 0}}));
  CHECK(publishes(peer).size() == 10);
  broker.retain("many/00045", "new");
  broker.retain("many/00046", "");
  broker.retain("many/99999", "new");
  broker.loop.goOn();
  broker.advance(10s);
  const Lines lines = publishes(peer);
  CHECK(lines.size() == 3 + 38);
  CHECK(std::count(lines.begin(), lines.end(), "PUBLISH many/00045 'new'") == 1);
  CHECK(std::count(lines.begin(), lines.end(), "PUBLISH many/99999 'new'") == 1);
  CHECK(std::count(lines.begin(), lines.end(), "PUBLISH many/00045 'new' retain") == 0);
}

TEST_CASE("too many retained messages are refused [v5:3.4.2]", "[retain_manager]") {
  const auto version = GENERATE(Version::v311, Version::v5);
  Retaining broker{{.backend = {.maxRetainedMessages = 2}}, version};
  broker.retain("1", "x");
  broker.retain("2", "x");
  broker.retain("2", "y", 1);  // takes the place of another
  Peer live = join(broker, version, "live");
  subscribe(live, "3");
  broker.publisher.send(
      publishPacket(version, {.topic = "3", .payload = "x", .qos = 1, .id = 1, .retain = true}));
  if (version == Version::v5) {
    CHECK(said(broker.publisher) == Lines{"PUBACK #1 0x97"});
    CHECK(said(live) == Lines{});
  } else {
    // It has no way to be told, and would send it again and again.
    CHECK(said(broker.publisher) == Lines{"PUBACK #1"});
    CHECK(said(live) == Lines{"PUBLISH 3 'x'"});
  }
  CHECK(broker.metrics.value("retained_messages") == 2);
  CHECK(broker.metrics.value("retained_messages_refused") == 1);
}

TEST_CASE("the backend has to stand before the retain manager", "[retain_manager]") {
  TestBroker broker;
  broker.use<RetainManager>();
  broker.use<MemoryBackend>();
  const auto findings = broker.validate();
  REQUIRE(findings.size() == 1);
  CHECK(findings[0].message.find("\"retain_manager\" stands before \"memory_backend\"") !=
        std::string::npos);
}

TEST_CASE("a retained QoS 0 message takes the place of one with QoS 1, and is kept [v311:3.3.1-7]",
          "[retain_manager]") {
  ProtocolBroker broker;
  const auto version = GENERATE(Version::v31, Version::v311, Version::v5);
  Peer peer = join(broker, version, "a");
  publish(peer, {.topic = "t", .payload = "old", .qos = 1, .retain = true});
  publish(peer, {.topic = "t", .payload = "new", .retain = true});
  peer.send(subscribePacket(version, 1, {{"t", 1}}));
  CHECK(publishes(peer) == Lines{"PUBLISH t 'new' retain"});
}

}  // namespace
}  // namespace mqttstack::test
