#include <catch2/catch.hpp>

#include "middlewares/security/authorization.hpp"
#include "tests/middlewares/protocol_broker.hpp"

/// What a broker can do is an option, told in the CONNACK, and held to.
namespace mqttstack::test {
namespace {

std::string connackOf(const Parts& parts) {
  ProtocolBroker broker{parts};
  Peer peer = dial(broker, Version::v5, clean("a"));
  return said(peer).front();
}
bool tells(const Parts& parts, std::string_view what) {
  return connackOf(parts).find(what) != std::string::npos;
}

TEST_CASE("what is switched off is told in the CONNACK, and what is on is not [v5:3.2.2-9]",
          "[capabilities]") {
  const std::string all = connackOf({});
  for (const char* what : {"maximumQos", "retainAvailable", "wildcardAvailable",
                           "subscriptionIdAvailable", "sharedAvailable"})
    CHECK(all.find(what) == std::string::npos);
  CHECK(tells({.inbound = {.maximumQos = 0}}, " maximumQos=0"));
  CHECK(tells({.inbound = {.maximumQos = 1}}, " maximumQos=1"));
  CHECK(tells({.retain = {.retainAvailable = false}}, " retainAvailable=0"));
  CHECK(tells({.subscriptions = {.wildcardSubscriptions = false}}, " wildcardAvailable=0"));
  CHECK(tells({.subscriptions = {.sharedSubscriptions = false}}, " sharedAvailable=0"));
  CHECK(tells({.subscriptions = {.subscriptionIdentifiers = false}}, " subscriptionIdAvailable=0"));
}

TEST_CASE("below its maximum QoS a broker grants whatever is asked for [v5:3.2.2-10]",
          "[capabilities]") {
  const auto version = GENERATE(Version::v31, Version::v311, Version::v5);
  ProtocolBroker broker{{.inbound = {.maximumQos = 0}}};
  Peer peer = join(broker, version, "a");
  peer.send(subscribePacket(version, 1, {{"t0", 0}, {"t1", 1}, {"t2", 2}}));
  CHECK(said(peer) == Lines{"SUBACK #1 0 1 2"});
  publish(peer, {.topic = "t2", .payload = "x"});
  CHECK(said(peer) == Lines{"PUBLISH t2 'x'"});
}

TEST_CASE(
    "more than the maximum QoS ends the connection, of a will refuses it [v5:3.2.2-11] "
    "[v5:3.2.2-12]",
    "[capabilities]") {
  const auto version = GENERATE(Version::v31, Version::v311, Version::v5);
  const bool v5 = version == Version::v5;
  const unsigned maximum = GENERATE(0U, 1U);
  ProtocolBroker broker{{.inbound = {.maximumQos = static_cast<std::uint16_t>(maximum)}}};
  SECTION("a message") {
    Peer peer = join(broker, version, "a");
    peer.send(publishPacket(version, {.topic = "t", .qos = maximum + 1, .id = 1}));
    CHECK(said(peer) == (v5 ? Lines{"DISCONNECT 0x9B"} : Lines{}));
    CHECK(peer.gone());
  }
  SECTION("a will") {
    Connect connect = clean("a");
    connect.will = Will{.topic = "w", .qos = maximum + 1};
    Peer peer = dial(broker, version, connect);
    CHECK(said(peer) == (v5 ? Lines{"CONNACK 155"} : Lines{}));
    CHECK(peer.gone());
  }
}

TEST_CASE(
    "without retained messages the flag is an error, of a will refuses [v5:3.2.2-13] "
    "[v5:3.2.2-14]",
    "[capabilities]") {
  ProtocolBroker broker{{.retain = {.retainAvailable = false}}};
  Peer watcher = join(broker, Version::v5, "watcher");
  subscribe(watcher, "#", kRetainAsPublished);
  SECTION("MQTT 5 clients know it") {
    Peer peer = join(broker, Version::v5, "a");
    peer.send(publishPacket(Version::v5, {.topic = "t", .payload = "x", .retain = true}));
    CHECK(said(peer) == Lines{"DISCONNECT 0x9A"});
    CHECK(peer.gone());
    Connect connect = clean("a");
    connect.will = Will{.topic = "w", .retain = true};
    Peer mortal = dial(broker, Version::v5, connect);
    CHECK(said(mortal) == Lines{"CONNACK 154"});
    CHECK(mortal.gone());
    CHECK(publishes(watcher) == Lines{});
  }
  SECTION("for MQTT 3 clients, who cannot know it, the message is not kept") {
    const auto version = GENERATE(Version::v31, Version::v311);
    Connect connect = clean("a");
    connect.will = Will{.topic = "w", .payload = "gone", .retain = true};
    Peer peer = join(broker, version, connect);
    peer.send(publishPacket(version, {.topic = "t", .payload = "x", .retain = true}));
    CHECK_FALSE(peer.closed());
    peer.reset();
    CHECK(publishes(watcher) == Lines{"PUBLISH t 'x' retain", "PUBLISH w 'gone' retain"});
    CHECK(broker.metrics.value("retained_messages") == 0);
    Peer late = join(broker, Version::v311, "late");
    subscribe(late, "#");
    CHECK(publishes(late) == Lines{});
  }
}

TEST_CASE(
    "a filter of each kind that is switched off ends the connection, for MQTT 3 is refused "
    "[v311:3.8.3-2]",
    "[capabilities]") {
  const auto version = GENERATE(Version::v311, Version::v5);
  const bool v5 = version == Version::v5;
  const auto asking = [&](const Parts& parts, const char* filter) {
    ProtocolBroker broker{parts};
    Peer peer = join(broker, version, "a");
    peer.send(subscribePacket(version, 1, {{filter, 1}}));
    return said(peer);
  };
  const Parts noWildcards{.subscriptions = {.wildcardSubscriptions = false}};
  const Parts noShares{.subscriptions = {.sharedSubscriptions = false}};
  for (const char* filter : {"#", "a/#", "+", "a/+/b", "$share/g/#"})
    CHECK(asking(noWildcards, filter) == Lines{v5 ? "DISCONNECT 0xA2" : "SUBACK #1 0x80"});
  CHECK(asking(noShares, "$share/g/t") == Lines{v5 ? "DISCONNECT 0x9E" : "SUBACK #1 0x80"});
  CHECK(asking(noWildcards, "$share/g/t") == Lines{"SUBACK #1 1"});
  CHECK(asking(noShares, "#") == Lines{"SUBACK #1 1"});
}

TEST_CASE(
    "a longer keep alive than allowed is shortened for MQTT 5 and left to MQTT 3 "
    "[v5:3.2.2-22]",
    "[capabilities]") {
  using namespace std::chrono_literals;
  ProtocolBroker broker{{.keepAlive = {.maxKeepAlive = 10s}}};
  Connect connect = clean("a");
  connect.keepAlive = 60;
  SECTION("MQTT 5") {
    Peer peer = dial(broker, Version::v5, connect);
    CHECK(said(peer).front().find(" serverKeepAlive=10") != std::string::npos);
    broker.advance(16s);
    CHECK(said(peer) == Lines{"DISCONNECT 0x8D"});
  }
  SECTION("MQTT 3") {
    const auto version = GENERATE(Version::v31, Version::v311);
    Peer peer = join(broker, version, connect);
    broker.advance(80s);
    CHECK_FALSE(peer.closed());
    broker.advance(20s);
    CHECK(peer.closed());
  }
}

TEST_CASE(
    "a filter that is denied has the reason code of the option, in MQTT 3.1.1 always 0x80 "
    "[v5:3.8.4-7] [v5:3.9.3-2] [v311:3.8.4-5]",
    "[capabilities]") {
  using mqtt::ReasonCode;
  const auto asking = [](Version version, Authorization::Options options) {
    ProtocolBroker broker{{.second = [&](TestBroker& b) {
      b.use<Authorization>(options);
      b.on<AuthorizePacket>([](AuthorizePacket& question, Next next, Done) {
        if (question.topic == "open") question.verdict.allow("stub");
        return next();
      });
    }}};
    Peer peer = join(broker, version, "a");
    peer.send(subscribePacket(version, 1, {{"open", 1}, {"closed", 1}}));
    const Lines lines = said(peer);
    CHECK(broker.metrics.value("subscriptions") == 1);
    return lines;
  };
  CHECK(asking(Version::v5, {}) == Lines{"SUBACK #1 1 0x87"});
  CHECK(asking(Version::v5, {ReasonCode::topicFilterInvalid}) == Lines{"SUBACK #1 1 0x8F"});
  CHECK(asking(Version::v5, {ReasonCode::unspecifiedError}) == Lines{"SUBACK #1 1 0x80"});
  CHECK(asking(Version::v311, {}) == Lines{"SUBACK #1 1 0x80"});
  CHECK(asking(Version::v311, {ReasonCode::topicFilterInvalid}) == Lines{"SUBACK #1 1 0x80"});
  // MQTT 3.1 has no word for it: what is granted is worth nothing.
  CHECK(asking(Version::v31, {}) == Lines{"SUBACK #1 1 0"});
}

}  // namespace
}  // namespace mqttstack::test
