#include <vector>

#include <catch2/catch.hpp>

#include "core/mqtt/decoder.hpp"
#include "core/mqtt/encoder.hpp"
#include "core/mqtt/frame_reader.hpp"
#include "core/mqtt/topic.hpp"
#include "tests/support/allocations.hpp"
#include "tests/support/packets.hpp"

using namespace mqttstack;
using namespace mqttstack::test;

TEST_CASE("the counting of allocations counts", "[allocation]") {
  const std::size_t before = allocations();
  const std::vector<int> one(1);
  CHECK(allocations() == before + 1);
}

TEST_CASE("decoding takes nothing from the heap, whether it works or fails", "[allocation]") {
  const auto& good = goodPackets();
  const auto& bad = badPackets();
  mqtt::Packet packet;
  std::size_t decoded = 0;

  const std::size_t before = allocations();
  for (const GoodPacket& one : good) {
    decoded += mqtt::decodeInto(packet, one.bytes, one.version, one.sender) ? 0 : 1;
    decoded += mqtt::decode(one.bytes, one.version, one.sender) ? 1 : 0;
  }
  for (const BadPacket& one : bad) {
    decoded += mqtt::decodeInto(packet, one.bytes, one.version, one.sender) ? 0 : 1;
    decoded += mqtt::decode(one.bytes, one.version, one.sender) ? 1 : 0;
  }
  CHECK(allocations() == before);
  CHECK(decoded == 2 * good.size());
}

TEST_CASE("encoding, cutting frames and matching topics take nothing from the heap",
          "[allocation]") {
  const auto& good = goodPackets();
  std::vector<char> out(100'000);
  std::size_t written = 0;
  std::size_t matched = 0;

  const std::size_t before = allocations();
  for (const GoodPacket& one : good) {
    const char* end = mqtt::encode(one.packet, one.version, out.data());
    written += static_cast<std::size_t>(end - out.data());
    written += mqtt::nextFrame(one.bytes, 1'000'000).size;
    matched += mqtt::matches("+/#", one.name) ? 1 : 0;
    matched += mqtt::contains("+/#", "a/#") ? 1 : 0;
  }
  CHECK(allocations() == before);
  CHECK(written > 0);
  CHECK(matched > 0);
}

TEST_CASE("reading properties takes nothing from the heap", "[allocation]") {
  mqtt::PropertyWriter writer;
  for (int i = 0; i < 100; ++i) writer.addUserProperty("a name of some length", "a value of some");
  const mqtt::Properties properties = writer.properties();
  std::size_t count = 0;

  const std::size_t before = allocations();
  for (const mqtt::Property& property : properties) count += property.name.size();
  CHECK(!properties.number(mqtt::PropertyId::topicAlias));
  CHECK(!properties.text(mqtt::PropertyId::contentType));
  CHECK(allocations() == before);
  CHECK(count == 2100);
}
