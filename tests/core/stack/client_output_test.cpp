#include <optional>
#include <string>
#include <vector>

#include <catch2/catch.hpp>

#include "tests/support/accepting_broker.hpp"

namespace mqttstack {
namespace {

using mqtt::PacketType;
using mqtt::PacketTypes;
using mqtt::PropertyId;
using mqtt::ProtocolVersion;
using mqtt::ReasonCode;
using test::AcceptConnect;
using test::Accepting;
using test::frame;
using test::hex;
using test::isPublishTo;
using test::Peer;
using test::publishBytes;
using test::Seen;
using test::TestBroker;

/// An MQTT 5 client that has limits.
Peer connectLimited(TestBroker& broker, std::uint32_t maximumPacketSize,
                    bool problemInformation = true) {
  mqtt::PropertyWriter writer;
  writer.add(PropertyId::maximumPacketSize, maximumPacketSize)
      .add(PropertyId::requestProblemInformation, problemInformation ? 1U : 0U);
  mqtt::Connect connect;
  connect.version = ProtocolVersion::v5;
  connect.clientId = "limited";
  connect.properties = writer.properties();
  return broker.connectWith(connect);
}

mqtt::Properties onlyReason(std::string_view text) {
  mqtt::PropertyWriter writer;
  writer.add(PropertyId::reasonString, text);
  return mqtt::Properties{test::keep(std::string{writer.properties().encoded()})};
}

TEST_CASE("a packet too large for the peer goes without its explanation [v5:3.4.2-2]", "[client]") {
  Accepting broker;
  const mqtt::Puback wordy{1, ReasonCode::quotaExceeded, onlyReason("because")};
  const auto sent = [&](std::uint32_t limit) {
    Peer peer = connectLimited(broker, limit);
    peer.received();
    const bool sends = peer.client().send(wordy);
    CHECK(peer.client().send(mqtt::Pingresp{}));
    broker.run();
    std::string bytes = peer.received();
    CHECK(sends == (bytes.size() > 2));
    return bytes;
  };
  CHECK(sent(16) == hex("40 0E 0001 97 0A 1F 0007 'because' D0 00"));
  CHECK(sent(15) == hex("40 04 0001 97 00 D0 00"));
  CHECK(sent(6) == hex("40 04 0001 97 00 D0 00"));
  CHECK(sent(5) == hex("D0 00"));
}

/// A packet with a reason string, a user property, or both, as it is sent to peers of
/// all widths.
template <class P>
void checkTrimmed(const P& plain, std::string_view method = {}) {
  Accepting broker;
  const auto sized = [&](const P& packet, std::uint32_t limit) {
    Peer peer = connectLimited(broker, limit);
    peer.received();
    peer.client().send(packet);
    broker.run();
    return peer.received();
  };
  const auto properties = [&](bool reason, bool user) {
    mqtt::PropertyWriter writer;
    if (!method.empty()) writer.add(PropertyId::authenticationMethod, method);
    if (reason) writer.add(PropertyId::reasonString, "why it is so");
    if (user) writer.addUserProperty("key", "value");
    return mqtt::Properties{test::keep(std::string{writer.properties().encoded()})};
  };
  P bare = plain;
  bare.properties = properties(false, false);
  const std::string small = test::encoded(mqtt::Packet{bare}, ProtocolVersion::v5);
  for (const auto& [reason, user] : {std::pair{true, false}, {false, true}, {true, true}}) {
    P wordy = plain;
    wordy.properties = properties(reason, user);
    const std::string whole = test::encoded(mqtt::Packet{wordy}, ProtocolVersion::v5);
    const auto size = static_cast<std::uint32_t>(whole.size());
    CHECK(sized(wordy, size) == whole);
    CHECK(sized(wordy, size - 1) == small);
    CHECK(sized(wordy, static_cast<std::uint32_t>(small.size())) == small);
    CHECK(sized(wordy, static_cast<std::uint32_t>(small.size()) - 1).empty());
  }
}

TEST_CASE(
    "every packet that explains itself goes without where it would be too large "
    "[v5:3.1.2-24] [v5:3.1.2-25] [v5:3.4.2-2] [v5:3.4.2-3] [v5:3.5.2-2] [v5:3.5.2-3] "
    "[v5:3.6.2-2] [v5:3.6.2-3] [v5:3.7.2-2] [v5:3.7.2-3] [v5:3.9.2-1] [v5:3.9.2-2] "
    "[v5:3.11.2-1] [v5:3.11.2-2] [v5:3.15.2-2] [v5:3.15.2-3]",
    "[client]") {
  const std::string codes(1, '\x87');
  checkTrimmed(mqtt::Puback{1, ReasonCode::quotaExceeded, {}});
  checkTrimmed(mqtt::Pubrec{1, ReasonCode::quotaExceeded, {}});
  checkTrimmed(mqtt::Pubrel{1, ReasonCode::packetIdentifierNotFound, {}});
  checkTrimmed(mqtt::Pubcomp{1, ReasonCode::packetIdentifierNotFound, {}});
  checkTrimmed(mqtt::Suback{1, codes, {}});
  checkTrimmed(mqtt::Unsuback{1, codes, {}});
  checkTrimmed(mqtt::Auth{ReasonCode::continueAuthentication, {}}, "method");
}

TEST_CASE("who wants no problem information gets none [v5:3.1.2-29]", "[client]") {
  Accepting broker;
  Peer peer = connectLimited(broker, 1'000, false);
  peer.received();
  CHECK(peer.client().send(mqtt::Puback{1, ReasonCode::quotaExceeded, onlyReason("because")}));
  broker.run();
  CHECK(peer.received() == hex("40 04 0001 97 00"));
  peer.client().close(ReasonCode::serverBusy, "may be said");
  broker.run();
  CHECK(peer.received().find("may be said") != std::string::npos);
}

TEST_CASE("AUTH may go before CONNACK, and keeps what it needs", "[client]") {
  TestBroker broker;
  mqtt::PropertyWriter writer;
  writer.add(PropertyId::authenticationMethod, "m").add(PropertyId::reasonString, "why");
  broker.onPackets(PacketType::connect, [&](Client& client, Packet&, Next next, Done) {
    CHECK_FALSE(client.send(mqtt::Pingresp{}));
    CHECK(client.send(mqtt::Auth{ReasonCode::continueAuthentication, writer.properties()}));
    return next();
  });
  broker.use<AcceptConnect>();
  Peer peer = connectLimited(broker, 1'000, false);
  const auto packets = peer.packets();
  REQUIRE(packets.size() == 2);
  CHECK(std::get<mqtt::Auth>(packets[0]).properties.encoded() == hex("15 0001 'm'"));
}

TEST_CASE("a PUBLISH too large for the peer is not sent [v5:3.1.2-24]", "[client]") {
  Accepting broker;
  broker::MessageFields fields;
  fields.topic = "t";
  fields.payload = "1234567890";
  const auto message = broker::Message::create(std::move(fields));
  const auto publishTo = [&](const Peer& peer) {
    OutgoingPublish out;
    out.message = message;
    return peer.client().send(std::move(out));
  };
  Peer wide = connectLimited(broker, 16);
  Peer narrow = connectLimited(broker, 15);
  wide.received();
  narrow.received();
  CHECK(publishTo(wide) == Client::Sent::yes);
  CHECK(publishTo(narrow) == Client::Sent::tooLarge);
  broker.run();
  CHECK(wide.received() == frame(0x30, hex("0001 't' 00 '1234567890'")));
  CHECK(narrow.received().empty());
  CHECK(broker.metrics.value("publish_sent") == 1);
}

TEST_CASE(
    "a CONNACK too large for the peer goes without its explanation, or not at all "
    "[v5:3.2.2-19] [v5:3.2.2-20]",
    "[client]") {
  TestBroker broker;
  mqtt::PropertyWriter writer;
  writer.add(PropertyId::receiveMaximum, 5U)
      .add(PropertyId::reasonString, "welcome")
      .add(PropertyId::responseInformation, "")
      .addUserProperty("a", "b");
  bool accepted = false;
  broker.onPackets(PacketType::connect, [&](Client& client, Packet&, Next, Done done) {
    accepted = client.sendAccepting(mqtt::Connack{false, ReasonCode::success, writer.properties()});
    CHECK(client.connected() == accepted);
    return done();
  });
  Peer fits = connectLimited(broker, 20);
  CHECK(accepted);
  CHECK(fits.received() == hex("20 09 00 00 06 21 0005 1A 0000"));

  Peer doesNot = connectLimited(broker, 6);
  CHECK_FALSE(accepted);
  CHECK(doesNot.received().empty());
  CHECK(doesNot.gone());
}

TEST_CASE("a DISCONNECT too large for the peer goes without its explanation [v5:3.14.2-3]",
          "[client]") {
  Accepting broker;
  Peer peer = connectLimited(broker, 8);
  peer.received();
  peer.client().close(ReasonCode::serverShuttingDown, "for good");
  broker.run();
  CHECK(peer.received() == hex("E0 02 8B 00"));
}

TEST_CASE("a refusing CONNACK fits the peer, too [v5:4.13.2-1]", "[client]") {
  TestBroker broker;
  broker.onPackets(PacketType::connect, [](Client& client, Packet&, Next, Done done) {
    client.close(ReasonCode::notAuthorized, "a reason of some length");
    return done();
  });
  CHECK(connectLimited(broker, 10).received() == hex("20 03 00 87 00"));
  CHECK(connectLimited(broker, 4).received().empty());
}

TEST_CASE("a slow peer gets everything when it has room again", "[client]") {
  Accepting broker;
  Peer peer = broker.connect();
  peer.transport().limitWrites(3);
  peer.send(hex("C0 00 C0 00 C0 00"));
  CHECK(peer.received() == hex("D0 00 D0"));
  CHECK(peer.client().outputBytes() == 3);
  peer.transport().allowWrites();
  broker.run();
  CHECK(peer.received() == hex("00 D0 00"));
  CHECK(peer.client().outputBytes() == 0);
}

TEST_CASE("a peer that asks and asks and reads no answer is not read any more", "[client]") {
  Accepting broker;
  Peer peer = broker.connect();
  peer.transport().limitWrites(1);
  std::string pings;
  for (int i = 0; i < 2'000; ++i) pings += hex("C0 00");
  peer.send(hex("C0 00"));  // from here on it is known that the peer does not read
  for (int i = 0; i < 50; ++i) peer.send(pings);
  CHECK(peer.paused());
  CHECK(peer.client().outputBytes() < 5'000);

  peer.transport().allowWrites();
  broker.run();
  CHECK_FALSE(peer.paused());
  CHECK(peer.received().size() == 2 * (1 + 50 * 2'000));
  CHECK(peer.client().outputBytes() == 0);
}

TEST_CASE("few long answers that are not read are enough", "[client]") {
  Accepting broker;
  Peer peer = broker.connect(mqtt::ProtocolVersion::v5);
  peer.transport().limitWrites(1);
  peer.send(hex("C0 00"));  // from here on it is known that the peer does not read
  const std::string codes(100'000, '\0');
  for (std::uint16_t id = 1; id <= 3; ++id) {
    CHECK_FALSE(peer.paused());
    peer.client().send(mqtt::Unsuback{id, codes, {}});
  }
  CHECK(peer.paused());
  peer.transport().allowWrites();
  broker.run();
  CHECK_FALSE(peer.paused());
}

TEST_CASE("who waits for the output to drain is told once, from the loop", "[client]") {
  TestBroker broker;
  broker.use<AcceptConnect>();
  auto& drained = broker.on<ClientDrained>();
  Peer peer = broker.connect();
  Client& client = peer.client();

  peer.transport().limitWrites(1);
  client.send(mqtt::Pingresp{});
  client.notifyWhenDrained();
  client.notifyWhenDrained();
  broker.run();
  CHECK(drained.calls == 0);
  peer.transport().allowWrites();
  CHECK(drained.calls == 0);
  broker.run();
  CHECK(drained.calls == 1);
  client.send(mqtt::Pingresp{});
  broker.run();
  CHECK(drained.calls == 1);

  client.notifyWhenDrained();  // nothing waits
  CHECK(drained.calls == 1);
  broker.run();
  CHECK(drained.calls == 2);

  client.notifyWhenDrained();
  client.close(ReasonCode::success);
  broker.run();
  CHECK(drained.calls == 2);
}

TEST_CASE("a QoS 0 message that expires on its way out is counted", "[client]") {
  Accepting broker;
  Peer peer = broker.connect(ProtocolVersion::v5);
  broker::MessageFields fields;
  fields.topic = "t";
  fields.expiryInterval = 5;
  fields.received = broker.scheduler.now();
  OutgoingPublish out;
  out.message = broker::Message::create(std::move(fields));
  peer.transport().limitWrites(0);
  CHECK(peer.client().send(std::move(out)) == Client::Sent::yes);
  broker.run();
  broker.advance(std::chrono::seconds{6});
  peer.transport().allowWrites();
  broker.run();
  CHECK(peer.received().empty());
  CHECK(peer.client().outputBytes() == 0);
  CHECK(broker.metrics.value("publish_expired") == 1);
}

TEST_CASE("a transport whose writes fail is closed by its end only", "[client]") {
  Accepting broker;
  Peer peer = broker.connect();
  peer.transport().breakWrites();
  peer.send(hex("C0 00"));
  CHECK_FALSE(peer.closed());
  CHECK(peer.client().outputBytes() == 0);
  peer.reset();
  CHECK(peer.gone());
  CHECK(broker.lost == 1);
  CHECK(broker.closed == 1);
}

}  // namespace
}  // namespace mqttstack
