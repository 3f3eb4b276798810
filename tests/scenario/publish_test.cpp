#include <algorithm>

#include <catch2/catch.hpp>

#include "tests/scenario/support/daemon.hpp"
#include "tests/scenario/support/raw_client.hpp"

using namespace mqttstack;

TEST_CASE(
    "a message reaches its subscriber at each QoS [v311:4.3.1-1] [v311:4.3.2-1] [v311:4.3.3-1] "
    "[v5:4.3.1-1] [v5:4.3.2-2] [v5:4.3.3-2] [v5:3.3.4-1] [v311:3.3.4-1] [v311:7.0.0-2]",
    "[publish]") {
  DaemonProcess daemon;
  const auto version = GENERATE(Version::v31, Version::v311, Version::v5);
  const unsigned qos = GENERATE(0U, 1U, 2U);
  CAPTURE(version, qos);
  RawClient subscriber(daemon.endpoint(), version);
  subscriber.connect({.clientId = "subscriber"});
  subscriber.subscribe({{"a/b", qos}});
  RawClient publisher(daemon.endpoint(), version);
  publisher.connect({.clientId = "publisher"});
  publisher.publishFully({.topic = "a/b", .payload = "x", .qos = qos, .id = 10});
  subscriber.expectPublishFully({.topic = "a/b", .payload = "x", .qos = qos});
  subscriber.expectNothing();
  publisher.expectNothing();
}

TEST_CASE(
    "acknowledgements of MQTT 3 are four bytes [v311:2.3.1-6] [v311:4.3.2-2] [v311:4.3.3-2] "
    "[original:9.24]",
    "[publish]") {
  DaemonProcess daemon;
  const auto version = GENERATE(Version::v31, Version::v311);
  CAPTURE(version);
  RawClient client(daemon.endpoint(), version);
  client.connect();
  client.send(hex("32 08 00 03 61 2F 62 00 0A 78"));
  client.expect(hex("40 02 00 0A"));
  client.send(hex("34 08 00 03 61 2F 62 FF FF 78"));
  client.expect(hex("50 02 FF FF"));
  client.send(hex("62 02 FF FF"));
  client.expect(hex("70 02 FF FF"));
}

TEST_CASE(
    "successful acknowledgements of MQTT 5 use the short form [v5:4.3.2-4] [v5:4.3.3-8] "
    "[v5:4.3.3-11] [v5:2.2.1-5]",
    "[publish]") {
  DaemonProcess daemon;
  RawClient client(daemon.endpoint(), Version::v5);
  client.connect();
  client.subscribe({{"a/b", 0}}, {});
  client.send(hex("32 09 00 03 61 2F 62 00 0A 00 78"));
  client.send(hex("34 09 00 03 61 2F 62 00 0B 00 78"));
  client.send(hex("62 02 00 0B"));
  std::vector<Bytes> acks;
  while (acks.size() < 3) {
    const Bytes came = client.receive();
    if ((static_cast<unsigned char>(came[0]) & 0xF0U) != 0x30U) acks.push_back(came);
  }
  CHECK(toHex(acks[0]) == "40 02 00 0A");
  CHECK(toHex(acks[1]) == "50 02 00 0B");
  CHECK(toHex(acks[2]) == "70 02 00 0B");
}

TEST_CASE("a QoS 0 message is forwarded byte for byte [v5:2.2.1-2] [v311:2.3.1-5]", "[publish]") {
  DaemonProcess daemon;
  RawClient subscriber(daemon.endpoint(), Version::v311);
  subscriber.connect();
  subscriber.subscribe({{"a/b", 0}});
  subscriber.send(hex("30 06 00 03 61 2F 62 78"));
  subscriber.expect(hex("30 06 00 03 61 2F 62 78"));
  RawClient client(daemon.endpoint(), Version::v5);
  client.connect({.clientId = "five"});
  client.subscribe({{"a/c", 0}});
  client.send(hex("30 07 00 03 61 2F 63 00 78"));
  client.expect(hex("30 07 00 03 61 2F 63 00 78"));
}

TEST_CASE(
    "a message is delivered at the lower of its QoS and the granted QoS [v311:3.8.4-6] "
    "[v5:3.8.4-8] [original:9.25]",
    "[publish]") {
  DaemonProcess daemon;
  const auto version = GENERATE(Version::v31, Version::v311, Version::v5);
  const unsigned published = GENERATE(0U, 1U, 2U);
  const unsigned granted = GENERATE(0U, 1U, 2U);
  CAPTURE(version, published, granted);
  RawClient subscriber(daemon.endpoint(), version);
  subscriber.connect({.clientId = "subscriber"});
  subscriber.subscribe({{"foo/#", granted}});
  RawClient publisher(daemon.endpoint(), version);
  publisher.connect({.clientId = "publisher"});
  publisher.publishFully({.topic = "foo/bar", .payload = "x", .qos = published, .id = 1});
  subscriber.expectPublishFully(
      {.topic = "foo/bar", .payload = "x", .qos = std::min(published, granted)});
  subscriber.expectNothing();
}

TEST_CASE("a message crosses from each version of the protocol to each other", "[publish]") {
  DaemonProcess daemon;
  const auto from = GENERATE(Version::v31, Version::v311, Version::v5);
  const auto to = GENERATE(Version::v31, Version::v311, Version::v5);
  CAPTURE(from, to);
  RawClient subscriber(daemon.endpoint(), to);
  subscriber.connect({.clientId = "subscriber"});
  subscriber.subscribe({{"t", 2}});
  RawClient publisher(daemon.endpoint(), from);
  publisher.connect({.clientId = "publisher"});
  publisher.publishFully({.topic = "t", .payload = "x", .qos = 2, .id = 1});
  subscriber.expectPublishFully({.topic = "t", .payload = "x", .qos = 2});
}

TEST_CASE("payloads of every size arrive intact [v5:4.2.0-1] [v311:7.1.1-1]", "[publish]") {
  DaemonProcess daemon;
  const auto version = GENERATE(Version::v31, Version::v311, Version::v5);
  const std::size_t size =
      GENERATE(0U, 1U, 120U, 130U, 511U, 513U, 5'120U, 16'380U, 70'000U, 204'800U);
  const unsigned qos = GENERATE(0U, 2U);
  CAPTURE(version, size, qos);
  Bytes payload;
  for (std::size_t i = 0; i < size; ++i) payload += static_cast<char>(i * 31 % 251);
  RawClient subscriber(daemon.endpoint(), version);
  subscriber.connect({.clientId = "subscriber"});
  subscriber.subscribe({{"t", qos}});
  RawClient publisher(daemon.endpoint(), version);
  publisher.connect({.clientId = "publisher"});
  publisher.publishFully({.topic = "t", .payload = payload, .qos = qos, .id = 1});
  const auto received =
      subscriber.expectPublishFully({.topic = "t", .payload = payload, .qos = qos});
  CHECK(received.payload.size() == size);
}

TEST_CASE("a large message goes to many subscribers", "[publish]") {
  DaemonProcess daemon;
  const Bytes payload(204'800, 'z');
  std::vector<RawClient> subscribers;
  for (int i = 0; i < 20; ++i) {
    subscribers.emplace_back(daemon.endpoint(), i % 2 == 0 ? Version::v311 : Version::v5);
    subscribers.back().connect({.clientId = "s" + std::to_string(i)});
    subscribers.back().subscribe({{"t", 1}});
  }
  RawClient publisher(daemon.endpoint());
  publisher.connect({.clientId = "publisher"});
  publisher.publishFully({.topic = "t", .payload = payload, .qos = 1, .id = 1});
  for (auto& subscriber : subscribers) {
    subscriber.expectPublishFully({.topic = "t", .payload = payload, .qos = 1});
  }
}

TEST_CASE(
    "a QoS 2 PUBLISH sent again before its PUBREL is not delivered again "
    "[v311:4.3.3-2] [v5:4.3.3-10]",
    "[publish]") {
  DaemonProcess daemon;
  const auto version = GENERATE(Version::v31, Version::v311, Version::v5);
  const bool dup = GENERATE(true, false);
  CAPTURE(version, dup);
  RawClient subscriber(daemon.endpoint(), version);
  subscriber.connect({.clientId = "subscriber"});
  subscriber.subscribe({{"t", 0}});
  RawClient publisher(daemon.endpoint(), version);
  publisher.connect({.clientId = "publisher"});
  Publish message{.topic = "t", .payload = "x", .qos = 2, .id = 5};
  publisher.publish(message);
  publisher.expectAck(kPubrec, 5);
  message.dup = dup;
  publisher.publish(message);
  publisher.expectAck(kPubrec, 5);
  publisher.send(pubrelPacket(5));
  publisher.expectAck(kPubcomp, 5);
  subscriber.expectPublish({.topic = "t", .payload = "x"});
  subscriber.expectNothing();
}

TEST_CASE(
    "after PUBCOMP the same packet identifier is a new message [v311:4.3.3-2] "
    "[v5:4.3.3-12]",
    "[publish]") {
  DaemonProcess daemon;
  const auto version = GENERATE(Version::v31, Version::v311, Version::v5);
  CAPTURE(version);
  RawClient client(daemon.endpoint(), version);
  client.connect();
  client.subscribe({{"t", 0}});
  RawClient publisher(daemon.endpoint(), version);
  publisher.connect({.clientId = "publisher"});
  for (const std::string payload : {"1", "2"}) {
    publisher.publishFully({.topic = "t", .payload = payload, .qos = 2, .id = 5});
    client.expectPublish({.topic = "t", .payload = payload});
  }
}

TEST_CASE(
    "after PUBACK the same packet identifier is a new message, DUP or not [v311:4.3.2-2] "
    "[v5:4.3.2-5]",
    "[publish]") {
  DaemonProcess daemon;
  const auto version = GENERATE(Version::v31, Version::v311, Version::v5);
  CAPTURE(version);
  RawClient client(daemon.endpoint(), version);
  client.connect();
  client.subscribe({{"t", 0}});
  RawClient publisher(daemon.endpoint(), version);
  publisher.connect({.clientId = "publisher"});
  publisher.publishFully({.topic = "t", .payload = "1", .qos = 1, .id = 5});
  publisher.publishFully({.topic = "t", .payload = "1", .qos = 1, .id = 5, .dup = true});
  client.expectPublish({.topic = "t", .payload = "1"});
  client.expectPublish({.topic = "t", .payload = "1"});
}

TEST_CASE("DUP of a publisher is not passed on [v311:3.3.1-3] [v5:3.3.1-3]", "[publish]") {
  DaemonProcess daemon;
  const auto version = GENERATE(Version::v31, Version::v311, Version::v5);
  const unsigned qos = GENERATE(1U, 2U);
  CAPTURE(version, qos);
  RawClient subscriber(daemon.endpoint(), version);
  subscriber.connect({.clientId = "subscriber"});
  subscriber.subscribe({{"t", qos}});
  RawClient publisher(daemon.endpoint(), version);
  publisher.connect({.clientId = "publisher"});
  publisher.publishFully({.topic = "t", .payload = "x", .qos = qos, .id = 1, .dup = true});
  subscriber.expectPublish({.topic = "t", .payload = "x", .qos = qos, .dup = false});
}

TEST_CASE(
    "a PUBREL of an unknown packet identifier gets its PUBCOMP [v311:4.3.3-2] [v5:4.3.3-11] "
    "[v5:3.7.2-1]",
    "[publish]") {
  DaemonProcess daemon;
  const auto version = GENERATE(Version::v31, Version::v311, Version::v5);
  CAPTURE(version);
  RawClient client(daemon.endpoint(), version);
  client.connect();
  client.send(pubrelPacket(77));
  client.expectAck(kPubcomp, 77, version == Version::v5 ? 0x92 : 0);
  client.expectNothing();
}

TEST_CASE("a PUBREC of an unknown packet identifier gets PUBREL 0x92 from MQTT 5 on [v5:3.6.2-1]",
          "[publish]") {
  DaemonProcess daemon;
  RawClient client(daemon.endpoint(), Version::v5);
  client.connect();
  client.send(pubrecPacket(77));
  client.expectAck(kPubrel, 77, 0x92);
}

TEST_CASE("acknowledgements that nobody waits for are ignored", "[publish]") {
  DaemonProcess daemon;
  const auto version = GENERATE(Version::v311, Version::v5);
  CAPTURE(version);
  RawClient client(daemon.endpoint(), version);
  client.connect();
  client.send(pubackPacket(9) + pubcompPacket(9));
  client.expectNothing();
}

TEST_CASE("a topic name with wildcards is refused [v311:3.3.2-2] [v5:3.3.2-2]", "[publish]") {
  DaemonProcess daemon;
  const auto version = GENERATE(Version::v31, Version::v311, Version::v5);
  const std::string topic = GENERATE("+", "#", "a/+/b", "a/#", "a+", "a#b");
  CAPTURE(version, topic);
  RawClient witness(daemon.endpoint(), version);
  witness.connect({.clientId = "witness"});
  witness.subscribe({{"#", 0}});
  RawClient client(daemon.endpoint(), version);
  client.connect();
  client.publish({.topic = topic, .payload = "x"});
  client.expectDisconnected(0x90);
  witness.expectNothing();
}

TEST_CASE("an empty topic name is refused [v311:4.7.3-1] [v5:4.7.3-1]", "[publish]") {
  DaemonProcess daemon;
  const auto version = GENERATE(Version::v31, Version::v311, Version::v5);
  CAPTURE(version);
  RawClient client(daemon.endpoint(), version);
  client.connect();
  client.publish({.topic = "", .payload = "x"});
  client.expectDisconnected(0x82);
}

TEST_CASE(
    "a malformed PUBLISH ends the connection [v311:3.3.1-2] [v311:3.3.1-4] [v311:2.3.1-1] "
    "[v311:1.5.3-1] [v311:1.5.3-2] [v5:3.3.1-2] [v5:3.3.1-4] [v5:2.2.1-3] [v5:1.5.4-1] "
    "[v5:1.5.4-2]",
    "[publish]") {
  DaemonProcess daemon;
  const auto version = GENERATE(Version::v311, Version::v5);
  const Bytes none = section(version, {});
  const auto malformed =
      GENERATE_COPY(packet(0x36, field("t") + u16(1) + none + "x"),  // QoS 3
                    packet(0x38, field("t") + none + "x"),           // DUP at QoS 0
                    packet(0x32, field("t") + u16(0) + none + "x"),  // packet identifier 0
                    packet(0x30, u16(9) + "t"),                      // topic longer than the packet
                    packet(0x30, "\x01"), packet(0x30, ""),          // not even a length
                    packet(0x32, field("t") + u8(0)),                // half a packet identifier
                    packet(0x30, field(Bytes("a\0b", 3)) + none),    // U+0000
                    packet(0x30, field("\xED\xA0\x80") + none),      // a surrogate
                    packet(0x30, field("\xC0\xAF") + none));         // overlong
  CAPTURE(version, toHex(malformed));
  RawClient client(daemon.endpoint(), version);
  client.connect();
  client.send(malformed);
  client.expectDisconnected(0x81);
}

TEST_CASE(
    "acknowledgements leave in the order of the messages [v311:4.6.0-2] [v311:4.6.0-3] "
    "[v5:4.6.0-2] [v5:4.6.0-3]",
    "[publish]") {
  DaemonProcess daemon;
  const auto version = GENERATE(Version::v31, Version::v311, Version::v5);
  CAPTURE(version);
  RawClient client(daemon.endpoint(), version);
  client.connect();
  Bytes all;
  for (unsigned id = 1; id <= 60; ++id) {
    all += publishPacket(version, {.topic = "t", .payload = "x", .qos = 1 + id % 2, .id = id});
  }
  client.send(all);
  for (unsigned id = 1; id <= 60; ++id) client.expectAck(id % 2 == 0 ? kPuback : kPubrec, id);
  Bytes releases;
  for (unsigned id = 1; id <= 60; id += 2) releases += pubrelPacket(id);
  client.send(releases);
  for (unsigned id = 1; id <= 60; id += 2) client.expectAck(kPubcomp, id);
}

TEST_CASE(
    "messages of one topic and QoS arrive in the order of their publication "
    "[v311:4.6.0-6] [v5:4.6.0-5] [v5:4.6.0-6]",
    "[publish]") {
  DaemonProcess daemon(plainConfig("[middleware.outbound_manager]\nmax_inflight = 3\n"));
  const auto version = GENERATE(Version::v31, Version::v311, Version::v5);
  const unsigned qos = GENERATE(0U, 1U, 2U);
  CAPTURE(version, qos);
  constexpr unsigned kCount = 300;
  RawClient subscriber(daemon.endpoint(), version);
  subscriber.connect({.clientId = "subscriber"});
  subscriber.subscribe({{"t", qos}});
  RawClient publisher(daemon.endpoint(), version);
  publisher.connect({.clientId = "publisher"});
  for (unsigned i = 1; i <= kCount; ++i) {
    publisher.publishFully({.topic = "t", .payload = std::to_string(i), .qos = qos, .id = i});
  }
  publisher.settle();
  // With a window of three the releases of QoS 2 stand between the messages.
  for (unsigned expected = 1; expected <= kCount;) {
    const Bytes came = subscriber.receive();
    const auto type = static_cast<unsigned char>(came[0]) & 0xF0U;
    if (type == 0x60U) {
      subscriber.send(pubcompPacket(readAck(version, came).id));
      continue;
    }
    const auto message = readPublish(version, came);
    REQUIRE(message.payload == std::to_string(expected));
    REQUIRE(message.qos == qos);
    ++expected;
    if (qos == 1) subscriber.send(pubackPacket(message.id));
    if (qos == 2) subscriber.send(pubrecPacket(message.id));
  }
}

TEST_CASE(
    "packet identifiers of the server differ while they are in use and are never 0 [v311:2.3.1-4] "
    "[v5:2.2.1-4] [v5:4.3.2-1]",
    "[publish]") {
  DaemonProcess daemon;
  const auto version = GENERATE(Version::v31, Version::v311, Version::v5);
  CAPTURE(version);
  RawClient client(daemon.endpoint(), version);
  client.connect();
  client.subscribe({{"t", 1}});
  constexpr unsigned kCount = 15;
  RawClient publisher(daemon.endpoint(), version);
  publisher.connect({.clientId = "publisher"});
  for (unsigned i = 1; i <= kCount; ++i) publisher.publishFully({.topic = "t", .qos = 1, .id = i});
  std::vector<unsigned> ids;
  for (unsigned i = 0; i < kCount; ++i) {
    const auto id = client.expectPublish({.topic = "t", .qos = 1}).id;
    CHECK(std::find(ids.begin(), ids.end(), id) == ids.end());
    ids.push_back(id);
  }
}

TEST_CASE("a client without subscription is told by its acknowledgement only", "[publish]") {
  DaemonProcess daemon;
  const auto version = GENERATE(Version::v31, Version::v311, Version::v5);
  CAPTURE(version);
  RawClient client(daemon.endpoint(), version);
  client.connect();
  client.publishFully({.topic = "nobody", .payload = "x", .qos = 1, .id = 1});
  client.publishFully({.topic = "nobody", .payload = "x", .qos = 2, .id = 2});
  client.expectNothing();
}

TEST_CASE("a subscriber that is gone does not hold back the publisher's acknowledgement",
          "[publish]") {
  DaemonProcess daemon;
  RawClient publisher(daemon.endpoint());
  publisher.connect({.clientId = "publisher"});
  {
    RawClient subscriber(daemon.endpoint());
    subscriber.connect({.clientId = "subscriber"});
    subscriber.subscribe({{"t", 1}});
    subscriber.reset();
  }
  publisher.publishFully({.topic = "t", .payload = "x", .qos = 1, .id = 1});
}
