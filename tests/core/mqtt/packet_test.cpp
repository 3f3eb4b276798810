#include "core/mqtt/packet.hpp"

#include <catch2/catch.hpp>

#include "tests/support/packets.hpp"

using namespace mqttstack::mqtt;
using mqttstack::test::hex;

TEST_CASE("the alternatives of a packet stand in the order of their types", "[packet]") {
  for (const mqttstack::test::GoodPacket& good : mqttstack::test::goodPackets()) {
    const auto first = static_cast<unsigned char>(good.bytes[0]);
    CHECK(static_cast<unsigned>(typeOf(good.packet)) == first >> 4U);
    std::visit([&good](const auto& one) { CHECK(one.kType == typeOf(good.packet)); }, good.packet);
  }
}

TEST_CASE("subscription options go to a byte and back", "[packet]") {
  for (unsigned byte = 0; byte < 0x40; ++byte) {
    if ((byte & 0x03U) == 0x03U || (byte & 0x30U) == 0x30U) continue;
    const auto options = SubscriptionOptions::fromByte(static_cast<std::uint8_t>(byte));
    CHECK(options.toByte() == byte);
    CHECK(static_cast<unsigned>(options.qos) == (byte & 3U));
    CHECK(options.noLocal == ((byte & 4U) != 0));
    CHECK(options.retainAsPublished == ((byte & 8U) != 0));
    CHECK(static_cast<unsigned>(options.retainHandling) == byte >> 4U);
  }
  CHECK(SubscriptionOptions{}.toByte() == 0);
}

TEST_CASE("the entries of a SUBSCRIBE are taken one by one", "[packet]") {
  const std::string payload = hex("00 03 'a/b' 2E 00 01 '#' 01");
  SubscribeEntries entries{payload};
  CHECK(entries.count() == 2);
  const SubscribeEntry first = entries.takeFront();
  CHECK(first.filter == "a/b");
  CHECK(first.options == SubscriptionOptions{.qos = Qos::exactlyOnce,
                                             .noLocal = true,
                                             .retainAsPublished = true,
                                             .retainHandling = RetainHandling::doNotSend});
  const SubscribeEntry second = entries.takeFront();
  CHECK(second.filter == "#");
  CHECK(second.options == SubscriptionOptions{.qos = Qos::atLeastOnce});
  CHECK(entries.empty());
  CHECK(entries.count() == 0);
}
