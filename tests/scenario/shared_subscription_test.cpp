#include <set>

#include <catch2/catch.hpp>

#include "tests/scenario/support/daemon.hpp"
#include "tests/scenario/support/raw_client.hpp"

using namespace mqttstack;

namespace {

/// Takes and acknowledges all that waits for `client`.
std::vector<std::string> takeAll(RawClient& client) {
  std::vector<std::string> payloads;
  for (;;) {
    const auto before = payloads.size();
    client.send(pingreqPacket());
    for (Bytes came = client.receive(); came != pingrespPacket(); came = client.receive()) {
      const auto message = readPublish(client.version(), came);
      payloads.push_back(message.payload);
      if (message.qos == 1) client.send(pubackPacket(message.id));
    }
    // An acknowledgement makes room for the next message: only an empty round is the end.
    if (payloads.size() == before) return payloads;
  }
}

}  // namespace

TEST_CASE("each message goes to exactly one member of a group", "[shared_subscription]") {
  DaemonProcess daemon;
  const auto version = GENERATE(Version::v311, Version::v5);
  const unsigned qos = GENERATE(0U, 1U);
  CAPTURE(version, qos);
  std::vector<RawClient> members;
  for (int i = 0; i < 3; ++i) {
    members.emplace_back(daemon.endpoint(), version);
    members.back().connect({.clientId = "m" + std::to_string(i)});
    members.back().subscribe({{"$share/group/t/#", qos}});
  }
  RawClient publisher(daemon.endpoint(), version);
  publisher.connect({.clientId = "publisher"});
  constexpr unsigned kCount = 90;
  for (unsigned i = 0; i < kCount; ++i) {
    publisher.publishFully(
        {.topic = "t/" + std::to_string(i), .payload = std::to_string(i), .qos = qos, .id = 1});
  }
  publisher.settle();
  std::multiset<std::string> all;
  for (auto& member : members) {
    const auto payloads = takeAll(member);
    CHECK(payloads.size() >= kCount / 10);
    all.insert(payloads.begin(), payloads.end());
  }
  CHECK(all.size() == kCount);
  CHECK(std::set<std::string>(all.begin(), all.end()).size() == kCount);
}

TEST_CASE("groups are independent of each other and of plain subscriptions",
          "[shared_subscription]") {
  DaemonProcess daemon;
  RawClient client(daemon.endpoint(), Version::v5);
  client.connect();
  client.subscribe({{"$share/one/t", 0}, {"$share/two/t", 0}, {"$share/one/+", 0}, {"t", 0}});
  client.publish({.topic = "t", .payload = "x"});
  for (int copy = 0; copy < 4; ++copy) client.expectPublish({.topic = "t", .payload = "x"});
  client.expectNothing();
}

TEST_CASE("a shared subscription ends by its whole text", "[shared_subscription]") {
  DaemonProcess daemon;
  RawClient client(daemon.endpoint(), Version::v5);
  client.connect();
  client.subscribe({{"$share/group/t", 0}});
  client.send(unsubscribePacket(Version::v5, 3, {"t", "$share/other/t"}));
  client.expectUnsuback(3, {0x11, 0x11});
  client.publish({.topic = "t", .payload = "x"});
  client.expectPublish({.topic = "t", .payload = "x"});
  client.unsubscribe({"$share/group/t"});
  client.publish({.topic = "t", .payload = "x"});
  client.expectNothing();
}

TEST_CASE("a plain UNSUBSCRIBE and a shared one do not touch each other", "[shared_subscription]") {
  DaemonProcess daemon;
  RawClient client(daemon.endpoint(), Version::v5);
  client.connect();
  client.subscribe({{"t", 0}});
  client.send(unsubscribePacket(Version::v5, 3, {"$share/group/t"}));
  client.expectUnsuback(3, {0x11});
  client.publish({.topic = "t", .payload = "x"});
  client.expectPublish({.topic = "t", .payload = "x"});
}

TEST_CASE("a second SUBSCRIBE of a member does not make it a second member",
          "[shared_subscription]") {
  DaemonProcess daemon;
  RawClient client(daemon.endpoint(), Version::v5);
  client.connect();
  client.subscribe({{"$share/group/t", 0}});
  client.subscribe({{"$share/group/t", 1}}, {property(PropertyId::subscriptionId, 5)});
  client.publish({.topic = "t", .payload = "x"});
  client.expectPublish(
      {.topic = "t", .payload = "x", .properties = {property(PropertyId::subscriptionId, 5)}});
  client.expectNothing();
}

TEST_CASE("No Local on a shared subscription is a protocol error [v5:3.8.3-4]",
          "[shared_subscription]") {
  DaemonProcess daemon;
  RawClient client(daemon.endpoint(), Version::v5);
  client.connect();
  client.send(subscribePacket(Version::v5, 1, {{"$share/group/t", kNoLocal}}));
  client.expectDisconnected(0x82);
}

TEST_CASE("a member gets the QoS that it was granted [v5:4.8.2-3]", "[shared_subscription]") {
  DaemonProcess daemon;
  RawClient low(daemon.endpoint(), Version::v5);
  low.connect({.clientId = "low"});
  low.subscribe({{"$share/group/t", 0}});
  RawClient publisher(daemon.endpoint(), Version::v5);
  publisher.connect({.clientId = "publisher"});
  publisher.publishFully({.topic = "t", .payload = "x", .qos = 2, .id = 1});
  low.expectPublish({.topic = "t", .payload = "x", .qos = 0});
  low.disconnect();
  RawClient high(daemon.endpoint(), Version::v5);
  high.connect({.clientId = "high"});
  high.subscribe({{"$share/group/t", 2}});
  publisher.publishFully({.topic = "t", .payload = "x", .qos = 1, .id = 1});
  high.expectPublish({.topic = "t", .payload = "x", .qos = 1});
}

TEST_CASE("members that are there come before members that are not", "[shared_subscription]") {
  DaemonProcess daemon;
  RawClient absent(daemon.endpoint(), Version::v5);
  absent.connect(durable(Version::v5, "absent"));
  absent.subscribe({{"$share/group/t", 1}});
  absent.disconnect();
  RawClient present(daemon.endpoint(), Version::v5);
  present.connect({.clientId = "present"});
  present.subscribe({{"$share/group/t", 1}});
  RawClient publisher(daemon.endpoint(), Version::v5);
  publisher.connect({.clientId = "publisher"});
  for (unsigned i = 0; i < 10; ++i) {
    publisher.publishFully({.topic = "t", .payload = "x", .qos = 1, .id = 1});
    present.expectPublishFully({.topic = "t", .payload = "x", .qos = 1});
  }
}

TEST_CASE("a QoS 2 delivery that has begun is finished with the same member [v5:4.8.2-4]",
          "[shared_subscription]") {
  DaemonProcess daemon;
  RawClient first(daemon.endpoint(), Version::v5);
  first.connect(durable(Version::v5, "first"));
  first.subscribe({{"$share/group/t", 2}});
  RawClient publisher(daemon.endpoint(), Version::v5);
  publisher.connect({.clientId = "publisher"});
  publisher.publishFully({.topic = "t", .payload = "x", .qos = 2, .id = 1});
  const auto id = first.expectPublish({.topic = "t", .payload = "x", .qos = 2}).id;
  first.reset();
  RawClient second(daemon.endpoint(), Version::v5);
  second.connect({.clientId = "second"});
  second.subscribe({{"$share/group/t", 2}});
  second.expectNothing();
  RawClient again(daemon.endpoint(), Version::v5);
  again.connect(durable(Version::v5, "first"));
  again.expectPublish({.topic = "t", .payload = "x", .qos = 2, .id = id, .dup = true});
}

TEST_CASE("a member's refusal does not pass the message to another [v5:4.8.2-6]",
          "[shared_subscription]") {
  DaemonProcess daemon;
  RawClient first(daemon.endpoint(), Version::v5);
  first.connect({.clientId = "first"});
  first.subscribe({{"$share/group/t", 1}});
  RawClient publisher(daemon.endpoint(), Version::v5);
  publisher.connect({.clientId = "publisher"});
  publisher.publishFully({.topic = "t", .payload = "x", .qos = 1, .id = 1});
  const auto id = first.expectPublish({.topic = "t", .payload = "x", .qos = 1}).id;
  RawClient second(daemon.endpoint(), Version::v5);
  second.connect({.clientId = "second"});
  second.subscribe({{"$share/group/t", 1}});
  first.send(packet(kPuback, u16(id) + u8(0x80) + u8(0)));
  first.settle();
  second.expectNothing();
  first.expectNothing();
}
