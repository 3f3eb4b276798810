#include "middlewares/protocol/inbound_manager.hpp"

#include <catch2/catch.hpp>

#include "tests/middlewares/protocol_broker.hpp"

namespace mqttstack::test {
namespace {

using namespace std::chrono_literals;

Bytes qos1(Version version, unsigned id, std::string topic = "t") {
  return publishPacket(version, {.topic = std::move(topic), .payload = "x", .qos = 1, .id = id});
}
Bytes qos2(Version version, unsigned id, bool dup = false) {
  return publishPacket(version, {.topic = "t", .payload = "x", .qos = 2, .id = id, .dup = dup});
}

/// Counts what is relayed, and takes the acknowledgements if told to.
struct Relays {
  std::size_t count = 0;
  bool takes = false;
  std::vector<Acknowledgement> taken;
  std::error_code error;
  Parts parts(Parts with = {}) {
    with.last = [this](TestBroker& broker) {
      broker.on<RelayMessage>([this](RelayMessage& relay, Next next, Done) {
        ++count;
        if (takes && relay.acknowledgement) taken.push_back(std::move(relay.acknowledgement));
        return next(error);
      });
    };
    return with;
  }
};
Parts quiet() { return {.inbound = {.reportNoSubscribers = false}}; }

TEST_CASE(
    "each QoS is acknowledged its way [v311:4.3.1-1] [v311:4.3.2-2] [v311:4.3.3-2] "
    "[v5:4.3.2-4] [v5:4.3.3-8] [v5:4.3.3-11]",
    "[inbound_manager]") {
  Relays relays;
  ProtocolBroker broker{relays.parts(quiet())};
  const auto version = GENERATE(Version::v31, Version::v311, Version::v5);
  Peer peer = join(broker, version, "a");
  peer.send(publishPacket(version, {.topic = "t"}));
  CHECK(peer.received() == "");
  peer.send(qos1(version, 7));
  CHECK(peer.received() == pubackPacket(7));
  peer.send(qos2(version, 8));
  CHECK(peer.received() == pubrecPacket(8));
  CHECK(relays.count == 3);
  peer.send(pubrelPacket(8));
  CHECK(peer.received() == pubcompPacket(8));
  CHECK(relays.count == 3);
}

TEST_CASE(
    "a QoS 2 message is passed on once, however often it comes [v311:4.3.3-2] "
    "[v5:4.3.3-10]",
    "[inbound_manager]") {
  Relays relays;
  ProtocolBroker broker{relays.parts(quiet())};
  const auto version = GENERATE(Version::v31, Version::v311, Version::v5);
  Peer peer = join(broker, version, persistent(version, "a"));
  peer.send(qos2(version, 8));
  said(peer);
  SECTION("on the same connection") {
    peer.send(qos2(version, 8, true));
    CHECK(peer.received() == pubrecPacket(8));
    CHECK(relays.count == 1);
  }
  SECTION("on the next") {
    peer.reset();
    peer = join(broker, version, persistent(version, "a"));
    peer.send(qos2(version, 8, true));
    CHECK(peer.received() == pubrecPacket(8));
    CHECK(relays.count == 1);
  }
  SECTION("but not of another session") {
    peer.reset();
    peer = join(broker, version, "a");
    peer.send(qos2(version, 8, true));
    CHECK(peer.received() == pubrecPacket(8));
    CHECK(relays.count == 2);
  }
  SECTION("and again when it was released") {
    peer.send(pubrelPacket(8) + qos2(version, 8));
    CHECK(peer.received() == pubcompPacket(8) + pubrecPacket(8));
    CHECK(relays.count == 2);
  }
}

TEST_CASE("a PUBREL that nothing is known of is answered [v5:4.3.3-11] [v311:4.3.3-2]",
          "[inbound_manager]") {
  ProtocolBroker broker;
  const auto version = GENERATE(Version::v31, Version::v311, Version::v5);
  Peer peer = join(broker, version, "a");
  peer.send(pubrelPacket(5));
  CHECK(said(peer) == Lines{version == Version::v5 ? "PUBCOMP #5 0x92" : "PUBCOMP #5"});
}

TEST_CASE("MQTT 5 publishers hear that nobody was subscribed [v5:3.4.2] [v5:3.5.2]",
          "[inbound_manager]") {
  const bool report = GENERATE(true, false);
  ProtocolBroker broker{{.inbound = {.reportNoSubscribers = report}}};
  Peer peer = join(broker, Version::v5, "a");
  peer.send(qos1(Version::v5, 1) + qos2(Version::v5, 2));
  CHECK(said(peer) ==
        (report ? Lines{"PUBACK #1 0x10", "PUBREC #2 0x10"} : Lines{"PUBACK #1", "PUBREC #2"}));
  Peer other = join(broker, Version::v5, "b");
  subscribe(other, "t");
  peer.send(qos1(Version::v5, 3));
  CHECK(said(peer) == Lines{"PUBACK #3"});
}

TEST_CASE(
    "acknowledgements leave in the order of the messages, however they are let go "
    "[v311:4.6.0-2] [v311:4.6.0-3] [v5:4.6.0-2] [v5:4.6.0-3]",
    "[inbound_manager]") {
  Relays relays;
  ProtocolBroker broker{relays.parts(quiet())};
  const auto version = GENERATE(Version::v31, Version::v311, Version::v5);
  Peer peer = join(broker, version, persistent(version, "a"));
  relays.takes = true;
  peer.send(qos1(version, 1) + qos2(version, 2) + qos1(version, 3));
  CHECK(peer.received() == "");
  REQUIRE(relays.taken.size() == 3);

  SECTION("in another order") {
    relays.taken[2].release();
    relays.taken[1].release();
    broker.run();
    CHECK(peer.received() == "");
    relays.taken[0].release();
    broker.run();
    CHECK(said(peer) == Lines{"PUBACK #1", "PUBREC #2", "PUBACK #3"});
  }
  SECTION("a message that comes again while its acknowledgement is pending waits for that") {
    peer.send(qos2(version, 2, true));
    CHECK(relays.count == 3);
    CHECK(peer.received() == "");
    relays.taken.clear();
    broker.run();
    CHECK(said(peer) == Lines{"PUBACK #1", "PUBREC #2", "PUBACK #3"});
  }
  SECTION("PUBREL before the PUBREC is against the rules") {
    peer.send(pubrelPacket(2));
    CHECK(peer.closed());
    relays.taken.clear();
    broker.run();
    CHECK(peer.gone());
  }
  SECTION("failed") {
    relays.taken[0].release();
    relays.taken[1].fail(mqtt::ReasonCode::quotaExceeded);
    relays.taken[2].release();
    broker.run();
    if (version == Version::v5) {
      CHECK(said(peer) == Lines{"PUBACK #1", "PUBREC #2 0x97", "PUBACK #3"});
      // The id is free: the next message with it is a new one.
      relays.takes = false;
      peer.send(qos2(version, 2));
      CHECK(said(peer) == Lines{"PUBREC #2"});
      CHECK(relays.count == 4);
    } else {
      // Never acknowledged, so the connection ends.
      CHECK(peer.gone());
      peer = join(broker, version, persistent(version, "a"));
      relays.takes = false;
      peer.send(qos2(version, 2, true));
      CHECK(said(peer) == Lines{"PUBREC #2"});
      CHECK(relays.count == 4);
    }
  }
  SECTION("let go when the client has come back: QoS 2 is answered there, QoS 1 comes again") {
    peer.reset();
    peer = join(broker, version, persistent(version, "a"));
    peer.send(qos1(version, 1) + qos2(version, 2, true));
    CHECK(relays.count == 4);  // QoS 1 may come twice, QoS 2 may not
    relays.taken.clear();
    broker.run();
    Lines lines = said(peer);
    std::sort(lines.begin(), lines.end());
    CHECK(lines == Lines{"PUBACK #1", "PUBREC #2"});
  }
  SECTION("let go when the client has gone for good") {
    peer.reset();
    relays.taken.clear();
    broker.run();
    CHECK(peer.gone());
  }
}

TEST_CASE("an error of relayMessage is told though the acknowledgement was taken",
          "[inbound_manager]") {
  Relays relays;
  relays.takes = true;
  relays.error = mqtt::ReasonCode::quotaExceeded;
  ProtocolBroker broker{relays.parts()};
  Peer peer = join(broker, Version::v5, "a");
  peer.send(qos1(Version::v5, 1));
  CHECK(peer.received() == "");
  relays.taken.clear();
  broker.run();
  CHECK(said(peer) == Lines{"PUBACK #1 0x97"});
}

TEST_CASE(
    "a message that is refused is answered as its version allows [v311:3.3.5-2] [v5:4.3.3-9] "
    "[v311:4.8.0-2]",
    "[inbound_manager]") {
  Relays relays;
  relays.error = mqtt::ReasonCode::notAuthorized;
  ProtocolBroker broker{relays.parts()};
  const auto version = GENERATE(Version::v31, Version::v311, Version::v5);
  Peer peer = join(broker, version, "a");
  peer.send(publishPacket(version, {.topic = "t"}));
  peer.send(qos1(version, 1));
  peer.send(qos2(version, 2));
  CHECK(said(peer) == (version == Version::v5 ? Lines{"PUBACK #1 0x87", "PUBREC #2 0x87"}
                                              : Lines{"PUBACK #1", "PUBREC #2"}));
  CHECK_FALSE(peer.closed());
}

TEST_CASE("a refusal never leaves with a code that a PUBACK cannot have [v5:3.4.2-1]",
          "[inbound_manager]") {
  Relays relays;
  relays.error = GENERATE(std::error_code{mqtt::ReasonCode::serverUnavailable},
                          std::make_error_code(std::errc::io_error));
  ProtocolBroker broker{relays.parts()};
  Peer peer = join(broker, Version::v5, "a");
  peer.send(qos1(Version::v5, 1) + qos2(Version::v5, 2));
  CHECK(said(peer) == Lines{"PUBACK #1 0x80", "PUBREC #2 0x80"});
}

TEST_CASE("more messages under way than allowed are an error of MQTT 5 clients [v5:3.3.4-7]",
          "[inbound_manager]") {
  Relays relays;
  ProtocolBroker broker{
      relays.parts({.inbound = {.receiveMaximum = 2, .reportNoSubscribers = false}})};
  const auto version = GENERATE(Version::v311, Version::v5);
  Peer peer = join(broker, version, persistent(version, "a"));
  SECTION("QoS 2, between PUBLISH and PUBREL") {
    peer.send(qos2(version, 1) + qos2(version, 2) + qos2(version, 1, true));
    CHECK(said(peer).size() == 3);
    peer.send(pubrelPacket(1) + qos2(version, 3));
    CHECK(said(peer) == Lines{"PUBCOMP #1", "PUBREC #3"});
    peer.send(qos2(version, 4));
  }
  SECTION("QoS 1, until the PUBACK") {
    relays.takes = true;
    peer.send(qos1(version, 1) + qos1(version, 2));
    relays.taken.erase(relays.taken.begin());
    peer.send(qos1(version, 3));
    CHECK(said(peer) == Lines{"PUBACK #1"});
    peer.send(qos1(version, 4));
    relays.taken.clear();
    broker.run();
  }
  SECTION("both together") {
    relays.takes = true;
    peer.send(qos1(version, 1) + qos2(version, 2) + qos1(version, 3));
    relays.taken.clear();
    broker.run();
  }
  if (version == Version::v5) {
    CHECK(said(peer).back() == "DISCONNECT 0x93");
    CHECK(peer.gone());
  } else {
    CHECK_FALSE(peer.closed());
  }
}

TEST_CASE("QoS 0 messages don't count as under way", "[inbound_manager]") {
  ProtocolBroker broker{{.inbound = {.receiveMaximum = 1}}};
  Peer peer = join(broker, Version::v5, "a");
  peer.send(qos2(Version::v5, 1));
  for (int i = 0; i < 5; ++i) peer.send(publishPacket(Version::v5, {.topic = "t"}));
  CHECK_FALSE(peer.closed());
}

TEST_CASE("what an earlier connection left unreleased does not count on this one [v5:3.3.4-7]",
          "[inbound_manager]") {
  ProtocolBroker broker{{.inbound = {.receiveMaximum = 2, .reportNoSubscribers = false}}};
  Peer peer = join(broker, Version::v5, persistent(Version::v5, "a"));
  peer.send(qos2(Version::v5, 1) + qos2(Version::v5, 2));
  peer.reset();
  peer = join(broker, Version::v5, persistent(Version::v5, "a"));
  // A client that has forgotten about them would be locked out otherwise.
  peer.send(qos2(Version::v5, 3) + qos2(Version::v5, 4));
  CHECK(said(peer) == Lines{"PUBREC #3", "PUBREC #4"});
  peer.send(pubrelPacket(1) + pubrelPacket(2) + pubrelPacket(3) + qos2(Version::v5, 5));
  CHECK(said(peer) == Lines{"PUBCOMP #1", "PUBCOMP #2", "PUBCOMP #3", "PUBREC #5"});
  peer.send(qos2(Version::v5, 6));
  CHECK(said(peer) == Lines{"DISCONNECT 0x93"});
}

TEST_CASE("a message that is sent again counts on its new connection [v5:3.3.4-7]",
          "[inbound_manager]") {
  ProtocolBroker broker{{.inbound = {.receiveMaximum = 2, .reportNoSubscribers = false}}};
  Peer peer = join(broker, Version::v5, persistent(Version::v5, "a"));
  peer.send(qos2(Version::v5, 1));
  peer.reset();
  peer = join(broker, Version::v5, persistent(Version::v5, "a"));
  peer.send(qos2(Version::v5, 1, true) + qos2(Version::v5, 2));
  CHECK(said(peer) == Lines{"PUBREC #1", "PUBREC #2"});
  peer.send(qos2(Version::v5, 3));
  CHECK(said(peer) == Lines{"DISCONNECT 0x93"});
}

TEST_CASE("a QoS above the maximum ends the connection [v5:3.2.2-11]", "[inbound_manager]") {
  ProtocolBroker broker{{.inbound = {.maximumQos = 1}}};
  const auto version = GENERATE(Version::v31, Version::v311, Version::v5);
  Peer peer = join(broker, version, "a");
  publish(peer, {.topic = "t", .qos = 1});
  peer.send(qos2(version, 1));
  CHECK(said(peer) == (version == Version::v5 ? Lines{"DISCONNECT 0x9B"} : Lines{}));
  CHECK(peer.gone());
}

TEST_CASE("a topic alias stands for its topic on its connection [v5:3.3.2-12] [v5:3.3.2-7]",
          "[inbound_manager]") {
  ProtocolBroker broker{{.inbound = {.topicAliasMaximum = 2}}};
  Peer watcher = join(broker, Version::v5, "watcher");
  subscribe(watcher, "#");
  Peer peer = join(broker, Version::v5, persistent(Version::v5, "a"));
  const auto aliased = [](std::string topic, unsigned alias) {
    return publishPacket(Version::v5, {.topic = std::move(topic),
                                       .payload = "x",
                                       .properties = {property(PropertyId::topicAlias, alias)}});
  };
  peer.send(aliased("first", 1) + aliased("second", 2) + aliased("", 1) + aliased("third", 1) +
            aliased("", 1));
  CHECK(publishes(watcher) == Lines{"PUBLISH first 'x'", "PUBLISH second 'x'", "PUBLISH first 'x'",
                                    "PUBLISH third 'x'", "PUBLISH third 'x'"});
  SECTION("zero") {
    peer.send(aliased("t", 0));
    CHECK(said(peer) == Lines{"DISCONNECT 0x94"});
  }
  SECTION("above the maximum") {
    peer.send(aliased("t", 3));
    CHECK(said(peer) == Lines{"DISCONNECT 0x94"});
  }
  SECTION("unknown on the next connection") {
    peer.reset();
    peer = join(broker, Version::v5, persistent(Version::v5, "a"));
    peer.send(aliased("", 1));
    CHECK(said(peer) == Lines{"DISCONNECT 0x82"});
  }
}

TEST_CASE("a QoS 2 handshake is finished though its message has expired [v5:4.3.3-13]",
          "[inbound_manager]") {
  ProtocolBroker broker;
  Peer peer = join(broker, Version::v5, "a");
  peer.send(publishPacket(Version::v5, {.topic = "t",
                                        .payload = "x",
                                        .qos = 2,
                                        .id = 7,
                                        .properties = {property(PropertyId::messageExpiry, 1)}}));
  CHECK(said(peer).front().starts_with("PUBREC #7"));
  broker.advance(std::chrono::seconds{5});
  peer.send(
      publishPacket(Version::v5, {.topic = "t", .payload = "x", .qos = 2, .id = 7, .dup = true}));
  CHECK(said(peer).front().starts_with("PUBREC #7"));
  peer.send(pubrelPacket(7));
  CHECK(said(peer) == Lines{"PUBCOMP #7"});
}

}  // namespace
}  // namespace mqttstack::test
