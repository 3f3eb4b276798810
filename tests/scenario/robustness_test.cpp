#include <algorithm>
#include <random>

#include <catch2/catch.hpp>

#include "tests/scenario/support/daemon.hpp"
#include "tests/scenario/support/raw_client.hpp"

using namespace mqttstack;
using namespace std::chrono_literals;

namespace {

using Clock = std::chrono::steady_clock;

const std::string kImpatient = plainConfig("[middleware.connection]\nconnect_timeout = \"1s\"\n");

/// A client that publishes to itself: it notices when the daemon serves nobody.
class HealthyClient {
public:
  explicit HealthyClient(const DaemonProcess& daemon) : client_(daemon.endpoint()) {
    client_.connect({.clientId = "healthy"});
    client_.subscribe({{"healthy", 1}});
  }

  /// Returns how long a message took there and back.
  Clock::duration roundTrip() {
    const auto start = Clock::now();
    const auto payload = std::to_string(++count_);
    client_.publish({.topic = "healthy", .payload = payload, .qos = 1, .id = 1});
    // The message and its acknowledgement come in either order.
    bool acknowledged = false;
    bool delivered = false;
    while (!acknowledged || !delivered) {
      const Bytes came = client_.receive();
      if (came == pubackPacket(1)) {
        acknowledged = true;
        continue;
      }
      const auto message = readPublish(Version::v311, came);
      if (message.payload != payload) throw std::runtime_error("not the message that was sent");
      client_.send(pubackPacket(message.id));
      delivered = true;
    }
    return Clock::now() - start;
  }

private:
  RawClient client_;
  unsigned count_ = 0;
};

}  // namespace

TEST_CASE("a connection that sends nothing is closed after the connect timeout", "[robustness]") {
  DaemonProcess daemon(kImpatient);
  const auto start = Clock::now();
  RawClient silent(daemon.endpoint());
  silent.expectClosed();
  CHECK(Clock::now() - start >= 800ms);
  CHECK(Clock::now() - start < 4s);
}

TEST_CASE(
    "NATS GHSA-r72h-j7qq-v6qg: a CONNECT that never ends is closed after the connect timeout, "
    "however it dribbles",
    "[robustness]") {
  DaemonProcess daemon(kImpatient);
  const auto start = Clock::now();
  RawClient slow(daemon.endpoint());
  const auto connect = connectPacket(Version::v311, {.clientId = Bytes(100, 'a')});
  for (std::size_t i = 0; i < 8; ++i) {
    slow.send(connect.substr(i, 1));
    letPass(200ms);
  }
  slow.expectClosed();
  CHECK(Clock::now() - start < 4s);
}

TEST_CASE("the connect timeout does not concern clients that are connected", "[robustness]") {
  DaemonProcess daemon(kImpatient);
  RawClient client(daemon.endpoint());
  client.connect();
  letPass(2500ms);
  client.expectNothing();
}

TEST_CASE("packets may come byte by byte", "[robustness]") {
  DaemonProcess daemon;
  const auto version = GENERATE(Version::v31, Version::v311, Version::v5);
  CAPTURE(version);
  RawClient client(daemon.endpoint(), version);
  const auto bytes = connectPacket(version, {}) + subscribePacket(version, 1, {{"t", 0}}) +
                     publishPacket(version, {.topic = "t", .payload = Bytes(200, 'x')});
  for (const char byte : bytes) client.send(Bytes(1, byte));
  CHECK(readConnack(version, client.receive()).code == 0);
  client.expectSuback(1, {0});
  client.expectPublish({.topic = "t", .payload = Bytes(200, 'x')});
}

TEST_CASE("packets may come cut anywhere", "[robustness]") {
  DaemonProcess daemon;
  const std::size_t step = GENERATE(2U, 3U, 5U, 7U, 64U, 1000U);
  CAPTURE(step);
  RawClient client(daemon.endpoint(), Version::v5);
  auto bytes = connectPacket(Version::v5, {}) + subscribePacket(Version::v5, 1, {{"t", 0}});
  for (unsigned i = 0; i < 50; ++i) {
    bytes += publishPacket(Version::v5, {.topic = "t", .payload = Bytes(i * 7, 'x')});
  }
  for (std::size_t i = 0; i < bytes.size(); i += step) client.send(bytes.substr(i, step));
  CHECK(readConnack(Version::v5, client.receive()).code == 0);
  client.expectSuback(1, {0});
  for (unsigned i = 0; i < 50; ++i) {
    client.expectPublish({.topic = "t", .payload = Bytes(i * 7, 'x')});
  }
}

TEST_CASE("a remaining length of more than four bytes is malformed [v5:1.5.5-1]", "[robustness]") {
  DaemonProcess daemon;
  const auto version = GENERATE(Version::v311, Version::v5);
  const std::string length = GENERATE("FF FF FF FF", "80 80 80 80 01");
  CAPTURE(version, length);
  RawClient client(daemon.endpoint(), version);
  client.connect();
  client.send(hex("30 " + length));
  client.expectDisconnected(0x81);
}

TEST_CASE("mosquitto CVE-2021-28166: packets that only a server sends end the connection",
          "[robustness]") {
  DaemonProcess daemon;
  const auto version = GENERATE(Version::v311, Version::v5);
  CAPTURE(version);
  const auto wrong = GENERATE_COPY(hex("20 02 00 00"), hex("90 03 00 01 00"), hex("B0 02 00 01"),
                                   pingrespPacket());
  CAPTURE(toHex(wrong));
  RawClient client(daemon.endpoint(), version);
  client.connect();
  client.send(wrong);
  if (version == Version::v5) {
    const auto reason = readDisconnect(version, client.receive());
    CHECK((reason == 0x81 || reason == 0x82));
  }
  client.expectClosed();
}

TEST_CASE(
    "packet types and flags that don't exist end the connection [v311:2.2.2-2] "
    "[v5:2.1.3-1] [v311:3.14.1-1] [v5:3.14.1-1]",
    "[robustness]") {
  DaemonProcess daemon;
  const auto version = GENERATE(Version::v311, Version::v5);
  const std::string wrong = GENERATE("00 00", "C1 00", "C0 01 00", "E1 00", "41 02 00 01",
                                     "52 02 00 01", "72 02 00 01", "40 01 00", "40 00");
  CAPTURE(version, wrong);
  RawClient client(daemon.endpoint(), version);
  client.connect();
  client.send(hex(wrong));
  client.expectDisconnected(0x81);
}

TEST_CASE("AUTH is for MQTT 5 and for those who began with it [v5:4.12.0-7]", "[robustness]") {
  DaemonProcess daemon;
  RawClient old(daemon.endpoint(), Version::v311);
  old.connect({.clientId = "old"});
  old.send(hex("F0 00"));
  old.expectClosed();
  RawClient client(daemon.endpoint(), Version::v5);
  client.connect();
  client.send(hex("F0 00"));
  client.expectDisconnected(0x82);
}

TEST_CASE(
    "PUBLISH, DISCONNECT and the end of input in one go: the message counts, the will "
    "does not [v311:3.14.4-3] [v5:3.14.4-3]",
    "[robustness]") {
  DaemonProcess daemon;
  const auto version = GENERATE(Version::v31, Version::v311, Version::v5);
  const bool withConnect = GENERATE(true, false);
  const unsigned qos = GENERATE(0U, 1U);
  CAPTURE(version, withConnect, qos);
  RawClient watcher(daemon.endpoint(), version);
  watcher.connect({.clientId = "watcher"});
  watcher.subscribe({{"#", 0}});
  const auto connect = connectPacket(
      version, {.clientId = "short", .will = Will{.topic = "will", .payload = "gone"}});
  const auto rest = publishPacket(version, {.topic = "t", .payload = "x", .qos = qos, .id = 1}) +
                    disconnectPacket(version);
  RawClient client(daemon.endpoint(), version);
  client.send(withConnect ? connect + rest : connect);
  CHECK(readConnack(version, client.receive()).code == 0);
  if (!withConnect) client.send(rest);
  client.closeSending();
  watcher.expectPublish({.topic = "t", .payload = "x"});
  if (qos == 1) client.expectAck(kPuback, 1);
  client.expectClosed();
  watcher.expectNothing();
}

TEST_CASE("packets behind DISCONNECT are not processed [v311:3.14.4-2] [v5:3.14.4-1]",
          "[robustness]") {
  DaemonProcess daemon;
  const auto version = GENERATE(Version::v31, Version::v311, Version::v5);
  CAPTURE(version);
  RawClient watcher(daemon.endpoint(), version);
  watcher.connect({.clientId = "watcher"});
  watcher.subscribe({{"#", 0}});
  RawClient client(daemon.endpoint(), version);
  client.connect();
  client.send(disconnectPacket(version) + publishPacket(version, {.topic = "t", .payload = "x"}));
  client.expectClosed();
  watcher.expectNothing();
}

TEST_CASE(
    "EMQX CVE-2021-33175, VerneMQ CVE-2021-33176, RabbitMQ CVE-2021-22116: a claimed length costs "
    "no memory",
    "[robustness]") {
  DaemonProcess daemon("[[listener]]\nbind = \"127.0.0.1:0\"\nmax_packet_size = 268435455\n");
  HealthyClient healthy(daemon);
  const auto before = daemon.residentKiB();
  std::vector<RawClient> clients;
  for (int i = 0; i < 60; ++i) {
    clients.emplace_back(daemon.endpoint(), Version::v311);
    clients.back().connect({.clientId = "c" + std::to_string(i)});
    clients.back().send(hex("30 FF FF FF 7E 00 01 74") + Bytes(1000, 'x'));
  }
  healthy.roundTrip();
  CHECK(daemon.residentKiB() - before < 16 * 1024);
}

TEST_CASE(
    "mosquitto CVE-2023-0809, CVE-2017-7651: a CONNECT that claims to be huge is refused at once",
    "[robustness]") {
  DaemonProcess daemon;
  const auto before = daemon.residentKiB();
  for (int i = 0; i < 100; ++i) {
    RawClient client(daemon.endpoint());
    client.send(hex("10 FF FF FF 7F 00 04 4D 51 54 54 04 02 00 3C"));
    client.expectClosed();
  }
  CHECK(daemon.residentKiB() - before < 8 * 1024);
}

TEST_CASE("500 connections of garbage do not disturb a healthy client", "[robustness]") {
  DaemonProcess daemon;
  HealthyClient healthy(daemon);
  std::mt19937 random(20'240'229);
  const auto someBytes = [&random](std::size_t most) {
    Bytes bytes(random() % most + 1, '\0');
    for (auto& byte : bytes) byte = static_cast<char>(random());
    return bytes;
  };
  for (int i = 0; i < 500; ++i) {
    const auto version = i % 2 == 0 ? Version::v311 : Version::v5;
    RawClient client(daemon.endpoint(), version);
    switch (i % 4) {
      case 0:
        client.send(someBytes(300));
        break;
      case 1:
        client.send(connectPacket(version, {.clientId = "g"}) + someBytes(300));
        break;
      case 2: {
        auto connect = connectPacket(version, {.clientId = "g", .userName = "u"});
        connect[2 + random() % (connect.size() - 2)] = static_cast<char>(random());
        client.send(connect);
        break;
      }
      default: {
        const auto body = someBytes(100);
        client.send(connectPacket(version, {.clientId = "g"}) + packet(random() & 0xFF, body));
        break;
      }
    }
    if (i % 3 == 0) client.reset();
    if (i % 25 == 0) healthy.roundTrip();
  }
  healthy.roundTrip();
  CHECK(daemon.running());
}

TEST_CASE("a thousand connections that come and go leave no memory behind", "[robustness]") {
  DaemonProcess daemon;
  HealthyClient healthy(daemon);
  const auto storm = [&daemon] {
    for (int i = 0; i < 1000; ++i) {
      const auto version = i % 2 == 0 ? Version::v311 : Version::v5;
      RawClient client(daemon.endpoint(), version);
      client.connect(
          {.clientId = "c" + std::to_string(i), .will = Will{.topic = "w/" + std::to_string(i)}});
      client.subscribe({{"s/" + std::to_string(i) + "/+", 1}});
    }
  };
  storm();
  healthy.roundTrip();
  const auto before = daemon.residentKiB();
  storm();
  storm();
  healthy.roundTrip();
  CHECK(daemon.residentKiB() - before < 3 * 1024);
}

TEST_CASE(
    "Moquette CVE-2026-95845: a reader that stands still does not disturb others and is bounded in "
    "memory",
    "[robustness]") {
  DaemonProcess daemon;
  const unsigned qos = GENERATE(0U, 1U);
  CAPTURE(qos);
  HealthyClient healthy(daemon);
  RawClient sleeper(daemon.endpoint());
  sleeper.shrinkReceiveBuffer();
  sleeper.connect({.clientId = "sleeper", .keepAlive = 0});
  sleeper.subscribe({{"flood", qos}});
  RawClient publisher(daemon.endpoint());
  publisher.connect({.clientId = "publisher"});
  const auto before = daemon.residentKiB();
  const Bytes payload(65'536, 'f');
  Clock::duration longest{};
  for (unsigned i = 0; i < 1500; ++i) {
    publisher.publish({.topic = "flood", .payload = payload, .qos = qos, .id = 1});
    if (qos == 1) static_cast<void>(publisher.receive());
    if (i % 50 == 0) longest = std::max(longest, healthy.roundTrip());
  }
  publisher.settle();
  CHECK(longest < 1s);
  CHECK(daemon.residentKiB() - before < 40 * 1024);
}

TEST_CASE(
    "NanoMQ CVE-2026-22040, CVE-2026-32134, CVE-2025-59946, sol 17, mosquitto 1489, 1650: a storm "
    "of takeovers leaves one connection",
    "[robustness]") {
  DaemonProcess daemon;
  const auto version = GENERATE(Version::v311, Version::v5);
  CAPTURE(version);
  std::vector<RawClient> clients;
  for (int i = 0; i < 200; ++i) {
    clients.emplace_back(daemon.endpoint(), version);
    clients.back().send(connectPacket(version, i % 3 == 0 ? Connect{.clientId = "same"}
                                                          : durable(version, "same")) +
                        subscribePacket(version, 1, {{"t", 1}}) +
                        publishPacket(version, {.topic = "t", .payload = "x", .qos = 1, .id = 1}));
  }
  auto& last = clients.back();
  CHECK(readConnack(version, last.receive()).code == 0);
  for (Bytes came = last.receive(); came != pingrespPacket(); came = last.receive()) {
    // What an earlier one published comes or not: it matters that the last one is served.
    if (static_cast<unsigned char>(came[0]) == 0x90) last.send(pingreqPacket());
  }
  HealthyClient(daemon).roundTrip();
}

TEST_CASE("a topic of very many levels is handled or refused, and nothing else breaks",
          "[robustness]") {
  DaemonProcess daemon;
  HealthyClient healthy(daemon);
  const auto version = GENERATE(Version::v311, Version::v5);
  CAPTURE(version);
  const std::string deep(65'000, '/');
  RawClient publisher(daemon.endpoint(), version);
  publisher.connect({.clientId = "publisher"});
  publisher.publish({.topic = deep, .payload = "x", .retain = true});
  publisher.send(pingreqPacket());
  RawClient subscriber(daemon.endpoint(), version);
  subscriber.connect({.clientId = "subscriber"});
  subscriber.send(subscribePacket(version, 1, {{deep + "#", 0}}) + pingreqPacket());
  healthy.roundTrip();
  CHECK(daemon.running());
}
