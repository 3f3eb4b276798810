#include <csignal>
#include <system_error>

#include <catch2/catch.hpp>

#include "tests/scenario/support/daemon.hpp"
#include "tests/scenario/support/raw_client.hpp"

using namespace mqttstack;

TEST_CASE("SIGTERM and SIGINT end the daemon with exit code 0 and tell the clients", "[shutdown]") {
  DaemonProcess daemon;
  const int number = GENERATE(SIGTERM, SIGINT);
  CAPTURE(number);
  const auto server = daemon.endpoint();
  RawClient five(server, Version::v5);
  five.connect({.clientId = "five"});
  RawClient four(server, Version::v311);
  four.connect({.clientId = "four"});
  RawClient stranger(server);
  daemon.signal(number);
  five.expectDisconnected(0x8B);
  four.expectClosed();
  stranger.expectClosed();
  CHECK(daemon.wait() == 0);
  CHECK_THROWS_AS(RawClient(server), std::system_error);
}

TEST_CASE("a client that does not read does not hold up the end", "[shutdown]") {
  DaemonProcess daemon;
  RawClient sleeper(daemon.endpoint());
  sleeper.shrinkReceiveBuffer();
  sleeper.connect({.clientId = "sleeper"});
  sleeper.subscribe({{"flood", 0}});
  RawClient publisher(daemon.endpoint());
  publisher.connect({.clientId = "publisher"});
  for (int i = 0; i < 200; ++i)
    publisher.publish({.topic = "flood", .payload = Bytes(65'536, 'f')});
  publisher.settle();
  const auto start = std::chrono::steady_clock::now();
  daemon.signal(SIGTERM);
  CHECK(daemon.wait() == 0);
  CHECK(std::chrono::steady_clock::now() - start < std::chrono::seconds(5));
}

TEST_CASE("a message acknowledged before the end was delivered", "[shutdown]") {
  DaemonProcess daemon;
  RawClient subscriber(daemon.endpoint(), Version::v5);
  subscriber.connect({.clientId = "subscriber"});
  subscriber.subscribe({{"t", 1}});
  RawClient publisher(daemon.endpoint(), Version::v5);
  publisher.connect({.clientId = "publisher"});
  publisher.publishFully({.topic = "t", .payload = "x", .qos = 1, .id = 1});
  daemon.signal(SIGTERM);
  subscriber.expectPublish({.topic = "t", .payload = "x", .qos = 1});
  subscriber.expectDisconnected(0x8B);
  CHECK(daemon.wait() == 0);
}
