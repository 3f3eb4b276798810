#include "middlewares/protocol/keep_alive.hpp"

#include <catch2/catch.hpp>

#include "tests/middlewares/protocol_broker.hpp"

namespace mqttstack::test {
namespace {

using namespace std::chrono_literals;

Connect aliveFor(unsigned seconds, std::string clientId = "a") {
  Connect connect = clean(std::move(clientId));
  connect.keepAlive = seconds;
  return connect;
}

TEST_CASE("PINGREQ is answered [v311:3.12.4-1] [v5:3.12.4-1] [original:8.24]", "[keep_alive]") {
  ProtocolBroker broker;
  const auto version = GENERATE(Version::v31, Version::v311, Version::v5);
  Peer peer = join(broker, version, "a");
  peer.send(pingreqPacket() + pingreqPacket());
  CHECK(said(peer) == Lines{"PINGRESP", "PINGRESP"});
}

TEST_CASE("a client silent for 1.5 x its interval is closed [v311:3.1.2-24] [v5:3.1.2-22]",
          "[keep_alive]") {
  ProtocolBroker broker;
  const auto version = GENERATE(Version::v31, Version::v311, Version::v5);
  Peer peer = join(broker, version, aliveFor(10));
  broker.advance(14'990ms);
  CHECK_FALSE(peer.closed());
  broker.advance(30ms);
  CHECK(peer.gone());
  CHECK(said(peer) == (version == Version::v5 ? Lines{"DISCONNECT 0x8D"} : Lines{}));
}

TEST_CASE("the grace is an option", "[keep_alive]") {
  ProtocolBroker broker{{.keepAlive = {.grace = 3.0}}};
  Peer peer = join(broker, Version::v311, aliveFor(10));
  broker.advance(29s);
  CHECK_FALSE(peer.closed());
  broker.advance(2s);
  CHECK(peer.gone());
}

TEST_CASE("every packet renews the interval, and nothing else does", "[keep_alive]") {
  ProtocolBroker broker;
  const auto version = GENERATE(Version::v31, Version::v311, Version::v5);
  Peer peer = join(broker, version, aliveFor(10));
  subscribe(peer, "t");
  Peer publisher = join(broker, version, aliveFor(0, "publisher"));
  broker.advance(14s);

  SECTION("any packet") {
    peer.send(publishPacket(version, {.topic = "x"}));
    broker.advance(14s);
    CHECK_FALSE(peer.closed());
    broker.advance(1020ms);
    CHECK(peer.closed());
  }
  SECTION("not what we send") {
    publish(publisher, {.topic = "t"});
    CHECK(publishes(peer).size() == 1);
    broker.advance(1020ms);
    CHECK(peer.closed());
  }
  SECTION("not the beginning of a packet") {
    peer.send("\xC0");
    broker.advance(1020ms);
    CHECK(peer.closed());
  }
}

TEST_CASE("an interval of zero means none [v311:3.1.2.10] [v5:3.1.2.10]", "[keep_alive]") {
  ProtocolBroker broker;
  const auto version = GENERATE(Version::v31, Version::v311, Version::v5);
  Peer peer = dial(broker, version, aliveFor(0));
  CHECK(readConnack(version, peer.received()).code == 0);
  broker.advance(100h);
  CHECK_FALSE(peer.closed());
}

TEST_CASE("MQTT 5 clients are told of a shorter interval, and it holds [v5:3.1.2-22]",
          "[keep_alive]") {
  ProtocolBroker broker{{.keepAlive = {.maxKeepAlive = 30s}}};
  SECTION("longer than allowed") {
    Peer peer = dial(broker, Version::v5, aliveFor(31));
    CHECK(numberOf(readConnack(Version::v5, peer.received()).properties,
                   PropertyId::serverKeepAlive) == 30U);
    broker.advance(44s);
    CHECK_FALSE(peer.closed());
    broker.advance(1020ms);
    CHECK(peer.closed());
  }
  SECTION("as long as allowed: nothing is said") {
    Peer peer = dial(broker, Version::v5, aliveFor(30));
    CHECK_FALSE(numberOf(readConnack(Version::v5, peer.received()).properties,
                         PropertyId::serverKeepAlive));
  }
  SECTION("an MQTT 3 client cannot be told and keeps its own") {
    Peer peer = join(broker, Version::v311, aliveFor(60));
    broker.advance(89s);
    CHECK_FALSE(peer.closed());
    broker.advance(2s);
    CHECK(peer.closed());
  }
}

TEST_CASE("while we don't read a client, its silence proves nothing", "[keep_alive]") {
  std::vector<Deferred> waiting;
  ProtocolBroker broker{{.second = [&](TestBroker& b) {
    b.onPackets(mqtt::PacketType::publish, [&](Client&, Packet&, Next next, Done) {
      return next.defer([&](Deferred later) { waiting.push_back(std::move(later)); });
    });
  }}};
  Peer peer = join(broker, Version::v5, aliveFor(10));
  peer.send(publishPacket(Version::v5, {.topic = "t"}));
  CHECK(peer.paused());
  broker.advance(100s);
  CHECK_FALSE(peer.closed());
  waiting.front().next();
  broker.run();
  broker.advance(14s);
  CHECK_FALSE(peer.closed());  // it has its whole interval from now
  broker.advance(1020ms);
  CHECK(peer.closed());
}

TEST_CASE("after a stop of the whole process clients get a round to be heard", "[keep_alive]") {
  ProtocolBroker broker;
  Peer alive = join(broker, Version::v311, aliveFor(10, "alive"));
  Peer dead = join(broker, Version::v311, aliveFor(10, "dead"));
  broker.scheduler.jump(3600s);
  broker.run();
  CHECK_FALSE(alive.closed());
  CHECK_FALSE(dead.closed());
  alive.send(pingreqPacket());
  broker.advance(6s);
  CHECK_FALSE(alive.closed());
  CHECK(dead.closed());
}

TEST_CASE("the interval that other middlewares settled on is the one that holds", "[keep_alive]") {
  ProtocolBroker broker{{.last = [](TestBroker& b) {
    b.on<NegotiateConnection>([](NegotiateConnection& negotiate, SyncNext next, Done) {
      negotiate.terms.keepAlive = 5;
      return next();
    });
  }}};
  Peer peer = dial(broker, Version::v5, aliveFor(10));
  CHECK(numberOf(readConnack(Version::v5, peer.received()).properties,
                 PropertyId::serverKeepAlive) == 5U);
  broker.advance(7'520ms);
  CHECK(peer.closed());
}

}  // namespace
}  // namespace mqttstack::test
