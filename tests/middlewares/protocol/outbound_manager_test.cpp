#include "middlewares/protocol/outbound_manager.hpp"

#include <fmt/format.h>

#include <catch2/catch.hpp>

#include "tests/middlewares/protocol_broker.hpp"

namespace mqttstack::test {
namespace {

using namespace std::chrono_literals;

/// Has a publisher that needs no acknowledgements.
struct Sending : ProtocolBroker {
  explicit Sending(const Parts& parts = {})
      : ProtocolBroker{parts},
        publisher{join(*this, Version::v5, "publisher")} {}
  void send(std::string payload, unsigned qos, Properties properties = {}) {
    publish(publisher, {.topic = "t",
                        .payload = std::move(payload),
                        .qos = qos,
                        .properties = std::move(properties)});
  }
  void sendSome(unsigned first, unsigned last, unsigned qos = 1) {
    for (unsigned i = first; i <= last; ++i) send(std::to_string(i), qos);
  }
  Peer publisher;
};

Connect limited(Connect connect, std::uint32_t receiveMaximum) {
  connect.properties.push_back(property(PropertyId::receiveMaximum, receiveMaximum));
  return connect;
}
Connect accepting(Connect connect, std::uint32_t bytes) {
  connect.properties.push_back(property(PropertyId::maximumPacketSize, bytes));
  return connect;
}

TEST_CASE("a message is delivered at the lower QoS of the two [v311:3.8.4-6] [v5:3.8.4-8]",
          "[outbound_manager]") {
  Sending broker;
  const auto version = GENERATE(Version::v31, Version::v311, Version::v5);
  Peer peer = join(broker, version, "a");
  for (unsigned granted = 0; granted <= 2; ++granted) {
    subscribe(peer, "t", granted);
    for (unsigned sent = 0; sent <= 2; ++sent) {
      broker.send("x", sent);
      const unsigned qos = std::min(granted, sent);
      const Lines lines = receiveAll(peer);
      REQUIRE(lines.size() == 1);
      CHECK(lines[0].starts_with(qos == 0 ? std::string{"PUBLISH t 'x'"}
                                          : fmt::format("PUBLISH t 'x' q{} #", qos)));
    }
  }
}

TEST_CASE(
    "each handshake is gone through [v311:4.3.2-1] [v311:4.3.3-1] [v5:4.3.3-6] [original:8.29]",
    "[outbound_manager]") {
  Sending broker;
  const auto version = GENERATE(Version::v31, Version::v311, Version::v5);
  Peer peer = join(broker, version, "a");
  subscribe(peer, "t", 2);
  broker.sendSome(1, 1, 1);
  CHECK(said(peer) == Lines{"PUBLISH t '1' q1 #1"});
  peer.send(pubackPacket(1));
  broker.sendSome(2, 2, 2);
  CHECK(said(peer) == Lines{"PUBLISH t '2' q2 #2"});
  peer.send(pubrecPacket(2));
  CHECK(said(peer) == Lines{"PUBREL #2"});
  peer.send(pubrecPacket(2));  // again: the same answer
  CHECK(said(peer) == Lines{"PUBREL #2"});
  peer.send(pubcompPacket(2));
  CHECK(said(peer) == Lines{});
  CHECK(peer.client().session()->window().empty());
}

TEST_CASE(
    "no more are under way than the client takes, and the rest keeps its order "
    "[v5:3.3.4-9] [v5:4.6.0-5] [v311:4.6.0-6]",
    "[outbound_manager]") {
  SECTION("the client's receive maximum") {
    Sending broker;
    Peer peer = join(broker, Version::v5, limited(clean("a"), 2));
    subscribe(peer, "t", 1);
    broker.sendSome(1, 5);
    CHECK(said(peer) == Lines{"PUBLISH t '1' q1 #1", "PUBLISH t '2' q1 #2"});
    peer.send(pubackPacket(2));
    CHECK(said(peer) == Lines{"PUBLISH t '3' q1 #3"});
    broker.sendSome(6, 6);
    CHECK(said(peer) == Lines{});
    peer.send(pubackPacket(1) + pubackPacket(3));
    CHECK(said(peer) == Lines{"PUBLISH t '4' q1 #4", "PUBLISH t '5' q1 #5"});
    broker.sendSome(7, 7);  // a slot would be free when 4 is acknowledged, but 6 is first
    peer.send(pubackPacket(4) + pubackPacket(5));
    CHECK(said(peer) == Lines{"PUBLISH t '6' q1 #6", "PUBLISH t '7' q1 #7"});
  }
  SECTION("our own limit") {
    const auto version = GENERATE(Version::v31, Version::v311, Version::v5);
    Sending broker{{.outbound = {.maxInflight = 3}}};
    Peer peer = join(broker, version, "a");
    subscribe(peer, "t", 1);
    broker.sendSome(1, 20);
    CHECK(peer.client().session()->window().size() == 3);
    const Lines lines = receiveAll(peer);
    REQUIRE(lines.size() == 20);
    for (unsigned i = 0; i < 20; ++i)
      CHECK(lines[i].starts_with(fmt::format("PUBLISH t '{}' ", i + 1)));
  }
  SECTION("QoS 2 holds its slot until PUBCOMP, QoS 0 needs none") {
    Sending broker;
    Peer peer = join(broker, Version::v5, limited(clean("a"), 1));
    subscribe(peer, "t", 2);
    broker.sendSome(1, 2, 2);
    broker.send("0", 0);
    CHECK(said(peer) == Lines{"PUBLISH t '1' q2 #1", "PUBLISH t '0'"});
    peer.send(pubrecPacket(1));
    CHECK(said(peer) == Lines{"PUBREL #1"});
    peer.send(pubcompPacket(1));
    CHECK(said(peer) == Lines{"PUBLISH t '2' q2 #2"});
  }
}

TEST_CASE("a PUBREC that refuses frees the message [v5:4.4.0-2] [v5:4.3.3-4]",
          "[outbound_manager]") {
  Sending broker;
  Peer peer = join(broker, Version::v5, limited(clean("a"), 1));
  subscribe(peer, "t", 2);
  broker.sendSome(1, 2, 2);
  CHECK(said(peer) == Lines{"PUBLISH t '1' q2 #1"});
  peer.send(mqttstack::hex("50 03 0001 97"));
  CHECK(said(peer) == Lines{"PUBLISH t '2' q2 #2"});
}

TEST_CASE("acknowledgements that don't fit", "[outbound_manager]") {
  Sending broker;
  const auto version = GENERATE(Version::v31, Version::v311, Version::v5);
  Peer peer = join(broker, version, "a");
  subscribe(peer, "t", 2);
  SECTION("of an unknown id are of no consequence") {
    peer.send(pubackPacket(9) + pubcompPacket(9));
    CHECK(said(peer) == Lines{});
    CHECK_FALSE(peer.closed());
  }
  SECTION("a PUBREC of an unknown id is answered [v5:4.3.3-4]") {
    peer.send(pubrecPacket(9));
    CHECK(said(peer) == Lines{version == Version::v5 ? "PUBREL #9 0x92" : "PUBREL #9"});
  }
  SECTION("but not one that refuses") {
    if (version == Version::v5) peer.send(mqttstack::hex("50 03 0009 80"));
    CHECK(said(peer) == Lines{});
  }
  SECTION("PUBACK for QoS 2") {
    broker.send("x", 2);
    said(peer);
    peer.send(pubackPacket(1));
    CHECK(peer.gone());
  }
  SECTION("PUBREC for QoS 1") {
    broker.send("x", 1);
    said(peer);
    peer.send(pubrecPacket(1));
    CHECK(peer.gone());
    CHECK(said(peer) == (version == Version::v5 ? Lines{"DISCONNECT 0x82"} : Lines{}));
  }
  SECTION("PUBCOMP before PUBREC") {
    broker.send("x", 2);
    peer.send(pubcompPacket(1));
    CHECK(peer.gone());
  }
}

TEST_CASE(
    "a resumed session sends again what was under way, in order, then what waited "
    "[v311:4.4.0-1] [v5:4.4.0-1] [v311:3.3.1-1] [v5:3.3.1-1]",
    "[outbound_manager]") {
  Sending broker{{.outbound = {.maxInflight = 4}}};
  const auto version = GENERATE(Version::v31, Version::v311, Version::v5);
  Peer peer = join(broker, version, persistent(version, "a"));
  subscribe(peer, "t", 2);
  broker.sendSome(1, 1, 2);
  broker.sendSome(2, 2, 1);
  broker.sendSome(3, 4, 2);
  broker.sendSome(5, 6, 1);  // these have to wait
  said(peer);
  peer.send(pubrecPacket(3));  // for this one only a PUBREL is left
  CHECK(said(peer) == Lines{"PUBREL #3"});
  peer.reset();
  broker.sendSome(7, 7, 1);

  Peer back = join(broker, version, persistent(version, "a"));
  CHECK(said(back) == Lines{"PUBLISH t '1' q2 #1 dup", "PUBLISH t '2' q1 #2 dup", "PUBREL #3",
                            "PUBLISH t '4' q2 #4 dup", "PUBLISH t '5' q1 #5"});
  SECTION("and goes on") {
    back.send(pubrecPacket(1) + pubackPacket(2) + pubcompPacket(3));
    CHECK(said(back) == Lines{"PUBREL #1", "PUBLISH t '6' q1 #6"});
    back.send(pubcompPacket(1) + pubrecPacket(4) + pubackPacket(5) + pubackPacket(6));
    CHECK(said(back) == Lines{"PUBLISH t '7' q1 #7", "PUBREL #4"});
    back.send(pubcompPacket(4) + pubackPacket(7));
    CHECK(back.client().session()->window().empty());
    CHECK(back.client().session()->queueEmpty());
  }
  SECTION("and again on the next connection, with the same ids") {
    back.reset();
    back = join(broker, version, persistent(version, "a"));
    CHECK(said(back) == Lines{"PUBLISH t '1' q2 #1 dup", "PUBLISH t '2' q1 #2 dup", "PUBREL #3",
                              "PUBLISH t '4' q2 #4 dup", "PUBLISH t '5' q1 #5 dup"});
  }
}

TEST_CASE(
    "what is sent again counts against the receive maximum of the new connection "
    "[v5:4.9.0-1]",
    "[outbound_manager]") {
  Sending broker;
  Peer peer = join(broker, Version::v5, persistent(Version::v5, "a"));
  subscribe(peer, "t", 1);
  broker.sendSome(1, 3);
  peer.reset();
  Peer back = join(broker, Version::v5, limited(persistent(Version::v5, "a"), 2));
  CHECK(said(back) == Lines{"PUBLISH t '1' q1 #1 dup", "PUBLISH t '2' q1 #2 dup"});
  broker.sendSome(4, 4);
  CHECK(said(back) == Lines{});
  back.send(pubackPacket(1));
  CHECK(said(back) == Lines{"PUBLISH t '3' q1 #3 dup"});
  back.send(pubackPacket(2) + pubackPacket(3));
  CHECK(said(back) == Lines{"PUBLISH t '4' q1 #4"});
}

TEST_CASE("a message that expires while it waits is not sent [v5:3.3.2-5]", "[outbound_manager]") {
  Sending broker;
  Peer peer = join(broker, Version::v5, persistent(Version::v5, "a"));
  subscribe(peer, "t", 1);
  peer.reset();
  broker.send("1", 1, {property(PropertyId::messageExpiry, 10)});
  broker.send("2", 1);
  broker.send("3", 1, {property(PropertyId::messageExpiry, 100)});
  broker.advance(11s);
  Peer back = join(broker, Version::v5, persistent(Version::v5, "a"));
  CHECK(said(back) == Lines{"PUBLISH t '2' q1 #1", "PUBLISH t '3' q1 #2 messageExpiry=89"});
  CHECK(broker.metrics.value("messages_dropped_expired") == 1);
}

TEST_CASE("a message that expires while it is deferred is not sent [v5:3.3.2-5]",
          "[outbound_manager]") {
  std::vector<Deferred> waiting;
  bool defers = false;
  Sending broker{{.second = [&](TestBroker& b) {
    b.on<RelayMessage>([&](RelayMessage&, Next next, Done) {
      if (!defers) return next();
      return next.defer([&](Deferred later) { waiting.push_back(std::move(later)); });
    });
  }}};
  Peer peer = join(broker, Version::v5, "a");
  subscribe(peer, "t", 1);
  defers = true;
  broker.publisher.send(publishPacket(
      Version::v5,
      {.topic = "t", .qos = 1, .id = 1, .properties = {property(PropertyId::messageExpiry, 10)}}));
  broker.advance(11s);
  waiting.front().next();
  broker.run();
  CHECK(said(peer) == Lines{});
  CHECK(said(broker.publisher).size() == 1);
}

TEST_CASE("a slow reader loses QoS 0 messages, which are counted, and no others",
          "[outbound_manager]") {
  Sending broker{{.outbound = {.maxInflight = 1000, .maxOutput = {4096}}}};
  const auto version = GENERATE(Version::v31, Version::v311, Version::v5);
  Peer peer = join(broker, version, "a");
  subscribe(peer, "t", 1);
  peer.transport().limitWrites(0);
  for (int i = 0; i < 20; ++i) {
    broker.send(std::string(1000, '0'), 0);
    broker.send(std::string(1000, '1'), 1);
  }
  const auto dropped = broker.metrics.value("messages_dropped_slow_consumer");
  CHECK(dropped > 10);
  CHECK(peer.client().outputBytes() < 6000);
  peer.transport().allowWrites();
  broker.run();
  const Lines lines = receiveAll(peer);
  CHECK(static_cast<std::int64_t>(lines.size()) == 40 - dropped);
  CHECK(std::count_if(lines.begin(), lines.end(), [](const std::string& line) {
          return line.find("q1") != std::string::npos;
        }) == 20);
}

TEST_CASE(
    "a message that is larger than the client takes is dropped as if it were sent "
    "[v5:3.1.2-24] [v5:3.1.2-25]",
    "[outbound_manager]") {
  Sending broker;
  const unsigned qos = GENERATE(0U, 1U, 2U);
  Peer peer = join(broker, Version::v5, limited(accepting(persistent(Version::v5, "a"), 100), 1));
  subscribe(peer, "t", qos);
  broker.send(std::string(200, 'x'), qos);
  broker.send("small", qos);
  CHECK(receiveAll(peer).size() == 1);
  CHECK(broker.metrics.value("messages_dropped_packet_too_large") == 1);
  CHECK((qos == 0 || peer.client().session()->window().empty()));

  SECTION("from the queue, too") {
    peer.reset();
    broker.send(std::string(200, 'x'), qos);
    broker.send("small", qos);
    Peer back = join(broker, Version::v5, accepting(persistent(Version::v5, "a"), 100));
    CHECK(receiveAll(back).size() == (qos == 0 ? 0 : 1));
  }
  SECTION("sent again to a connection that takes less, too") {
    peer.reset();
    Peer large = join(broker, Version::v5, persistent(Version::v5, "a"));
    broker.send(std::string(200, 'x'), qos);
    broker.send("small", qos);
    CHECK(said(large).size() == 2);
    large.reset();
    Peer back = join(broker, Version::v5, accepting(persistent(Version::v5, "a"), 100));
    CHECK(receiveAll(back).size() == (qos == 0 ? 0 : 1));
    CHECK((qos == 0 || back.client().session()->window().empty()));
    CHECK(broker.metrics.value("messages_dropped_packet_too_large") == (qos == 0 ? 1 : 2));
  }
}

TEST_CASE("topic aliases are used as far as the client allows [v5:3.1.2-26] [v5:3.1.2-27]",
          "[outbound_manager]") {
  const std::uint32_t allowed = GENERATE(0U, 1U, 10U);
  ProtocolBroker broker{{.outbound = {.topicAliasMaximum = 2}}};
  Peer publisher = join(broker, Version::v5, "publisher");
  Connect connect = clean("a");
  if (allowed != 0) connect.properties.push_back(property(PropertyId::topicAliasMaximum, allowed));
  Peer peer = join(broker, Version::v5, connect);
  subscribe(peer, "#");
  for (int i = 0; i < 2; ++i)
    for (const char* topic : {"first/topic", "second/topic", "third/topic"})
      publish(publisher, {.topic = topic, .payload = "x"});
  Lines expected;
  for (int i = 0; i < 2; ++i) {
    unsigned number = 0;
    for (const char* topic : {"first/topic", "second/topic", "third/topic"}) {
      ++number;
      const bool aliased = number <= std::min(allowed, 2U);
      expected.push_back(fmt::format("PUBLISH {} 'x'", aliased && i == 1 ? "" : topic));
      if (aliased) expected.back() += fmt::format(" topicAlias={}", number);
    }
  }
  CHECK(publishes(peer) == expected);
}

TEST_CASE("QoS 0 messages are not kept for who is not there", "[outbound_manager]") {
  Sending broker;
  Peer peer = join(broker, Version::v311, persistent(Version::v311, "a"));
  subscribe(peer, "t", 1);
  peer.reset();
  broker.send("x", 0);
  CHECK(broker.metrics.value("messages_dropped_not_connected") == 1);
  Peer back = join(broker, Version::v311, persistent(Version::v311, "a"));
  CHECK(said(back) == Lines{});
}

TEST_CASE(
    "packet identifiers are never 0, nor used twice at a time [v311:2.3.1-4] [v5:2.2.1-4] "
    "[v5:4.3.2-1] [v5:4.3.3-1]",
    "[outbound_manager]") {
  Sending broker{{.outbound = {.maxInflight = 5}}};
  Peer peer = join(broker, Version::v311, "a");
  subscribe(peer, "t", 1);
  broker.send("first", 1);  // never acknowledged
  const auto first = readPublish(Version::v311, peer.received());
  unsigned last = first.id;
  for (int i = 0; i < 66'000; ++i) {
    broker.publisher.send(publishPacket(Version::v5, {.topic = "t", .qos = 1, .id = 1}));
    broker.publisher.received();
    const auto publish = readPublish(Version::v311, peer.received());
    if (publish.id == first.id || publish.id == 0 || publish.id == last) FAIL("id in use");
    last = publish.id;
    peer.send(pubackPacket(publish.id));
  }
}

TEST_CASE("a message that was sent once is sent again, expired or not [v5:4.3.3-7]",
          "[outbound_manager]") {
  ProtocolBroker broker;
  const unsigned qos = GENERATE(1U, 2U);
  Peer peer = join(broker, Version::v5, persistent(Version::v5, "a"));
  subscribe(peer, "t", 2);
  Peer publisher = join(broker, Version::v5, "publisher");
  publish(publisher, {.topic = "t",
                      .payload = "x",
                      .qos = qos,
                      .properties = {property(PropertyId::messageExpiry, 10)}});
  CHECK(said(peer).size() == 1);
  peer.reset();
  broker.advance(std::chrono::seconds{60});
  peer = join(broker, Version::v5, persistent(Version::v5, "a"));
  const Lines again = said(peer);
  REQUIRE(again.size() == 1);
  CHECK(again.front().starts_with("PUBLISH t 'x' q" + std::to_string(qos) + " #1 dup"));
}

TEST_CASE("a topic may have 65,535 bytes [v311:4.7.3-3] [v5:4.7.3-3]", "[outbound_manager]") {
  ProtocolBroker broker;
  broker.listener.packets.topicBytes = 65'535;
  const auto version = GENERATE(Version::v31, Version::v311, Version::v5);
  const std::string topic(65'535, 't');
  Peer peer = join(broker, version, "a");
  subscribe(peer, topic);
  publish(peer, {.topic = topic, .payload = "x"});
  CHECK(said(peer) == Lines{"PUBLISH " + topic + " 'x'"});
}

}  // namespace
}  // namespace mqttstack::test
