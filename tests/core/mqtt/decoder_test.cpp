#include "core/mqtt/decoder.hpp"

#include <catch2/catch.hpp>

#include "tests/support/packets.hpp"

using namespace mqttstack;
using namespace mqttstack::test;
using mqtt::ProtocolVersion;
using mqtt::ReasonCode;
using mqtt::Sender;

TEST_CASE("every legal packet is decoded", "[decoder]") {
  REQUIRE(goodPackets().size() > 300);
  for (const GoodPacket& good : goodPackets()) {
    INFO(good.name << "\n" << toHex(std::string_view{good.bytes}.substr(0, 100)));
    const auto decoded = mqtt::decode(good.bytes, good.version, good.sender);
    CHECK((decoded ? "" : decoded.error().message()) == "");
    if (decoded) CHECK(same(*decoded, good.packet));
  }
}

TEST_CASE("every illegal packet fails for its reason", "[decoder]") {
  REQUIRE(badPackets().size() > 4000);
  for (const BadPacket& bad : badPackets()) {
    INFO(bad.name << "\n" << toHex(bad.bytes));
    const auto decoded = mqtt::decode(bad.bytes, bad.version, bad.sender);
    CHECK(!decoded);
    if (!decoded) CHECK(decoded.error() == bad.reason);
  }
}

TEST_CASE("a legal packet that is cut short is malformed", "[decoder]") {
  for (const GoodPacket& good : goodPackets()) {
    if (good.bytes.size() > 200) continue;
    for (std::size_t size = 0; size < good.bytes.size(); ++size) {
      INFO(good.name << ", cut to " << size);
      const std::string cut = good.bytes.substr(0, size);
      const auto decoded = mqtt::decode(cut, good.version, good.sender);
      REQUIRE(!decoded);
      REQUIRE(decoded.error() == ReasonCode::malformedPacket);
    }
  }
}

TEST_CASE("a legal packet with a byte behind it is malformed", "[decoder]") {
  for (const GoodPacket& good : goodPackets()) {
    INFO(good.name);
    const auto decoded = mqtt::decode(good.bytes + '\0', good.version, good.sender);
    REQUIRE(!decoded);
    REQUIRE(decoded.error() == ReasonCode::malformedPacket);
  }
}

TEST_CASE("a packet's contents cut short within its length never pass for the packet",
          "[decoder]") {
  for (const GoodPacket& good : goodPackets()) {
    if (good.bytes.size() > 100 || !good.canonical) continue;
    const std::string body = good.bytes.substr(2);
    if (body.ends_with('\0')) continue;  // a property length of 0, which may be left out
    for (std::size_t size = 0; size < body.size(); ++size) {
      const std::string cut =
          frame(static_cast<unsigned char>(good.bytes[0]), body.substr(0, size));
      INFO(good.name << "\n" << toHex(cut));
      const auto decoded = mqtt::decode(cut, good.version, good.sender);
      if (decoded) REQUIRE(!same(*decoded, good.packet));
    }
  }
}

TEST_CASE("decodeInto leaves nothing of the packet that was decoded before", "[decoder]") {
  mqtt::Packet packet;
  for (const GoodPacket& good : goodPackets()) {
    INFO(good.name);
    REQUIRE(!mqtt::decodeInto(packet, good.bytes, good.version, good.sender));
    REQUIRE(same(packet, good.packet));
  }
}

TEST_CASE("CONNECT names its own version whatever the caller says", "[decoder]") {
  for (const GoodPacket& good : goodPackets()) {
    if (!std::holds_alternative<mqtt::Connect>(good.packet)) continue;
    for (const auto version : {ProtocolVersion::v31, ProtocolVersion::v311, ProtocolVersion::v5}) {
      INFO(good.name);
      const auto decoded = mqtt::decode(good.bytes, version);
      REQUIRE(decoded);
      REQUIRE(same(*decoded, good.packet));
    }
  }
}

TEST_CASE("the version of a CONNECT is known even if the rest is broken", "[decoder]") {
  CHECK(*mqtt::versionOfConnect(hex("10 0D 00 04 'MQTT' 04")) == ProtocolVersion::v311);
  CHECK(*mqtt::versionOfConnect(hex("10 0D 00 04 'MQTT' 05 FF FF")) == ProtocolVersion::v5);
  CHECK(*mqtt::versionOfConnect(hex("10 80 01 00 06 'MQIsdp' 03")) == ProtocolVersion::v31);
  CHECK(mqtt::versionOfConnect(hex("10 0D 00 04 'MQTT' 06")).error() ==
        ReasonCode::unsupportedProtocolVersion);
  CHECK(mqtt::versionOfConnect(hex("10 0D 00 04 'mqtt' 04")).error() ==
        ReasonCode::unsupportedProtocolVersion);
  CHECK(mqtt::versionOfConnect(hex("C0 00")).error() == ReasonCode::protocolError);
  for (const char* cut : {"", "10", "10 80", "10 0D", "10 0D 00", "10 0D 00 04 'MQT'",
                          "10 0D 00 04 'MQTT'", "10 FF FF FF FF 00 04 'MQTT' 04"}) {
    CHECK(mqtt::versionOfConnect(hex(cut)).error() == ReasonCode::malformedPacket);
  }
}

TEST_CASE("an unknown version is refused in the nearest known one [v311:3.1.2-2] [v5:3.1.2-2]",
          "[decoder]") {
  CHECK(*mqtt::versionForRefusal(hex("10 0D 00 04 'MQTT' 04")) == ProtocolVersion::v311);
  CHECK(*mqtt::versionForRefusal(hex("10 0D 00 04 'MQTT' 05")) == ProtocolVersion::v5);
  CHECK(*mqtt::versionForRefusal(hex("10 0D 00 04 'MQTT' 06")) == ProtocolVersion::v5);
  CHECK(*mqtt::versionForRefusal(hex("10 0D 00 04 'MQTT' 03")) == ProtocolVersion::v311);
  CHECK(*mqtt::versionForRefusal(hex("10 0D 00 06 'MQIsdp' 04")) == ProtocolVersion::v31);
  CHECK(mqtt::versionForRefusal(hex("10 0D 00 04 'HTTP' 04")).error() ==
        ReasonCode::unsupportedProtocolVersion);
  CHECK(mqtt::versionForRefusal(hex("30 0D 00 04 'MQTT' 04")).error() == ReasonCode::protocolError);
}
