#include <catch2/catch.hpp>

#include "tests/scenario/support/daemon.hpp"
#include "tests/scenario/support/raw_client.hpp"

using namespace mqttstack;

namespace {

/// A CONNECT of which every part can be wrong.
Bytes connectWith(Version version, std::string_view name, unsigned level, unsigned flags,
                  const Bytes& payload) {
  return packet(0x10,
                field(name) + u8(level) + u8(flags) + u16(60) + section(version, {}) + payload);
}

std::string_view nameOf(Version version) { return version == Version::v31 ? "MQIsdp" : "MQTT"; }

Bytes connectWith(Version version, unsigned flags, const Bytes& payload) {
  return connectWith(version, nameOf(version), static_cast<unsigned>(version), flags, payload);
}

}  // namespace

TEST_CASE("a client is accepted [v311:3.1.4-4] [v311:3.2.0-1] [v5:3.1.4-5] [v5:3.2.0-1]",
          "[connect]") {
  DaemonProcess daemon;
  const auto version = GENERATE(Version::v31, Version::v311, Version::v5);
  CAPTURE(version);
  RawClient client(daemon.endpoint(), version);
  const auto connack = client.connect({.clientId = "a"});
  CHECK_FALSE(connack.sessionPresent);
  client.expectNothing();
  client.disconnect();
}

TEST_CASE("CONNACK of MQTT 3 has exactly two bytes [v311:3.2.0-1]", "[connect]") {
  DaemonProcess daemon;
  RawClient old(daemon.endpoint(), Version::v31);
  old.send(hex("10 0F 00 06 4D 51 49 73 64 70 03 02 00 3C 00 01 61"));
  old.expect(hex("20 02 00 00"));
  RawClient client(daemon.endpoint(), Version::v311);
  client.send(hex("10 0D 00 04 4D 51 54 54 04 02 00 3C 00 01 62"));
  client.expect(hex("20 02 00 00"));
}

TEST_CASE("the client identifier may be 1 to 23 letters and digits [v311:3.1.3-5] [v5:3.1.3-5]",
          "[connect]") {
  DaemonProcess daemon;
  const auto version = GENERATE(Version::v31, Version::v311, Version::v5);
  CAPTURE(version);
  for (const std::string id : {"Z", "0123456789abcdefghijkLM"}) {
    RawClient client(daemon.endpoint(), version);
    client.connect({.clientId = id});
  }
}

TEST_CASE(
    "an empty client identifier is replaced by one of the server's [v5:3.1.3-6] "
    "[v5:3.1.3-7] [v5:3.2.2-16]",
    "[connect]") {
  DaemonProcess daemon;
  const bool clean = GENERATE(true, false);
  RawClient first(daemon.endpoint(), Version::v5);
  RawClient second(daemon.endpoint(), Version::v5);
  const auto a = textOf(first.connect({.clientId = "", .clean = clean}).properties,
                        PropertyId::assignedClientId);
  const auto b = textOf(second.connect({.clientId = "", .clean = clean}).properties,
                        PropertyId::assignedClientId);
  REQUIRE(a.has_value());
  REQUIRE(b.has_value());
  CHECK_FALSE(a->empty());
  CHECK(*a != *b);
  first.expectNothing();
}

TEST_CASE("an assigned client identifier resumes its session [v5:3.1.3-7]", "[connect]") {
  DaemonProcess daemon;
  auto connect = durable(Version::v5, "");
  RawClient first(daemon.endpoint(), Version::v5);
  const auto id = textOf(first.connect(connect).properties, PropertyId::assignedClientId);
  REQUIRE(id.has_value());
  first.disconnect();
  connect.clientId = *id;
  RawClient second(daemon.endpoint(), Version::v5);
  const auto connack = second.connect(connect);
  CHECK(connack.sessionPresent);
  CHECK_FALSE(textOf(connack.properties, PropertyId::assignedClientId).has_value());
}

TEST_CASE(
    "an empty client identifier needs a clean session in MQTT 3.1.1 [v311:3.1.3-6] [v311:3.1.3-7] "
    "[v311:3.1.3-8] [original:9.11] [original:9.12]",
    "[connect]") {
  DaemonProcess daemon;
  RawClient clean(daemon.endpoint(), Version::v311);
  clean.connect({.clientId = ""});
  RawClient other(daemon.endpoint(), Version::v311);
  other.connect({.clientId = ""});
  clean.expectNothing();

  RawClient durableOne(daemon.endpoint(), Version::v311);
  durableOne.send(connectPacket(Version::v311, {.clientId = "", .clean = false}));
  durableOne.expect(hex("20 02 00 02"));
  durableOne.expectClosed();
}

TEST_CASE("MQTT 3.1 refuses an empty client identifier", "[connect]") {
  DaemonProcess daemon;
  RawClient client(daemon.endpoint(), Version::v31);
  client.send(connectPacket(Version::v31, {.clientId = ""}));
  client.expect(hex("20 02 00 02"));
  client.expectClosed();
}

TEST_CASE("an unsupported protocol level is refused with code 1 [v311:3.1.2-2]", "[connect]") {
  DaemonProcess daemon;
  const unsigned level = GENERATE(0U, 2U, 3U);
  CAPTURE(level);
  RawClient client(daemon.endpoint());
  client.send(connectWith(Version::v311, "MQTT", level, 0x02, field("a")));
  client.expect(hex("20 02 00 01"));
  client.expectClosed();
}

TEST_CASE("a protocol level above 5 is refused with reason 0x84 [v5:3.1.2-2]", "[connect]") {
  DaemonProcess daemon;
  const unsigned level = GENERATE(6U, 127U, 255U);
  CAPTURE(level);
  RawClient client(daemon.endpoint(), Version::v5);
  client.send(connectWith(Version::v5, "MQTT", level, 0x02, field("a")));
  client.expectRefused(1, 0x84);
}

TEST_CASE("a wrong protocol name ends the connection [v311:3.1.2-1] [v5:3.1.2-1] [original:9.5]",
          "[connect]") {
  DaemonProcess daemon;
  const std::string name = GENERATE("", "mqtt", "MQTTX", "HTTP");
  CAPTURE(name);
  RawClient client(daemon.endpoint());
  client.send(connectWith(Version::v311, name, 4, 0x02, field("a")));
  client.expectClosed();
}

TEST_CASE("a second CONNECT is a protocol error [v311:3.1.0-2] [v5:3.1.0-2] [original:9.4]",
          "[connect]") {
  DaemonProcess daemon;
  const auto version = GENERATE(Version::v31, Version::v311, Version::v5);
  CAPTURE(version);
  RawClient client(daemon.endpoint(), version);
  client.connect();
  client.send(connectPacket(version, {}));
  client.expectDisconnected(0x82);
}

TEST_CASE("the first packet must be CONNECT [v311:3.1.0-1] [v5:3.1.0-1] [original:9.3]",
          "[connect]") {
  DaemonProcess daemon;
  const std::string first =
      GENERATE("C0 00", "E0 00", "30 04 00 01 61 78", "32 06 00 01 61 00 01 78", "40 02 00 01",
               "50 02 00 01", "62 02 00 01", "70 02 00 01", "82 06 00 01 00 01 61 00",
               "A2 05 00 01 00 01 61", "20 02 00 00", "90 03 00 01 00", "B0 02 00 01", "D0 00",
               "F0 00", "00 00");
  CAPTURE(first);
  RawClient client(daemon.endpoint());
  client.send(hex(first));
  client.expectClosed();
}

TEST_CASE(
    "a CONNECT with flag bits in its first byte ends the connection [v311:2.2.2-2] "
    "[v5:2.1.3-1]",
    "[connect]") {
  DaemonProcess daemon;
  const auto version = GENERATE(Version::v311, Version::v5);
  const unsigned flags = GENERATE(1U, 2U, 8U);
  CAPTURE(version, flags);
  RawClient client(daemon.endpoint(), version);
  auto connect = connectPacket(version, {});
  connect[0] = static_cast<char>(0x10U | flags);
  client.send(connect);
  client.expectClosed();
}

TEST_CASE("the reserved connect flag must be 0 [v311:3.1.2-3] [v5:3.1.2-3]", "[connect]") {
  DaemonProcess daemon;
  const auto version = GENERATE(Version::v311, Version::v5);
  CAPTURE(version);
  RawClient client(daemon.endpoint(), version);
  client.send(connectWith(version, 0x03, field("a")));
  client.expectConnectRejected(0x81);
}

TEST_CASE(
    "connect flags of the will must fit each other [v311:3.1.2-11] [v311:3.1.2-13] "
    "[v311:3.1.2-14] [v311:3.1.2-15] [v5:3.1.2-11] [v5:3.1.2-12] [v5:3.1.2-13]",
    "[connect]") {
  DaemonProcess daemon;
  const auto version = GENERATE(Version::v311, Version::v5);
  CAPTURE(version);
  SECTION("will QoS without a will") {
    const unsigned flags = GENERATE(0x0AU, 0x12U);
    RawClient client(daemon.endpoint(), version);
    client.send(connectWith(version, flags, field("a")));
    client.expectConnectRejected(0x81);
  }
  SECTION("will retain without a will") {
    RawClient client(daemon.endpoint(), version);
    client.send(connectWith(version, 0x22, field("a")));
    client.expectConnectRejected(0x81);
  }
  SECTION("will QoS 3") {
    RawClient client(daemon.endpoint(), version);
    client.send(
        connectWith(version, 0x1E, field("a") + section(version, {}) + field("w") + field("x")));
    client.expectConnectRejected(0x81);
  }
}

TEST_CASE(
    "a CONNECT lacks what its flags announce [v311:3.1.2-9] [v311:3.1.2-19] "
    "[v311:3.1.2-21] [v5:3.1.2-9] [v5:3.1.2-17] [v5:3.1.2-19]",
    "[connect]") {
  DaemonProcess daemon;
  const auto version = GENERATE(Version::v311, Version::v5);
  const unsigned flags = GENERATE(0x06U, 0x82U, 0xC2U);
  CAPTURE(version, flags);
  RawClient client(daemon.endpoint(), version);
  client.send(connectWith(version, flags, field("a")));
  client.expectConnectRejected(0x81);
}

TEST_CASE("a CONNECT has bytes that its flags don't announce [v311:3.1.2-18] [v5:3.1.2-16]",
          "[connect]") {
  DaemonProcess daemon;
  const auto version = GENERATE(Version::v311, Version::v5);
  CAPTURE(version);
  RawClient client(daemon.endpoint(), version);
  client.send(connectWith(version, 0x02, field("a") + field("user")));
  client.expectConnectRejected(0x81);
}

TEST_CASE("a password without a user name is for MQTT 5 only [v311:3.1.2-22] [v5:3.1.2-19]",
          "[connect]") {
  DaemonProcess daemon;
  RawClient old(daemon.endpoint(), Version::v311);
  old.send(connectPacket(Version::v311, {.password = "secret"}));
  old.expectClosed();
  // Well formed; and a pipeline that authenticates nobody has nothing against it.
  RawClient client(daemon.endpoint(), Version::v5);
  client.connect({.password = "secret"});
}

TEST_CASE(
    "strings of a CONNECT must be UTF-8 without U+0000 [v311:1.5.3-1] [v311:1.5.3-2] "
    "[v311:3.1.3-4] [v5:1.5.4-1] [v5:1.5.4-2] [v5:3.1.3-4] [v5:3.1.3-11] [v5:3.1.3-12]",
    "[connect]") {
  DaemonProcess daemon;
  const auto version = GENERATE(Version::v311, Version::v5);
  const std::string bad = hex(GENERATE("FF", "C0 80", "ED A0 80", "61 00 62", "F4 90 80 80", "C3"));
  CAPTURE(version, toHex(bad));
  SECTION("client identifier") {
    RawClient client(daemon.endpoint(), version);
    client.send(connectPacket(version, {.clientId = bad}));
    client.expectConnectRejected(0x81);
  }
  SECTION("will topic") {
    RawClient client(daemon.endpoint(), version);
    client.send(connectPacket(version, {.will = Will{.topic = bad, .payload = "x"}}));
    client.expectConnectRejected(0x81);
  }
  SECTION("user name") {
    RawClient client(daemon.endpoint(), version);
    client.send(connectPacket(version, {.userName = bad, .password = "x"}));
    client.expectConnectRejected(0x81);
  }
}

TEST_CASE("a will topic may not hold wildcards [v311:4.7.1-1] [v5:4.7.0-1]", "[connect]") {
  DaemonProcess daemon;
  const auto version = GENERATE(Version::v311, Version::v5);
  const std::string topic = GENERATE("a/+", "#", "");
  CAPTURE(version, topic);
  RawClient client(daemon.endpoint(), version);
  client.send(connectPacket(version, {.will = Will{.topic = topic, .payload = "x"}}));
  client.expectConnectRejected(0x90);
}

TEST_CASE("properties of a CONNECT are checked [v5:3.1.4-1]", "[connect]") {
  DaemonProcess daemon;
  struct Wrong {
    const char* what;
    std::string bytes;
    unsigned reason;
  };
  const auto wrong = GENERATE(
      Wrong{"unknown identifier", "7F 00", 0x81}, Wrong{"of another packet", "23 00 01", 0x81},
      Wrong{"cut short", "11 00 00", 0x81}, Wrong{"twice", "11 00 00 00 01 11 00 00 00 01", 0x82},
      Wrong{"receive maximum 0", "21 00 00", 0x82},
      Wrong{"maximum packet size 0", "27 00 00 00 00", 0x82},
      Wrong{"request problem information 2", "17 02", 0x82},
      Wrong{"request response information 2", "19 02", 0x82},
      Wrong{"authentication data without a method", "16 00 01 61", 0x82});
  CAPTURE(wrong.what);
  const Bytes properties = hex(wrong.bytes);
  RawClient client(daemon.endpoint(), Version::v5);
  client.send(packet(0x10, field("MQTT") + u8(5) + u8(2) + u16(60) +
                               varint(static_cast<std::uint32_t>(properties.size())) + properties +
                               field("a")));
  client.expectRefused(0, wrong.reason);
}

TEST_CASE("an authentication method that nobody offers is refused [v5:4.12.0-1]", "[connect]") {
  DaemonProcess daemon;
  RawClient client(daemon.endpoint(), Version::v5);
  client.send(connectPacket(Version::v5,
                            {.properties = {property(PropertyId::authMethod, "SCRAM-SHA-1")}}));
  client.expectRefused(0, 0x8C);
}

TEST_CASE("every truncated CONNECT is closed at the end of input [v311:3.1.4-1] [v5:3.1.4-1]",
          "[connect]") {
  DaemonProcess daemon;
  const auto version = GENERATE(Version::v31, Version::v311, Version::v5);
  const auto whole = connectPacket(
      version, {.clientId = "a", .will = Will{.topic = "w", .payload = "x"}, .userName = "u"});
  for (std::size_t length = 1; length < whole.size(); ++length) {
    CAPTURE(version, length);
    RawClient client(daemon.endpoint(), version);
    client.send(whole.substr(0, length));
    client.closeSending();
    client.expectClosed();
  }
}

TEST_CASE(
    "a CONNECT whose remaining length is too short for its content is rejected "
    "[v311:3.1.4-1] [v5:3.1.4-1]",
    "[connect]") {
  DaemonProcess daemon;
  const auto version = GENERATE(Version::v311, Version::v5);
  const auto whole = connectPacket(version, {.clientId = "abc"});
  for (std::size_t left = 0; left + 2 < whole.size(); ++left) {
    CAPTURE(version, left);
    RawClient client(daemon.endpoint(), version);
    client.send(packet(0x10, whole.substr(2, left)));
    // Whether the version can already be told decides between CONNACK and silence; at least the
    // connection must end and nothing may be accepted.
    client.closeSending();
    try {
      const auto connack = readConnack(version, client.receive());
      CHECK(connack.code != 0);
    } catch (const ExpectationFailed&) {
      continue;
    }
    client.expectClosed();
  }
}

TEST_CASE("packets sent behind CONNECT are processed after it", "[connect]") {
  DaemonProcess daemon;
  const auto version = GENERATE(Version::v31, Version::v311, Version::v5);
  CAPTURE(version);
  RawClient client(daemon.endpoint(), version);
  client.send(connectPacket(version, {}) + subscribePacket(version, 1, {{"a", 1}}) +
              publishPacket(version, {.topic = "a", .payload = "x"}) + pingreqPacket());
  CHECK(readConnack(version, client.receive()).code == 0);
  client.expectSuback(1, {1});
  client.expectPublish({.topic = "a", .payload = "x"});
  client.expect(pingrespPacket());
}

TEST_CASE("packets sent behind a refused CONNECT are not processed [v311:3.1.4-5] [v5:3.1.4-6]",
          "[connect]") {
  DaemonProcess daemon;
  RawClient witness(daemon.endpoint());
  witness.connect({.clientId = "witness"});
  witness.subscribe({{"#", 0}});
  RawClient refused(daemon.endpoint(), Version::v311);
  refused.send(connectPacket(Version::v311, {.clientId = "", .clean = false}) +
               publishPacket(Version::v311, {.topic = "a", .payload = "x", .retain = true}));
  refused.expect(hex("20 02 00 02"));
  refused.expectClosed();
  witness.expectNothing();
}

TEST_CASE("a client identifier in use is taken over [v311:3.1.4-2] [v5:3.1.4-3] [original:9.13]",
          "[connect]") {
  DaemonProcess daemon;
  const auto version = GENERATE(Version::v31, Version::v311, Version::v5);
  CAPTURE(version);
  RawClient first(daemon.endpoint(), version);
  first.connect({.clientId = "same"});
  RawClient second(daemon.endpoint(), version);
  second.connect({.clientId = "same"});
  first.expectDisconnected(0x8E);
  second.expectNothing();
}

TEST_CASE(
    "a client may be taken over by another version of the protocol [v311:3.1.4-2] "
    "[v5:3.1.4-3]",
    "[connect]") {
  DaemonProcess daemon;
  RawClient first(daemon.endpoint(), Version::v5);
  first.connect({.clientId = "same"});
  RawClient second(daemon.endpoint(), Version::v311);
  second.connect({.clientId = "same"});
  first.expectDisconnected(0x8E);
  RawClient third(daemon.endpoint(), Version::v31);
  third.connect({.clientId = "same"});
  second.expectClosed();
  third.expectNothing();
}
