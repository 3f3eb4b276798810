#include "tests/bench/load/packet_reader.hpp"

#include <array>
#include <vector>

#include <catch2/catch.hpp>

namespace mqttstack::load {
namespace {

using namespace std::string_literals;

/// What a reader found in bytes that came in pieces of that size.
struct Found {
  std::vector<ReceivedPublish> messages;
  std::vector<std::pair<PacketType, std::string>> packets;
  bool legal = true;
};

Found readIn(std::size_t piece, std::string_view bytes, Version version) {
  PacketReader reader;
  std::array<char, 4096> memory;
  Found found;
  while (!bytes.empty() && found.legal) {
    const std::size_t kept = reader.restore(memory);
    const std::string_view next = bytes.substr(0, piece);
    REQUIRE(kept + next.size() <= memory.size());
    std::memcpy(memory.data() + kept, next.data(), next.size());
    bytes.remove_prefix(next.size());
    found.legal = reader.read(
        {memory.data(), kept + next.size()}, version,
        [&](const ReceivedPublish& publish) {
          found.messages.push_back(publish);
          return true;
        },
        [&](PacketType type, std::string_view body) {
          found.packets.emplace_back(type, body);
          return true;
        });
  }
  return found;
}

TEST_CASE("packets are found however the bytes are cut", "[packet_reader]") {
  const std::size_t piece = GENERATE(1U, 2U, 3U, 5U, 7U, 16U, 100U, 1000U);
  const Version version = GENERATE(Version::v311, Version::v5);
  const unsigned qos = GENERATE(0U, 1U);
  std::string bytes;
  PublishBatch batch{version, {"some/topic", qos, false, 300}, 4};
  for (std::uint32_t i = 0; i < 4; ++i)
    batch.stamp(i, static_cast<std::uint16_t>(100 + i), {1'000 + i, 7, i + 1});
  bytes += batch.packets(2);
  appendAnswer(bytes, PacketType::puback, 0x0102);
  bytes += "\x90\x03\x00\x01\x02"s;
  bytes += batch.packets(4);

  const Found found = readIn(piece, bytes, version);
  REQUIRE(found.legal);
  REQUIRE(found.messages.size() == 6);
  constexpr std::array<std::uint32_t, 6> kSequences{1, 2, 1, 2, 3, 4};
  for (std::size_t i = 0; i < kSequences.size(); ++i) {
    const ReceivedPublish& publish = found.messages[i];
    CHECK(publish.qos == qos);
    CHECK(publish.packetId == (qos ? 99 + kSequences[i] : 0));
    CHECK(publish.payloadBytes == 300);
    CHECK(publish.stamp.publisher == 7);
    CHECK(publish.stamp.sequence == kSequences[i]);
    CHECK(publish.stamp.time == 999 + kSequences[i]);
  }
  REQUIRE(found.packets.size() == 2);
  CHECK(found.packets[0] == std::pair{PacketType::puback, "\x01\x02"s});
  CHECK(found.packets[1] == std::pair{PacketType::suback, "\x00\x01\x02"s});
}

TEST_CASE("properties in front of the payload are passed over", "[packet_reader]") {
  const std::size_t piece = GENERATE(1U, 4U, 100U, 1000U);
  const Stamp stamp{1, 2, 3};
  std::string body = "\x00\x01t"s;
  body += "\x86\x01"s + std::string(134, 'p');  // two bytes say how long they are
  body.append(reinterpret_cast<const char*>(&stamp), sizeof stamp);
  std::string bytes = "\x30"s;
  bytes += static_cast<char>((body.size() & 0x7F) | 0x80);
  bytes += static_cast<char>(body.size() >> 7);
  bytes += body;
  const Found found = readIn(piece, bytes + bytes, Version::v5);
  REQUIRE(found.messages.size() == 2);
  CHECK(found.messages[1].payloadBytes == sizeof stamp);
  CHECK(found.messages[1].stamp.sequence == 3);
}

TEST_CASE("a payload too short for a stamp has none", "[packet_reader]") {
  const Found found =
      readIn(GENERATE(1U, 100U), "\x30\x06\x00\x01txyz\x30\x03\x00\x01t"s, Version::v311);
  REQUIRE(found.messages.size() == 2);
  CHECK(found.messages[0].payloadBytes == 3);
  CHECK(found.messages[0].stamp.sequence == 0);
  CHECK(found.messages[1].payloadBytes == 0);
}

TEST_CASE("what is not MQTT is noticed", "[packet_reader]") {
  const std::size_t piece = GENERATE(1U, 100U);
  SECTION("a length of five bytes") {
    CHECK_FALSE(readIn(piece, "\x30\xFF\xFF\xFF\xFF\x01more"s, Version::v311).legal);
  }
  SECTION("a topic longer than its packet") {
    CHECK_FALSE(readIn(piece, "\x30\x03\x00\x09t"s + std::string(40, 'x'), Version::v311).legal);
  }
  SECTION("a PUBLISH without a topic") {
    CHECK_FALSE(readIn(piece, "\x30\x01\x00\x30\x01\x00"s, Version::v311).legal);
  }
  SECTION("no packet id, where there must be one") {
    CHECK_FALSE(readIn(piece, "\x32\x03\x00\x01t"s + std::string(40, 'x'), Version::v311).legal);
  }
}

TEST_CASE("who says stop is not called again", "[packet_reader]") {
  PacketReader reader;
  int calls = 0;
  CHECK(reader.read(
      "\xD0\x00\xD0\x00"s, Version::v311, [](const ReceivedPublish&) { return true; },
      [&](PacketType, std::string_view) { return ++calls > 1; }));
  CHECK(calls == 1);
}

}  // namespace
}  // namespace mqttstack::load
