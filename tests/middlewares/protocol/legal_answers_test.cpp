#include <fmt/format.h>
#include <set>

#include <catch2/catch.hpp>

#include "tests/middlewares/protocol_broker.hpp"

/// Whatever a middleware decides, the broker says it with a packet that the standard knows.
namespace mqttstack::test {
namespace {

using mqtt::PacketType;
using mqtt::ReasonCode;

/// The codes that the standard allows, written down again here, independent of the code.
const std::set<unsigned> kConnack{0x00, 0x80, 0x81, 0x82, 0x83, 0x84, 0x85, 0x86, 0x87, 0x88, 0x89,
                                  0x8A, 0x8C, 0x90, 0x95, 0x97, 0x99, 0x9A, 0x9B, 0x9C, 0x9D, 0x9F};
const std::set<unsigned> kPuback{0x00, 0x10, 0x80, 0x83, 0x87, 0x90, 0x91, 0x97, 0x99};
const std::set<unsigned> kSuback{0x00, 0x01, 0x02, 0x80, 0x83, 0x87,
                                 0x8F, 0x91, 0x97, 0x9E, 0xA1, 0xA2};
const std::set<unsigned> kUnsuback{0x00, 0x11, 0x80, 0x83, 0x87, 0x8F, 0x91};
const std::set<unsigned> kDisconnect{0x80, 0x81, 0x82, 0x83, 0x87, 0x89, 0x8B, 0x8D, 0x8E,
                                     0x8F, 0x90, 0x93, 0x94, 0x95, 0x96, 0x97, 0x98, 0x99,
                                     0x9A, 0x9B, 0x9C, 0x9D, 0x9E, 0x9F, 0xA0, 0xA1, 0xA2};

/// What a middleware may come up with.
std::vector<ReasonCode> anyFailure() {
  std::vector<ReasonCode> codes;
  for (unsigned code = 0x80; code <= 0xA2; ++code) codes.push_back(static_cast<ReasonCode>(code));
  return codes;
}

unsigned expected(const std::set<unsigned>& legal, ReasonCode code) {
  const auto number = static_cast<unsigned>(code);
  return legal.count(number) != 0 ? number : 0x80;
}

TEST_CASE(
    "a refusing CONNACK has a code that it may have, no session, and the connection closes "
    "[v5:3.2.2-6] [v5:3.2.2-7] [v5:3.2.2-8] [v311:3.2.2-4] [v311:3.2.2-5] [v311:3.2.2-6]",
    "[legal_answers]") {
  const auto version = GENERATE(Version::v31, Version::v311, Version::v5);
  ReasonCode why{};
  bool refuses = false;
  ProtocolBroker broker{{.second = [&](TestBroker& b) {
    b.on<NegotiateConnection>(
        [&](NegotiateConnection&, SyncNext next, Done) { return refuses ? next(why) : next(); });
  }}};
  join(broker, version, persistent(version, "a")).reset();
  refuses = true;
  for (const ReasonCode code : anyFailure()) {
    why = code;
    INFO(toString(code));
    Peer peer = dial(broker, version, persistent(version, "a"));
    CHECK(peer.gone());
    const std::string answer = peer.received();
    if (version == Version::v5) {
      CHECK(readConnack(version, answer).code == expected(kConnack, code));
      CHECK(answer.at(2) == '\0');  // the flags: no session, and the others are 0
    } else if (!answer.empty()) {
      CHECK(answer.substr(0, 3) == hex("20 02 00"));
      CHECK((answer.at(3) >= 1 && answer.at(3) <= 5));
    }
  }
}

TEST_CASE(
    "a DISCONNECT has a code that it may have, and the connection closes [v5:3.14.2-1] "
    "[v5:3.14.4-2] [v5:4.13.2-1]",
    "[legal_answers]") {
  ProtocolBroker broker;
  for (const ReasonCode code : anyFailure()) {
    INFO(toString(code));
    Peer peer = join(broker, Version::v5, "a");
    peer.client().close(code);
    broker.run();
    CHECK(peer.gone());
    CHECK(said(peer) == Lines{fmt::format("DISCONNECT 0x{:02X}", expected(kDisconnect, code))});
  }
}

TEST_CASE("PUBACK and PUBREC have a code that they may have [v5:3.4.2-1] [v5:3.5.2-1]",
          "[legal_answers]") {
  ReasonCode why{};
  ProtocolBroker broker{{.second = [&](TestBroker& b) {
    b.on<RelayMessage>([&](RelayMessage&, Next next, Done) { return next(why); });
  }}};
  const unsigned qos = GENERATE(1U, 2U);
  for (const ReasonCode code : anyFailure()) {
    why = code;
    INFO(toString(code));
    Peer peer = join(broker, Version::v5, "a");
    peer.send(publishPacket(Version::v5, {.topic = "t", .qos = qos, .id = 7}));
    CHECK(said(peer) == Lines{fmt::format("{} #7 0x{:02X}", qos == 1 ? "PUBACK" : "PUBREC",
                                          expected(kPuback, code))});
    CHECK_FALSE(peer.closed());
    peer.reset();
  }
}

TEST_CASE(
    "SUBACK and UNSUBACK have codes that they may have [v5:3.9.3-2] [v5:3.11.3-2] "
    "[v311:3.9.3-2]",
    "[legal_answers]") {
  ReasonCode why{};
  ProtocolBroker broker{{.second = [&](TestBroker& b) {
    b.on<SubscribeTopic>([&](SubscribeTopic& subscribe, Next, Done done) {
      subscribe.granted = why;
      return done();
    });
    b.on<UnsubscribeTopic>([&](UnsubscribeTopic& unsubscribe, Next, Done done) {
      unsubscribe.code = why;
      return done();
    });
  }}};
  Peer five = join(broker, Version::v5, "five");
  Peer four = join(broker, Version::v311, "four");
  std::vector<ReasonCode> codes = anyFailure();
  for (const unsigned more : {0x00U, 0x01U, 0x02U, 0x04U, 0x10U, 0x11U, 0x18U})
    codes.push_back(static_cast<ReasonCode>(more));
  for (const ReasonCode code : codes) {
    why = code;
    INFO(toString(code));
    five.send(subscribePacket(Version::v5, 1, {{"t", 1}}));
    CHECK(readSuback(Version::v5, five.receivedPacket()).codes.at(0) == expected(kSuback, code));
    five.send(unsubscribePacket(Version::v5, 2, {"t"}));
    CHECK(readUnsuback(Version::v5, five.receivedPacket()).codes.at(0) ==
          expected(kUnsuback, code));
    four.send(subscribePacket(Version::v311, 1, {{"t", 1}}));
    const unsigned told = expected(kSuback, code);
    CHECK(readSuback(Version::v311, four.receivedPacket()).codes.at(0) ==
          (told < 0x80 ? told : 0x80));
  }
}

TEST_CASE(
    "a CONNACK that accepts comes once, with what was asked for and nothing else [v5:3.2.0-2] "
    "[v5:3.1.2-28] [v5:4.12.0-6] [v5:3.2.2-1]",
    "[legal_answers]") {
  ProtocolBroker broker;
  const unsigned wants = GENERATE(0U, 1U);
  Connect connect = clean("a");
  connect.properties = {property(PropertyId::requestResponse, wants)};
  Peer peer = dial(broker, Version::v5, connect);
  const auto packets = split(peer.received());
  REQUIRE(packets.size() == 1);
  CHECK(static_cast<unsigned char>(packets[0].at(2)) == 0);
  for (const Property& each : readConnack(Version::v5, packets[0]).properties) {
    CHECK(each.id != PropertyId::responseInfo);
    CHECK(each.id != PropertyId::authMethod);
    CHECK(each.id != PropertyId::authData);
  }
  // A second CONNECT gets no second CONNACK.
  peer.send(connectPacket(Version::v5, connect));
  CHECK(said(peer) == Lines{"DISCONNECT 0x82"});
}

TEST_CASE(
    "a session that is present is told by bit 0 and no other [v5:3.2.2-1] [v5:3.2.2-3] "
    "[v311:3.2.2-2] [v311:3.2.2-3]",
    "[legal_answers]") {
  const auto version = GENERATE(Version::v311, Version::v5);
  ProtocolBroker broker;
  Peer first = dial(broker, version, persistent(version, "a"));
  CHECK(first.received().at(2) == '\0');
  first.reset();
  Peer second = dial(broker, version, persistent(version, "a"));
  CHECK(second.received().at(2) == '\x01');
}

TEST_CASE("a connection is closed also if it is too narrow for the reason [v5:4.13.2-1]",
          "[legal_answers]") {
  ProtocolBroker broker;
  Connect connect = clean("a");
  connect.properties = {property(PropertyId::maximumPacketSize, 2)};
  SECTION("of a refusal") {
    connect.properties.push_back(property(PropertyId::authMethod, "unknown"));
    Peer peer = dial(broker, Version::v5, connect);
    CHECK(peer.received().empty());
    CHECK(peer.gone());
  }
  SECTION("of a CONNACK that would accept") {
    Peer peer = dial(broker, Version::v5, connect);
    CHECK(peer.received().empty());
    CHECK(peer.gone());
  }
}

}  // namespace
}  // namespace mqttstack::test
