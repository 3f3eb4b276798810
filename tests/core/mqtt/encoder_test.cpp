#include "core/mqtt/encoder.hpp"

#include <catch2/catch.hpp>

#include "core/mqtt/decoder.hpp"
#include "tests/support/packets.hpp"

using namespace mqttstack;
using namespace mqttstack::test;
using mqtt::ProtocolVersion;
using mqtt::ReasonCode;

namespace {

template <class P>
std::string encodedAs(ProtocolVersion version, const P& packet) {
  return toHex(encoded(packet, version));
}

}  // namespace

TEST_CASE("every packet is encoded byte for byte", "[encoder]") {
  for (const GoodPacket& good : goodPackets()) {
    if (!good.canonical) continue;
    INFO(good.name);
    CHECK(toHex(encoded(good.packet, good.version)) == toHex(good.bytes));
  }
}

TEST_CASE("a packet in a form of the peer's own is encoded in ours", "[encoder]") {
  for (const GoodPacket& good : goodPackets()) {
    if (good.canonical) continue;
    INFO(good.name);
    const std::string ours = encoded(good.packet, good.version);
    CHECK(toHex(ours) != toHex(good.bytes));
    const auto decoded = mqtt::decode(ours, good.version, good.sender);
    REQUIRE(decoded);
    CHECK(same(*decoded, good.packet));
  }
}

TEST_CASE("encode writes exactly what encodedSize says", "[encoder]") {
  for (const GoodPacket& good : goodPackets()) {
    INFO(good.name);
    const std::size_t size = mqtt::encodedSize(good.packet, good.version);
    std::string out(size + 8, '\x5A');
    const char* end = mqtt::encode(good.packet, good.version, out.data());
    CHECK(end == out.data() + size);
    CHECK(out.substr(size) == std::string(8, '\x5A'));
  }
}

TEST_CASE("the remaining length takes as many bytes as it needs [v5:1.5.5-1]", "[encoder]") {
  const std::pair<std::size_t, std::size_t> lengths[] = {
      {127, 1}, {128, 2}, {16'383, 2}, {16'384, 3}, {2'097'151, 3}, {2'097'152, 4}};
  for (const auto& [length, bytes] : lengths) {
    const std::string payload(length - 3, 'x');
    const mqtt::Publish packet{.topic = "a", .payload = payload};
    CHECK(mqtt::encodedSize(packet, ProtocolVersion::v311) == 1 + bytes + length);
    const std::string out = encoded(packet, ProtocolVersion::v311);
    const auto decoded = mqtt::decode(out, ProtocolVersion::v311);
    REQUIRE(decoded);
    CHECK(same(*decoded, packet));
  }
}

TEST_CASE("a code is written with a property length, success in the short form [v5:2.2.2-1]",
          "[encoder]") {
  CHECK(encodedAs(ProtocolVersion::v5, mqtt::Puback{.packetId = 10}) == "40 02 00 0A");
  CHECK(encodedAs(ProtocolVersion::v5,
                  mqtt::Puback{.packetId = 10, .code = ReasonCode::noMatchingSubscribers}) ==
        "40 04 00 0A 10 00");
  CHECK(encodedAs(ProtocolVersion::v5, mqtt::Disconnect{}) == "E0 00");
  CHECK(encodedAs(ProtocolVersion::v5, mqtt::Disconnect{.code = ReasonCode::sessionTakenOver}) ==
        "E0 02 8E 00");
}

TEST_CASE("codes and properties are left out for MQTT 3", "[encoder]") {
  mqtt::PropertyWriter writer;
  writer.addUserProperty("k", "v");
  const mqtt::Properties properties = writer.properties();
  for (const auto version : {ProtocolVersion::v31, ProtocolVersion::v311}) {
    CHECK(encodedAs(version, mqtt::Puback{.packetId = 10,
                                          .code = ReasonCode::quotaExceeded,
                                          .properties = properties}) == "40 02 00 0A");
    CHECK(encodedAs(version, mqtt::Disconnect{.code = ReasonCode::serverShuttingDown,
                                              .properties = properties}) == "E0 00");
    CHECK(encodedAs(version, mqtt::Unsuback{.packetId = 10, .codes = {"\x11", 1}}) ==
          "B0 02 00 0A");
    CHECK(encodedAs(version, mqtt::Publish{.topic = "a", .properties = properties}) ==
          "30 03 00 01 61");
    CHECK(encodedAs(version, mqtt::Connack{.properties = properties}) == "20 02 00 00");
  }
}

TEST_CASE("CONNACK tells MQTT 3 the return code, and never a failure as success [v311:3.2.2-6]",
          "[encoder]") {
  for (unsigned code = 0; code < 0x100; ++code) {
    const auto reason = static_cast<ReasonCode>(code);
    const std::string bytes = encoded(mqtt::Connack{.code = reason}, ProtocolVersion::v311);
    REQUIRE(bytes.size() == 4);
    CHECK((bytes[3] == 0) == (reason == ReasonCode::success));
    const std::uint8_t returnCode = mqtt::toConnackReturnCode(reason);
    if (returnCode != 0) CHECK(bytes[3] == static_cast<char>(returnCode));
  }
}

TEST_CASE("CONNACK has no session with a failure nor in MQTT 3.1 [v311:3.2.2-4] [v5:3.2.2-6]",
          "[encoder]") {
  const mqtt::Connack present{.sessionPresent = true};
  const mqtt::Connack refused{.sessionPresent = true, .code = ReasonCode::notAuthorized};
  CHECK(encodedAs(ProtocolVersion::v31, present) == "20 02 00 00");
  CHECK(encodedAs(ProtocolVersion::v311, present) == "20 02 01 00");
  CHECK(encodedAs(ProtocolVersion::v311, refused) == "20 02 00 05");
  CHECK(encodedAs(ProtocolVersion::v5, refused) == "20 03 00 87 00");
}

TEST_CASE("SUBACK maps failures to 0x80 in 3.1.1 and to a grant in 3.1 [v311:3.9.3-2]",
          "[encoder]") {
  const std::string codes = hex("00 01 02 80 87 A2");
  const mqtt::Suback packet{.packetId = 10, .codes = codes};
  CHECK(encodedAs(ProtocolVersion::v5, packet) == "90 09 00 0A 00 00 01 02 80 87 A2");
  CHECK(encodedAs(ProtocolVersion::v311, packet) == "90 08 00 0A 00 01 02 80 80 80");
  CHECK(encodedAs(ProtocolVersion::v31, packet) == "90 08 00 0A 00 01 02 00 00 00");
}

TEST_CASE("SUBSCRIBE has only the QoS of its options in MQTT 3", "[encoder]") {
  std::string payload;
  mqtt::appendEntry(payload, {"a/b",
                              {.qos = mqtt::Qos::exactlyOnce,
                               .noLocal = true,
                               .retainAsPublished = true,
                               .retainHandling = mqtt::RetainHandling::doNotSend}});
  mqtt::appendEntry(payload, {"#", {}});
  const mqtt::Subscribe packet{.packetId = 10, .entries = mqtt::SubscribeEntries{payload}};
  CHECK(encodedAs(ProtocolVersion::v5, packet) == "82 0D 00 0A 00 00 03 61 2F 62 2E 00 01 23 00");
  CHECK(encodedAs(ProtocolVersion::v311, packet) == "82 0C 00 0A 00 03 61 2F 62 02 00 01 23 00");
}

TEST_CASE("a payload of UNSUBSCRIBE is built filter by filter", "[encoder]") {
  std::string payload;
  mqtt::appendFilter(payload, "a/b");
  mqtt::appendFilter(payload, std::string(300, 'x'));
  mqtt::UnsubscribeFilters filters{payload};
  CHECK(filters.count() == 2);
  CHECK(filters.takeFront() == "a/b");
  CHECK(filters.takeFront() == std::string(300, 'x'));
  CHECK(filters.empty());
}
