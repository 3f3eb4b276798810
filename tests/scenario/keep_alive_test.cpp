#include <catch2/catch.hpp>

#include "tests/scenario/support/daemon.hpp"
#include "tests/scenario/support/raw_client.hpp"

using namespace mqttstack;
using namespace std::chrono_literals;

namespace {

using Clock = std::chrono::steady_clock;

}  // namespace

TEST_CASE("PINGREQ is answered by PINGRESP [v311:3.12.4-1] [v5:3.12.4-1] [original:9.2]",
          "[keep_alive]") {
  DaemonProcess daemon;
  const auto version = GENERATE(Version::v31, Version::v311, Version::v5);
  CAPTURE(version);
  RawClient client(daemon.endpoint(), version);
  client.connect({.keepAlive = 0});
  client.send(hex("C0 00 C0 00"));
  client.expect(hex("D0 00"));
  client.expect(hex("D0 00"));
}

TEST_CASE(
    "a client silent for 1.5 x its keep alive is disconnected [v311:3.1.2-24] [v5:3.1.2-22] "
    "[original:9.14]",
    "[keep_alive]") {
  DaemonProcess daemon;
  const auto version = GENERATE(Version::v31, Version::v311, Version::v5);
  CAPTURE(version);
  RawClient client(daemon.endpoint(), version);
  const auto start = Clock::now();
  client.connect({.keepAlive = 1});
  client.expectDisconnected(0x8D);
  CHECK(Clock::now() - start >= 1400ms);
  CHECK(Clock::now() - start < 4s);
}

TEST_CASE("any packet renews the keep alive [v311:3.1.2-24] [v5:3.1.2-22] [original:9.15]",
          "[keep_alive]") {
  DaemonProcess daemon;
  const auto version = GENERATE(Version::v31, Version::v311, Version::v5);
  CAPTURE(version);
  RawClient client(daemon.endpoint(), version);
  client.connect({.keepAlive = 1});
  for (unsigned id = 1; id <= 4; ++id) {
    letPass(700ms);
    client.publishFully({.topic = "t", .payload = "x", .qos = 1, .id = id});
  }
  client.expectNothing();
}

TEST_CASE("messages to a client do not renew its keep alive [v5:3.1.2-22]", "[keep_alive]") {
  DaemonProcess daemon;
  RawClient silent(daemon.endpoint(), Version::v311);
  const auto start = Clock::now();
  silent.connect({.clientId = "silent", .keepAlive = 1});
  silent.subscribe({{"t", 0}});
  RawClient talker(daemon.endpoint(), Version::v311);
  talker.connect({.clientId = "talker"});
  letPass(1000ms);
  talker.publish({.topic = "t", .payload = "x"});
  silent.expectPublish({.topic = "t", .payload = "x"});
  silent.expectClosed();
  CHECK(Clock::now() - start < 4s);
}

TEST_CASE("the grace of the keep alive is an option", "[keep_alive]") {
  DaemonProcess daemon(plainConfig("[middleware.keep_alive]\ngrace = 3.0\n"));
  RawClient client(daemon.endpoint(), Version::v5);
  const auto start = Clock::now();
  client.connect({.keepAlive = 1});
  client.expectDisconnected(0x8D);
  CHECK(Clock::now() - start >= 2800ms);
}

TEST_CASE(
    "a client may be told a shorter keep alive than it asked for (CVE-2020-13849) [v5:3.2.2-22]",
    "[keep_alive]") {
  DaemonProcess daemon(plainConfig("[middleware.keep_alive]\nmax_keep_alive = \"5s\"\n"));
  RawClient client(daemon.endpoint(), Version::v5);
  const auto connack = client.connect({.keepAlive = 6});
  CHECK(numberOf(connack.properties, PropertyId::serverKeepAlive) == 5U);
}

TEST_CASE("a keep alive within the bounds is left alone, and so is none [v5:3.2.2-22]",
          "[keep_alive]") {
  DaemonProcess daemon(plainConfig("[middleware.keep_alive]\nmax_keep_alive = \"5s\"\n"));
  const unsigned asked = GENERATE(0U, 4U, 5U);
  CAPTURE(asked);
  RawClient client(daemon.endpoint(), Version::v5);
  const auto connack = client.connect({.keepAlive = asked});
  CHECK_FALSE(numberOf(connack.properties, PropertyId::serverKeepAlive).has_value());
}

TEST_CASE("the server's keep alive is enforced on clients that were told [v5:3.1.2-22]",
          "[keep_alive]") {
  DaemonProcess daemon(plainConfig("[middleware.keep_alive]\nmax_keep_alive = \"1s\"\n"));
  RawClient client(daemon.endpoint(), Version::v5);
  client.connect({.keepAlive = 60});
  client.expectDisconnected(0x8D);
}
