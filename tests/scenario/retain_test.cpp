#include <algorithm>

#include <catch2/catch.hpp>

#include "tests/scenario/support/daemon.hpp"
#include "tests/scenario/support/raw_client.hpp"

using namespace mqttstack;

namespace {

/// Stores a retained message and waits until it is stored.
void storeRetained(const DaemonProcess& daemon, const std::string& topic, const Bytes& payload,
                   unsigned qos = 1) {
  RawClient publisher(daemon.endpoint());
  publisher.connect({.clientId = "storer"});
  publisher.publishFully({.topic = topic, .payload = payload, .qos = qos, .id = 1, .retain = true});
  publisher.settle();
  publisher.disconnect();
}

}  // namespace

TEST_CASE(
    "a new subscription gets the retained message [v311:3.3.1-5] [v311:3.3.1-6] "
    "[v311:3.3.1-8] [v5:3.3.1-5] [v5:3.3.1-9]",
    "[retain]") {
  DaemonProcess daemon;
  const auto version = GENERATE(Version::v31, Version::v311, Version::v5);
  const unsigned stored = GENERATE(0U, 1U, 2U);
  const unsigned granted = GENERATE(0U, 1U, 2U);
  const std::string filter = GENERATE("a/b", "a/+", "#");
  CAPTURE(version, stored, granted, filter);
  storeRetained(daemon, "a/b", "x", stored);
  RawClient subscriber(daemon.endpoint(), version);
  subscriber.connect();
  subscriber.subscribe({{filter, granted}});
  subscriber.expectPublishFully(
      {.topic = "a/b", .payload = "x", .qos = std::min(stored, granted), .retain = true});
  subscriber.expectNothing();
}

TEST_CASE(
    "the last retained message of a topic replaces the one before [v311:3.3.1-5] "
    "[v5:3.3.1-5]",
    "[retain]") {
  DaemonProcess daemon;
  storeRetained(daemon, "t", "old");
  storeRetained(daemon, "t", "new");
  RawClient subscriber(daemon.endpoint());
  subscriber.connect();
  subscriber.subscribe({{"t", 0}});
  subscriber.expectPublish({.topic = "t", .payload = "new", .retain = true});
  subscriber.expectNothing();
}

TEST_CASE(
    "a retained message reaches established subscriptions without the flag [v311:3.3.1-9] "
    "[v5:3.3.1-12] [original:9.27]",
    "[retain]") {
  DaemonProcess daemon;
  const auto version = GENERATE(Version::v31, Version::v311, Version::v5);
  CAPTURE(version);
  RawClient subscriber(daemon.endpoint(), version);
  subscriber.connect();
  subscriber.subscribe({{"t", 0}});
  storeRetained(daemon, "t", "x");
  subscriber.expectPublish({.topic = "t", .payload = "x", .retain = false});
}

TEST_CASE("with Retain As Published the flag stays as it was [v5:3.3.1-13]", "[retain]") {
  DaemonProcess daemon;
  RawClient subscriber(daemon.endpoint(), Version::v5);
  subscriber.connect();
  subscriber.subscribe({{"t", 1 | kRetainAsPublished}});
  subscriber.publish({.topic = "t", .payload = "1", .retain = true});
  subscriber.expectPublish({.topic = "t", .payload = "1", .retain = true});
  subscriber.publish({.topic = "t", .payload = "2", .retain = false});
  subscriber.expectPublish({.topic = "t", .payload = "2", .retain = false});
}

TEST_CASE("a message without the flag leaves the retained one alone [v311:3.3.1-12] [v5:3.3.1-8]",
          "[retain]") {
  DaemonProcess daemon;
  storeRetained(daemon, "t", "kept");
  RawClient client(daemon.endpoint());
  client.connect();
  client.publishFully({.topic = "t", .payload = "passing", .qos = 1, .id = 1});
  client.publishFully({.topic = "t", .payload = "", .qos = 1, .id = 1});
  client.subscribe({{"t", 0}});
  client.expectPublish({.topic = "t", .payload = "kept", .retain = true});
  client.expectNothing();
}

TEST_CASE(
    "an empty payload removes the retained message and is delivered [v311:3.3.1-10] "
    "[v311:3.3.1-11] [v5:3.3.1-6] [v5:3.3.1-7] [original:9.28]",
    "[retain]") {
  DaemonProcess daemon;
  const auto version = GENERATE(Version::v31, Version::v311, Version::v5);
  CAPTURE(version);
  RawClient watcher(daemon.endpoint(), version);
  watcher.connect({.clientId = "watcher"});
  watcher.subscribe({{"t", 0}});
  storeRetained(daemon, "t", "x");
  watcher.expectPublish({.topic = "t", .payload = "x"});
  storeRetained(daemon, "t", "");
  watcher.expectPublish({.topic = "t", .payload = ""});
  RawClient late(daemon.endpoint(), version);
  late.connect({.clientId = "late"});
  late.subscribe({{"#", 0}});
  late.expectNothing();
}

TEST_CASE(
    "an identical second SUBSCRIBE gets the retained message again [v311:3.8.4-3] [v5:3.8.4-4] "
    "[original:9.30]",
    "[retain]") {
  DaemonProcess daemon;
  const auto version = GENERATE(Version::v31, Version::v311, Version::v5);
  CAPTURE(version);
  storeRetained(daemon, "t", "x");
  RawClient client(daemon.endpoint(), version);
  client.connect();
  for (int time = 0; time < 2; ++time) {
    client.subscribe({{"t", 0}});
    client.expectPublish({.topic = "t", .payload = "x", .retain = true});
  }
  client.expectNothing();
}

TEST_CASE("Retain Handling 1 sends retained messages to new subscriptions only [v5:3.3.1-10]",
          "[retain]") {
  DaemonProcess daemon;
  storeRetained(daemon, "t", "x");
  RawClient client(daemon.endpoint(), Version::v5);
  client.connect();
  client.subscribe({{"t", kSendRetainedIfNew}});
  client.expectPublish({.topic = "t", .payload = "x", .retain = true});
  client.subscribe({{"t", kSendRetainedIfNew}});
  client.expectNothing();
  client.unsubscribe({"t"});
  client.subscribe({{"t", kSendRetainedIfNew}});
  client.expectPublish({.topic = "t", .payload = "x", .retain = true});
}

TEST_CASE("Retain Handling 1 knows the subscriptions of a resumed session [v5:3.3.1-10]",
          "[retain]") {
  DaemonProcess daemon;
  storeRetained(daemon, "t", "x");
  RawClient first(daemon.endpoint(), Version::v5);
  first.connect(durable(Version::v5, "kept"));
  first.subscribe({{"t", kSendRetainedIfNew}});
  first.expectPublish({.topic = "t", .payload = "x", .retain = true});
  first.disconnect();
  RawClient again(daemon.endpoint(), Version::v5);
  CHECK(again.connect(durable(Version::v5, "kept")).sessionPresent);
  again.expectNothing();
  again.subscribe({{"t", kSendRetainedIfNew}});
  again.expectNothing();
}

TEST_CASE("Retain Handling 2 sends no retained messages [v5:3.3.1-11]", "[retain]") {
  DaemonProcess daemon;
  storeRetained(daemon, "t", "x");
  RawClient client(daemon.endpoint(), Version::v5);
  client.connect();
  client.subscribe({{"t", kSendNoRetained}});
  client.expectNothing();
}

TEST_CASE("retained messages survive a clean session and their author [v311:3.1.2-7]", "[retain]") {
  DaemonProcess daemon;
  {
    RawClient author(daemon.endpoint());
    author.connect({.clientId = "author"});
    author.publishFully({.topic = "t", .payload = "x", .qos = 1, .id = 1, .retain = true});
    author.reset();
  }
  RawClient same(daemon.endpoint());
  same.connect({.clientId = "author"});
  same.subscribe({{"t", 0}});
  same.expectPublish({.topic = "t", .payload = "x", .retain = true});
}

TEST_CASE("a resumed session does not get retained messages again", "[retain]") {
  DaemonProcess daemon;
  const auto version = GENERATE(Version::v31, Version::v311, Version::v5);
  CAPTURE(version);
  storeRetained(daemon, "t", "x");
  {
    RawClient first(daemon.endpoint(), version);
    first.connect(durable(version, "kept"));
    first.subscribe({{"t", 0}});
    first.expectPublish({.topic = "t", .payload = "x", .retain = true});
    first.disconnect();
  }
  RawClient second(daemon.endpoint(), version);
  second.connect(durable(version, "kept"));
  second.expectNothing();
}

TEST_CASE("shared subscriptions get no retained messages", "[retain]") {
  DaemonProcess daemon;
  const auto version = GENERATE(Version::v311, Version::v5);
  CAPTURE(version);
  storeRetained(daemon, "t", "x");
  RawClient client(daemon.endpoint(), version);
  client.connect();
  client.subscribe({{"$share/group/t", 1}});
  client.expectNothing();
}

TEST_CASE("a retained message keeps its properties and gets the subscription's identifier",
          "[retain]") {
  DaemonProcess daemon;
  RawClient client(daemon.endpoint(), Version::v5);
  client.connect();
  const Properties properties{property(PropertyId::payloadFormat, 1),
                              property(PropertyId::contentType, "text/plain"),
                              property(PropertyId::responseTopic, "answers"),
                              property(PropertyId::correlationData, "77"),
                              userProperty("b", "1"),
                              userProperty("a", "2")};
  client.publishFully(
      {.topic = "t", .payload = "x", .qos = 1, .id = 1, .retain = true, .properties = properties});
  client.subscribe({{"t", 0}}, {property(PropertyId::subscriptionId, 300)});
  auto expected = properties;
  expected.push_back(property(PropertyId::subscriptionId, 300));
  client.expectPublish({.topic = "t", .payload = "x", .retain = true, .properties = expected});
}

TEST_CASE("a thousand retained messages reach one wildcard subscription", "[retain]") {
  DaemonProcess daemon;
  const auto version = GENERATE(Version::v311, Version::v5);
  const unsigned qos = GENERATE(0U, 1U);
  CAPTURE(version, qos);
  constexpr unsigned kCount = 1000;
  RawClient client(daemon.endpoint(), version);
  client.connect();
  for (unsigned i = 0; i < kCount; ++i) {
    client.publish(
        {.topic = "t/" + std::to_string(i), .payload = "x", .qos = 1, .id = i + 1, .retain = true});
    client.expectAck(kPuback, i + 1);
  }
  client.subscribe({{"t/+", qos}});
  std::vector<bool> seen(kCount);
  for (unsigned i = 0; i < kCount; ++i) {
    const auto message = readPublish(version, client.receive());
    CHECK(message.retain);
    const auto number = std::stoul(message.topic.substr(2));
    REQUIRE(number < kCount);
    CHECK_FALSE(seen[number]);
    seen[number] = true;
    if (qos == 1) client.send(pubackPacket(message.id));
  }
  client.expectNothing();
}
