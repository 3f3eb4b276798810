#include "core/stack/client.hpp"

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

constexpr auto kVersions = {ProtocolVersion::v31, ProtocolVersion::v311, ProtocolVersion::v5};

TEST_CASE("a client is accepted, answered and lets go", "[client]") {
  Accepting broker;
  const auto version = GENERATE(values(kVersions));
  Peer peer = broker.connect(version);
  CHECK(peer.client().connected());
  CHECK(peer.client().version() == version);
  CHECK(broker.metrics.value("connections") == 1);
  peer.send(mqtt::Pingreq{});
  CHECK(peer.received() == hex("D0 00"));
  peer.send(mqtt::Disconnect{});
  CHECK(peer.closed());
  CHECK(peer.gone());
  CHECK(peer.received().empty());
  CHECK(broker.context.clients() == 0);
  CHECK(broker.metrics.value("connections") == 0);
  CHECK(broker.lost == 1);
  CHECK(broker.closed == 1);
}

TEST_CASE("packets may be split at every byte", "[client]") {
  const auto version = GENERATE(values(kVersions));
  mqtt::Connect connect;
  connect.version = version;
  connect.clientId = "c";
  const std::string stream = test::encoded(connect, version) +
                             publishBytes(version, "a/b", std::string(200, 'x')) + hex("C0 00") +
                             publishBytes(version, "c", "") + hex("C0 00");
  const Seen expected{"CONNECT", "a/b:" + std::string(200, 'x'), "c:"};
  for (std::size_t cut = 1; cut < stream.size(); ++cut) {
    Accepting broker;
    Peer peer = broker.open(version);
    peer.send(std::string_view{stream}.substr(0, cut));
    peer.send(std::string_view{stream}.substr(cut));
    REQUIRE(broker.seen == expected);
    REQUIRE(peer.received().ends_with(hex("D0 00 D0 00")));
  }
  Accepting broker;
  Peer peer = broker.open(version);
  for (const char& byte : stream) peer.send(std::string_view{&byte, 1});
  CHECK(broker.seen == expected);
}

TEST_CASE("several packets may come in one read, and are answered in one write", "[client]") {
  Accepting broker;
  Peer peer = broker.connect();
  const std::size_t writes = peer.record().writes;
  peer.send(hex("C0 00 C0 00 C0 00"));
  CHECK(peer.received() == hex("D0 00 D0 00 D0 00"));
  CHECK(peer.record().writes == writes + 1);
}

TEST_CASE("a large packet that dribbles in is put together", "[client]") {
  Accepting broker;
  Peer peer = broker.connect(ProtocolVersion::v311);
  const std::string payload(900'000, 'p');
  const std::string bytes = publishBytes(ProtocolVersion::v311, "t", payload);
  // In so many pieces it would take minutes if each cost a copy of what there is.
  for (std::size_t at = 0; at < bytes.size(); at += 16)
    peer.push(std::string_view{bytes}.substr(at, 16));
  REQUIRE(broker.messages.size() == 1);
  CHECK(broker.messages.front()->payload() == payload);
}

TEST_CASE(
    "anything but a CONNECT at first closes without a word [v311:3.1.0-1] [v5:3.1.0-1] "
    "[v5:3.14.0-1]",
    "[client]") {
  Accepting broker;
  const auto* bytes = GENERATE("C0 00", "30 03 0001 't'", "E0 00", "00", "F0 00", "11", "20",
                               "16 03 01 02 00", "'GET / HTTP/1.1'");
  Peer peer = broker.open();
  peer.send(hex(bytes));
  CHECK(peer.closed());
  CHECK(peer.received().empty());
  CHECK(broker.seen.empty());
  CHECK(broker.metrics.value("bad_packets") == 1);
  CHECK(broker.lost == 1);
  CHECK(broker.closed == 1);
}

TEST_CASE("a malformed CONNECT is answered in the layout of its version", "[client]") {
  Accepting broker;
  const auto refused = [&](std::string_view bytes) {
    Peer peer = broker.open(ProtocolVersion::v5);
    peer.send(bytes);
    CHECK(peer.closed());
    CHECK(peer.gone());
    return peer.received();
  };
  // Client id is cut off.
  CHECK(refused(frame(0x10, hex("0004 'MQTT' 05 02 0000 00 0005 'ab'"))) == hex("20 03 00 81 00"));
  CHECK(refused(frame(0x10, hex("0004 'MQTT' 04 02 0000 0005 'ab'"))).empty());
  CHECK(refused(frame(0x10, hex("0006 'MQIsdp' 03 02 0000 0005 'ab'"))).empty());
  // The reserved flag.
  CHECK(refused(frame(0x10, hex("0004 'MQTT' 05 03 0000 00 0001 'a'"))) == hex("20 03 00 81 00"));
  CHECK(refused(frame(0x10, hex("0004 'MQTT' 04 03 0000 0001 'a'"))).empty());
  // A version that isn't ours.
  CHECK(refused(frame(0x10, hex("0004 'MQTT' 06 02 0000 00 0001 'a'"))) == hex("20 03 00 84 00"));
  CHECK(refused(frame(0x10, hex("0004 'MQTT' 02 02 0000 0001 'a'"))) == hex("20 02 00 01"));
  // Not MQTT at all.
  CHECK(refused(frame(0x10, hex("0004 'HTTP' 05 02 0000 00 0001 'a'"))).empty());
  CHECK(refused(hex("10 00")).empty());
  // A remaining length that never ends.
  CHECK(refused(hex("10 FF FF FF FF")).empty());
  CHECK(broker.seen.empty());
  CHECK(broker.context.clients() == 0);
}

TEST_CASE("a malformed packet ends the connection, and MQTT 5 hears why [v5:4.13.1-1]",
          "[client]") {
  const auto version = GENERATE(values(kVersions));
  for (const auto& bad : test::badPackets()) {
    if (bad.version != version || bad.sender != mqtt::Sender::client || bad.bytes.empty()) continue;
    if (static_cast<unsigned char>(bad.bytes.front()) >> 4U == 1) continue;
    const mqtt::Frame whole = mqtt::nextFrame(bad.bytes, mqtt::kMaxPacketBytes);
    if (whole.state != mqtt::Frame::State::malformed && whole.size != bad.bytes.size()) continue;
    CAPTURE(bad.name);
    Accepting broker;
    Peer peer = broker.connect(version);
    broker.takeSeen();
    peer.send(bad.bytes + hex("C0 00"));
    REQUIRE(broker.seen.empty());
    REQUIRE(peer.gone());
    const auto packets = peer.packets();
    if (version != ProtocolVersion::v5) {
      REQUIRE(packets.empty());
    } else {
      REQUIRE(packets.size() == 1);
      REQUIRE(std::holds_alternative<mqtt::Disconnect>(packets.front()));
      REQUIRE(broker.metrics.value("bad_packets") == 1);
    }
  }
}

TEST_CASE("a packet that is larger than allowed ends the connection [v5:3.2.2-15]", "[client]") {
  Accepting broker;
  broker.listener.maximumPacketSize = 100;
  const auto version = GENERATE(values(kVersions));
  Peer peer = broker.connect(version);
  const std::size_t header = publishBytes(version, "t", "").size();
  peer.send(publishBytes(version, "t", std::string(100 - header, 'x')));
  CHECK_FALSE(peer.closed());
  peer.send(publishBytes(version, "t", std::string(101 - header, 'x')));
  CHECK(peer.closed());
  CHECK(peer.received() == (version == ProtocolVersion::v5
                                ? test::farewell(ReasonCode::packetTooLarge)
                                : std::string{}));
}

TEST_CASE("a CONNECT may be smaller only, and is refused on its claim", "[client]") {
  Accepting broker;
  broker.listener.maximumConnectSize = 1'000;
  Peer peer = broker.open(ProtocolVersion::v5);
  peer.send(hex("10 E6 07"));  // 998 more: 1,001 altogether
  CHECK(peer.closed());
  CHECK(peer.received().empty());
}

TEST_CASE("DISCONNECT is told once, and nothing follows it [v5:3.14.4-1]", "[client]") {
  Accepting broker;
  Peer peer = broker.connect(ProtocolVersion::v5);
  Client& client = peer.client();
  client.close(ReasonCode::administrativeAction, "maintenance");
  client.close(ReasonCode::keepAliveTimeout);
  client.closeSilently();
  CHECK(client.closing());
  CHECK(client.closeReason() == ReasonCode::administrativeAction);
  CHECK_FALSE(client.send(mqtt::Pingresp{}));
  CHECK_FALSE(client.send(mqtt::Puback{1, ReasonCode::success, {}}));
  CHECK(client.send(OutgoingPublish{}) == Client::Sent::closed);
  client.acknowledge(1, AckKind::puback, ReasonCode::success);
  CHECK(broker.lost == 0);
  peer.send(hex("C0 00"));
  const auto packets = peer.packets();
  REQUIRE(packets.size() == 1);
  const auto& disconnect = std::get<mqtt::Disconnect>(packets.front());
  CHECK(disconnect.code == ReasonCode::administrativeAction);
  CHECK(disconnect.properties.text(PropertyId::reasonString) == "maintenance");
  CHECK(broker.lost == 1);
  CHECK(broker.closed == 1);
  CHECK(peer.record().closed == net::CloseMode::graceful);
}

TEST_CASE("what comes after the end is ignored", "[client]") {
  Accepting broker;
  Peer peer = broker.connect();
  broker.takeSeen();
  peer.send(hex("E0 00 C0 00") + publishBytes(ProtocolVersion::v311, "t", "x"));
  CHECK(broker.seen.empty());
  CHECK(peer.received().empty());
  CHECK(peer.gone());
}

TEST_CASE("the farewell fits the version and how far the client came [v5:3.14.0-1]", "[client]") {
  const auto version = GENERATE(values(kVersions));
  const bool v5 = version == ProtocolVersion::v5;

  SECTION("before CONNECT: nothing") {
    Accepting broker;
    Peer peer = broker.open(version);
    peer.client().close(ReasonCode::serverShuttingDown);
    broker.run();
    CHECK(peer.closed());
    CHECK(peer.received().empty());
  }
  SECTION("before CONNACK: a CONNACK [v311:3.2.2-6]") {
    TestBroker broker;
    ReasonCode reason{};
    broker.onPackets(PacketType::connect, [&](Client& client, Packet&, Next, Done done) {
      client.close(reason);
      return done();
    });
    const auto refused = [&](ReasonCode why) {
      reason = why;
      mqtt::Connect connect;
      connect.version = version;
      connect.clientId = "c";
      Peer peer = broker.connectWith(connect);
      CHECK(peer.gone());
      return peer.received();
    };
    CHECK(refused(ReasonCode::badUserNameOrPassword) ==
          (v5 ? hex("20 03 00 86 00") : hex("20 02 00 04")));
    CHECK(refused(ReasonCode::notAuthorized) == (v5 ? hex("20 03 00 87 00") : hex("20 02 00 05")));
    CHECK(refused(ReasonCode::packetTooLarge) ==
          (v5 ? test::refusal(ReasonCode::packetTooLarge, ReasonCode::packetTooLarge)
              : std::string{}));
    // Not a code of CONNACK.
    CHECK(refused(ReasonCode::keepAliveTimeout) ==
          (v5 ? test::refusal(ReasonCode::unspecifiedError, ReasonCode::keepAliveTimeout)
              : std::string{}));
  }
  SECTION("by an error of a handler: the same") {
    TestBroker broker;
    broker.onPackets(PacketType::connect, [](Client&, Packet&, Next next, Done) {
      return next(ReasonCode::serverUnavailable);
    });
    mqtt::Connect connect;
    connect.version = version;
    Peer peer = broker.connectWith(connect);
    CHECK(peer.received() == (v5 ? hex("20 03 00 88 00") : hex("20 02 00 03")));
    CHECK(peer.gone());
  }
  SECTION("afterwards: a DISCONNECT, to MQTT 5 [v5:4.13.1-1]") {
    Accepting broker;
    Peer peer = broker.connect(version);
    peer.client().close(ReasonCode::sessionTakenOver);
    broker.run();
    CHECK(peer.received() == (v5 ? test::farewell(ReasonCode::sessionTakenOver) : std::string{}));
    CHECK(peer.gone());
  }
  SECTION("with a code that DISCONNECT doesn't have: unspecified") {
    Accepting broker;
    Peer peer = broker.connect(version);
    peer.client().close(ReasonCode::badUserNameOrPassword);
    broker.run();
    CHECK(peer.received() == (v5 ? hex("E0 02 80 00") : std::string{}));
  }
}

TEST_CASE("a CONNECT that no middleware answers is an error of the pipeline", "[client]") {
  TestBroker broker;
  mqtt::Connect connect;
  connect.version = ProtocolVersion::v5;
  Peer peer = broker.connectWith(connect);
  CHECK(peer.received() == hex("20 03 00 83 00"));
  CHECK(peer.gone());
  CHECK(broker.logged(LogLevel::error) == 1);
}

TEST_CASE("a packet that nobody answers ends the connection, if an answer is due", "[client]") {
  TestBroker broker;
  broker.useNamed<test::PacketStub>("accepts", PacketType::connect,
                                    [](Client& client, Packet&, Next next, Done) {
                                      client.sendAccepting(mqtt::Connack{});
                                      return next();
                                    });
  const auto answer = [&](std::string_view bytes) {
    Peer peer = broker.connect(ProtocolVersion::v5);
    peer.send(bytes);
    return peer.received();
  };
  CHECK(answer(hex("82 07 0001 00 0001 'a' 00")) == hex("E0 02 83 00"));
  CHECK(answer(hex("A2 06 0001 00 0001 'a'")) == hex("E0 02 83 00"));
  CHECK(answer(hex("C0 00")) == hex("E0 02 83 00"));
  CHECK(answer(hex("62 02 0001")) == hex("E0 02 83 00"));
  CHECK(answer(hex("32 06 0001 't' 0001 00")) == hex("E0 02 83 00"));
  CHECK(broker.logged(LogLevel::warning) == 5);
  CHECK(answer(hex("30 04 0001 't' 00")).empty());
  CHECK(answer(hex("40 02 0001")).empty());
  CHECK(broker.logged(LogLevel::warning) == 5);
}

std::string aliased(std::string_view topic, std::uint16_t alias) {
  mqtt::PropertyWriter writer;
  writer.add(PropertyId::topicAlias, alias);
  mqtt::Publish publish;
  publish.topic = topic;
  publish.payload = "x";
  publish.properties = writer.properties();
  return test::encoded(publish, ProtocolVersion::v5);
}

TEST_CASE("a topic alias stands for its topic [v5:3.3.2-12]", "[client]") {
  Accepting broker;
  Peer peer = broker.connect(ProtocolVersion::v5);
  peer.client().acceptTopicAliases(10);
  broker.takeSeen();
  peer.send(aliased("a", 10) + aliased("", 10) + aliased("b", 10) + aliased("", 10));
  CHECK(broker.takeSeen() == Seen{"a:x", "a:x", "b:x", "b:x"});
  for (const auto& message : broker.messages) CHECK(message->properties().empty());
}

TEST_CASE("a topic alias that is not valid ends the connection", "[client]") {
  Accepting broker;
  Peer peer = broker.connect(ProtocolVersion::v5);
  broker.takeSeen();
  SECTION("none are accepted [v5:3.2.2-18]") {
    peer.send(aliased("a", 1));
    CHECK(peer.received() == test::farewell(ReasonCode::topicAliasInvalid));
  }
  SECTION("zero [v5:3.3.2-8]") {
    peer.client().acceptTopicAliases(10);
    peer.send(aliased("a", 0));
    CHECK(peer.received() == test::farewell(ReasonCode::topicAliasInvalid));
  }
  SECTION("above the maximum [v5:3.3.2-9]") {
    peer.client().acceptTopicAliases(10);
    peer.send(aliased("a", 11));
    CHECK(peer.received() == test::farewell(ReasonCode::topicAliasInvalid));
  }
  SECTION("unknown") {
    peer.client().acceptTopicAliases(10);
    peer.send(aliased("", 3));
    CHECK(peer.received() == hex("E0 02 82 00"));
  }
  CHECK(broker.seen.empty());
  CHECK(peer.gone());
}

TEST_CASE("a message has no properties that were meant for us alone", "[client]") {
  Accepting broker;
  Peer peer = broker.connect(ProtocolVersion::v5);
  peer.client().acceptTopicAliases(10);
  mqtt::PropertyWriter writer;
  writer.add(PropertyId::payloadFormatIndicator, 1U)
      .add(PropertyId::messageExpiryInterval, 60U)
      .add(PropertyId::topicAlias, 1U)
      .addUserProperty("a", "b");
  mqtt::Publish publish;
  publish.topic = "t";
  publish.properties = writer.properties();
  peer.send(publish);
  REQUIRE(broker.messages.size() == 1);
  const broker::Message& message = *broker.messages.front();
  CHECK(message.properties().encoded() == hex("01 01 26 0001 'a' 0001 'b'"));
  CHECK(message.remainingExpiry(broker.scheduler.now()) == 60U);
  CHECK(message.author() == peer.client().identity());
}

TEST_CASE("what clients do is counted", "[client]") {
  Accepting broker;
  Peer peer = broker.connect();
  peer.send(hex("C0 00") + publishBytes(ProtocolVersion::v311, "t", "x"));
  const Metrics& metrics = broker.metrics;
  CHECK(metrics.value("connections") == 1);
  CHECK(metrics.value("packets_received") == 3);
  CHECK(metrics.value("publish_received") == 1);
  CHECK(metrics.value("packets_sent") == 2);
  CHECK(metrics.value("bytes_received") == 20 + 2 + 6);
  CHECK(metrics.value("bytes_sent") == 4 + 2);
  CHECK(metrics.value("bad_packets") == 0);
}

TEST_CASE("each connection that is refused or ended is counted by its reason", "[client]") {
  Accepting broker;
  const auto closed = [&](ReasonCode reason) {
    return broker.metrics.value("clients_closed{reason=\"" + std::string{mqtt::toString(reason)} +
                                "\"}");
  };
  Peer full = broker.connect(ProtocolVersion::v5, "a");
  full.client().close(ReasonCode::quotaExceeded);
  full.client().close(ReasonCode::serverBusy);  // it is closed already
  Peer quiet = broker.connect(ProtocolVersion::v5, "b");
  quiet.client().closeSilently();
  broker.listener.packets.topicLevels = 2;
  Peer deep = broker.connect(ProtocolVersion::v5, "c");
  deep.send(publishBytes(ProtocolVersion::v5, "a/b/c", "x"));
  broker.run();
  CHECK(closed(ReasonCode::quotaExceeded) == 1);
  CHECK(closed(ReasonCode::serverBusy) == 0);
  CHECK(closed(ReasonCode::topicNameInvalid) == 1);
  CHECK(broker.metrics.value("packets_beyond_limits") == 1);
}

TEST_CASE("the time of the last packet is known, and deferring doesn't count as silence",
          "[client]") {
  Accepting broker;
  broker.defers = [](const Packet& packet) { return isPublishTo(packet, "slow"); };
  Peer peer = broker.connect();
  CHECK(peer.client().lastPacketAt() == broker.scheduler.now());
  broker.advance(std::chrono::seconds{10});
  CHECK(peer.client().lastPacketAt() == broker.scheduler.now() - std::chrono::seconds{10});
  peer.send(hex("C0"));  // not a packet yet
  CHECK(peer.client().lastPacketAt() == broker.scheduler.now() - std::chrono::seconds{10});
  peer.send(hex("00") + publishBytes(ProtocolVersion::v311, "slow", ""));
  CHECK(peer.client().lastPacketAt() == broker.scheduler.now());
  broker.advance(std::chrono::seconds{10});
  broker.settle();
  CHECK(peer.client().lastPacketAt() == broker.scheduler.now());
}

TEST_CASE("a client describes itself, safe to log", "[client]") {
  Accepting broker;
  Peer peer = broker.connect();
  CHECK(peer.client().describe() == "local");
  broker::IdentityFields fields;
  fields.clientId = "a\nb";
  fields.anonymous = true;
  peer.client().setIdentity(broker::makeIdentity(fields));
  CHECK(peer.client().describe() == "\"a\\x0ab\" at local");
  fields.anonymous = false;
  fields.principal = "me";
  peer.client().setIdentity(broker::makeIdentity(fields));
  CHECK(peer.client().describe() == "\"a\\x0ab\" (user \"me\") at local");
}

TEST_CASE("all clients can be visited, and closed on the way", "[client]") {
  Accepting broker;
  Peer a = broker.connect(ProtocolVersion::v311, "a");
  Peer b = broker.connect(ProtocolVersion::v5, "b");
  Peer c = broker.connect(ProtocolVersion::v31, "c");
  b.reset();
  int visited = 0;
  broker.context.forEachClient([&](Client& client) {
    ++visited;
    client.close(ReasonCode::serverShuttingDown);
  });
  CHECK(visited == 2);
  broker.run();
  CHECK(a.gone());
  CHECK(c.gone());
  CHECK(broker.context.clients() == 0);
  CHECK(broker.closed == 3);
}

TEST_CASE("a client that is closed while it is installed never starts", "[client]") {
  class Refuses final : public Middleware {
  public:
    using Middleware::Middleware;
    void install(Client& client) override { client.close(ReasonCode::banned); }
  };
  TestBroker broker;
  broker.useNamed<Refuses>("refuses");
  Peer peer = broker.open();
  peer.send(hex("10"));
  CHECK(peer.gone());
  CHECK(peer.received().empty());
}

}  // namespace
}  // namespace mqttstack
