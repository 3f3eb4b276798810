#include "core/stack/outbox.hpp"

#include <chrono>
#include <string>
#include <vector>

#include <catch2/catch.hpp>

#include "tests/support/fake_transport.hpp"
#include "tests/support/packet_parts.hpp"
#include "tests/support/packets.hpp"

namespace mqttstack {
namespace {

using mqtt::ProtocolVersion;
using mqtt::Qos;
using test::FakeTransport;
using test::frame;
using test::hex;
using test::variable;

const TimePoint kNow{std::chrono::hours{1}};

broker::MessagePtr message(std::string_view topic, std::string_view payload,
                           std::string_view properties = {},
                           std::optional<std::uint32_t> expiry = {}) {
  broker::MessageFields fields;
  fields.topic = topic;
  fields.payload = payload;
  fields.properties = mqtt::Properties{properties};
  fields.expiryInterval = expiry;
  fields.received = kNow;
  return broker::Message::create(std::move(fields));
}

OutgoingPublish publish(broker::MessagePtr what, Qos qos = Qos::atMostOnce,
                        std::uint16_t packetId = 0) {
  OutgoingPublish out;
  out.message = std::move(what);
  out.qos = qos;
  out.packetId = packetId;
  return out;
}

/// An outbox and the wire that it writes to.
struct Wire {
  explicit Wire(ProtocolVersion theVersion) : version{theVersion} {}

  Outbox::Flushed flush(TimePoint now = kNow) {
    last = outbox.flush(transport, version, now, buffer);
    return last.result;
  }
  /// Flushes everything and returns what was written.
  std::string written(TimePoint now = kNow) {
    CHECK(flush(now) == Outbox::Flushed::all);
    CHECK(outbox.empty());
    CHECK(outbox.bytes() == 0);
    return std::exchange(record.written, {});
  }

  ProtocolVersion version;
  FakeTransport::Record record;
  FakeTransport transport{record};
  EncodeBuffer buffer;
  Outbox outbox;
  Outbox::Flush last;
};

TEST_CASE("a PUBLISH of MQTT 3 is written byte by byte as the standard has it", "[outbox]") {
  Wire wire{GENERATE(ProtocolVersion::v31, ProtocolVersion::v311)};
  wire.outbox.add(publish(message("a/b", "hello", hex("01 01"), 7)));
  CHECK(wire.written() == hex("30 0A 0003 'a/b' 'hello'"));
  wire.outbox.add(publish(message("a/b", "hello"), Qos::atLeastOnce, 0x1234));
  CHECK(wire.written() == hex("32 0C 0003 'a/b' 1234 'hello'"));
  OutgoingPublish again = publish(message("a/b", ""), Qos::exactlyOnce, 0xffff);
  again.dup = again.retain = true;
  wire.outbox.add(std::move(again));
  CHECK(wire.written() == hex("3D 07 0003 'a/b' FFFF"));
}

TEST_CASE("a PUBLISH of MQTT 5 is written with its properties", "[outbox]") {
  Wire wire{ProtocolVersion::v5};
  wire.outbox.add(publish(message("a/b", "hello")));
  CHECK(wire.written() == hex("30 0B 0003 'a/b' 00 'hello'"));
  wire.outbox.add(publish(message("t", "p", hex("01 01 03 0001 'x'")), Qos::atLeastOnce, 7));
  CHECK(wire.written() == hex("32 0D 0001 't' 0007 06 01 01 03 0001 'x' 'p'"));
  wire.outbox.add(publish(message("t", "p"), Qos::exactlyOnce, 7));
  CHECK(wire.written() == hex("34 07 0001 't' 0007 00 'p'"));
}

TEST_CASE("what is left of the message expiry interval is sent [v5:3.3.2-6]", "[outbox]") {
  Wire wire{ProtocolVersion::v5};
  const auto expiring = message("t", "p", hex("01 01"), 60);
  wire.outbox.add(publish(expiring));
  CHECK(wire.written() == hex("30 0C 0001 't' 07 02 0000003C 01 01 'p'"));
  wire.outbox.add(publish(expiring));
  CHECK(wire.written(kNow + std::chrono::seconds{10}) ==
        hex("30 0C 0001 't' 07 02 00000032 01 01 'p'"));
  // QoS 1 and 2 are for the session to drop.
  wire.outbox.add(publish(expiring, Qos::atLeastOnce, 1));
  CHECK(wire.written(kNow + std::chrono::seconds{99}) ==
        hex("32 0E 0001 't' 0001 07 02 00000000 01 01 'p'"));
}

TEST_CASE("a QoS 0 PUBLISH that expires while it waits is not sent [v5:3.3.2-5]", "[outbox]") {
  Wire wire{ProtocolVersion::v5};
  wire.outbox.add(publish(message("t", "1", {}, 5)));
  wire.outbox.add(publish(message("t", "2", {}, 50)));
  wire.outbox.add(publish(message("t", "3", {}, 5)));
  CHECK(wire.written(kNow + std::chrono::seconds{5}) == hex("30 0A 0001 't' 05 02 0000002D '2'"));
  CHECK(wire.last.expired == 2);
  CHECK(wire.last.written == 12);
}

TEST_CASE("a PUBLISH that was encoded but not taken may still expire [v5:3.3.2-5]", "[outbox]") {
  Wire wire{ProtocolVersion::v5};
  wire.outbox.add(publish(message("t", "1", {}, 5)));
  wire.transport.limitWrites(0);
  CHECK(wire.flush() == Outbox::Flushed::some);
  wire.transport.allowWrites();
  CHECK(wire.written(kNow + std::chrono::seconds{6}).empty());
  CHECK(wire.last.expired == 1);
}

TEST_CASE("a PUBLISH that was begun is finished, expired or not", "[outbox]") {
  Wire wire{ProtocolVersion::v5};
  wire.outbox.add(publish(message("t", "1", {}, 5)));
  wire.transport.limitWrites(3);
  CHECK(wire.flush() == Outbox::Flushed::some);
  wire.transport.allowWrites();
  CHECK(wire.written(kNow + std::chrono::seconds{6}) == hex("30 0A 0001 't' 05 02 00000005 '1'"));
  CHECK(wire.last.expired == 0);
}

TEST_CASE("subscription identifiers are sent, however many [v5:3.3.4-3]", "[outbox]") {
  Wire wire{ProtocolVersion::v5};
  const std::size_t count = GENERATE(0U, 1U, 2U, 3U, 1'000U, 60'000U);
  OutgoingPublish out = publish(message("t", "p"));
  std::string properties;
  for (std::size_t i = 1; i <= count; ++i) {
    out.subscriptionIds.add(static_cast<std::uint32_t>(i * 3));
    properties += '\x0b' + variable(i * 3);
  }
  wire.outbox.add(publish(message("before", "x")));
  wire.outbox.add(std::move(out));
  wire.outbox.add(publish(message("behind", "x")));
  CHECK(wire.written() ==
        frame(0x30, hex("0006 'before' 00 'x'")) +
            frame(0x30, hex("0001 't'") + variable(properties.size()) + properties + "p") +
            frame(0x30, hex("0006 'behind' 00 'x'")));
}

TEST_CASE("subscription identifiers stay away from MQTT 3", "[outbox]") {
  Wire wire{ProtocolVersion::v311};
  OutgoingPublish out = publish(message("t", "p"));
  out.subscriptionIds.add(1);
  wire.outbox.add(std::move(out));
  CHECK(wire.written() == hex("30 04 0001 't' 'p'"));
}

// Topic aliases.

TEST_CASE("a topic is sent once with its alias, then the alias alone [v5:3.3.2-12]", "[outbox]") {
  Wire wire{ProtocolVersion::v5};
  wire.outbox.useTopicAliases(2);
  for (const auto* topic : {"topic/a", "topic/a", "topic/b", "topic/c", "topic/b", "topic/c"})
    wire.outbox.add(publish(message(topic, "")));
  CHECK(wire.written() ==
        frame(0x30, hex("0007 'topic/a' 03 23 0001")) + frame(0x30, hex("0000 03 23 0001")) +
            frame(0x30, hex("0007 'topic/b' 03 23 0002")) + frame(0x30, hex("0007 'topic/c' 00")) +
            frame(0x30, hex("0000 03 23 0002")) + frame(0x30, hex("0007 'topic/c' 00")));
}

TEST_CASE("a short topic is not worth an alias", "[outbox]") {
  Wire wire{ProtocolVersion::v5};
  wire.outbox.useTopicAliases(2);
  wire.outbox.add(publish(message("abc", "")));
  CHECK(wire.written() == frame(0x30, hex("0003 'abc' 00")));
}

TEST_CASE("aliases stay the same when packets are encoded again after a short write", "[outbox]") {
  const auto fill = [](Wire& wire) {
    wire.outbox.useTopicAliases(3);
    for (const auto* topic : {"topic/a", "topic/b", "topic/a", "topic/b", "topic/c"})
      wire.outbox.add(publish(message(topic, "x")));
  };
  Wire whole{ProtocolVersion::v5};
  fill(whole);
  const std::string expected = whole.written();
  for (std::size_t cut = 0; cut < expected.size(); ++cut) {
    Wire wire{ProtocolVersion::v5};
    fill(wire);
    wire.transport.limitWrites(cut);
    CHECK(wire.flush() == Outbox::Flushed::some);
    wire.transport.allowWrites();
    REQUIRE(wire.written() == expected);
  }
}

TEST_CASE("a PUBLISH that introduces an alias is sent also when it expires", "[outbox]") {
  Wire wire{ProtocolVersion::v5};
  wire.outbox.useTopicAliases(1);
  wire.outbox.add(publish(message("topic/a", "1", {}, 5)));
  wire.outbox.add(publish(message("topic/a", "2", {}, 5)));
  wire.outbox.add(publish(message("topic/a", "3")));
  wire.transport.limitWrites(0);
  CHECK(wire.flush() == Outbox::Flushed::some);
  wire.transport.allowWrites();
  CHECK(wire.written(kNow + std::chrono::seconds{9}) ==
        frame(0x30, hex("0007 'topic/a' 08 02 00000000 23 0001 '1'")) +
            frame(0x30, hex("0000 03 23 0001 '3'")));
}

TEST_CASE("no alias is introduced where it makes a packet too large [v5:3.1.2-24]", "[outbox]") {
  Wire wire{ProtocolVersion::v5};
  wire.outbox.useTopicAliases(5);
  const auto tight = publish(message("topic/a", "123456"));
  const std::size_t plain = encodedSize(tight, wire.version, kNow);
  wire.outbox.limitPackets(static_cast<std::uint32_t>(plain + 2));
  wire.outbox.add(publish(message("topic/a", "123456")));
  CHECK(wire.written() == frame(0x30, hex("0007 'topic/a' 00 '123456'")));
  wire.outbox.add(publish(message("topic/a", "1")));
  CHECK(wire.written() == frame(0x30, hex("0007 'topic/a' 03 23 0001 '1'")));
  wire.outbox.add(publish(message("topic/a", "123456")));
  CHECK(wire.written() == frame(0x30, hex("0000 03 23 0001 '123456'")));
}

// Sizes and short writes.

TEST_CASE("encodedSize() is what is written", "[outbox]") {
  const auto version = GENERATE(ProtocolVersion::v311, ProtocolVersion::v5);
  for (const std::size_t size :
       {0U, 1U, 120U, 121U, 122U, 127U, 128U, 511U, 512U, 16'380U, 16'384U, 100'000U, 2'097'150U}) {
    for (const Qos qos : {Qos::atMostOnce, Qos::atLeastOnce}) {
      Wire wire{version};
      auto out = publish(message("t", std::string(size, 'x'), hex("01 01"), 9), qos, 1);
      out.subscriptionIds.add(200);
      const std::size_t expected = encodedSize(out, version, kNow);
      wire.outbox.add(std::move(out));
      CHECK(wire.written().size() == expected);
    }
  }
}

/// A mixture of everything that an outbox may hold.
void fillWithEverything(Outbox& outbox) {
  outbox.add(hex("40 02 0001"));
  outbox.add(publish(message("small", "payload")));
  outbox.add(std::string(300, 'c'));
  outbox.add(publish(message("large", std::string(700, 'L')), Qos::atLeastOnce, 2));
  outbox.add(publish(message(std::string(600, 't'), std::string(520, 'M'))));
  outbox.add(std::string(1'000, 'C'));
  outbox.add(publish(message("p", "x", test::keep(hex("03 0230") + std::string(560, 'P')))));
  outbox.add(hex("D0 00"));
}

TEST_CASE("short writes at every byte give the same stream of bytes", "[outbox]") {
  Wire whole{ProtocolVersion::v5};
  fillWithEverything(whole.outbox);
  const std::string expected = whole.written();
  CHECK(whole.record.writes == 1);
  REQUIRE(expected.size() > 3'000);

  for (std::size_t cut = 0; cut < expected.size(); ++cut) {
    Wire wire{ProtocolVersion::v5};
    fillWithEverything(wire.outbox);
    wire.transport.limitWrites(cut);
    REQUIRE(wire.flush() == Outbox::Flushed::some);
    REQUIRE_FALSE(wire.outbox.empty());
    wire.transport.allowWrites();
    REQUIRE(wire.written() == expected);
  }
}

TEST_CASE("a peer that takes a few bytes at a time gets all of them", "[outbox]") {
  Wire whole{ProtocolVersion::v5};
  fillWithEverything(whole.outbox);
  const std::string expected = whole.written();

  for (const std::size_t step : {1U, 2U, 7U, 511U}) {
    Wire wire{ProtocolVersion::v5};
    fillWithEverything(wire.outbox);
    std::size_t turns = 0;
    do {
      REQUIRE(++turns <= expected.size() + 1);
      wire.transport.limitWrites(step);
    } while (wire.flush() == Outbox::Flushed::some);
    CHECK(wire.record.written == expected);
    CHECK(wire.outbox.bytes() == 0);
  }
}

TEST_CASE("a large payload is not copied after a short write", "[outbox]") {
  Wire wire{ProtocolVersion::v311};
  const auto large = message("t", std::string(1'000'000, 'x'));
  wire.outbox.add(publish(large));
  wire.transport.limitWrites(1'000);
  CHECK(wire.flush() == Outbox::Flushed::some);
  CHECK(large->owners() == 2);
  CHECK(wire.outbox.bytes() == encodedSize(publish(large), wire.version, kNow) - 1'000);
  wire.transport.allowWrites();
  CHECK(wire.written().size() == encodedSize(publish(large), wire.version, kNow));
  CHECK(large->owners() == 1);
}

TEST_CASE("bytes() follows what waits", "[outbox]") {
  Wire wire{ProtocolVersion::v311};
  CHECK(wire.outbox.bytes() == 0);
  CHECK(wire.outbox.empty());
  wire.outbox.add(hex("D0 00"));
  CHECK(wire.outbox.bytes() == 2);
  wire.outbox.add(publish(message("t", std::string(100, 'x'))));
  CHECK(wire.outbox.bytes() >= 104);
  CHECK(wire.outbox.bytes() < 120);
  wire.outbox.clear();
  CHECK(wire.outbox.bytes() == 0);
  CHECK(wire.outbox.empty());
  CHECK(wire.written().empty());
}

TEST_CASE("clear() forgets a packet that was begun, too", "[outbox]") {
  Wire wire{ProtocolVersion::v311};
  const auto large = message("t", std::string(5'000, 'x'));
  wire.outbox.add(publish(large));
  wire.transport.limitWrites(10);
  CHECK(wire.flush() == Outbox::Flushed::some);
  wire.outbox.clear();
  CHECK(wire.outbox.empty());
  CHECK(large->owners() == 1);
}

TEST_CASE("more packets than one buffer holds are written in order", "[outbox]") {
  Wire wire{ProtocolVersion::v311};
  std::string expected;
  for (int i = 0; i < 5'000; ++i) {
    const std::string payload =
        std::to_string(i) + std::string(static_cast<std::size_t>(i) % 600, '.');
    wire.outbox.add(publish(message("t", payload)));
    expected += frame(0x30, hex("0001 't'") + payload);
  }
  CHECK(wire.written() == expected);
  CHECK(wire.record.writes < 50);
}

TEST_CASE("what a burst needed is given back", "[outbox]") {
  Wire wire{ProtocolVersion::v311};
  for (int i = 0; i < 10'000; ++i) wire.outbox.add(publish(message("t", "x")));
  CHECK(wire.outbox.capacity() >= 10'000);
  CHECK(wire.written().size() == 60'000);
  CHECK(wire.outbox.capacity() <= 20);
}

TEST_CASE("short packets share a place, and are counted and begun one by one", "[outbox]") {
  Wire wire{ProtocolVersion::v311};
  std::string expected;
  for (char i = 1; i <= 100; ++i) {
    const std::string packet{'\x40', '\x02', '\0', i};
    wire.outbox.add(packet);
    expected += packet;
  }
  CHECK(wire.outbox.capacity() <= 30);
  CHECK(wire.outbox.answers() == 100);
  CHECK(wire.outbox.bytes() == 400);
  wire.transport.limitWrites(39);
  CHECK(wire.flush() == Outbox::Flushed::some);
  CHECK(wire.outbox.bytes() == 361);
  CHECK(wire.outbox.answers() == 88);
  wire.outbox.add(hex("D0 00"));
  CHECK(wire.outbox.answers() == 89);
  wire.transport.allowWrites();
  CHECK(wire.written() == expected + hex("D0 00"));
  CHECK(wire.outbox.empty());
  CHECK(wire.outbox.answers() == 0);
}

TEST_CASE("an outbox that never runs empty does not grow", "[outbox]") {
  Wire wire{ProtocolVersion::v311};
  wire.outbox.add(hex("D0 00"));
  for (int i = 0; i < 10'000; ++i) {
    wire.outbox.add(hex("D0 00"));
    wire.transport.limitWrites(2);
    CHECK(wire.flush() == Outbox::Flushed::some);
    REQUIRE(wire.outbox.bytes() == 2);
  }
  CHECK(wire.outbox.capacity() <= 20);
}

TEST_CASE("a transport that fails is reported", "[outbox]") {
  Wire wire{ProtocolVersion::v311};
  wire.outbox.add(publish(message("t", std::string(5'000, 'x'))));
  const bool begun = GENERATE(false, true);
  if (begun) {
    wire.transport.limitWrites(10);
    CHECK(wire.flush() == Outbox::Flushed::some);
  }
  wire.transport.breakWrites();
  CHECK(wire.flush() == Outbox::Flushed::failed);
}

TEST_CASE("flushing nothing writes nothing", "[outbox]") {
  Wire wire{ProtocolVersion::v311};
  CHECK(wire.written().empty());
  CHECK(wire.record.writes == 0);
}

}  // namespace
}  // namespace mqttstack
