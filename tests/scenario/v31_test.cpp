#include <catch2/catch.hpp>

#include "tests/scenario/support/daemon.hpp"
#include "tests/scenario/support/raw_client.hpp"

using namespace mqttstack;

// What MQTT 3.1 (MQIsdp, level 3) has of its own. It has no numbered statements.

namespace {

/// A CONNECT with these flags and this payload.
Bytes connectWith(unsigned flags, const Bytes& payload) {
  return packet(0x10, field("MQIsdp") + u8(3) + u8(flags) + u16(60) + payload);
}

const Bytes kAccepted = hex("20 02 00 00");

}  // namespace

TEST_CASE("an MQTT 3.1 client id has 1 to 23 characters, unless the option allows more", "[v31]") {
  const std::string id(24, 'c');
  const std::string umlauts = [] {
    std::string text;
    for (int i = 0; i < 23; ++i) text += "\xC3\xA4";
    return text;
  }();
  SECTION("by default") {
    DaemonProcess daemon;
    for (const std::string& allowed : {std::string{"c"}, id.substr(1), umlauts}) {
      RawClient client(daemon.endpoint(), Version::v31);
      client.connect({.clientId = allowed});
      client.settle();
    }
    RawClient client(daemon.endpoint(), Version::v31);
    client.send(connectPacket(Version::v31, {.clientId = id}));
    client.expect(hex("20 02 00 02"));
    client.expectClosed();
  }
  SECTION("by the option") {
    DaemonProcess daemon(plainConfig("[middleware.connection]\nlong_v31_client_ids = true\n"));
    RawClient client(daemon.endpoint(), Version::v31);
    client.connect({.clientId = id});
    client.settle();
  }
}

TEST_CASE("an MQTT 3.1 client may announce a user name and a password, and leave them out",
          "[v31]") {
  DaemonProcess daemon;
  const unsigned flags = GENERATE(0x82U, 0xC2U);
  const Bytes userName = GENERATE(Bytes{}, field("user"));
  CAPTURE(flags, userName);
  RawClient client(daemon.endpoint(), Version::v31);
  client.send(connectWith(flags, field("c") + userName));
  client.expect(kAccepted);
  client.settle();
}

TEST_CASE("bit 0 of the MQTT 3.1 connect flags means nothing", "[v31]") {
  DaemonProcess daemon;
  RawClient client(daemon.endpoint(), Version::v31);
  client.send(connectWith(0x03, field("c")));
  client.expect(kAccepted);
  client.settle();
}

TEST_CASE("an MQTT 3.1 CONNACK never speaks of a session", "[v31]") {
  DaemonProcess daemon;
  for (int i = 0; i < 2; ++i) {
    RawClient client(daemon.endpoint(), Version::v31);
    client.send(connectWith(0x00, field("c")));
    client.expect(kAccepted);
    if (i == 0) client.subscribe({{"t", 1}});
    if (i == 1) {
      // It is there all the same.
      client.publish({.topic = "t", .payload = "x"});
      client.expectPublish({.topic = "t", .payload = "x"});
    }
    client.disconnect();
  }
}

TEST_CASE("MQTT 3.1 requests may be repeated with DUP on the same connection", "[v31]") {
  DaemonProcess daemon;
  RawClient client(daemon.endpoint(), Version::v31);
  client.connect();
  // SUBSCRIBE, UNSUBSCRIBE and PUBREL have DUP in bit 3.
  const Bytes subscribe = u16(7) + field("t") + u8(2);
  for (const unsigned first : {0x82U, 0x8AU}) {
    client.send(packet(first, subscribe));
    client.expect(hex("90 03 00 07 02"));
  }
  client.send(publishPacket(Version::v31, {.topic = "t", .payload = "x", .qos = 2, .id = 9}));
  const auto message = client.expectPublish({.topic = "t", .payload = "x", .qos = 2});
  client.expect(hex("50 02 00 09"));
  client.send(
      publishPacket(Version::v31, {.topic = "t", .payload = "x", .qos = 2, .id = 9, .dup = true}));
  client.expect(hex("50 02 00 09"));
  for (const char* pubrel : {"62 02 00 09", "6A 02 00 09"}) {
    client.send(hex(pubrel));
    client.expect(hex("70 02 00 09"));
  }
  // A PUBREC is answered as often as it comes.
  for (int i = 0; i < 2; ++i) {
    client.send(pubrecPacket(message.id));
    client.expect(pubrelPacket(message.id));
  }
  client.send(pubcompPacket(message.id));
  for (const unsigned first : {0xA2U, 0xAAU}) {
    client.send(packet(first, u16(8) + field("t")));
    client.expect(hex("B0 02 00 08"));
  }
  client.expectNothing();
}

TEST_CASE("an MQTT 3.1 client is answered a CONNECT by another protocol as one of MQTT 3",
          "[v31]") {
  DaemonProcess daemon;
  RawClient client(daemon.endpoint(), Version::v31);
  client.send(packet(0x10, field("MQIsdp") + u8(4) + u8(2) + u16(60) + field("c")));
  client.expect(hex("20 02 00 01"));
  client.expectClosed();
}
