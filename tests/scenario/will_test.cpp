#include <catch2/catch.hpp>

#include "tests/scenario/support/daemon.hpp"
#include "tests/scenario/support/raw_client.hpp"

using namespace mqttstack;
using namespace std::chrono_literals;

namespace {

/// A client that waits for the will of somebody else.
RawClient watcherOf(const DaemonProcess& daemon, Version version, unsigned qos = 0) {
  RawClient watcher(daemon.endpoint(), version);
  watcher.connect({.clientId = "watcher"});
  watcher.subscribe({{"will/#", qos}});
  return watcher;
}

Connect withWill(const Will& will) { return {.clientId = "mortal", .will = will}; }

const Will kWill{.topic = "will/t", .payload = "gone"};

}  // namespace

TEST_CASE(
    "the will is published when the connection ends without DISCONNECT [v311:3.1.2-8] [v5:3.1.2-7] "
    "[v5:3.1.2-8] [original:9.16]",
    "[will]") {
  DaemonProcess daemon;
  const auto version = GENERATE(Version::v31, Version::v311, Version::v5);
  const bool reset = GENERATE(true, false);
  const unsigned qos = GENERATE(0U, 1U, 2U);
  CAPTURE(version, reset, qos);
  auto watcher = watcherOf(daemon, version, 2);
  RawClient mortal(daemon.endpoint(), version);
  auto will = kWill;
  will.qos = qos;
  mortal.connect(withWill(will));
  if (reset) {
    mortal.reset();
  } else {
    mortal.drop();
  }
  watcher.expectPublishFully({.topic = "will/t", .payload = "gone", .qos = qos});
  watcher.expectNothing();
}

TEST_CASE(
    "the will is not published after DISCONNECT [v311:3.1.2-10] [v311:3.14.4-3] [v5:3.1.2-10] "
    "[v5:3.14.4-3] [original:9.17]",
    "[will]") {
  DaemonProcess daemon;
  const auto version = GENERATE(Version::v31, Version::v311, Version::v5);
  CAPTURE(version);
  auto watcher = watcherOf(daemon, version);
  RawClient mortal(daemon.endpoint(), version);
  mortal.connect(withWill(kWill));
  mortal.disconnect();
  // The next connection of the identifier proves that the first has been dealt with.
  RawClient next(daemon.endpoint(), version);
  next.connect({.clientId = "mortal"});
  next.settle();
  watcher.expectNothing();
}

TEST_CASE("the will is published after DISCONNECT with another reason than 0x00 [v5:3.14.4-3]",
          "[will]") {
  DaemonProcess daemon;
  const unsigned reason = GENERATE(0x04U, 0x80U, 0x93U);
  CAPTURE(reason);
  auto watcher = watcherOf(daemon, Version::v5);
  RawClient mortal(daemon.endpoint(), Version::v5);
  mortal.connect(withWill(kWill));
  mortal.disconnect(reason);
  watcher.expectPublish({.topic = "will/t", .payload = "gone"});
  watcher.expectNothing();
}

TEST_CASE(
    "the will is published when the server ends the connection for a violation "
    "[v311:3.1.2-8] [v5:3.1.2-8]",
    "[will]") {
  DaemonProcess daemon;
  const auto version = GENERATE(Version::v31, Version::v311, Version::v5);
  CAPTURE(version);
  auto watcher = watcherOf(daemon, version);
  RawClient mortal(daemon.endpoint(), version);
  mortal.connect(withWill(kWill));
  mortal.send(connectPacket(version, {}));
  mortal.expectDisconnected(0x82);
  watcher.expectPublish({.topic = "will/t", .payload = "gone"});
  watcher.expectNothing();
}

TEST_CASE("the will is published when the keep alive has passed [v311:3.1.2-24] [v5:3.1.2-22]",
          "[will]") {
  DaemonProcess daemon;
  const auto version = GENERATE(Version::v31, Version::v311, Version::v5);
  CAPTURE(version);
  auto watcher = watcherOf(daemon, version);
  RawClient mortal(daemon.endpoint(), version);
  auto connect = withWill(kWill);
  connect.keepAlive = 1;
  mortal.connect(connect);
  mortal.expectDisconnected(0x8D);
  watcher.expectPublish({.topic = "will/t", .payload = "gone"});
}

TEST_CASE("the will of a client that is taken over is published [v311:3.1.2-8]", "[will]") {
  DaemonProcess daemon;
  const auto version = GENERATE(Version::v31, Version::v311, Version::v5);
  CAPTURE(version);
  auto watcher = watcherOf(daemon, version);
  RawClient mortal(daemon.endpoint(), version);
  mortal.connect(withWill(kWill));
  RawClient next(daemon.endpoint(), version);
  next.connect({.clientId = "mortal"});
  watcher.expectPublish({.topic = "will/t", .payload = "gone"});
  watcher.expectNothing();
}

TEST_CASE(
    "a retained will is stored, and sent without the flag to those who are there [v311:3.1.2-17] "
    "[v5:3.1.2-15] [original:9.31]",
    "[will]") {
  DaemonProcess daemon;
  const auto version = GENERATE(Version::v31, Version::v311, Version::v5);
  CAPTURE(version);
  auto watcher = watcherOf(daemon, version);
  RawClient mortal(daemon.endpoint(), version);
  auto will = kWill;
  will.retain = true;
  mortal.connect(withWill(will));
  mortal.drop();
  watcher.expectPublish({.topic = "will/t", .payload = "gone", .retain = false});
  RawClient late(daemon.endpoint(), version);
  late.connect({.clientId = "late"});
  late.subscribe({{"will/t", 0}});
  late.expectPublish({.topic = "will/t", .payload = "gone", .retain = true});
}

TEST_CASE("a will without the retain flag is not stored [v311:3.1.2-16] [v5:3.1.2-14]", "[will]") {
  DaemonProcess daemon;
  const auto version = GENERATE(Version::v31, Version::v311, Version::v5);
  CAPTURE(version);
  auto watcher = watcherOf(daemon, version);
  RawClient mortal(daemon.endpoint(), version);
  mortal.connect(withWill(kWill));
  mortal.drop();
  watcher.expectPublish({.topic = "will/t", .payload = "gone"});
  watcher.subscribe({{"will/t", 0}});
  watcher.expectNothing();
}

TEST_CASE("a will may be empty and binary", "[will]") {
  DaemonProcess daemon;
  const auto version = GENERATE(Version::v31, Version::v311, Version::v5);
  const Bytes payload = GENERATE(Bytes(), Bytes("\0\xFF\x80", 3));
  CAPTURE(version, toHex(payload));
  auto watcher = watcherOf(daemon, version);
  RawClient mortal(daemon.endpoint(), version);
  mortal.connect(withWill({.topic = "will/t", .payload = payload}));
  mortal.drop();
  watcher.expectPublish({.topic = "will/t", .payload = payload});
}

TEST_CASE("the properties of a will are those of its message, in their order [v5:3.1.3-10]",
          "[will]") {
  DaemonProcess daemon;
  auto watcher = watcherOf(daemon, Version::v5);
  RawClient mortal(daemon.endpoint(), Version::v5);
  const Properties properties{property(PropertyId::payloadFormat, 1),
                              property(PropertyId::contentType, "text/plain"),
                              property(PropertyId::responseTopic, "answers"),
                              property(PropertyId::correlationData, "77"),
                              userProperty("b", "1"),
                              userProperty("a", "2"),
                              userProperty("b", "3")};
  auto will = kWill;
  will.properties = properties;
  mortal.connect(withWill(will));
  mortal.drop();
  watcher.expectPublish({.topic = "will/t", .payload = "gone", .properties = properties});
}

TEST_CASE("the will waits for its delay [v5:3.1.2-8]", "[will]") {
  DaemonProcess daemon;
  auto watcher = watcherOf(daemon, Version::v5);
  RawClient mortal(daemon.endpoint(), Version::v5);
  auto connect = durable(Version::v5, "mortal");
  connect.will = kWill;
  connect.will->properties = {property(PropertyId::willDelay, 1)};
  mortal.connect(connect);
  const auto start = std::chrono::steady_clock::now();
  mortal.drop();
  watcher.expectPublish({.topic = "will/t", .payload = "gone"});
  CHECK(std::chrono::steady_clock::now() - start >= 900ms);
  CHECK(std::chrono::steady_clock::now() - start < 4s);
}

TEST_CASE("the will does not wait longer than its session lives [v5:3.1.2-8]", "[will]") {
  DaemonProcess daemon;
  const std::uint32_t expiry = GENERATE(0U, 1U);
  CAPTURE(expiry);
  auto watcher = watcherOf(daemon, Version::v5);
  RawClient mortal(daemon.endpoint(), Version::v5);
  auto connect = durable(Version::v5, "mortal");
  connect.properties = {property(PropertyId::sessionExpiry, expiry)};
  connect.will = kWill;
  connect.will->properties = {property(PropertyId::willDelay, 60)};
  mortal.connect(connect);
  mortal.drop();
  watcher.expectPublish({.topic = "will/t", .payload = "gone"});
}

TEST_CASE("a client that returns within the delay cancels its will [v5:3.1.3-9]", "[will]") {
  DaemonProcess daemon;
  auto watcher = watcherOf(daemon, Version::v5);
  auto connect = durable(Version::v5, "mortal");
  connect.will = kWill;
  connect.will->properties = {property(PropertyId::willDelay, 1)};
  RawClient mortal(daemon.endpoint(), Version::v5);
  mortal.connect(connect);
  mortal.drop();
  RawClient back(daemon.endpoint(), Version::v5);
  back.connect(durable(Version::v5, "mortal"));
  letPass(2500ms);
  watcher.expectNothing();
}

TEST_CASE("a clean start ends the session and makes a delayed will due [v5:3.1.2-8]", "[will]") {
  DaemonProcess daemon;
  auto watcher = watcherOf(daemon, Version::v5);
  auto connect = durable(Version::v5, "mortal");
  connect.will = kWill;
  connect.will->properties = {property(PropertyId::willDelay, 60)};
  RawClient mortal(daemon.endpoint(), Version::v5);
  mortal.connect(connect);
  mortal.drop();
  RawClient next(daemon.endpoint(), Version::v5);
  next.connect({.clientId = "mortal"});
  watcher.expectPublish({.topic = "will/t", .payload = "gone"});
}

TEST_CASE("each connection brings its own will [v311:3.1.2-10]", "[will]") {
  DaemonProcess daemon;
  const auto version = GENERATE(Version::v31, Version::v311, Version::v5);
  CAPTURE(version);
  auto watcher = watcherOf(daemon, version);
  auto connect = durable(version, "mortal");
  connect.will = kWill;
  RawClient first(daemon.endpoint(), version);
  first.connect(connect);
  first.disconnect();
  connect.will.reset();
  RawClient second(daemon.endpoint(), version);
  second.connect(connect);
  second.reset();
  RawClient third(daemon.endpoint(), version);
  third.connect(connect);
  third.settle();
  watcher.expectNothing();
}

TEST_CASE("a refused CONNECT leaves no will", "[will]") {
  DaemonProcess daemon;
  auto watcher = watcherOf(daemon, Version::v311);
  RawClient refused(daemon.endpoint(), Version::v311);
  refused.send(connectPacket(Version::v311, {.clientId = "", .clean = false, .will = kWill}));
  refused.expect(hex("20 02 00 02"));
  refused.expectClosed();
  watcher.expectNothing();
}
