#include <algorithm>

#include <catch2/catch.hpp>

#include "tests/scenario/support/daemon.hpp"
#include "tests/scenario/support/raw_client.hpp"

using namespace mqttstack;

TEST_CASE(
    "SUBACK has the packet identifier and one code for each filter, in order "
    "[v311:2.3.1-7] [v311:3.8.4-1] [v311:3.8.4-2] [v311:3.8.4-5] [v311:3.9.3-1] "
    "[v5:2.2.1-6] [v5:3.8.4-1] [v5:3.8.4-2] [v5:3.8.4-6] [v5:3.8.4-7] [v5:3.9.3-1]",
    "[subscription]") {
  DaemonProcess daemon;
  const auto version = GENERATE(Version::v31, Version::v311, Version::v5);
  CAPTURE(version);
  RawClient client(daemon.endpoint(), version);
  client.connect();
  client.send(subscribePacket(version, 0xABCD, {{"a", 2}, {"b/+", 0}, {"#", 1}, {"a", 1}}));
  client.expectSuback(0xABCD, {2, 0, 1, 1});
}

TEST_CASE("SUBACK and UNSUBACK byte for byte [v5:2.2.2-1]", "[subscription]") {
  DaemonProcess daemon;
  RawClient old(daemon.endpoint(), Version::v311);
  old.connect({.clientId = "old"});
  old.send(hex("82 0E 00 0A 00 03 61 2F 62 01 00 03 63 2F 64 02"));
  old.expect(hex("90 04 00 0A 01 02"));
  old.send(hex("A2 07 00 0A 00 03 61 2F 62"));
  old.expect(hex("B0 02 00 0A"));
  RawClient client(daemon.endpoint(), Version::v5);
  client.connect();
  client.send(hex("82 11 00 0A 02 0B 07 00 03 61 2F 62 01 00 03 63 2F 64 02"));
  client.expect(hex("90 05 00 0A 00 01 02"));
  client.send(hex("A2 08 00 0A 00 00 03 61 2F 62"));
  client.expect(hex("B0 04 00 0A 00 00"));
}

TEST_CASE(
    "an unsubscribed filter delivers no more [v311:3.10.4-1] [v311:3.10.4-2] "
    "[v5:3.10.4-1] [v5:3.10.4-2]",
    "[subscription]") {
  DaemonProcess daemon;
  const auto version = GENERATE(Version::v31, Version::v311, Version::v5);
  const std::string filter = GENERATE("foo/a/bar/b", "foo/+/bar/#", "#");
  CAPTURE(version, filter);
  RawClient client(daemon.endpoint(), version);
  client.connect();
  client.subscribe({{filter, 0}});
  client.publish({.topic = "foo/a/bar/b", .payload = "1"});
  client.expectPublish({.topic = "foo/a/bar/b", .payload = "1"});
  client.unsubscribe({filter});
  client.publish({.topic = "foo/a/bar/b", .payload = "2"});
  client.expectNothing();
}

TEST_CASE("UNSUBSCRIBE compares filters character by character [v311:3.10.4-1] [v5:3.10.4-1]",
          "[subscription]") {
  DaemonProcess daemon;
  const auto version = GENERATE(Version::v311, Version::v5);
  CAPTURE(version);
  RawClient client(daemon.endpoint(), version);
  client.connect();
  client.subscribe({{"foo/bar", 0}});
  client.send(unsubscribePacket(version, 7, {"foo/+", "foo/#", "#", "Foo/bar", "foo/bar/"}));
  client.expectUnsuback(7, {0x11, 0x11, 0x11, 0x11, 0x11});
  client.publish({.topic = "foo/bar", .payload = "x"});
  client.expectPublish({.topic = "foo/bar", .payload = "x"});
}

TEST_CASE(
    "UNSUBACK comes even if there was no subscription [v311:3.10.4-4] [v311:3.10.4-5] "
    "[v5:3.10.4-4] [v5:3.10.4-5] [v5:3.11.3-1]",
    "[subscription]") {
  DaemonProcess daemon;
  const auto version = GENERATE(Version::v31, Version::v311, Version::v5);
  CAPTURE(version);
  RawClient client(daemon.endpoint(), version);
  client.connect(durable(version, "kept"));
  client.subscribe({{"b", 0}});
  client.send(unsubscribePacket(version, 9, {"a", "b", "b"}));
  client.expectUnsuback(9, {0x11, 0x00, 0x11});
}

TEST_CASE(
    "deliveries that have begun are finished after UNSUBSCRIBE [v311:3.10.4-3] "
    "[v5:3.10.4-3]",
    "[subscription]") {
  DaemonProcess daemon;
  const auto version = GENERATE(Version::v31, Version::v311, Version::v5);
  CAPTURE(version);
  RawClient client(daemon.endpoint(), version);
  client.connect();
  client.subscribe({{"t", 2}});
  RawClient publisher(daemon.endpoint(), version);
  publisher.connect({.clientId = "publisher"});
  publisher.publishFully({.topic = "t", .payload = "x", .qos = 2, .id = 1});
  const auto id = client.expectPublish({.topic = "t", .payload = "x", .qos = 2}).id;
  client.unsubscribe({"t"});
  client.send(pubrecPacket(id));
  client.expectAck(kPubrel, id);
  client.send(pubcompPacket(id));
  client.expectNothing();
}

TEST_CASE("an identical filter replaces the subscription [v311:3.8.4-3] [v5:3.8.4-3]",
          "[subscription]") {
  DaemonProcess daemon;
  const auto version = GENERATE(Version::v31, Version::v311, Version::v5);
  CAPTURE(version);
  RawClient client(daemon.endpoint(), version);
  client.connect();
  client.subscribe({{"t", 2}});
  client.subscribe({{"t", 0}});
  RawClient publisher(daemon.endpoint(), version);
  publisher.connect({.clientId = "publisher"});
  publisher.publishFully({.topic = "t", .payload = "x", .qos = 1, .id = 1});
  client.expectPublish({.topic = "t", .payload = "x"});
  client.expectNothing();
  client.unsubscribe({"t"});
  publisher.publishFully({.topic = "t", .payload = "x", .qos = 1, .id = 1});
  client.expectNothing();
}

TEST_CASE(
    "overlapping subscriptions deliver one copy at the highest QoS [v311:3.3.5-1] "
    "[v5:3.3.4-2]",
    "[subscription]") {
  DaemonProcess daemon;
  const auto version = GENERATE(Version::v31, Version::v311, Version::v5);
  CAPTURE(version);
  RawClient client(daemon.endpoint(), version);
  client.connect();
  client.subscribe({{"foo/+", 0}, {"+/bar", 2}, {"foo/bar", 1}, {"#", 0}});
  RawClient publisher(daemon.endpoint(), version);
  publisher.connect({.clientId = "publisher"});
  publisher.publishFully({.topic = "foo/bar", .payload = "x", .qos = 2, .id = 1});
  client.expectPublishFully({.topic = "foo/bar", .payload = "x", .qos = 2});
  client.expectNothing();
}

TEST_CASE(
    "a message carries the identifiers of all its subscriptions [v5:3.3.4-3] "
    "[v5:3.3.4-4]",
    "[subscription]") {
  DaemonProcess daemon;
  RawClient client(daemon.endpoint(), Version::v5);
  client.connect();
  client.subscribe({{"foo/+", 0}}, {property(PropertyId::subscriptionId, 1)});
  client.subscribe({{"+/bar", 0}}, {property(PropertyId::subscriptionId, 268'435'455)});
  client.subscribe({{"#", 0}});
  client.publish({.topic = "foo/bar", .payload = "x"});
  const auto message = readPublish(Version::v5, client.receive());
  std::vector<Bytes> ids;
  for (const auto& [id, value] : message.properties) {
    REQUIRE(id == PropertyId::subscriptionId);
    ids.push_back(value);
  }
  std::sort(ids.begin(), ids.end());
  CHECK(ids == std::vector<Bytes>{varint(1), varint(268'435'455)});
  client.expectNothing();
}

TEST_CASE("a second SUBSCRIBE replaces the identifier [v5:3.8.4-3]", "[subscription]") {
  DaemonProcess daemon;
  RawClient client(daemon.endpoint(), Version::v5);
  client.connect();
  client.subscribe({{"t", 0}}, {property(PropertyId::subscriptionId, 1)});
  client.subscribe({{"t", 0}}, {property(PropertyId::subscriptionId, 2)});
  client.publish({.topic = "t", .payload = "x"});
  client.expectPublish(
      {.topic = "t", .payload = "x", .properties = {property(PropertyId::subscriptionId, 2)}});
  client.subscribe({{"t", 0}});
  client.publish({.topic = "t", .payload = "x"});
  client.expectPublish({.topic = "t", .payload = "x"});
}

TEST_CASE("with No Local a client does not get its own messages [v5:3.8.3-3]", "[subscription]") {
  DaemonProcess daemon;
  RawClient client(daemon.endpoint(), Version::v5);
  client.connect();
  client.subscribe({{"t", kNoLocal}});
  client.publish({.topic = "t", .payload = "mine"});
  client.expectNothing();
  RawClient other(daemon.endpoint(), Version::v5);
  other.connect({.clientId = "other"});
  other.publish({.topic = "t", .payload = "theirs"});
  client.expectPublish({.topic = "t", .payload = "theirs"});
  // Another subscription of the same client without the flag does deliver.
  client.subscribe({{"+", 0}});
  client.publish({.topic = "t", .payload = "mine"});
  client.expectPublish({.topic = "t", .payload = "mine"});
  client.expectNothing();
}

TEST_CASE(
    "a SUBSCRIBE or UNSUBSCRIBE without filters is a protocol error [v311:3.8.3-3] "
    "[v311:3.10.3-2] [v5:3.8.3-2] [v5:3.10.3-2]",
    "[subscription]") {
  DaemonProcess daemon;
  const auto version = GENERATE(Version::v31, Version::v311, Version::v5);
  const unsigned first = GENERATE(0x82U, 0xA2U);
  CAPTURE(version, first);
  RawClient client(daemon.endpoint(), version);
  client.connect();
  client.send(packet(first, u16(1) + section(version, {})));
  client.expectDisconnected(0x82);
}

TEST_CASE(
    "flag bits of SUBSCRIBE, UNSUBSCRIBE and PUBREL must be 0010 [v311:3.8.1-1] "
    "[v311:3.10.1-1] [v311:3.6.1-1] [v5:3.8.1-1] [v5:3.10.1-1] [v5:3.6.1-1]",
    "[subscription]") {
  DaemonProcess daemon;
  const auto version = GENERATE(Version::v311, Version::v5);
  const unsigned flags = GENERATE(0x0U, 0x1U, 0x3U, 0x6U, 0xAU);
  CAPTURE(version, flags);
  const auto wrong = GENERATE_COPY(subscribePacket(version, 1, {{"a", 0}}),
                                   unsubscribePacket(version, 1, {"a"}), pubrelPacket(1));
  RawClient client(daemon.endpoint(), version);
  client.connect();
  auto bytes = wrong;
  bytes[0] = static_cast<char>((static_cast<unsigned char>(wrong[0]) & 0xF0U) | flags);
  client.send(bytes);
  client.expectDisconnected(0x81);
}

TEST_CASE(
    "packet identifier 0 is malformed in SUBSCRIBE and UNSUBSCRIBE [v311:2.3.1-1] "
    "[v5:2.2.1-3]",
    "[subscription]") {
  DaemonProcess daemon;
  const auto version = GENERATE(Version::v311, Version::v5);
  CAPTURE(version);
  RawClient client(daemon.endpoint(), version);
  client.connect();
  client.send(subscribePacket(version, 0, {{"a", 0}}));
  client.expectDisconnected(0x81);
  RawClient other(daemon.endpoint(), version);
  other.connect();
  other.send(unsubscribePacket(version, 0, {"a"}));
  other.expectDisconnected(0x81);
}

TEST_CASE("subscription options are checked [v311:3.8.3-4] [v5:3.8.3-5]", "[subscription]") {
  DaemonProcess daemon;
  SECTION("MQTT 3.1.1") {
    const unsigned options = GENERATE(3U, 4U, 8U, 0x10U, 0x40U, 0x80U);
    CAPTURE(options);
    RawClient client(daemon.endpoint(), Version::v311);
    client.connect();
    client.send(subscribePacket(Version::v311, 1, {{"a", options}}));
    client.expectClosed();
  }
  SECTION("MQTT 5: values that don't exist") {
    const unsigned options = GENERATE(0x03U, 0x30U);
    CAPTURE(options);
    RawClient client(daemon.endpoint(), Version::v5);
    client.connect();
    client.send(subscribePacket(Version::v5, 1, {{"a", options}}));
    client.expectDisconnected(0x82);
  }
  SECTION("MQTT 5: reserved bits") {
    const unsigned options = GENERATE(0x40U, 0x80U);
    CAPTURE(options);
    RawClient client(daemon.endpoint(), Version::v5);
    client.connect();
    client.send(subscribePacket(Version::v5, 1, {{"a", options}}));
    client.expectDisconnected(0x81);
  }
}

TEST_CASE("subscription identifiers are checked", "[subscription]") {
  DaemonProcess daemon;
  RawClient zero(daemon.endpoint(), Version::v5);
  zero.connect();
  zero.send(subscribePacket(Version::v5, 1, {{"a", 0}}, {property(PropertyId::subscriptionId, 0)}));
  zero.expectDisconnected(0x82);
  RawClient twice(daemon.endpoint(), Version::v5);
  twice.connect();
  twice.send(subscribePacket(
      Version::v5, 1, {{"a", 0}},
      {property(PropertyId::subscriptionId, 1), property(PropertyId::subscriptionId, 1)}));
  twice.expectDisconnected(0x82);
}

TEST_CASE(
    "malformed filters end the connection [v311:4.7.1-2] [v311:4.7.1-3] [v311:4.7.3-1] "
    "[v5:4.7.1-1] [v5:4.7.1-2] [v5:4.7.3-1] [v5:4.8.2-1] [v5:4.8.2-2]",
    "[subscription]") {
  DaemonProcess daemon;
  const auto version = GENERATE(Version::v31, Version::v311, Version::v5);
  const std::string filter = GENERATE("", "sport/tennis#", "sport/tennis/#/ranking", "sport+",
                                      "+sport/a", "a/b+/c", "##", "#/a", "++");
  CAPTURE(version, filter);
  RawClient client(daemon.endpoint(), version);
  client.connect();
  client.send(subscribePacket(version, 1, {{filter, 0}}));
  client.expectDisconnected(0x81);
}

TEST_CASE("malformed shared filters end the connection [v5:4.8.2-1] [v5:4.8.2-2]",
          "[subscription]") {
  DaemonProcess daemon;
  const std::string filter =
      GENERATE("$share/", "$share/group", "$share/group/", "$share//t", "$share/a+/t",
               "$share/a#/t", "$share/+/t", "$share/group/a#");
  CAPTURE(filter);
  RawClient client(daemon.endpoint(), Version::v5);
  client.connect();
  client.send(subscribePacket(Version::v5, 1, {{filter, 0}}));
  client.expectDisconnected(0x81);
}

TEST_CASE(
    "filters must be UTF-8 without U+0000 [v311:3.8.3-1] [v311:3.10.3-1] [v5:3.8.3-1] "
    "[v5:3.10.3-1]",
    "[subscription]") {
  DaemonProcess daemon;
  const auto version = GENERATE(Version::v311, Version::v5);
  const std::string filter = hex(GENERATE("FF", "61 00", "ED A0 80", "C0 AF"));
  CAPTURE(version, toHex(filter));
  RawClient client(daemon.endpoint(), version);
  client.connect();
  client.send(subscribePacket(version, 1, {{filter, 0}}));
  client.expectDisconnected(0x81);
  RawClient other(daemon.endpoint(), version);
  other.connect();
  other.send(unsubscribePacket(version, 1, {filter}));
  other.expectDisconnected(0x81);
}

TEST_CASE("a client with nine hundred subscriptions gets each message once", "[subscription]") {
  DaemonProcess daemon;
  const auto version = GENERATE(Version::v311, Version::v5);
  CAPTURE(version);
  RawClient client(daemon.endpoint(), version);
  client.connect();
  for (unsigned i = 0; i < 900; ++i) {
    client.send(subscribePacket(version, i + 1, {{"t/" + std::to_string(i) + "/+", 1}}));
    client.expectSuback(i + 1, {1});
  }
  for (unsigned i = 0; i < 900; ++i) {
    const auto topic = "t/" + std::to_string(i) + "/x";
    client.publish({.topic = topic, .payload = "p"});
    client.expectPublish({.topic = topic, .payload = "p"});
  }
  client.expectNothing();
}
