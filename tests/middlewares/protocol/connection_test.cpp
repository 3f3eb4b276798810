#include "middlewares/protocol/connection.hpp"

#include <catch2/catch.hpp>

#include "tests/middlewares/protocol_broker.hpp"

namespace mqttstack::test {
namespace {

using namespace std::chrono_literals;

constexpr auto kAll = {Version::v31, Version::v311, Version::v5};

/// Counts how connections ended.
struct Ends {
  std::size_t clean = 0;
  std::size_t unclean = 0;
};
Parts counting(Ends& ends, Parts parts = {}) {
  parts.last = [&ends](TestBroker& broker) {
    broker.on<CleanDisconnect>([&](CleanDisconnect&, Next next, Done) {
      ++ends.clean;
      return next();
    });
    broker.on<UncleanDisconnect>([&](UncleanDisconnect&, Next next, Done) {
      ++ends.unclean;
      return next();
    });
  };
  return parts;
}

Connect withId(std::string id, bool cleanSession) {
  Connect connect;
  connect.clientId = std::move(id);
  connect.clean = cleanSession;
  return connect;
}

TEST_CASE("a connection that sends no CONNECT in time is closed without a word", "[connection]") {
  Ends ends;
  ProtocolBroker broker{counting(ends, {.connection = {.connectTimeout = 10s}})};
  Peer silent = broker.open();
  Peer dribbling = broker.open();
  broker.advance(9s);
  dribbling.send("\x10");
  CHECK_FALSE(silent.closed());
  broker.advance(1020ms);
  CHECK(silent.gone());
  CHECK(dribbling.gone());
  CHECK(silent.received() == "");
  CHECK(dribbling.received() == "");
  CHECK(ends.clean + ends.unclean == 0);
}

TEST_CASE("the time limit for CONNECT ends with the CONNACK", "[connection]") {
  ProtocolBroker broker;
  Peer peer = join(broker, Version::v311, "a");
  broker.advance(60s);
  CHECK_FALSE(peer.closed());
}

TEST_CASE("a CONNECT that is deferred for too long is given up", "[connection]") {
  std::vector<Deferred> waiting;
  Ends ends;
  Parts parts = counting(ends, {.connection = {.connectTimeout = 5s}});
  parts.second = [&](TestBroker& broker) {
    broker.onPackets(mqtt::PacketType::connect, [&](Client&, Packet&, Next next, Done) {
      return next.defer([&](Deferred later) { waiting.push_back(std::move(later)); });
    });
  };
  ProtocolBroker broker{parts};
  const auto version = GENERATE(values(kAll));
  Peer peer = dial(broker, version, clean("a"));
  broker.advance(5020ms);
  CHECK(peer.closed());
  CHECK(peer.received() == "");
  waiting.front().next();
  broker.run();
  CHECK(peer.gone());
  CHECK(ends.clean + ends.unclean == 0);
  CHECK(broker.metrics.value("sessions") == 0);
}

TEST_CASE("a second CONNECT is a protocol error [v311:3.1.0-2] [v5:3.1.0-2]", "[connection]") {
  Ends ends;
  ProtocolBroker broker{counting(ends)};
  const auto version = GENERATE(values(kAll));
  Peer peer = join(broker, version, "a");
  peer.send(connectPacket(version, clean("a")));
  CHECK(said(peer) == (version == Version::v5 ? Lines{"DISCONNECT 0x82"} : Lines{}));
  CHECK(peer.gone());
  CHECK(ends.clean == 0);
  CHECK(ends.unclean == 1);
}

TEST_CASE(
    "an empty client identifier is assigned one where the version allows it [v311:3.1.3-6] "
    "[v311:3.1.3-8] [v5:3.1.3-6]",
    "[connection]") {
  ProtocolBroker broker;
  const auto version = GENERATE(values(kAll));
  const bool cleanSession = GENERATE(true, false);
  Peer peer = dial(broker, version, withId("", cleanSession));
  const bool assigned = version == Version::v5 || (version == Version::v311 && cleanSession);
  const Connack connack = readConnack(version, peer.received());
  if (assigned) {
    CHECK(connack.code == 0);
    CHECK_FALSE(connack.sessionPresent);
    CHECK(peer.client().clientId().size() > 16);
    if (version == Version::v5)
      CHECK(textOf(connack.properties, PropertyId::assignedClientId) == peer.client().clientId());
    Peer other = dial(broker, version, withId("", cleanSession));
    CHECK(other.client().clientId() != peer.client().clientId());
    CHECK_FALSE(peer.closed());
  } else {
    CHECK(connack.code == 2);
    CHECK(peer.gone());
  }
}

TEST_CASE("MQTT 3.1 client identifiers have at most 23 characters, unless that is allowed",
          "[connection]") {
  const bool lenient = GENERATE(false, true);
  ProtocolBroker broker{{.connection = {.longV31ClientIds = lenient}}};
  Peer fits = dial(broker, Version::v31, clean(std::string(23, 'x')));
  CHECK(said(fits) == Lines{"CONNACK 0"});
  Peer tooLong = dial(broker, Version::v31, clean(std::string(24, 'x')));
  CHECK(said(tooLong) == Lines{lenient ? "CONNACK 0" : "CONNACK 2"});
  // Characters, not bytes.
  std::string umlauts;
  for (int i = 0; i < 23; ++i) umlauts += "\xC3\xA4";
  Peer peer = dial(broker, Version::v31, clean(umlauts));
  CHECK(said(peer) == Lines{"CONNACK 0"});
}

TEST_CASE("too long a client identifier is refused [v311:3.1.3-9] [v5:3.1.3-8]", "[connection]") {
  ProtocolBroker broker{{.connection = {.maxClientIdBytes = 100}}};
  const auto version = GENERATE(Version::v311, Version::v5);
  Peer fits = join(broker, version, std::string(100, 'x'));
  Peer tooLong = dial(broker, version, clean(std::string(101, 'x')));
  CHECK(said(tooLong) == Lines{version == Version::v5 ? "CONNACK 133" : "CONNACK 2"});
  CHECK(tooLong.gone());
}

TEST_CASE("DISCONNECT ends the connection cleanly, and nobody is answered [v311:3.14.4-3]",
          "[connection]") {
  Ends ends;
  ProtocolBroker broker{counting(ends)};
  const auto version = GENERATE(values(kAll));
  Peer peer = join(broker, version, "a");
  SECTION("alone") { peer.send(disconnectPacket(version)); }
  SECTION("with FIN behind it") {
    peer.push(disconnectPacket(version));
    peer.end();
  }
  SECTION("with a reset behind it") {
    peer.push(disconnectPacket(version));
    peer.reset();
  }
  SECTION("with packets behind it, which are not processed") {
    peer.send(disconnectPacket(version) + pingreqPacket() + connectPacket(version, clean("b")));
  }
  CHECK(peer.gone());
  CHECK(peer.received() == "");
  CHECK(ends.clean == 1);
  CHECK(ends.unclean == 0);
}

TEST_CASE("DISCONNECT with another reason than 0x00 is no clean end [v5:3.14.4-3]",
          "[connection]") {
  Ends ends;
  ProtocolBroker broker{counting(ends)};
  const unsigned reason = GENERATE(0x04U, 0x80U, 0x93U);
  Peer peer = join(broker, Version::v5, "a");
  peer.send(disconnectPacket(Version::v5, reason));
  CHECK(peer.gone());
  CHECK(peer.received() == "");
  CHECK(ends.clean == 0);
  CHECK(ends.unclean == 1);
}

TEST_CASE("uncleanDisconnect comes exactly once, whatever ends a connection", "[connection]") {
  Ends ends;
  ProtocolBroker broker{counting(ends)};
  const auto version = GENERATE(values(kAll));
  Connect connect = clean("a");
  connect.keepAlive = 10;
  Peer peer = join(broker, version, connect);
  SECTION("FIN") { peer.end(); }
  SECTION("reset") { peer.reset(); }
  SECTION("a malformed packet, then FIN") {
    peer.push("\x00\x00");
    peer.end();
  }
  SECTION("several errors in one turn") { peer.send(std::string(100, '\0')); }
  SECTION("keep alive, then a reset") {
    broker.scheduler.advance(15s);
    peer.reset();
  }
  SECTION("closeClient twice, then FIN") {
    CloseClient close{peer.client(), mqtt::ReasonCode::administrativeAction};
    broker.stack().run(close);
    broker.stack().run(close);
    peer.end();
  }
  SECTION("takeover, with a reset in the same turn") {
    Peer other = broker.open(versionOf(version));
    other.push(connectPacket(version, connect));
    peer.reset();
    CHECK(ends.unclean == 1);
    other.send(disconnectPacket(version));
    CHECK(ends.clean == 1);
    ends.clean = 0;
  }
  CHECK(peer.gone());
  CHECK(ends.clean == 0);
  CHECK(ends.unclean == 1);
  broker.advance(1h);
  CHECK(ends.unclean == 1);
}

TEST_CASE("a client that goes while its packet is deferred ends once that has settled",
          "[connection]") {
  Ends ends;
  std::vector<Deferred> waiting;
  Parts parts = counting(ends);
  parts.second = [&](TestBroker& broker) {
    broker.onPackets(mqtt::PacketType::publish, [&](Client&, Packet&, Next next, Done) {
      return next.defer([&](Deferred later) { waiting.push_back(std::move(later)); });
    });
  };
  ProtocolBroker broker{parts};
  const auto version = GENERATE(values(kAll));
  Peer peer = join(broker, version, "a");
  peer.send(publishPacket(version, {.topic = "t", .qos = 1, .id = 1}));
  SECTION("reset") {
    peer.reset();
    CHECK(ends.unclean == 0);
    waiting.front().next();
    broker.run();
    CHECK(ends.unclean == 1);
    CHECK(ends.clean == 0);
  }
  SECTION("DISCONNECT and FIN behind it are still heard") {
    peer.push(disconnectPacket(version));
    peer.end();
    CHECK(ends.clean == 0);
    waiting.front().next();
    broker.run();
    CHECK(ends.clean == 1);
    CHECK(ends.unclean == 0);
  }
  SECTION("closed by us") {
    peer.client().close(mqtt::ReasonCode::serverShuttingDown);
    broker.run();
    CHECK(ends.unclean == 0);
    waiting.clear();  // dropped: fails, and the failure is of no interest any more
    broker.run();
    CHECK(ends.unclean == 1);
  }
  CHECK(peer.gone());
}

TEST_CASE("a client that was not accepted ends neither cleanly nor uncleanly", "[connection]") {
  Ends ends;
  ProtocolBroker broker{counting(ends)};
  const auto version = GENERATE(values(kAll));
  SECTION("no CONNECT") {
    Peer peer = broker.open(versionOf(version));
    peer.send(pingreqPacket());
    CHECK(peer.received() == "");
    CHECK(peer.gone());
  }
  SECTION("a CONNECT that is refused") {
    Peer peer = dial(broker, version, clean(std::string(2000, 'x')));
    CHECK(peer.gone());
  }
  SECTION("half a CONNECT") {
    Peer peer = broker.open(versionOf(version));
    peer.push(connectPacket(version, clean("a")).substr(0, 9));
    peer.end();
    CHECK(peer.gone());
  }
  CHECK(ends.clean + ends.unclean == 0);
}

TEST_CASE("DISCONNECT may shorten or lengthen the session, but not give one [v5:3.14.2-2]",
          "[connection]") {
  ProtocolBroker broker;
  const auto ending = [](std::uint32_t seconds) {
    return disconnectPacket(Version::v5, 0, {property(PropertyId::sessionExpiry, seconds)});
  };
  SECTION("longer") {
    Peer peer = join(broker, Version::v5, persistent(Version::v5, "a", 10));
    peer.send(ending(100));
    broker.advance(99s);
    CHECK(broker.metrics.value("sessions") == 1);
    broker.advance(2s);
    CHECK(broker.metrics.value("sessions") == 0);
  }
  SECTION("ends now") {
    Peer peer = join(broker, Version::v5, persistent(Version::v5, "a", 10));
    peer.send(ending(0));
    CHECK(broker.metrics.value("sessions") == 0);
  }
  SECTION("none was asked for at CONNECT") {
    Peer peer = join(broker, Version::v5, "a");
    peer.send(ending(100));
    CHECK(said(peer) == Lines{"DISCONNECT 0x82"});
    CHECK(broker.metrics.value("sessions") == 0);
  }
}

/// The last line that `connection` has logged.
std::string lastLine(const TestBroker& broker) {
  std::string last;
  for (const auto& line : broker.log)
    if (line.component == "connection") last = line.text;
  return last;
}

/// What a TLS library would give.
class OtherCategory final : public std::error_category {
  const char* name() const noexcept override { return "other"; }
  std::string message(int) const override { return "the peer showed no certificate"; }
};

TEST_CASE("the log says why a connection was not accepted", "[connection]") {
  ProtocolBroker broker{
      {.connection = {.connectTimeout = 10s, .maxClientIdBytes = 100, .maxUserNameBytes = 5}}};
  broker.listener.maximumConnectSize = 1024;
  Peer peer = broker.open();
  const auto endsWith = [&](const std::string& why) {
    CHECK(peer.gone());
    CHECK_THAT(lastLine(broker), Catch::Matchers::EndsWith(" was not accepted: " + why));
  };
  SECTION("no CONNECT came") {
    broker.advance(10'020ms);
    endsWith("no CONNECT within 10s (connect_timeout)");
  }
  SECTION("it speaks something else") {
    peer.send("GET / HTTP/1.1\r\n\r\n");
    endsWith("what it sent does not begin with a CONNECT of MQTT");
  }
  SECTION("it speaks TLS") {
    peer.send("\x16\x03\x01");
    endsWith("it began with TLS, which this listener does not speak");
  }
  SECTION("it names no version") {
    peer.send(std::string_view{"\x10\x08\x00\x04NOPE\x04\x00", 10});
    endsWith("its CONNECT names no version of MQTT");
  }
  SECTION("the transport failed") {
    peer.reset();
    endsWith("Connection reset by peer");
  }
  SECTION("TLS failed") {
    const OtherCategory category;
    peer.reset({1, category});
    endsWith("TLS: the peer showed no certificate");
  }
  SECTION("the CONNECT is too large") {
    peer.send(connectPacket(Version::v5, clean(std::string(1100, 'x'))));
    endsWith("Packet too large: more than 1024 bytes (the most that a CONNECT may have)");
  }
  SECTION("the client identifier is too long") {
    peer.send(connectPacket(Version::v5, clean(std::string(101, 'x'))));
    endsWith("Client Identifier not valid: it has 101 bytes (max_client_id_bytes = 100)");
  }
  SECTION("the client identifier is too long for MQTT 3.1") {
    peer.send(connectPacket(Version::v31, clean(std::string(24, 'x'))));
    endsWith(
        "Client Identifier not valid: it has 24 characters, and MQTT 3.1 allows 23 "
        "(long_v31_client_ids = true allows more)");
  }
  SECTION("the client identifier is empty") {
    peer.send(connectPacket(Version::v311, withId("", false)));
    endsWith(
        "Client Identifier not valid: it is empty, which takes MQTT 3.1.1 with a clean session, or "
        "MQTT 5");
  }
  SECTION("the user name is too long") {
    Connect connect = clean("a");
    connect.userName = "alice in wonderland";
    peer.send(connectPacket(Version::v5, connect));
    endsWith("Bad User Name or Password: a user name of 19 bytes (max_user_name_bytes = 5)");
  }
}

TEST_CASE("the log says why a connection ended", "[connection]") {
  ProtocolBroker broker;
  broker.listener.packets.topicBytes = 10;
  broker.listener.packets.userProperties = 1;
  broker.listener.maximumPacketSize = 1000;
  broker.listener.writeTimeout = 90s;
  Peer peer = join(broker, Version::v5, "a");
  const auto says = [&](const std::string& what) {
    CHECK_THAT(lastLine(broker), Catch::Matchers::EndsWith(what));
  };
  SECTION("DISCONNECT") {
    peer.send(disconnectPacket(Version::v5, 0, {}));
    says(" disconnected");
  }
  SECTION("no DISCONNECT") {
    peer.end();
    says(" vanished without DISCONNECT");
  }
  SECTION("a reset") {
    peer.reset();
    says(" vanished without DISCONNECT: Connection reset by peer");
  }
  SECTION("it read nothing") {
    peer.reset({ETIMEDOUT, std::system_category()});
    says(" was cut off: it took nothing for 1m30s (write_timeout)");
  }
  SECTION("another connection has come") {
    Peer other = join(broker, Version::v5, "a");
    bool said = false;
    for (const auto& line : broker.log)
      said |= line.text.ends_with(
          " was disconnected: Session taken over: another connection uses this client identifier");
    CHECK(said);
  }
  SECTION("a packet is too large") {
    peer.send(publishPacket(Version::v5, {.topic = "t", .payload = std::string(1000, 'x')}));
    says(
        " was disconnected: Packet too large: more than 1000 bytes (max_packet_size of the "
        "listener)");
  }
  SECTION("a topic is too long") {
    peer.send(publishPacket(Version::v5, {.topic = "eleven/bytes"}));
    says(
        " was disconnected: Topic Name invalid: more than max_topic_bytes or max_topic_levels of "
        "the "
        "listener");
  }
}

}  // namespace
}  // namespace mqttstack::test
