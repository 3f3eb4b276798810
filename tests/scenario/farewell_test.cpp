#include <catch2/catch.hpp>

#include "tests/scenario/support/daemon.hpp"
#include "tests/scenario/support/raw_client.hpp"

using namespace mqttstack;

// The last packet is read, not lost to a reset, whatever its receiver is just doing.

namespace {

/// Sends until nothing more goes out.
void flood(RawClient& client, std::size_t bytes) {
  const Bytes messages = [] {
    Bytes all;
    for (int i = 0; i < 1000; ++i)
      all += publishPacket(Version::v5, {.topic = "t", .payload = Bytes(1000, 'x')});
    return all;
  }();
  for (std::size_t sent = 0; sent < bytes;) {
    const std::size_t now = client.sendWithoutWaiting(messages);
    if (now == 0) return;
    sent += now;
  }
}

}  // namespace

TEST_CASE("a client that is still sending reads why it is disconnected [v5:3.14.4-2]",
          "[farewell]") {
  DaemonProcess daemon;
  const std::size_t more = GENERATE(std::size_t{0}, std::size_t{10'000}, std::size_t{5'000'000});
  CAPTURE(more);
  RawClient client(daemon.endpoint(), Version::v5);
  client.connect();
  client.send(hex("00 00"));  // no packet
  flood(client, more);
  CHECK(readDisconnect(Version::v5, client.receive()) == 0x81);
}

TEST_CASE("a client that is refused while it sends reads its CONNACK [v5:3.1.4-6]", "[farewell]") {
  DaemonProcess daemon;
  RawClient client(daemon.endpoint(), Version::v5);
  client.send(connectPacket(Version::v5, {.clientId = std::string(5000, 'c')}));
  flood(client, 5'000'000);
  CHECK(readConnack(Version::v5, client.receive()).code == 0x85);
}

TEST_CASE("a client that has sent its last reads everything that was on its way", "[farewell]") {
  DaemonProcess daemon;
  RawClient client(daemon.endpoint(), Version::v5);
  client.connect();
  client.subscribe({{"t", 0}});
  for (int i = 0; i < 200; ++i) client.publish({.topic = "t", .payload = Bytes(5000, 'x')});
  client.send(hex("00 00"));
  for (int i = 0; i < 200; ++i) client.expectPublish({.topic = "t", .payload = Bytes(5000, 'x')});
  client.expectDisconnected(0x81);
}
