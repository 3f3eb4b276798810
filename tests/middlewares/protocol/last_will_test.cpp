#include "middlewares/protocol/last_will.hpp"

#include <catch2/catch.hpp>

#include "tests/middlewares/protocol_broker.hpp"

namespace mqttstack::test {
namespace {

using namespace std::chrono_literals;

/// How long the session lasts, and the will waits.
struct Times {
  std::uint32_t expiry = 0;
  std::uint32_t delay = 0;
};

Connect willing(Version version, Will will = {.topic = "will", .payload = "gone"},
                Times times = {}) {
  Connect connect = clean("author");
  if (version == Version::v5) {
    connect.properties.push_back(property(PropertyId::sessionExpiry, times.expiry));
    if (times.delay != 0) will.properties.push_back(property(PropertyId::willDelay, times.delay));
  }
  connect.will = std::move(will);
  return connect;
}
Connect delayed(Times times, bool cleanStart = true) {
  Connect connect = willing(Version::v5, {.topic = "will", .payload = "gone"}, times);
  connect.clean = cleanStart;
  return connect;
}

const Lines kPublished{"PUBLISH will 'gone'"};

struct Watched : ProtocolBroker {
  explicit Watched(const Parts& parts = {}, Version version = Version::v5)
      : ProtocolBroker{parts},
        watcher{join(*this, version, watching())} {
    subscribe(watcher, "#", 2);
  }
  static Connect watching() {
    Connect connect = clean("watcher");
    connect.keepAlive = 0;
    return connect;
  }

  Peer watcher;
};

TEST_CASE(
    "a client that vanishes has its will published, once [v311:3.1.2-8] [v5:3.1.2-8] "
    "[original:8.27]",
    "[last_will]") {
  Watched broker;
  const auto version = GENERATE(Version::v31, Version::v311, Version::v5);
  Peer peer = join(broker, version, willing(version));
  SECTION("FIN") { peer.end(); }
  SECTION("reset") { peer.reset(); }
  SECTION("protocol error") { peer.send(connectPacket(version, clean("author"))); }
  SECTION("keep alive") { broker.advance(91s); }
  SECTION("closed by the server") {
    peer.client().close(mqtt::ReasonCode::administrativeAction);
    broker.run();
  }
  CHECK(publishes(broker.watcher) == kPublished);
  broker.advance(1000s);
  CHECK(publishes(broker.watcher) == Lines{});
}

TEST_CASE("DISCONNECT takes the will back [v311:3.1.2-10] [v311:3.14.4-3] [v5:3.14.4-3]",
          "[last_will]") {
  Watched broker;
  const auto version = GENERATE(Version::v31, Version::v311, Version::v5);
  Peer peer = join(broker, version, willing(version));
  peer.send(disconnectPacket(version));
  broker.advance(1000s);
  CHECK(publishes(broker.watcher) == Lines{});
}

TEST_CASE("DISCONNECT with reason 0x04 asks for the will [v5:3.14.4-3]", "[last_will]") {
  Watched broker;
  Peer peer = join(broker, Version::v5, willing(Version::v5));
  peer.send(disconnectPacket(Version::v5, 0x04));
  CHECK(publishes(broker.watcher) == kPublished);
}

TEST_CASE("no will, nothing to publish [v311:3.1.2-12]", "[last_will]") {
  Watched broker;
  const auto version = GENERATE(Version::v31, Version::v311, Version::v5);
  Peer peer = join(broker, version, "author");
  peer.reset();
  CHECK(publishes(broker.watcher) == Lines{});
}

TEST_CASE("a client that was not accepted leaves no will", "[last_will]") {
  Watched broker{{.connection = {.maxClientIdBytes = 23}}};
  const auto version = GENERATE(Version::v31, Version::v311, Version::v5);
  Connect connect = willing(version);
  connect.clientId = std::string(30, 'x');
  Peer peer = dial(broker, version, connect);
  CHECK(peer.gone());
  CHECK(publishes(broker.watcher) == Lines{});
}

TEST_CASE("a will is delayed [v5:3.1.3-9]", "[last_will]") {
  Watched broker;
  Peer peer = join(broker, Version::v5, delayed({.expiry = 100, .delay = 10}));
  peer.reset();
  broker.advance(9s);
  CHECK(publishes(broker.watcher) == Lines{});
  SECTION("and published when the delay has passed") {
    broker.advance(1020ms);
    CHECK(publishes(broker.watcher) == kPublished);
    broker.advance(1000s);
    CHECK(publishes(broker.watcher) == Lines{});
  }
  SECTION("and cancelled when the client comes back") {
    Peer back = join(broker, Version::v5, persistent(Version::v5, "author"));
    broker.advance(1000s);
    CHECK(publishes(broker.watcher) == Lines{});
  }
  SECTION("and published when the client comes back for a new session") {
    Peer back = join(broker, Version::v5, "author");
    broker.advance(10ms);
    CHECK(publishes(broker.watcher) == kPublished);
  }
  SECTION("and still due when somebody in vain tries to come back") {
    Connect bad = persistent(Version::v5, "author");
    bad.properties.push_back(property(PropertyId::authMethod, "x"));
    Peer refused = dial(broker, Version::v5, bad);
    broker.advance(1020ms);
    CHECK(publishes(broker.watcher) == kPublished);
  }
}

TEST_CASE("a session that ends before the delay has its will published then [v5:3.1.3-9]",
          "[last_will]") {
  Watched broker;
  SECTION("at once") {
    Peer peer = join(broker, Version::v5, delayed({.expiry = 0, .delay = 10}));
    peer.reset();
    CHECK(publishes(broker.watcher) == kPublished);
  }
  SECTION("later") {
    Peer peer = join(broker, Version::v5, delayed({.expiry = 5, .delay = 10}));
    peer.reset();
    broker.advance(4s);
    CHECK(publishes(broker.watcher) == Lines{});
    broker.advance(1020ms);
    CHECK(publishes(broker.watcher) == kPublished);
  }
  broker.advance(1000s);
  CHECK(publishes(broker.watcher) == Lines{});
}

TEST_CASE("a takeover publishes the will as the standard has it [v5:3.1.3-9] [v311:3.1.4-2]",
          "[last_will]") {
  Watched broker;
  SECTION("MQTT 3: always") {
    const auto version = GENERATE(Version::v31, Version::v311);
    Peer peer = join(broker, version, willing(version));
    Peer other = join(broker, version, "author");
    CHECK(peer.gone());
    CHECK(publishes(broker.watcher) == kPublished);
  }
  SECTION("no delay: always") {
    Peer peer = join(broker, Version::v5, delayed({.expiry = 100}));
    Peer other = join(broker, Version::v5, persistent(Version::v5, "author"));
    CHECK(publishes(broker.watcher) == kPublished);
  }
  SECTION("a delay and the session goes on: never") {
    Peer peer = join(broker, Version::v5, delayed({.expiry = 100, .delay = 10}));
    Peer other = join(broker, Version::v5, persistent(Version::v5, "author"));
    broker.advance(1000s);
    CHECK(publishes(broker.watcher) == Lines{});
  }
  SECTION("a delay and the session ends with its connection") {
    Peer peer = join(broker, Version::v5, delayed({.expiry = 0, .delay = 10}));
    Peer other = join(broker, Version::v5, persistent(Version::v5, "author"));
    CHECK(publishes(broker.watcher) == kPublished);
  }
  SECTION("a delay and the session is discarded") {
    Peer peer = join(broker, Version::v5, delayed({.expiry = 100, .delay = 10}));
    Peer other = join(broker, Version::v5, "author");
    CHECK(publishes(broker.watcher) == kPublished);
  }
  SECTION("the will of the new connection is another one") {
    Peer peer = join(broker, Version::v5, delayed({.expiry = 100, .delay = 10}));
    Connect second = delayed({.expiry = 100, .delay = 20}, false);
    second.will->payload = "second";
    Peer other = join(broker, Version::v5, second);
    other.reset();
    broker.advance(1000s);
    CHECK(publishes(broker.watcher) == Lines{"PUBLISH will 'second'"});
  }
}

TEST_CASE("a delayed will of a session that was taken over and then left is not published",
          "[last_will]") {
  // The old client's packet is still deferred when the new one comes and goes.
  std::vector<Deferred> waiting;
  Watched broker{{.second = [&](TestBroker& b) {
    b.onPackets(mqtt::PacketType::publish, [&](Client&, Packet&, Next next, Done) {
      return next.defer([&](Deferred later) { waiting.push_back(std::move(later)); });
    });
  }}};
  Peer peer = join(broker, Version::v5, delayed({.expiry = 100, .delay = 10}));
  peer.send(publishPacket(Version::v5, {.topic = "t"}));
  Peer other = join(broker, Version::v5, persistent(Version::v5, "author"));
  other.send(disconnectPacket(Version::v5, 0, {property(PropertyId::sessionExpiry, 0)}));
  waiting.front().done();
  broker.run();
  broker.advance(1000s);
  CHECK(peer.gone());
  CHECK(publishes(broker.watcher) == Lines{});
}

TEST_CASE("a will has its QoS, and is retained if it says so [v311:3.1.2-16] [v311:3.1.2-17]",
          "[last_will]") {
  Watched broker;
  const auto version = GENERATE(Version::v31, Version::v311, Version::v5);
  const unsigned qos = GENERATE(0U, 1U, 2U);
  const bool retain = GENERATE(false, true);
  Peer peer =
      join(broker, version,
           willing(version, {.topic = "will", .payload = "x", .qos = qos, .retain = retain}));
  peer.reset();
  const std::string tail = qos == 0 ? "" : " q" + std::to_string(qos) + " #1";
  CHECK(publishes(broker.watcher) == Lines{"PUBLISH will 'x'" + tail});
  Peer later = join(broker, version, "later");
  later.send(subscribePacket(version, 1, {{"will", 2}}));
  broker.advance(10ms);
  CHECK(publishes(later) == (retain ? Lines{"PUBLISH will 'x'" + tail + " retain"} : Lines{}));
}

TEST_CASE(
    "a will keeps its properties in their order, and expires from its publication on "
    "[v5:3.3.2-18]",
    "[last_will]") {
  Watched broker;
  Will will{.topic = "will", .payload = "x", .retain = true};
  will.properties = {userProperty("b", "1"), property(PropertyId::messageExpiry, 30),
                     userProperty("a", "2"), property(PropertyId::contentType, "text"),
                     userProperty("b", "3")};
  Peer peer = join(broker, Version::v5, willing(Version::v5, will, {.expiry = 1000, .delay = 100}));
  peer.reset();
  broker.advance(100'020ms);
  CHECK(publishes(broker.watcher) ==
        Lines{"PUBLISH will 'x' messageExpiry=30 user=b:1 user=a:2 contentType=text user=b:3"});
  broker.advance(31s);
  Peer late = join(broker, Version::v5, "late");
  late.send(subscribePacket(Version::v5, 1, {{"will", 0}}));
  broker.advance(10ms);
  CHECK(publishes(late) == Lines{});
}

TEST_CASE("a will that may not be published is dropped, and said so in the log", "[last_will]") {
  Watched broker{{.second = [](TestBroker& b) {
    b.on<RelayMessage>([](RelayMessage& relay, Next next, Done) {
      if (relay.message->topic() == "will") return next(mqtt::ReasonCode::notAuthorized);
      return next();
    });
  }}};
  const auto version = GENERATE(Version::v31, Version::v311, Version::v5);
  Peer peer = join(broker, version, willing(version));
  peer.reset();
  CHECK(publishes(broker.watcher) == Lines{});
  bool told = false;
  for (const auto& line : broker.log) told |= line.text.find("\"will\"") != std::string::npos;
  CHECK(told);
}

TEST_CASE("the author of a will is who the client turned out to be", "[last_will]") {
  std::string author;
  ProtocolBroker broker{{.behindBackend = [&](TestBroker& b) {
    // Stands behind last_will, and says later who the client is.
    b.onPackets(mqtt::PacketType::connect, [](Client& client, Packet&, Next next, Done) {
      broker::IdentityFields fields = client.identity()->fields();
      fields.principal = "alice";
      client.setIdentity(broker::makeIdentity(std::move(fields)));
      return next();
    });
    b.on<RelayMessage>([&](RelayMessage& relay, Next next, Done) {
      author = relay.message->author()->principal();
      CHECK(relay.client == nullptr);
      CHECK(relay.stack == &b.stack());
      return next();
    });
  }}};
  Peer peer = join(broker, Version::v311, willing(Version::v311));
  peer.reset();
  CHECK(author == "alice");
}

TEST_CASE(
    "a will that the server can't keep its promise for refuses the client "
    "[v5:3.2.2-12] [v5:3.2.2-13]",
    "[last_will]") {
  Watched broker{{.inbound = {.maximumQos = 1}}};
  Peer peer = dial(broker, Version::v5, willing(Version::v5, {.topic = "will", .qos = 2}));
  CHECK(said(peer) == Lines{"CONNACK 155"});
  CHECK(peer.gone());
  CHECK(publishes(broker.watcher) == Lines{});
  CHECK(broker.metrics.value("sessions") == 1);
}

TEST_CASE("stop() drops wills whose delay runs", "[last_will]") {
  TestBroker broker;
  broker.use<Connection>();
  broker.use<KeepAlive>();
  auto& wills = broker.use<LastWill>();
  broker.use<MemoryBackend>();
  broker.use<SessionManager>();
  broker.use<SubscriptionManager>();
  broker.use<RetainManager>();
  broker.use<InboundManager>();
  broker.use<OutboundManager>();
  Peer watcher = join(broker, Version::v5, "watcher");
  subscribe(watcher, "#");
  Peer peer = join(broker, Version::v5, delayed({.expiry = 100, .delay = 10}));
  peer.reset();
  wills.stop();
  broker.advance(1000s);
  CHECK(publishes(watcher) == Lines{});
}

}  // namespace
}  // namespace mqttstack::test
