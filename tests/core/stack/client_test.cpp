#include "core/stack/client.hpp"

#include <optional>
#include <string>
#include <vector>

#include <catch2/catch.hpp>

#include "tests/support/client_fixture.hpp"

namespace mqttstack {
namespace {

using mqtt::PacketType;
using mqtt::PacketTypes;
using mqtt::PropertyId;
using mqtt::ProtocolVersion;
using mqtt::ReasonCode;
using test::AcceptConnect;
using test::frame;
using test::hex;
using test::Peer;
using test::TestBroker;

constexpr auto kVersions = {ProtocolVersion::v31, ProtocolVersion::v311, ProtocolVersion::v5};

/// A broker that accepts clients and notes what reaches the end of its pipeline.
struct Accepting : TestBroker {
  Accepting() {
    use<AcceptConnect>();
    onPackets(PacketTypes::all(), [this](Client&, Packet& packet, Next next, Done done) {
      if (packet.type() == PacketType::publish) {
        const auto& publish = packet.as<mqtt::Publish>();
        seen.push_back(std::string{publish.topic} + ":" + std::string{publish.payload});
        messages.push_back(packet.message);
      } else {
        seen.emplace_back(toString(packet.type()));
      }
      if (defers(packet)) {
        return next.defer([this](Deferred later) { kept.push_back(std::move(later)); });
      }
      return packet.type() == PacketType::connect ? next() : done();
    });
    on<ConnectionLost>([this](ConnectionLost&, SyncNext next, Done) {
      ++lost;
      return next();
    });
    on<ConnectionClosed>([this](ConnectionClosed&, Next next, Done) {
      CHECK(lost == closed + 1);
      ++closed;
      return next();
    });
  }
  /// Settles the packet that was deferred, and turns the loop.
  void settle() {
    Deferred later = std::move(kept.front());
    kept.erase(kept.begin());
    later.done();
    run();
  }
  std::vector<std::string> takeSeen() { return std::exchange(seen, {}); }

  std::function<bool(const Packet&)> defers = [](const Packet&) { return false; };
  std::vector<Deferred> kept;
  std::vector<std::string> seen;
  std::vector<broker::MessagePtr> messages;
  int lost = 0;
  int closed = 0;
};

using Seen = std::vector<std::string>;

std::string publishBytes(ProtocolVersion version, std::string_view topic,
                         std::string_view payload) {
  mqtt::Publish publish;
  publish.topic = topic;
  publish.payload = payload;
  return test::encoded(publish, version);
}

bool isPublishTo(const Packet& packet, std::string_view topic) {
  return packet.type() == PacketType::publish && packet.as<mqtt::Publish>().topic == topic;
}

mqtt::Properties onlyReason(std::string_view text) {
  mqtt::PropertyWriter writer;
  writer.add(PropertyId::reasonString, text);
  return mqtt::Properties{test::keep(std::string{writer.properties().encoded()})};
}

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

// --- reading

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

TEST_CASE("anything but a CONNECT at first closes without a word [v311:3.1.0-1] [v5:3.1.0-1]",
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
  // The reserved flag. [v311:3.1.2-3] [v5:3.1.2-3]
  CHECK(refused(frame(0x10, hex("0004 'MQTT' 05 03 0000 00 0001 'a'"))) == hex("20 03 00 81 00"));
  CHECK(refused(frame(0x10, hex("0004 'MQTT' 04 03 0000 0001 'a'"))).empty());
  // A version that isn't ours. [v311:3.1.2-2] [v5:3.1.2-2]
  CHECK(refused(frame(0x10, hex("0004 'MQTT' 06 02 0000 00 0001 'a'"))) == hex("20 03 00 84 00"));
  CHECK(refused(frame(0x10, hex("0004 'MQTT' 02 02 0000 0001 'a'"))) == hex("20 02 00 01"));
  // Not MQTT at all. [v311:3.1.2-1] [v5:3.1.2-1]
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
  CHECK(peer.received() == (version == ProtocolVersion::v5 ? hex("E0 02 95 00") : std::string{}));
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
  client.acknowledge(1, mqtt::Qos::atLeastOnce, ReasonCode::success);
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

TEST_CASE("the farewell fits the version and how far the client came", "[client]") {
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
    CHECK(refused(ReasonCode::packetTooLarge) == (v5 ? hex("20 03 00 95 00") : std::string{}));
    // Not a code of CONNACK.
    CHECK(refused(ReasonCode::keepAliveTimeout) == (v5 ? hex("20 03 00 80 00") : std::string{}));
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
    CHECK(peer.received() == (v5 ? hex("E0 02 8E 00") : std::string{}));
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

TEST_CASE("a SUBSCRIBE that no middleware answers ends the connection", "[client]") {
  TestBroker broker;
  broker.use<AcceptConnect>();
  Peer peer = broker.connect(ProtocolVersion::v5);
  peer.send(frame(0x82, hex("0001 00 0001 'a' 00")));
  CHECK(peer.received() == hex("E0 02 83 00"));
  CHECK(broker.logged(LogLevel::warning) == 1);
}

// --- deferral

TEST_CASE("while a packet is deferred later ones wait, in order, and reading pauses", "[client]") {
  Accepting broker;
  broker.defers = [](const Packet& packet) { return isPublishTo(packet, "slow"); };
  const auto version = GENERATE(ProtocolVersion::v311, ProtocolVersion::v5);
  Peer peer = broker.connect(version);
  broker.takeSeen();
  const std::string tail = publishBytes(version, "z", "last");

  peer.send(publishBytes(version, "a", "1") + publishBytes(version, "slow", "2") +
            publishBytes(version, "b", "3") + publishBytes(version, "slow", "4") + hex("C0 00") +
            tail.substr(0, 3));
  CHECK(broker.takeSeen() == Seen{"a:1", "slow:2"});
  CHECK(peer.client().parked());
  CHECK(peer.client().readingPaused());
  CHECK(peer.paused());
  peer.send(tail.substr(3));  // waits in the socket

  broker.settle();
  CHECK(broker.takeSeen() == Seen{"b:3", "slow:4"});
  CHECK(peer.paused());
  CHECK(peer.received().empty());

  broker.settle();
  CHECK(broker.takeSeen() == Seen{"z:last"});
  CHECK(peer.received() == hex("D0 00"));
  CHECK_FALSE(peer.paused());
  CHECK_FALSE(peer.client().parked());
  CHECK_FALSE(peer.client().readingPaused());
}

TEST_CASE("a packet that was deferred keeps its bytes", "[client]") {
  Accepting broker;
  std::vector<const mqtt::Subscribe*> parked;
  broker.defers = [&](const Packet& packet) {
    if (packet.type() != PacketType::subscribe) return false;
    parked.push_back(&packet.as<mqtt::Subscribe>());
    return true;
  };
  Peer one = broker.connect(ProtocolVersion::v311, "one");
  Peer two = broker.connect(ProtocolVersion::v311, "two");
  one.send(frame(0x82, hex("0001 0005 'a/b/c' 01")));
  two.send(frame(0x82, hex("0002 0005 'x/y/z' 01")));
  REQUIRE(parked.size() == 2);
  CHECK(mqtt::SubscribeEntries{parked[0]->entries}.takeFront().filter == "a/b/c");
  CHECK(mqtt::SubscribeEntries{parked[1]->entries}.takeFront().filter == "x/y/z");
  broker.settle();
  broker.settle();
}

TEST_CASE("everything behind a deferred packet is worked off, up to the end", "[client]") {
  Accepting broker;
  broker.defers = [](const Packet& packet) { return isPublishTo(packet, "slow"); };
  Peer peer = broker.connect();
  broker.takeSeen();
  peer.push(publishBytes(ProtocolVersion::v311, "slow", "1") +
            publishBytes(ProtocolVersion::v311, "a", "2") + hex("E0 00"));
  peer.end();
  CHECK(broker.takeSeen() == Seen{"slow:1"});
  CHECK(broker.lost == 0);
  broker.settle();
  CHECK(broker.takeSeen() == Seen{"a:2"});
  CHECK(peer.gone());
  CHECK(broker.lost == 1);
  CHECK(broker.closed == 1);
}

TEST_CASE("the end is heard when everything before it is done", "[client]") {
  Accepting broker;
  Peer peer = broker.connect();
  broker.takeSeen();
  const bool deferred = GENERATE(false, true);
  broker.defers = [&](const Packet& packet) { return deferred && isPublishTo(packet, "a"); };
  peer.push(publishBytes(ProtocolVersion::v311, "a", "1"));
  peer.end();
  CHECK(broker.takeSeen() == Seen{"a:1"});
  CHECK(peer.gone() != deferred);
  if (deferred) broker.settle();
  CHECK(peer.gone());
  CHECK(broker.lost == 1);
  CHECK(broker.closed == 1);
}

TEST_CASE("a peer that vanishes while its packet is deferred leaves the tables at once",
          "[client]") {
  Accepting broker;
  broker.defers = [](const Packet& packet) { return isPublishTo(packet, "slow"); };
  Peer peer = broker.connect(ProtocolVersion::v5);
  peer.send(publishBytes(ProtocolVersion::v5, "slow", "1") +
            publishBytes(ProtocolVersion::v5, "a", "2"));
  broker.takeSeen();
  peer.reset();
  CHECK(broker.lost == 1);
  CHECK(broker.closed == 0);
  CHECK_FALSE(peer.gone());
  CHECK(peer.client().closing());

  SECTION("and its result is discarded") { broker.settle(); }
  SECTION("and its error is discarded") {
    broker.kept.front().fail(ReasonCode::quotaExceeded);
    CHECK(broker.closed == 0);  // from the loop only
    broker.run();
  }
  CHECK(broker.lost == 1);
  CHECK(broker.closed == 1);
  CHECK(peer.gone());
  CHECK(peer.received().empty());
  CHECK(broker.seen.empty());
  CHECK(broker.context.clients() == 0);
}

TEST_CASE("a client that is closed while its packet is deferred says farewell at once",
          "[client]") {
  Accepting broker;
  broker.defers = [](const Packet& packet) { return isPublishTo(packet, "slow"); };
  Peer peer = broker.connect(ProtocolVersion::v5);
  peer.send(publishBytes(ProtocolVersion::v5, "slow", "1"));
  peer.client().close(ReasonCode::sessionTakenOver);
  broker.run();
  CHECK(peer.received() == hex("E0 02 8E 00"));
  CHECK(peer.closed());
  CHECK(broker.lost == 1);
  CHECK(broker.closed == 0);
  broker.settle();
  CHECK(broker.closed == 1);
  CHECK(peer.gone());
}

TEST_CASE("a deferred packet that fails ends the connection with its reason", "[client]") {
  Accepting broker;
  broker.defers = [](const Packet& packet) { return isPublishTo(packet, "slow"); };
  Peer peer = broker.connect(ProtocolVersion::v5);
  peer.send(publishBytes(ProtocolVersion::v5, "slow", "1") + hex("C0 00"));
  broker.kept.front().fail(ReasonCode::quotaExceeded);
  broker.run();
  CHECK(peer.received() == hex("E0 02 97 00"));
  CHECK(peer.gone());
}

TEST_CASE("a CONNECT may be deferred, and what follows it waits", "[client]") {
  TestBroker broker;
  std::optional<Deferred> kept;
  broker.onPackets(PacketType::connect, [&](Client&, Packet&, Next next, Done) {
    return next.defer([&](Deferred later) { kept.emplace(std::move(later)); });
  });
  broker.use<AcceptConnect>();
  Peer peer = broker.open();
  peer.send(frame(0x10, hex("0004 'MQTT' 04 02 0000 0001 'a'")) + hex("C0 00"));
  CHECK(peer.received().empty());
  kept->next();
  broker.run();
  CHECK(peer.received() == hex("20 02 00 00 D0 00"));
}

TEST_CASE("a client that is closed inside a walk is only marked", "[client]") {
  TestBroker broker;
  broker.use<AcceptConnect>();
  auto& lost = broker.on<ConnectionLost>();
  auto& packets =
      broker.onPackets(PacketType::publish, [&](Client& client, Packet&, Next, Done done) {
        client.close(ReasonCode::administrativeAction);
        CHECK(client.closing());
        CHECK(lost.calls == 0);
        return done();
      });
  Peer peer = broker.connect(ProtocolVersion::v5);
  peer.send(publishBytes(ProtocolVersion::v5, "t", "1") +
            publishBytes(ProtocolVersion::v5, "t", "2"));
  CHECK(packets.calls == 1);
  CHECK(lost.calls == 1);
  CHECK(peer.gone());
}

TEST_CASE("a connectionClosed that is deferred keeps the client until it is done", "[client]") {
  TestBroker broker;
  broker.use<AcceptConnect>();
  std::optional<Deferred> kept;
  broker.on<ConnectionClosed>([&](ConnectionClosed&, Next next, Done) {
    return next.defer([&](Deferred later) { kept.emplace(std::move(later)); });
  });
  Peer peer = broker.connect();
  peer.reset();
  CHECK_FALSE(peer.gone());
  CHECK(broker.context.clients() == 0);
  kept->next();
  CHECK(peer.gone());
}

// --- topic aliases

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
    CHECK(peer.received() == hex("E0 02 94 00"));
  }
  SECTION("zero [v5:3.3.2-8]") {
    peer.client().acceptTopicAliases(10);
    peer.send(aliased("a", 0));
    CHECK(peer.received() == hex("E0 02 94 00"));
  }
  SECTION("above the maximum [v5:3.3.2-9]") {
    peer.client().acceptTopicAliases(10);
    peer.send(aliased("a", 11));
    CHECK(peer.received() == hex("E0 02 94 00"));
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

// --- limits of the peer

TEST_CASE("a packet too large for the peer goes without its explanation [v5:3.4.2-2]", "[client]") {
  Accepting broker;
  Peer peer = broker.connect(ProtocolVersion::v5);
  Client& client = peer.client();
  const mqtt::Puback wordy{1, ReasonCode::quotaExceeded, onlyReason("because")};

  client.limitOutput(100, true);
  CHECK(client.send(wordy));
  broker.run();
  CHECK(peer.received() == hex("40 0E 0001 97 0A 1F 0007 'because'"));

  client.limitOutput(10, true);
  CHECK(client.send(wordy));
  broker.run();
  CHECK(peer.received() == hex("40 04 0001 97 00"));

  client.limitOutput(5, true);
  CHECK_FALSE(client.send(wordy));
  CHECK(client.send(mqtt::Pingresp{}));
  broker.run();
  CHECK(peer.received() == hex("D0 00"));
}

TEST_CASE("who wants no problem information gets none [v5:3.1.2-29]", "[client]") {
  Accepting broker;
  Peer peer = broker.connect(ProtocolVersion::v5);
  peer.client().limitOutput(UINT32_MAX, false);
  CHECK(peer.client().send(mqtt::Puback{1, ReasonCode::quotaExceeded, onlyReason("because")}));
  broker.run();
  CHECK(peer.received() == hex("40 04 0001 97 00"));
}

TEST_CASE("AUTH may go before CONNACK, and keeps what it needs", "[client]") {
  TestBroker broker;
  mqtt::PropertyWriter writer;
  writer.add(PropertyId::authenticationMethod, "m").add(PropertyId::reasonString, "why");
  broker.onPackets(PacketType::connect, [&](Client& client, Packet&, Next next, Done) {
    CHECK_FALSE(client.send(mqtt::Pingresp{}));
    client.limitOutput(UINT32_MAX, false);
    CHECK(client.send(mqtt::Auth{ReasonCode::continueAuthentication, writer.properties()}));
    return next();
  });
  broker.use<AcceptConnect>();
  mqtt::Connect connect;
  connect.version = ProtocolVersion::v5;
  Peer peer = broker.connectWith(connect);
  const auto packets = peer.packets();
  REQUIRE(packets.size() == 2);
  CHECK(std::get<mqtt::Auth>(packets[0]).properties.encoded() == hex("15 0001 'm'"));
}

TEST_CASE("a PUBLISH too large for the peer is not sent [v5:3.1.2-24]", "[client]") {
  Accepting broker;
  Peer peer = broker.connect(ProtocolVersion::v5);
  Client& client = peer.client();
  broker::MessageFields fields;
  fields.topic = "t";
  fields.payload = "1234567890";
  const auto message = broker::Message::create(std::move(fields));
  const auto publish = [&] {
    OutgoingPublish out;
    out.message = message;
    return out;
  };
  client.limitOutput(16, true);
  CHECK(client.send(publish()) == Client::Sent::yes);
  client.limitOutput(15, true);
  CHECK(client.send(publish()) == Client::Sent::tooLarge);
  broker.run();
  CHECK(peer.received() == frame(0x30, hex("0001 't' 00 '1234567890'")));
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
  std::uint32_t limit = 0;
  bool accepted = false;
  broker.onPackets(PacketType::connect, [&](Client& client, Packet&, Next, Done done) {
    client.limitOutput(limit, true);
    accepted = client.sendAccepting(mqtt::Connack{false, ReasonCode::success, writer.properties()});
    CHECK(client.connected() == accepted);
    return done();
  });
  mqtt::Connect connect;
  connect.version = ProtocolVersion::v5;

  limit = 20;
  Peer fits = broker.connectWith(connect);
  CHECK(accepted);
  CHECK(fits.received() == hex("20 09 00 00 06 21 0005 1A 0000"));

  limit = 6;
  Peer doesNot = broker.connectWith(connect);
  CHECK_FALSE(accepted);
  CHECK(doesNot.received().empty());
  CHECK(doesNot.gone());
}

TEST_CASE("a DISCONNECT too large for the peer goes without its explanation [v5:3.14.2-3]",
          "[client]") {
  Accepting broker;
  Peer peer = broker.connect(ProtocolVersion::v5);
  peer.client().limitOutput(8, true);
  peer.client().close(ReasonCode::serverShuttingDown, "for good");
  broker.run();
  CHECK(peer.received() == hex("E0 02 8B 00"));
}

// --- writing

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

// --- the rest

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
