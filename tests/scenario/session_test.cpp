#include <catch2/catch.hpp>

#include "tests/scenario/support/daemon.hpp"
#include "tests/scenario/support/raw_client.hpp"

using namespace mqttstack;

namespace {

/// Makes the stored session "kept" with one subscription and leaves it.
void storeSession(const DaemonProcess& daemon, Version version, const Filter& filter) {
  RawClient client(daemon.endpoint(), version);
  client.connect(durable(version, "kept"));
  client.subscribe({filter});
  client.disconnect();
}

void publishFrom(const DaemonProcess& daemon, Version version,
                 const std::vector<std::string>& payloads, unsigned qos) {
  RawClient publisher(daemon.endpoint(), version);
  publisher.connect({.clientId = "publisher"});
  for (const auto& payload : payloads) {
    publisher.publishFully({.topic = "t", .payload = payload, .qos = qos, .id = 1});
  }
  publisher.settle();
  publisher.disconnect();
}

/// Session Present is a flag of MQTT 3.1.1 and later.
bool tellsSession(Version version) { return version != Version::v31; }

}  // namespace

TEST_CASE(
    "a stored session is resumed with its subscriptions [v311:3.1.2-4] [v311:3.2.2-2] [v5:3.1.2-5] "
    "[v5:3.1.2-23] [v5:3.2.2-3] [v5:3.1.2-6] [v311:3.2.2-3] [v311:4.1.0-1] [original:9.32] "
    "[v5:3.1.3-2] [v311:3.1.3-2]",
    "[session]") {
  DaemonProcess daemon;
  const auto version = GENERATE(Version::v31, Version::v311, Version::v5);
  CAPTURE(version);
  {
    RawClient first(daemon.endpoint(), version);
    CHECK_FALSE(first.connect(durable(version, "kept")).sessionPresent);
    first.subscribe({{"t", 1}});
    first.disconnect();
  }
  RawClient again(daemon.endpoint(), version);
  CHECK(again.connect(durable(version, "kept")).sessionPresent == tellsSession(version));
  publishFrom(daemon, version, {"x"}, 1);
  again.expectPublishFully({.topic = "t", .payload = "x", .qos = 1});
}

TEST_CASE("a session exists even without subscriptions [v311:3.2.2-2] [v5:3.2.2-3]", "[session]") {
  DaemonProcess daemon;
  const auto version = GENERATE(Version::v311, Version::v5);
  CAPTURE(version);
  RawClient first(daemon.endpoint(), version);
  first.connect(durable(version, "kept"));
  first.drop();
  RawClient again(daemon.endpoint(), version);
  CHECK(again.connect(durable(version, "kept")).sessionPresent);
}

TEST_CASE(
    "a clean start discards the stored session [v311:3.1.2-6] [v311:3.2.2-1] "
    "[v5:3.1.2-4] [v5:3.2.2-2]",
    "[session]") {
  DaemonProcess daemon;
  const auto version = GENERATE(Version::v31, Version::v311, Version::v5);
  CAPTURE(version);
  storeSession(daemon, version, {"t", 1});
  publishFrom(daemon, version, {"queued"}, 1);
  RawClient clean(daemon.endpoint(), version);
  CHECK_FALSE(clean.connect({.clientId = "kept"}).sessionPresent);
  publishFrom(daemon, version, {"live"}, 1);
  clean.expectNothing();
  clean.disconnect();
  RawClient again(daemon.endpoint(), version);
  CHECK_FALSE(again.connect(durable(version, "kept")).sessionPresent);
  again.expectNothing();
}

TEST_CASE("a session without expiry ends with its connection [v311:3.1.2-6] [v5:4.1.0-2]",
          "[session]") {
  DaemonProcess daemon;
  const auto version = GENERATE(Version::v31, Version::v311, Version::v5);
  CAPTURE(version);
  {
    RawClient first(daemon.endpoint(), version);
    first.connect({.clientId = "kept"});
    first.subscribe({{"t", 1}});
    first.disconnect();
  }
  publishFrom(daemon, version, {"x"}, 1);
  RawClient again(daemon.endpoint(), version);
  CHECK_FALSE(again.connect(durable(version, "kept")).sessionPresent);
  again.expectNothing();
}

TEST_CASE(
    "messages for an absent session are delivered when it returns, in order, after "
    "CONNACK [v311:3.1.2-5] [v311:4.5.0-1] [v5:4.5.0-1] [v5:3.2.0-1]",
    "[session]") {
  DaemonProcess daemon;
  const auto version = GENERATE(Version::v31, Version::v311, Version::v5);
  const unsigned qos = GENERATE(1U, 2U);
  CAPTURE(version, qos);
  storeSession(daemon, version, {"t", 2});
  publishFrom(daemon, version, {"1", "2", "3", "4", "5"}, qos);
  RawClient again(daemon.endpoint(), version);
  again.connect(durable(version, "kept"));
  std::vector<unsigned> ids;
  for (const std::string payload : {"1", "2", "3", "4", "5"}) {
    ids.push_back(again.expectPublish({.topic = "t", .payload = payload, .qos = qos}).id);
  }
  for (const auto id : ids) again.send(qos == 1 ? pubackPacket(id) : pubrecPacket(id));
  if (qos == 2) {
    for (const auto id : ids) again.expectAck(kPubrel, id);
    for (const auto id : ids) again.send(pubcompPacket(id));
  }
  again.expectNothing();
  again.disconnect();
  RawClient third(daemon.endpoint(), version);
  third.connect(durable(version, "kept"));
  third.expectNothing();
}

TEST_CASE("an absent session also gets its messages after an abnormal close", "[session]") {
  DaemonProcess daemon;
  const auto version = GENERATE(Version::v31, Version::v311, Version::v5);
  CAPTURE(version);
  RawClient first(daemon.endpoint(), version);
  first.connect(durable(version, "kept"));
  first.subscribe({{"t", 1}});
  first.reset();
  publishFrom(daemon, version, {"x"}, 1);
  RawClient again(daemon.endpoint(), version);
  again.connect(durable(version, "kept"));
  again.expectPublishFully({.topic = "t", .payload = "x", .qos = 1});
}

TEST_CASE(
    "unacknowledged messages are sent again on resumption, with DUP and the same packet "
    "identifier, in order [v311:4.4.0-1] [v311:3.3.1-1] [v5:4.4.0-1] [v5:3.3.1-1] [v5:4.3.2-3] "
    "[v5:4.3.3-3]",
    "[session]") {
  DaemonProcess daemon;
  const auto version = GENERATE(Version::v31, Version::v311, Version::v5);
  const unsigned qos = GENERATE(1U, 2U);
  CAPTURE(version, qos);
  std::vector<unsigned> ids;
  {
    RawClient first(daemon.endpoint(), version);
    first.connect(durable(version, "kept"));
    first.subscribe({{"t", 2}});
    publishFrom(daemon, version, {"1", "2", "3"}, qos);
    for (const std::string payload : {"1", "2", "3"}) {
      ids.push_back(first.expectPublish({.topic = "t", .payload = payload, .qos = qos}).id);
    }
    first.reset();
  }
  publishFrom(daemon, version, {"4"}, qos);
  RawClient again(daemon.endpoint(), version);
  again.connect(durable(version, "kept"));
  for (unsigned i = 0; i < 3; ++i) {
    again.expectPublish(
        {.topic = "t", .payload = std::to_string(i + 1), .qos = qos, .id = ids[i], .dup = true});
  }
  again.expectPublish({.topic = "t", .payload = "4", .qos = qos});
}

TEST_CASE("acknowledged messages are not sent again [v5:4.4.0-2]", "[session]") {
  DaemonProcess daemon;
  const auto version = GENERATE(Version::v31, Version::v311, Version::v5);
  CAPTURE(version);
  {
    RawClient first(daemon.endpoint(), version);
    first.connect(durable(version, "kept"));
    first.subscribe({{"t", 1}});
    publishFrom(daemon, version, {"1", "2"}, 1);
    first.expectPublishFully({.topic = "t", .payload = "1", .qos = 1});
    first.expectPublish({.topic = "t", .payload = "2", .qos = 1});
    first.settle();
    first.reset();
  }
  RawClient again(daemon.endpoint(), version);
  again.connect(durable(version, "kept"));
  again.expectPublish({.topic = "t", .payload = "2", .qos = 1, .dup = true});
  again.expectNothing();
}

TEST_CASE("a PUBREC or PUBACK with an error is not answered by a re-transmission [v5:4.4.0-2]",
          "[session]") {
  DaemonProcess daemon;
  const unsigned qos = GENERATE(1U, 2U);
  CAPTURE(qos);
  {
    RawClient first(daemon.endpoint(), Version::v5);
    first.connect(durable(Version::v5, "kept"));
    first.subscribe({{"t", 2}});
    publishFrom(daemon, Version::v5, {"1"}, qos);
    const auto id = first.expectPublish({.topic = "t", .payload = "1", .qos = qos}).id;
    first.send(packet(qos == 1 ? kPuback : kPubrec, u16(id) + u8(0x80) + u8(0)));
    first.expectNothing();
    first.reset();
  }
  RawClient again(daemon.endpoint(), Version::v5);
  again.connect(durable(Version::v5, "kept"));
  again.expectNothing();
}

TEST_CASE(
    "an unanswered PUBREL is sent again on resumption, and the PUBLISH is not [v311:4.4.0-1] "
    "[v311:4.3.3-1] [v5:4.4.0-1] [v5:4.3.3-6] [v5:4.3.3-5]",
    "[session]") {
  DaemonProcess daemon;
  const auto version = GENERATE(Version::v31, Version::v311, Version::v5);
  CAPTURE(version);
  unsigned id = 0;
  {
    RawClient first(daemon.endpoint(), version);
    first.connect(durable(version, "kept"));
    first.subscribe({{"t", 2}});
    publishFrom(daemon, version, {"x"}, 2);
    id = first.expectPublish({.topic = "t", .payload = "x", .qos = 2}).id;
    first.send(pubrecPacket(id));
    first.expectAck(kPubrel, id);
    first.reset();
  }
  RawClient again(daemon.endpoint(), version);
  again.connect(durable(version, "kept"));
  again.expectAck(kPubrel, id);
  again.send(pubcompPacket(id));
  again.expectNothing();
}

TEST_CASE(
    "a QoS 2 message begun on one connection is finished on the next, once "
    "[v311:4.3.3-2] [v5:4.3.3-10]",
    "[session]") {
  DaemonProcess daemon;
  const auto version = GENERATE(Version::v31, Version::v311, Version::v5);
  CAPTURE(version);
  RawClient subscriber(daemon.endpoint(), version);
  subscriber.connect({.clientId = "subscriber"});
  subscriber.subscribe({{"t", 0}});
  Publish message{.topic = "t", .payload = "x", .qos = 2, .id = 5};
  {
    RawClient first(daemon.endpoint(), version);
    first.connect(durable(version, "kept"));
    first.publish(message);
    first.expectAck(kPubrec, 5);
    first.reset();
  }
  RawClient again(daemon.endpoint(), version);
  again.connect(durable(version, "kept"));
  message.dup = true;
  again.publishFully(message);
  subscriber.expectPublish({.topic = "t", .payload = "x"});
  subscriber.expectNothing();
}

TEST_CASE("a session that is taken over keeps its state [v311:3.1.4-3] [v5:3.1.4-4]", "[session]") {
  DaemonProcess daemon;
  const auto version = GENERATE(Version::v31, Version::v311, Version::v5);
  CAPTURE(version);
  RawClient first(daemon.endpoint(), version);
  first.connect(durable(version, "kept"));
  first.subscribe({{"t", 1}});
  RawClient second(daemon.endpoint(), version);
  CHECK(second.connect(durable(version, "kept")).sessionPresent == tellsSession(version));
  publishFrom(daemon, version, {"x"}, 1);
  second.expectPublishFully({.topic = "t", .payload = "x", .qos = 1});
}

TEST_CASE("a session that is taken over by a clean start is gone [v311:3.1.2-6] [v5:3.1.2-4]",
          "[session]") {
  DaemonProcess daemon;
  const auto version = GENERATE(Version::v31, Version::v311, Version::v5);
  CAPTURE(version);
  RawClient first(daemon.endpoint(), version);
  first.connect(durable(version, "kept"));
  first.subscribe({{"t", 1}});
  RawClient second(daemon.endpoint(), version);
  CHECK_FALSE(second.connect({.clientId = "kept"}).sessionPresent);
  publishFrom(daemon, version, {"x"}, 1);
  second.expectNothing();
}

TEST_CASE("a session expires after its interval [v5:4.1.0-2]", "[session]") {
  DaemonProcess daemon;
  auto connect = durable(Version::v5, "kept");
  connect.properties = {property(PropertyId::sessionExpiry, 1)};
  RawClient first(daemon.endpoint(), Version::v5);
  first.connect(connect);
  first.subscribe({{"t", 1}});
  first.disconnect();
  letPass(std::chrono::milliseconds(2500));
  RawClient again(daemon.endpoint(), Version::v5);
  CHECK_FALSE(again.connect(connect).sessionPresent);
}

TEST_CASE("the interval of a session does not run while it is connected [v5:4.1.0-1]",
          "[session]") {
  DaemonProcess daemon;
  auto connect = durable(Version::v5, "kept");
  connect.properties = {property(PropertyId::sessionExpiry, 1)};
  RawClient client(daemon.endpoint(), Version::v5);
  client.connect(connect);
  client.subscribe({{"t", 0}});
  letPass(std::chrono::milliseconds(2500));
  client.publish({.topic = "t", .payload = "x"});
  client.expectPublish({.topic = "t", .payload = "x"});
}

TEST_CASE("DISCONNECT may change the session's expiry", "[session]") {
  DaemonProcess daemon;
  const std::uint32_t seconds = GENERATE(0U, 1000U);
  CAPTURE(seconds);
  RawClient first(daemon.endpoint(), Version::v5);
  first.connect(durable(Version::v5, "kept"));
  first.send(disconnectPacket(Version::v5, 0, {property(PropertyId::sessionExpiry, seconds)}));
  first.expectClosed();
  RawClient again(daemon.endpoint(), Version::v5);
  CHECK(again.connect(durable(Version::v5, "kept")).sessionPresent == (seconds > 0));
}

TEST_CASE("DISCONNECT may not give a session an expiry that CONNECT did not", "[session]") {
  DaemonProcess daemon;
  RawClient client(daemon.endpoint(), Version::v5);
  client.connect();
  client.send(disconnectPacket(Version::v5, 0, {property(PropertyId::sessionExpiry, 10)}));
  client.expectDisconnected(0x82);
}

TEST_CASE("the server bounds the session's expiry and says so", "[session]") {
  DaemonProcess daemon(plainConfig("[middleware.session_manager]\nmax_session_expiry = \"10s\"\n"));
  RawClient client(daemon.endpoint(), Version::v5);
  const auto connack = client.connect(durable(Version::v5, "kept"));
  CHECK(numberOf(connack.properties, PropertyId::sessionExpiry) == 10U);
  RawClient modest(daemon.endpoint(), Version::v5);
  const auto unchanged = modest.connect(
      {.clientId = "modest", .properties = {property(PropertyId::sessionExpiry, 5)}});
  CHECK_FALSE(numberOf(unchanged.properties, PropertyId::sessionExpiry).has_value());
}

TEST_CASE("QoS 0 messages reach only those who are there", "[session]") {
  DaemonProcess daemon;
  const auto version = GENERATE(Version::v31, Version::v311, Version::v5);
  CAPTURE(version);
  storeSession(daemon, version, {"t", 0});
  publishFrom(daemon, version, {"1"}, 1);
  RawClient again(daemon.endpoint(), version);
  again.connect(durable(version, "kept"));
  again.expectNothing();
  publishFrom(daemon, version, {"2"}, 1);
  again.expectPublish({.topic = "t", .payload = "2"});
}

TEST_CASE("a session goes on under another version of the protocol", "[session]") {
  DaemonProcess daemon;
  storeSession(daemon, Version::v311, {"t", 1});
  publishFrom(daemon, Version::v311, {"x"}, 1);
  RawClient again(daemon.endpoint(), Version::v5);
  CHECK(again.connect(durable(Version::v5, "kept")).sessionPresent);
  again.expectPublishFully({.topic = "t", .payload = "x", .qos = 1});
}

TEST_CASE("five hundred reconnects do not jam a session", "[session]") {
  DaemonProcess daemon;
  const auto version = GENERATE(Version::v311, Version::v5);
  CAPTURE(version);
  storeSession(daemon, version, {"t", 1});
  RawClient publisher(daemon.endpoint(), version);
  publisher.connect({.clientId = "publisher"});
  for (unsigned i = 0; i < 500; ++i) {
    RawClient client(daemon.endpoint(), version);
    client.connect(durable(version, "kept"));
    publisher.publishFully({.topic = "t", .payload = std::to_string(i), .qos = 1, .id = 1});
    client.expectPublishFully({.topic = "t", .payload = std::to_string(i), .qos = 1});
    client.settle();
    client.drop();
  }
}
