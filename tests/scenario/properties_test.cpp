#include <catch2/catch.hpp>

#include "tests/scenario/support/daemon.hpp"
#include "tests/scenario/support/raw_client.hpp"

using namespace mqttstack;
using namespace std::chrono_literals;

TEST_CASE(
    "the properties of a message arrive unaltered and in order [v5:3.3.2-4] [v5:3.3.2-15] "
    "[v5:3.3.2-16] [v5:3.3.2-17] [v5:3.3.2-18] [v5:3.3.2-20]",
    "[properties]") {
  DaemonProcess daemon;
  const unsigned qos = GENERATE(0U, 1U, 2U);
  CAPTURE(qos);
  RawClient subscriber(daemon.endpoint(), Version::v5);
  subscriber.connect({.clientId = "subscriber"});
  subscriber.subscribe({{"t", qos}});
  RawClient publisher(daemon.endpoint(), Version::v5);
  publisher.connect({.clientId = "publisher"});
  const Properties properties{userProperty("z", "1"),
                              property(PropertyId::payloadFormat, 1),
                              userProperty("a", "2"),
                              property(PropertyId::contentType, "application/json"),
                              property(PropertyId::responseTopic, "answers/7"),
                              property(PropertyId::correlationData, std::string_view("\0\xFF", 2)),
                              userProperty("z", "1"),
                              userProperty("", "")};
  publisher.publishFully(
      {.topic = "t", .payload = "{}", .qos = qos, .id = 1, .properties = properties});
  subscriber.expectPublishFully(
      {.topic = "t", .payload = "{}", .qos = qos, .properties = properties});
}

TEST_CASE("the properties of a queued message arrive unaltered [v5:3.3.2-17]", "[properties]") {
  DaemonProcess daemon;
  RawClient subscriber(daemon.endpoint(), Version::v5);
  subscriber.connect(durable(Version::v5, "kept"));
  subscriber.subscribe({{"t", 1}}, {property(PropertyId::subscriptionId, 9)});
  subscriber.disconnect();
  RawClient publisher(daemon.endpoint(), Version::v5);
  publisher.connect({.clientId = "publisher"});
  publisher.publishFully({.topic = "t",
                          .payload = "x",
                          .qos = 1,
                          .id = 1,
                          .properties = {userProperty("b", "1"), userProperty("a", "2")}});
  RawClient again(daemon.endpoint(), Version::v5);
  again.connect(durable(Version::v5, "kept"));
  again.expectPublish({.topic = "t",
                       .payload = "x",
                       .qos = 1,
                       .properties = {property(PropertyId::subscriptionId, 9),
                                      userProperty("b", "1"), userProperty("a", "2")}});
}

TEST_CASE("a message of MQTT 5 reaches MQTT 3.1.1 without its properties", "[properties]") {
  DaemonProcess daemon;
  RawClient subscriber(daemon.endpoint(), Version::v311);
  subscriber.connect({.clientId = "subscriber"});
  subscriber.subscribe({{"t", 0}});
  RawClient publisher(daemon.endpoint(), Version::v5);
  publisher.connect({.clientId = "publisher"});
  publisher.publish({.topic = "t", .payload = "x", .properties = {userProperty("a", "1")}});
  subscriber.expect(hex("30 04 00 01 74 78"));
}

TEST_CASE("the expiry of a message is passed on, less the time that it waited [v5:3.3.2-6]",
          "[properties]") {
  DaemonProcess daemon;
  RawClient live(daemon.endpoint(), Version::v5);
  live.connect({.clientId = "live"});
  live.subscribe({{"t", 1}});
  RawClient subscriber(daemon.endpoint(), Version::v5);
  subscriber.connect(durable(Version::v5, "kept"));
  subscriber.subscribe({{"t", 1}});
  subscriber.disconnect();
  RawClient publisher(daemon.endpoint(), Version::v5);
  publisher.connect({.clientId = "publisher"});
  publisher.publishFully({.topic = "t",
                          .payload = "x",
                          .qos = 1,
                          .id = 1,
                          .retain = true,
                          .properties = {property(PropertyId::messageExpiry, 100)}});
  live.expectPublish({.topic = "t",
                      .payload = "x",
                      .qos = 1,
                      .properties = {property(PropertyId::messageExpiry, 100)}});
  letPass(2100ms);
  RawClient again(daemon.endpoint(), Version::v5);
  again.connect(durable(Version::v5, "kept"));
  const auto queued = readPublish(Version::v5, again.receive());
  const auto left = numberOf(queued.properties, PropertyId::messageExpiry);
  REQUIRE(left.has_value());
  CHECK(*left >= 95);
  CHECK(*left <= 98);
  RawClient late(daemon.endpoint(), Version::v5);
  late.connect({.clientId = "late"});
  late.subscribe({{"t", 0}});
  const auto retained = readPublish(Version::v5, late.receive());
  CHECK(numberOf(retained.properties, PropertyId::messageExpiry).value_or(0) <= 98);
}

TEST_CASE("an expired message is not delivered [v5:3.3.2-5]", "[properties]") {
  DaemonProcess daemon;
  const auto version = GENERATE(Version::v311, Version::v5);
  CAPTURE(version);
  RawClient subscriber(daemon.endpoint(), version);
  subscriber.connect(durable(version, "kept"));
  subscriber.subscribe({{"t", 1}});
  subscriber.disconnect();
  RawClient publisher(daemon.endpoint(), Version::v5);
  publisher.connect({.clientId = "publisher"});
  publisher.publishFully({.topic = "t",
                          .payload = "short",
                          .qos = 1,
                          .id = 1,
                          .retain = true,
                          .properties = {property(PropertyId::messageExpiry, 1)}});
  publisher.publishFully({.topic = "t", .payload = "long", .qos = 1, .id = 1});
  letPass(2200ms);
  RawClient again(daemon.endpoint(), version);
  again.connect(durable(version, "kept"));
  again.expectPublishFully({.topic = "t", .payload = "long", .qos = 1});
  again.expectNothing();
  again.subscribe({{"t", 0}});
  again.expectNothing();
}

TEST_CASE("CONNACK tells the server's limits [v5:3.2.2-15] [v5:3.2.2-17]", "[properties]") {
  DaemonProcess daemon(
      plainConfig("max_packet_size = 4096\n"
                  "[middleware.inbound_manager]\n"
                  "receive_maximum = 7\ntopic_alias_maximum = 3\n"));
  RawClient client(daemon.endpoint(), Version::v5);
  const auto connack = client.connect();
  CHECK(numberOf(connack.properties, PropertyId::receiveMaximum) == 7U);
  CHECK(numberOf(connack.properties, PropertyId::topicAliasMaximum) == 3U);
  CHECK(numberOf(connack.properties, PropertyId::maximumPacketSize) == 4096U);
}

TEST_CASE(
    "properties that a PUBLISH may not have end the connection [v5:3.3.4-6] "
    "[v5:3.3.2-13] [v5:3.3.2-14] [v5:3.3.2-19]",
    "[properties]") {
  DaemonProcess daemon;
  struct Wrong {
    const char* what;
    Properties properties;
    unsigned reason;
  };
  const auto wrong = GENERATE(
      Wrong{"subscription identifier", {property(PropertyId::subscriptionId, 1)}, 0x82},
      Wrong{"wildcard response topic", {property(PropertyId::responseTopic, "a/#")}, 0x82},
      Wrong{"response topic not UTF-8", {property(PropertyId::responseTopic, "\xFF")}, 0x81},
      Wrong{"content type not UTF-8", {property(PropertyId::contentType, "\xFF")}, 0x81},
      Wrong{"user property not UTF-8", {userProperty("a", "\xFF")}, 0x81},
      Wrong{"property of CONNECT", {property(PropertyId::receiveMaximum, 1)}, 0x81},
      Wrong{"content type twice",
            {property(PropertyId::contentType, "a"), property(PropertyId::contentType, "a")},
            0x82},
      Wrong{"payload format 2", {property(PropertyId::payloadFormat, 2)}, 0x82},
      Wrong{"cut short", {{PropertyId::messageExpiry, u16(1)}}, 0x81});
  CAPTURE(wrong.what);
  RawClient client(daemon.endpoint(), Version::v5);
  client.connect();
  client.publish({.topic = "t", .payload = "x", .properties = wrong.properties});
  client.expectDisconnected(wrong.reason);
}

TEST_CASE(
    "with Request Problem Information 0 acknowledgements carry no explanation "
    "[v5:3.1.2-29]",
    "[properties]") {
  DaemonProcess daemon;
  RawClient client(daemon.endpoint(), Version::v5);
  client.connect({.properties = {property(PropertyId::requestProblem, 0)}});
  client.publish({.topic = "$SYS/mine", .payload = "x", .qos = 1, .id = 1});
  const auto ack = readAck(Version::v5, client.receive());
  CHECK(ack.reason == 0x87);
  CHECK(ack.properties.empty());
}

TEST_CASE("a topic alias stands for its topic [v5:3.3.2-12]", "[properties]") {
  DaemonProcess daemon;
  RawClient subscriber(daemon.endpoint(), Version::v5);
  subscriber.connect({.clientId = "subscriber"});
  subscriber.subscribe({{"#", 0}});
  RawClient publisher(daemon.endpoint(), Version::v5);
  const auto limits = publisher.connect({.clientId = "publisher"});
  const auto most = numberOf(limits.properties, PropertyId::topicAliasMaximum).value_or(0);
  REQUIRE(most >= 2);
  const Properties first{property(PropertyId::topicAlias, 1)};
  const Properties last{property(PropertyId::topicAlias, most)};
  publisher.publish({.topic = "a", .payload = "1", .properties = first});
  publisher.publish({.topic = "b", .payload = "2", .properties = last});
  publisher.publish({.topic = "", .payload = "3", .properties = first});
  publisher.publish({.topic = "", .payload = "4", .properties = last});
  publisher.publish({.topic = "c", .payload = "5", .properties = first});
  publisher.publish({.topic = "", .payload = "6", .properties = first});
  for (const auto& [topic, payload] : std::vector<std::pair<std::string, std::string>>{
           {"a", "1"}, {"b", "2"}, {"a", "3"}, {"b", "4"}, {"c", "5"}, {"c", "6"}}) {
    subscriber.expectPublish({.topic = topic, .payload = payload});
  }
}

TEST_CASE("a topic alias does not outlive its connection [v5:3.3.2-7]", "[properties]") {
  DaemonProcess daemon;
  const Properties alias{property(PropertyId::topicAlias, 1)};
  {
    RawClient first(daemon.endpoint(), Version::v5);
    first.connect(durable(Version::v5, "kept"));
    first.publish({.topic = "t", .payload = "x", .properties = alias});
    first.settle();
    first.disconnect();
  }
  RawClient again(daemon.endpoint(), Version::v5);
  again.connect(durable(Version::v5, "kept"));
  again.publish({.topic = "", .payload = "x", .properties = alias});
  again.expectDisconnected(0x82);
}

TEST_CASE(
    "a topic alias out of range ends the connection [v5:3.3.2-8] [v5:3.3.2-9] "
    "[v5:3.2.2-17] [v5:3.2.2-18]",
    "[properties]") {
  DaemonProcess daemon(plainConfig("[middleware.inbound_manager]\ntopic_alias_maximum = 3\n"));
  const unsigned alias = GENERATE(0U, 4U, 65'535U);
  CAPTURE(alias);
  RawClient client(daemon.endpoint(), Version::v5);
  client.connect();
  client.publish(
      {.topic = "t", .payload = "x", .properties = {property(PropertyId::topicAlias, alias)}});
  client.expectDisconnected(0x94);
}

TEST_CASE(
    "aliases that the server sends are in the client's range and right [v5:3.1.2-26] "
    "[v5:3.1.2-27] [v5:3.3.2-11]",
    "[properties]") {
  DaemonProcess daemon;
  const unsigned most = GENERATE(0U, 2U);
  CAPTURE(most);
  RawClient client(daemon.endpoint(), Version::v5);
  Connect connect;
  if (most > 0) connect.properties = {property(PropertyId::topicAliasMaximum, most)};
  client.connect(connect);
  client.subscribe({{"#", 0}});
  std::vector<std::string> known(most + 1);
  for (unsigned i = 0; i < 40; ++i) {
    const auto topic = "topic/" + std::to_string(i % 4);
    client.publish({.topic = topic, .payload = "x"});
    auto message = readPublish(Version::v5, client.receive());
    if (const auto alias = numberOf(message.properties, PropertyId::topicAlias)) {
      REQUIRE(*alias >= 1);
      REQUIRE(*alias <= most);
      if (!message.topic.empty()) known[*alias] = message.topic;
      message.topic = known[*alias];
    }
    REQUIRE(message.topic == topic);
  }
}
