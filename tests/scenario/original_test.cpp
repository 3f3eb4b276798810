#include <algorithm>

#include <catch2/catch.hpp>

#include "tests/scenario/support/daemon.hpp"
#include "tests/scenario/support/raw_client.hpp"

using namespace mqttstack;

// The checks of mqtt-spec that no other scenario makes in the same words, with something that has
// to come where the original was content with nothing coming.

namespace {

/// Publishes to `topic` and says what the subscriber to `filter` gets of it.
std::vector<std::string> matched(const DaemonProcess& daemon, const std::string& filter,
                                 const std::string& topic) {
  RawClient client(daemon.endpoint(), Version::v311);
  client.connect();
  client.subscribe({{filter, 0}, {"end", 0}});
  client.publish({.topic = topic, .payload = "x"});
  client.publish({.topic = "end"});
  std::vector<std::string> topics;
  for (;;) {
    const Publish publish = readPublish(Version::v311, client.receive());
    if (publish.topic == "end" && publish.payload.empty()) break;
    topics.push_back(publish.topic);
  }
  return topics;
}

}  // namespace

TEST_CASE("zeros instead of a packet close the connection [original:9.1]", "[original]") {
  DaemonProcess daemon;
  RawClient client(daemon.endpoint(), Version::v311);
  client.send(Bytes(64, '\0'));
  client.expectClosed();
}

TEST_CASE(
    "a client connects and disconnects, with and without a keep alive "
    "[original:9.6] [original:9.7] [original:9.8]",
    "[original]") {
  DaemonProcess daemon;
  const unsigned keepAlive = GENERATE(0U, 60U);
  RawClient client(daemon.endpoint(), Version::v311);
  client.send(connectPacket(Version::v311, {.keepAlive = keepAlive}));
  client.expect(hex("20 02 00 00"));
  client.settle();
  client.send(disconnectPacket(Version::v311));
  client.expectClosed();
}

TEST_CASE(
    "a client id may have as many bytes as the option allows, up to 65,535, and may have one "
    "[original:9.9] [original:9.10]",
    "[original]") {
  DaemonProcess daemon(plainConfig("[middleware.connection]\nmax_client_id_bytes = 65535\n"));
  const auto version = GENERATE(Version::v311, Version::v5);
  for (const std::size_t size : {std::size_t{1}, std::size_t{65'535}}) {
    RawClient client(daemon.endpoint(), version);
    client.connect({.clientId = std::string(size, 'c')});
    client.settle();
  }
}

TEST_CASE("subscribe, publish, receive [original:9.18] [original:9.19] [original:9.20]",
          "[original]") {
  DaemonProcess daemon;
  const unsigned qos = GENERATE(0U, 1U);
  RawClient client(daemon.endpoint(), Version::v311);
  client.connect();
  client.subscribe({{"test/topic", qos}});
  client.publish({.topic = "test/topic", .payload = "message", .qos = qos, .id = qos * 5});
  // The PUBACK may come before the message or behind it.
  std::vector<Bytes> came{client.receive()};
  if (qos == 1) came.push_back(client.receive());
  std::sort(came.begin(), came.end());
  const Publish publish = readPublish(Version::v311, came.front());
  CHECK(publish.topic == "test/topic");
  CHECK(publish.payload == "message");
  CHECK(publish.qos == qos);
  if (qos == 1) CHECK(came.back() == pubackPacket(5));
}

TEST_CASE("a message to a topic with wildcards is delivered to nobody [original:9.21]",
          "[original]") {
  DaemonProcess daemon;
  RawClient subscriber(daemon.endpoint(), Version::v311);
  subscriber.connect({.clientId = "subscriber"});
  subscriber.subscribe({{"#", 1}});
  for (const char* topic : {"test/+", "test/#", "#", "+"}) {
    RawClient publisher(daemon.endpoint(), Version::v311);
    publisher.connect({.clientId = "publisher"});
    publisher.publish({.topic = topic, .payload = "x"});
    publisher.expectClosed();
  }
  subscriber.expectNothing();
}

TEST_CASE("a payload of 5 KiB arrives intact [original:9.22]", "[original]") {
  DaemonProcess daemon;
  RawClient client(daemon.endpoint(), Version::v311);
  client.connect();
  client.subscribe({{"t", 0}});
  Bytes payload;
  for (unsigned i = 0; i < 5 * 1024; ++i) payload += static_cast<char>(i * 7);
  client.publish({.topic = "t", .payload = payload});
  client.expectPublish({.topic = "t", .payload = payload});
}

TEST_CASE("foo/# at QoS 1 receives a QoS 1 message at QoS 1 [original:9.23]", "[original]") {
  DaemonProcess daemon;
  RawClient subscriber(daemon.endpoint(), Version::v311);
  subscriber.connect({.clientId = "subscriber"});
  subscriber.subscribe({{"foo/#", 1}});
  RawClient publisher(daemon.endpoint(), Version::v311);
  publisher.connect({.clientId = "publisher"});
  publisher.publishFully({.topic = "foo/bar/baz", .payload = "x", .qos = 1, .id = 3});
  subscriber.expectPublish({.topic = "foo/bar/baz", .payload = "x", .qos = 1});
}

TEST_CASE(
    "the last retained message reaches a new subscriber with the flag, though another without "
    "it came later [original:9.26] [original:9.29]",
    "[original]") {
  DaemonProcess daemon;
  RawClient publisher(daemon.endpoint(), Version::v311);
  publisher.connect({.clientId = "publisher"});
  publisher.publish({.topic = "t", .payload = "first", .retain = true});
  publisher.publish({.topic = "t", .payload = "last", .retain = true});
  publisher.publish({.topic = "t", .payload = "passing"});
  publisher.settle();
  RawClient subscriber(daemon.endpoint(), Version::v311);
  subscriber.connect({.clientId = "subscriber"});
  subscriber.subscribe({{"t", 0}});
  subscriber.expectPublish({.topic = "t", .payload = "last", .retain = true});
  subscriber.expectNothing();
}

TEST_CASE(
    "SUBACK has the packet id and what was asked for [original:9.33] [original:9.34] "
    "[original:9.35]",
    "[original]") {
  DaemonProcess daemon;
  RawClient client(daemon.endpoint(), Version::v311);
  client.connect();
  client.send(subscribePacket(Version::v311, 1337, {{"test", 0}}));
  client.expect(hex("90 03 05 39 00"));
  client.send(subscribePacket(Version::v311, 1338, {{"test", 1}, {"test2", 0}}));
  client.expect(hex("90 04 05 3A 01 00"));
  client.send(subscribePacket(Version::v311, 1339, {{"test", 1}}));
  client.expect(hex("90 03 05 3B 01"));
}

TEST_CASE(
    "UNSUBACK has the packet id, whether there was anything or not [original:9.36] "
    "[original:9.37]",
    "[original]") {
  DaemonProcess daemon;
  RawClient client(daemon.endpoint(), Version::v311);
  client.connect();
  client.subscribe({{"test", 0}});
  for (int i = 0; i < 2; ++i) {
    client.send(unsubscribePacket(Version::v311, 1337, {"test"}));
    client.expect(hex("B0 02 05 39"));
  }
}

TEST_CASE(
    "a filter delivers until it is unsubscribed [original:9.38] [original:9.39] "
    "[original:9.40] [original:9.41] [original:9.42]",
    "[original]") {
  DaemonProcess daemon;
  const auto [filter, topic] =
      GENERATE(table<std::string, std::string>({{"foo", "foo"},
                                                {"foo/#", "foo/bar"},
                                                {"foo/+", "foo/bar"},
                                                {"foo/+/bar/#", "foo/x/bar/y/z"}}));
  CAPTURE(filter, topic);
  RawClient client(daemon.endpoint(), Version::v311);
  client.connect();
  client.subscribe({{filter, 0}});
  client.publish({.topic = topic, .payload = "x"});
  client.expectPublish({.topic = topic, .payload = "x"});
  client.unsubscribe({filter});
  client.publish({.topic = topic, .payload = "y"});
  client.expectNothing();
}

TEST_CASE("overlapping filters deliver one message [original:9.43]", "[original]") {
  DaemonProcess daemon;
  CHECK(matched(daemon, "foo/bar", "foo/bar") == std::vector<std::string>{"foo/bar"});
  RawClient client(daemon.endpoint(), Version::v311);
  client.connect({.clientId = "three"});
  client.subscribe({{"foo/+", 0}, {"+/bar", 0}, {"foo/bar", 0}});
  client.publish({.topic = "foo/bar", .payload = "x"});
  client.expectPublish({.topic = "foo/bar", .payload = "x"});
  client.expectNothing();
}

TEST_CASE(
    "filters match as the original wants it [original:9.44] [original:9.45] [original:9.46] "
    "[original:9.47] [original:9.48] [original:9.49] [original:9.50] [original:9.51] "
    "[original:9.52] [original:9.53] [original:9.54] [original:9.55]",
    "[original]") {
  struct Check {
    const char* filter;
    const char* topic;
    bool matches;
  };
  const std::vector<Check> checks{
      {"#", "test/topic", true},
      {"#", "/test/topic", true},
      {"foo/#", "foo/bar/baz", true},
      {"foo/+/baz", "foo/bar/baz", true},
      {"foo/#", "foo", true},
      {"/#", "/foo", true},
      {"+/+/+/+/+/+/+/+/+/+", "0/1/2/3/4/5/6/7/8/9", true},
      {"/test/+/topic", "/test//topic", true},
      {"/test//topic", "/test//topic", true},
      {"test/topic/", "test/topic", false},
      {"/test/topic", "test/topic", false},
      {"/test//topic", "/test/topic", false},
  };
  DaemonProcess daemon;
  for (const Check& check : checks) {
    CAPTURE(check.filter, check.topic);
    CHECK(matched(daemon, check.filter, check.topic) ==
          (check.matches ? std::vector<std::string>{check.topic} : std::vector<std::string>{}));
  }
}
