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

TEST_CASE("a client that has sent very much lets others in between", "[client]") {
  Accepting broker;
  Peer peer = broker.connect();
  broker.takeSeen();
  std::string packets;
  Seen all;
  for (int i = 0; i < 40; ++i) {
    packets += publishBytes(ProtocolVersion::v311, "t", std::to_string(i));
    all.push_back("t:" + std::to_string(i));
  }
  broker.flushList.beginTurn({});  // it is late already
  peer.push(packets);
  Seen seen = broker.takeSeen();
  CHECK(seen.size() == 16);
  CHECK(peer.client().readingPaused());
  CHECK_FALSE(broker.flushList.empty());
  // What comes now goes behind it.
  peer.push(publishBytes(ProtocolVersion::v311, "t", "last"));
  all.emplace_back("t:last");
  broker.flushList.run();
  for (std::string& each : broker.takeSeen()) seen.push_back(std::move(each));
  CHECK(seen.size() == 32);
  broker.flushList.endTurn();
  broker.run();
  for (std::string& each : broker.takeSeen()) seen.push_back(std::move(each));
  CHECK(seen == all);
  CHECK_FALSE(peer.client().readingPaused());
}

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
  CHECK(peer.received() == test::farewell(mqtt::ReasonCode::sessionTakenOver));
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

}  // namespace
}  // namespace mqttstack
