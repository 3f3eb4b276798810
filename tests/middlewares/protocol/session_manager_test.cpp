#include "middlewares/protocol/session_manager.hpp"

#include <catch2/catch.hpp>

#include "tests/middlewares/protocol_broker.hpp"

namespace mqttstack::test {
namespace {

using namespace std::chrono_literals;

TEST_CASE("the session of a client that comes back is present [v311:3.2.2-2] [v5:3.2.2-3]",
          "[session_manager]") {
  ProtocolBroker broker;
  const auto version = GENERATE(Version::v31, Version::v311, Version::v5);
  const std::string present = version == Version::v31 ? "" : " present";
  Peer first = dial(broker, version, persistent(version, "a"));
  CHECK_FALSE(said(first).front().ends_with("present"));
  first.reset();
  Peer second = dial(broker, version, persistent(version, "a"));
  CHECK(said(second).front().substr(0, 9 + present.size()) == "CONNACK 0" + present);
}

TEST_CASE(
    "a clean start discards the session and makes none that lasts [v311:3.1.2-6] "
    "[v5:3.1.2-4]",
    "[session_manager]") {
  ProtocolBroker broker;
  const auto version = GENERATE(Version::v311, Version::v5);
  Peer first = join(broker, version, persistent(version, "a"));
  subscribe(first, "t", 1);
  first.reset();
  Peer publisher = join(broker, version, "publisher");
  publish(publisher, {.topic = "t", .qos = 1});

  Peer second = dial(broker, version, clean("a"));
  CHECK(said(second).front().find("present") == std::string::npos);
  publish(publisher, {.topic = "t", .qos = 1});
  CHECK(said(second) == Lines{});
  second.send(disconnectPacket(version));
  Peer third = dial(broker, version, persistent(version, "a"));
  CHECK(said(third).front().find("present") == std::string::npos);
}

TEST_CASE(
    "what comes while a client is away waits for it, CONNACK first [v311:4.5.0-1] "
    "[v5:4.5.0-1] [v5:3.2.0-1]",
    "[session_manager]") {
  ProtocolBroker broker;
  const auto version = GENERATE(Version::v31, Version::v311, Version::v5);
  Peer peer = join(broker, version, persistent(version, "a"));
  subscribe(peer, "t", 2);
  peer.reset();
  Peer publisher = join(broker, version, "publisher");
  publish(publisher, {.topic = "t", .payload = "0", .qos = 0});
  publish(publisher, {.topic = "t", .payload = "1", .qos = 1});
  publish(publisher, {.topic = "t", .payload = "2", .qos = 2});
  Peer back = dial(broker, version, persistent(version, "a"));
  const Lines lines = said(back);
  REQUIRE(lines.size() == 3);
  CHECK(lines[0].starts_with("CONNACK 0"));
  CHECK(lines[1] == "PUBLISH t '1' q1 #1");
  CHECK(lines[2] == "PUBLISH t '2' q2 #2");
}

TEST_CASE("a CONNACK says what differs from the defaults, and no more [v5:3.2.2]",
          "[session_manager]") {
  SECTION("of a server with the defaults of the standard") {
    ProtocolBroker broker{{.inbound = {.receiveMaximum = 65'535, .topicAliasMaximum = 0}}};
    Peer peer = dial(broker, Version::v5, clean("a"));
    CHECK(said(peer) == Lines{"CONNACK 0 maximumPacketSize=1048576"});
  }
  SECTION("of our own") {
    ProtocolBroker broker;
    Peer peer = dial(broker, Version::v5, persistent(Version::v5, "a", 60));
    CHECK(said(peer) ==
          Lines{"CONNACK 0 receiveMaximum=100 maximumPacketSize=1048576 topicAliasMaximum=16"});
  }
  SECTION("of one that offers little") {
    ProtocolBroker broker{
        {.keepAlive = {.maxKeepAlive = 30s},
         .sessions = {.maxSessionExpiry = 50s},
         .subscriptions = {false, false, false},
         .inbound = {.receiveMaximum = 5, .topicAliasMaximum = 1, .maximumQos = 0}}};
    broker.listener.maximumPacketSize = 5000;
    Connect connect = persistent(Version::v5, "", 60);
    connect.clean = true;
    Peer peer = dial(broker, Version::v5, connect);
    CHECK(said(peer) ==
          Lines{"CONNACK 0 sessionExpiry=50 receiveMaximum=5 maximumQos=0 maximumPacketSize=5000 "
                "assignedClientId=" +
                peer.client().clientId() +
                " topicAliasMaximum=1 wildcardAvailable=0 subscriptionIdAvailable=0 "
                "sharedAvailable=0 serverKeepAlive=30"});
  }
  SECTION("to an MQTT 3 client nothing") {
    ProtocolBroker broker;
    const auto version = GENERATE(Version::v31, Version::v311);
    Peer peer = dial(broker, version, clean("a"));
    CHECK(peer.received() == mqttstack::hex("20 02 00 00"));
  }
}

TEST_CASE("a session expires, no later than the server allows [v5:3.1.2-23] [v5:4.1.0-2]",
          "[session_manager]") {
  ProtocolBroker broker{{.sessions = {.maxSessionExpiry = 100s}}};
  SECTION("as asked") {
    Peer peer = join(broker, Version::v5, persistent(Version::v5, "a", 60));
    peer.reset();
    broker.advance(59s);
    CHECK(broker.metrics.value("sessions") == 1);
    broker.advance(1020ms);
    CHECK(broker.metrics.value("sessions") == 0);
  }
  SECTION("not while connected") {
    Connect connect = persistent(Version::v5, "a", 1);
    connect.keepAlive = 0;
    Peer peer = join(broker, Version::v5, connect);
    broker.advance(1000s);
    CHECK(broker.metrics.value("sessions") == 1);
  }
  SECTION("limited, and told so") {
    const std::uint32_t asked = GENERATE(101U, 0xFFFFFFFFU);
    Peer peer = dial(broker, Version::v5, persistent(Version::v5, "a", asked));
    CHECK(numberOf(readConnack(Version::v5, peer.received()).properties,
                   PropertyId::sessionExpiry) == 100U);
    peer.reset();
    broker.advance(99s);
    CHECK(broker.metrics.value("sessions") == 1);
    broker.advance(1020ms);
    CHECK(broker.metrics.value("sessions") == 0);
  }
  SECTION("of MQTT 3 clients as the server wants it") {
    const auto version = GENERATE(Version::v31, Version::v311);
    Peer peer = join(broker, version, persistent(version, "a"));
    peer.send(disconnectPacket(version));
    broker.advance(99s);
    CHECK(broker.metrics.value("sessions") == 1);
    broker.advance(1020ms);
    CHECK(broker.metrics.value("sessions") == 0);
  }
  SECTION("an expired one is not present") {
    Peer peer = join(broker, Version::v5, persistent(Version::v5, "a", 60));
    peer.reset();
    broker.advance(61s);
    Peer back = dial(broker, Version::v5, persistent(Version::v5, "a", 60));
    CHECK(said(back).front().find("present") == std::string::npos);
  }
  SECTION("coming back stops the clock") {
    Peer peer = join(broker, Version::v5, persistent(Version::v5, "a", 60));
    peer.reset();
    broker.advance(50s);
    Peer back = join(broker, Version::v5, persistent(Version::v5, "a", 60));
    back.reset();
    broker.advance(50s);
    CHECK(broker.metrics.value("sessions") == 1);
  }
}

TEST_CASE("a new connection takes the session from the old [v311:3.1.4-2] [v5:3.1.4-3]",
          "[session_manager]") {
  ProtocolBroker broker;
  const auto version = GENERATE(Version::v31, Version::v311, Version::v5);
  Peer old = join(broker, version, persistent(version, "a"));
  subscribe(old, "t", 1);
  Peer fresh = dial(broker, version, persistent(version, "a"));
  CHECK(old.gone());
  CHECK(said(old) == (version == Version::v5 ? Lines{"DISCONNECT 0x8E"} : Lines{}));
  const std::string connack = said(fresh).front();
  CHECK((connack.find("present") != std::string::npos) == (version != Version::v31));
  Peer publisher = join(broker, version, "publisher");
  publish(publisher, {.topic = "t", .payload = "x", .qos = 1});
  CHECK(said(fresh) == Lines{"PUBLISH t 'x' q1 #1"});
}

TEST_CASE("of fifty clients of one name the last is left", "[session_manager]") {
  ProtocolBroker broker;
  const auto version = GENERATE(Version::v31, Version::v311, Version::v5);
  const bool cleanSession = GENERATE(true, false);
  std::vector<Peer> peers;
  for (int i = 0; i < 50; ++i) {
    peers.push_back(broker.open(versionOf(version)));
    peers.back().push(connectPacket(version, cleanSession ? clean("a") : persistent(version, "a")));
  }
  broker.run();
  for (int i = 0; i < 49; ++i) CHECK(peers[static_cast<std::size_t>(i)].gone());
  CHECK_FALSE(peers.back().closed());
  CHECK(broker.metrics.value("sessions") == 1);
  subscribe(peers.back(), "t");
  publish(peers.back(), {.topic = "t", .payload = "x"});
  CHECK(said(peers.back()) == Lines{"PUBLISH t 'x'"});
}

TEST_CASE("the session of another principal is out of reach (CVE-2026-6564)", "[session_manager]") {
  // Who gives a user name is believed.
  ProtocolBroker broker{{.second = [](TestBroker& b) {
    b.onPackets(mqtt::PacketType::connect, [](Client& client, Packet& packet, Next next, Done) {
      const auto& name = packet.as<mqtt::Connect>().userName;
      broker::IdentityFields fields = client.identity()->fields();
      fields.anonymous = !name;
      fields.principal = name.value_or("anonymous");
      client.setIdentity(broker::makeIdentity(std::move(fields)));
      return next();
    });
  }}};
  const auto version = GENERATE(Version::v31, Version::v311, Version::v5);
  const bool connected = GENERATE(true, false);
  const bool cleanStart = GENERATE(true, false);
  Connect alice = persistent(version, "a");
  alice.userName = "alice";
  Peer owner = join(broker, version, alice);
  if (!connected) owner.reset();

  Connect other = cleanStart ? clean("a") : persistent(version, "a");
  if (GENERATE(true, false)) other.userName = "mallory";
  Peer thief = dial(broker, version, other);
  CHECK(said(thief) == Lines{version == Version::v5 ? "CONNACK 133" : "CONNACK 2"});
  CHECK(thief.gone());
  CHECK(owner.closed() == !connected);
  CHECK(broker.metrics.value("sessions") == 1);
}

TEST_CASE("a session is opened later, and all the same", "[session_manager]") {
  std::vector<Deferred> waiting;
  std::function<Flow(Next)> answer;
  ProtocolBroker broker{{.behindBackend = [&](TestBroker& b) {
    b.on<OpenSession>([&](OpenSession&, Next next, Done) {
      return next.defer([&](Deferred later) { waiting.push_back(std::move(later)); });
    });
  }}};
  const auto version = GENERATE(Version::v31, Version::v311, Version::v5);
  Peer peer = dial(broker, version, persistent(version, "a"));
  peer.push(pingreqPacket());
  CHECK(peer.received() == "");
  REQUIRE(waiting.size() == 1);

  SECTION("accepted") {
    waiting.front().next();
    broker.run();
    const Lines lines = said(peer);
    REQUIRE(lines.size() == 2);
    CHECK(lines[0].starts_with("CONNACK 0"));
    CHECK(lines[1] == "PINGRESP");
  }
  SECTION("refused") {
    waiting.front().fail(mqtt::ReasonCode::serverUnavailable);
    broker.run();
    CHECK(said(peer) == Lines{version == Version::v5 ? "CONNACK 136" : "CONNACK 3"});
    CHECK(peer.gone());
  }
  SECTION("dropped") {
    waiting.clear();
    broker.run();
    CHECK(peer.gone());
  }
  SECTION("the client has gone meanwhile") {
    peer.reset();
    waiting.front().next();
    broker.run();
    CHECK(peer.gone());
    CHECK(peer.received() == "");
    CHECK(broker.metrics.value("sessions") == 0);
    CHECK(broker.stack().parkedWalks() == 0);
  }
}

TEST_CASE("a resumed session keeps the subscriptions that it may still have", "[session_manager]") {
  bool allowed = true;
  bool defers = false;
  std::vector<Deferred> waiting;
  ProtocolBroker broker{{.second = [&](TestBroker& b) {
    b.on<SubscribeTopic>([&](SubscribeTopic& subscribe, Next next, Done) {
      if (!allowed && subscribe.filter == "secret") {
        CHECK(subscribe.restoring);
        subscribe.granted = mqtt::ReasonCode::notAuthorized;
      }
      if (!defers) return next();
      return next.defer([&](Deferred later) { waiting.push_back(std::move(later)); });
    });
  }}};
  const auto version = GENERATE(Version::v31, Version::v311, Version::v5);
  Peer peer = join(broker, version, persistent(version, "a"));
  subscribe(peer, "open", 1);
  subscribe(peer, "secret", 1);
  subscribe(peer, "other", 1);
  peer.reset();
  allowed = GENERATE(true, false);
  defers = GENERATE(true, false);
  Peer back = dial(broker, version, persistent(version, "a"));
  if (defers) {
    CHECK(back.received() == "");
    for (int i = 0; i < 3; ++i) {
      REQUIRE(waiting.size() == 1);
      Deferred later = std::move(waiting.front());
      waiting.clear();
      later.next();
      broker.run();
    }
    defers = false;
  }
  REQUIRE(said(back).front().starts_with("CONNACK 0"));
  CHECK(broker.metrics.value("subscriptions") == (allowed ? 3 : 2));
  Peer publisher = join(broker, version, "publisher");
  for (const char* topic : {"open", "secret", "other"})
    publish(publisher, {.topic = topic, .payload = "x", .qos = 1});
  CHECK(said(back).size() == (allowed ? 3 : 2));
}

TEST_CASE("a client that is taken over while its session is restored changes it no more",
          "[session_manager]") {
  std::vector<Deferred> waiting;
  bool defers = false;
  ProtocolBroker broker{{.second = [&](TestBroker& b) {
    b.on<SubscribeTopic>([&](SubscribeTopic&, Next next, Done) {
      if (!defers) return next();
      return next.defer([&](Deferred later) { waiting.push_back(std::move(later)); });
    });
  }}};
  Peer peer = join(broker, Version::v5, persistent(Version::v5, "a"));
  subscribe(peer, "t", 1);
  peer.reset();
  defers = true;
  Peer slow = dial(broker, Version::v5, persistent(Version::v5, "a"));
  defers = false;
  const bool cleanStart = GENERATE(true, false);
  Peer fast = dial(broker, Version::v5, cleanStart ? clean("a") : persistent(Version::v5, "a"));
  CHECK(said(fast).front().starts_with("CONNACK 0"));
  waiting.front().next();
  broker.run();
  CHECK(slow.gone());
  CHECK(broker.metrics.value("subscriptions") == (cleanStart ? 0 : 1));
  CHECK_FALSE(fast.closed());
}

TEST_CASE("who is refused by the terms takes nobody's place [v5:3.2.2-12]", "[session_manager]") {
  ProtocolBroker broker{{.inbound = {.maximumQos = 0}}};
  const auto version = GENERATE(Version::v311, Version::v5);
  Peer owner = join(broker, version, persistent(version, "a"));
  Connect connect = persistent(version, "a");
  connect.will = Will{.topic = "w", .qos = 1};
  Peer refused = dial(broker, version, connect);
  CHECK(said(refused) == (version == Version::v5 ? Lines{"CONNACK 155"} : Lines{}));
  CHECK(refused.gone());
  CHECK_FALSE(owner.closed());
}

TEST_CASE("the backend has to stand before the session manager", "[session_manager]") {
  TestBroker broker;
  broker.use<SessionManager>();
  broker.use<MemoryBackend>();
  const auto findings = broker.validate();
  REQUIRE(findings.size() == 1);
  CHECK(findings[0].message.find("\"session_manager\" stands before \"memory_backend\"") !=
        std::string::npos);
}

TEST_CASE(
    "a session lasts as long as its connection, however soon it would expire [v311:4.1.0-2] "
    "[v5:4.1.0-1]",
    "[session_manager]") {
  ProtocolBroker broker{{.sessions = {.maxSessionExpiry = std::chrono::seconds{1}}}};
  const auto version = GENERATE(Version::v31, Version::v311, Version::v5);
  Connect connect = GENERATE(true, false) ? clean("a") : persistent(version, "a", 1);
  connect.keepAlive = 0;
  Peer peer = join(broker, version, connect);
  subscribe(peer, "t", 1);
  broker.advance(std::chrono::hours{24});
  Peer publisher = join(broker, version, "publisher");
  publish(publisher, {.topic = "t", .payload = "x", .qos = 1});
  CHECK(publishes(peer) == Lines{"PUBLISH t 'x' q1 #1"});
}

}  // namespace
}  // namespace mqttstack::test
