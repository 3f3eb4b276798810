// Limits as a client meets them. Names say which known failure of a broker a test is about.

#include <chrono>
#include <crypt.h>
#include <csignal>
#include <fstream>
#include <memory>
#include <sstream>
#include <string>
#include <sys/resource.h>
#include <unistd.h>
#include <vector>

#include <catch2/catch.hpp>

#include "tests/scenario/support/daemon.hpp"
#include "tests/scenario/support/raw_client.hpp"

using namespace mqttstack;
using Catch::Matchers::Contains;

namespace {

std::string configWith(const std::string& ofListener, const std::string& more = "") {
  return "[[listener]]\nbind = \"127.0.0.1:0\"\n" + ofListener + more;
}

/// How many of so many connections get in at once.
int letIn(const Endpoint& server, int tries, std::vector<std::unique_ptr<RawClient>>& kept) {
  int count = 0;
  for (int i = 0; i < tries; ++i) {
    try {
      auto client = std::make_unique<RawClient>(server, Version::v5);
      client->connect({.clientId = "c" + std::to_string(kept.size())});
      kept.push_back(std::move(client));
      ++count;
    } catch (const std::runtime_error&) {
      continue;
    }
  }
  return count;
}

/// Processor time that the daemon has used, in clock ticks.
long cpuTicks(const DaemonProcess& daemon) {
  std::ifstream file("/proc/" + std::to_string(daemon.pid()) + "/stat");
  std::string text;
  std::getline(file, text);
  std::istringstream rest(text.substr(text.rfind(')') + 2));
  std::string skipped;
  for (int i = 0; i < 11; ++i) rest >> skipped;
  long user = 0;
  long system = 0;
  rest >> user >> system;
  return user + system;
}

std::string hashOf(const std::string& password) {
  crypt_data data{};
  return crypt_r(password.c_str(), "$6$rounds=1000$salt$", &data);
}

}  // namespace

TEST_CASE("connections beyond the limits are reset, and those that are in stay", "[limits]") {
  const auto limit = GENERATE(as<std::string>{}, "max_connections = 3\n",
                              "max_connections_per_address = 3\nlimit_loopback = true\n",
                              "connection_rate_per_address = 3\nlimit_loopback = true\n");
  CAPTURE(limit);
  const DaemonProcess daemon(configWith(limit));
  std::vector<std::unique_ptr<RawClient>> clients;
  // The rate may let another one in while this goes on.
  const int count = letIn(daemon.endpoint(), 10, clients);
  CHECK(count >= 3);
  CHECK(count < 10);
  for (const auto& client : clients) client->expectNothing();
  CHECK(daemon.logs("refuses 127.0.0.1: the limit " + limit.substr(0, limit.find(' '))));
}

TEST_CASE("the broker as a whole takes so many connections", "[limits]") {
  const DaemonProcess daemon(
      "[limits]\nmax_connections = 4\n"
      "[[listener]]\nname = \"a\"\nbind = \"127.0.0.1:0\"\n"
      "[[listener]]\nname = \"b\"\nbind = \"127.0.0.1:0\"\n");
  std::vector<std::unique_ptr<RawClient>> clients;
  CHECK(letIn(daemon.endpoint("a"), 3, clients) == 3);
  CHECK(letIn(daemon.endpoint("b"), 3, clients) == 1);
  clients.front()->disconnect();
  clients.front()->expectClosed();
  CHECK_NOTHROW([&] {
    for (int i = 0; i < 100; ++i) {
      try {
        RawClient next(daemon.endpoint("b"), Version::v5);
        next.connect({.clientId = "next"});
        return;
      } catch (const std::runtime_error&) {
        letPass(std::chrono::milliseconds(20));
      }
    }
    throw std::runtime_error("no place became free");
  }());
}

TEST_CASE("mosquitto CVE-2019-11779: a filter of 65,400 levels is refused and harms nobody",
          "[limits]") {
  const auto version = GENERATE(Version::v311, Version::v5);
  const DaemonProcess daemon;
  RawClient healthy(daemon.endpoint());
  healthy.connect({.clientId = "healthy"});
  RawClient client(daemon.endpoint(), version);
  client.connect({.clientId = "deep"});
  client.send(subscribePacket(version, 1, {{std::string(65'400, '/'), 0}}));
  client.expectDisconnected(0x8F);
  RawClient other(daemon.endpoint(), version);
  other.connect({.clientId = "deep"});
  other.send(publishPacket(version, {.topic = std::string(65'400, '/'), .payload = "x"}));
  other.expectDisconnected(0x90);
  healthy.expectNothing();
}

TEST_CASE("a topic of 128 levels is a topic, one of 129 is not", "[limits]") {
  const DaemonProcess daemon;
  RawClient client(daemon.endpoint(), Version::v5);
  client.connect();
  const std::string topic(127, '/');
  client.subscribe({{topic, 0}});
  client.publish({.topic = topic, .payload = "x"});
  client.expectPublish({.topic = topic, .payload = "x"});
  client.publish({.topic = topic + "/", .payload = "x"});
  client.expectDisconnected(0x90);
}

TEST_CASE("mosquitto CVE-2021-41039: a CONNECT of too many user properties is refused",
          "[limits]") {
  const DaemonProcess daemon;
  Connect connect;
  for (int i = 0; i < 65; ++i) connect.properties.push_back(userProperty("n", "v"));
  RawClient client(daemon.endpoint(), Version::v5);
  client.send(connectPacket(Version::v5, connect));
  client.expectConnectRejected(0x95);
  connect.properties.pop_back();
  RawClient second(daemon.endpoint(), Version::v5);
  CHECK(second.connect(connect).code == 0);
}

TEST_CASE("a long user name is refused, also where nobody asks for one", "[limits]") {
  const DaemonProcess daemon;
  RawClient client(daemon.endpoint(), Version::v5);
  client.send(connectPacket(Version::v5, {.userName = std::string(257, 'u')}));
  client.expectRefused(4, 0x86);
}

TEST_CASE("subscriptions beyond a session's share are refused, those that it has may be changed",
          "[limits]") {
  const DaemonProcess daemon(plainConfig("[middleware.memory_backend]\nmax_subscriptions = 2\n"));
  RawClient client(daemon.endpoint(), Version::v5);
  client.connect();
  client.send(subscribePacket(Version::v5, 1, {{"a", 0}, {"b", 0}, {"c", 0}, {"a", 1}}));
  client.expectSuback(1, {0, 0, 0x97, 1});
  client.unsubscribe({"b"});
  client.send(subscribePacket(Version::v5, 2, {{"c", 0}}));
  client.expectSuback(2, {0});
}

TEST_CASE("at the memory limit messages and new kept sessions are refused until there is room",
          "[limits]") {
  const auto backend = GENERATE(as<std::string>{}, "memory_backend", "sqlite_backend");
  const auto version = GENERATE(Version::v311, Version::v5);
  CAPTURE(backend);
  const TemporaryDirectory directory;
  const DaemonProcess daemon(
      configWith("",
                 "[log]\nlevel = \"info\"\n[pipeline]\ndefault = [\"connection\", "
                 "\"keep_alive\", \"last_will\", \"" +
                     backend +
                     "\", \"session_manager\", \"subscription_manager\", \"retain_manager\", "
                     "\"inbound_manager\", \"outbound_manager\"]\n[middleware." +
                     backend + "]\nmemory_limit = \"64KiB\"\n" +
                     (backend == "sqlite_backend" ? "path = \"store.db\"\n" : "")),
      directory.path());
  {
    RawClient away(daemon.endpoint(), version);
    away.connect(durable(version, "away"));
    away.subscribe({{"t", 1}});
    away.disconnect();
  }
  RawClient publisher(daemon.endpoint(), Version::v5);
  publisher.connect({.clientId = "publisher"});
  const Publish message{.topic = "t", .payload = Bytes(10'000, 'x'), .qos = 1, .id = 1};
  for (int i = 0; i < 10; ++i) {
    publisher.publish(message);
    publisher.expectAck(kPuback, 1, i < 6 ? 0 : 0x97);
  }
  Publish retained = message;
  retained.topic = "r";
  retained.retain = true;
  publisher.publish(retained);
  publisher.expectAck(kPuback, 1, 0x97);
  CHECK(daemon.logs("the memory_limit of 65536 bytes is reached"));
  {
    RawClient fresh(daemon.endpoint(), version);
    fresh.send(connectPacket(version, durable(version, "new")));
    fresh.expectRefused(3, 0x97);
    RawClient passing(daemon.endpoint(), version);
    passing.connect({.clientId = "passing"});
  }
  RawClient back(daemon.endpoint(), version);
  back.connect(durable(version, "away"));
  for (int i = 0; i < 6; ++i)
    back.expectPublishFully({.topic = "t", .payload = message.payload, .qos = 1});
  back.settle();
  CHECK(daemon.logs("there is room again below the memory_limit"));
  RawClient fresh(daemon.endpoint(), version);
  fresh.connect(durable(version, "new"));
  publisher.publish(retained);
  publisher.expectAck(kPuback, 1, 0);
}

TEST_CASE("filters beyond what one SUBSCRIBE may hold are refused", "[limits]") {
  const auto version = GENERATE(Version::v311, Version::v5);
  const DaemonProcess daemon(plainConfig("[middleware.subscription_manager]\nmax_filters = 2\n"));
  RawClient client(daemon.endpoint(), version);
  client.connect();
  client.send(subscribePacket(version, 1, {{"a", 0}, {"b", 0}, {"c", 0}}));
  client.expectSuback(1, {0, 0, version == Version::v5 ? 0x97U : 0x80U});
}

TEST_CASE("a client that takes nothing is cut off after the write timeout", "[limits]") {
  const DaemonProcess daemon(configWith("write_timeout = \"2s\"\n"));
  RawClient stuck(daemon.endpoint());
  stuck.shrinkReceiveBuffer();
  stuck.connect({.clientId = "stuck", .keepAlive = 0});
  stuck.subscribe({{"t", 0}});
  RawClient publisher(daemon.endpoint());
  publisher.connect({.clientId = "publisher"});
  const auto deadline = std::chrono::steady_clock::now() + kPatience;
  while (daemon.log().find("\"stuck\" at 127.0.0.1") == std::string::npos ||
         daemon.log().find("was cut off: it took nothing for 2s (write_timeout)") ==
             std::string::npos) {
    REQUIRE(std::chrono::steady_clock::now() < deadline);
    publisher.publish({.topic = "t", .payload = Bytes(100'000, 'x')});
    publisher.settle();
    letPass(std::chrono::milliseconds(20));
  }
}

TEST_CASE("mosquitto CVE-2023-28366: the same QoS 2 message again and again costs no memory",
          "[limits]") {
  const DaemonProcess daemon;
  const auto version = GENERATE(Version::v311, Version::v5);
  RawClient client(daemon.endpoint(), version);
  client.connect();
  const auto publishes = [&](int count) {
    for (int i = 0; i < count; ++i) {
      client.publish({.topic = "t", .payload = Bytes(1000, 'x'), .qos = 2, .id = 7, .dup = i > 0});
      client.expectAck(kPubrec, 7, 0);
    }
  };
  publishes(100);
  const long before = daemon.residentKiB();
  publishes(5000);
  CHECK(daemon.residentKiB() < before + 2048);
}

TEST_CASE(
    "mosquitto CVE-2017-7654, CVE-2021-34431, CVE-2023-3592: packets that are refused half way "
    "leave nothing behind",
    "[limits]") {
  const DaemonProcess daemon;
  const Bytes whole = connectPacket(
      Version::v5, {.clientId = "leak",
                    .will = Will{.topic = "will",
                                 .payload = Bytes(1000, 'w'),
                                 .properties = {property(PropertyId::contentType, "text")}},
                    .userName = std::string(200, 'u'),
                    .password = Bytes(200, 'p')});
  const Bytes badWill = connectPacket(
      Version::v5,
      {.clientId = "leak",
       .will = Will{.topic = "will",
                    .payload = Bytes(1000, 'w'),
                    // A topic alias is no property of a will.
                    .properties = {property(PropertyId::contentType, std::string(900, 'c')),
                                   property(PropertyId::topicAlias, 1)}}});
  const auto rounds = [&](std::size_t count) {
    for (std::size_t i = 0; i < count; ++i) {
      RawClient truncated(daemon.endpoint(), Version::v5);
      truncated.send(whole.substr(0, whole.size() - 1 - i % 1500));
      truncated.drop();
      RawClient bad(daemon.endpoint(), Version::v5);
      bad.send(badWill);
      bad.expectConnectRejected(0x81);
      RawClient second(daemon.endpoint(), Version::v5);
      second.connect({.clientId = "s"});
      second.send(subscribePacket(Version::v5, 1, {{"good/" + std::to_string(i), 0}, {"a#", 0}}));
      second.expectDisconnected(0x81);
    }
  };
  rounds(100);
  const long before = daemon.residentKiB();
  rounds(500);
  CHECK(daemon.residentKiB() < before + 2048);
}

TEST_CASE("takeovers without end leave one client and no trace", "[limits]") {
  const DaemonProcess daemon;
  RawClient healthy(daemon.endpoint());
  healthy.connect({.clientId = "healthy"});
  auto current = std::make_unique<RawClient>(daemon.endpoint(), Version::v5);
  current->connect({.clientId = "same"});
  const long before = daemon.residentKiB();
  for (int i = 0; i < 500; ++i) {
    auto next = std::make_unique<RawClient>(daemon.endpoint(), Version::v5);
    next->connect({.clientId = "same"});
    if (i % 50 == 0) current->expectDisconnected(0x8E);
    current = std::move(next);
  }
  current->expectNothing();
  healthy.expectNothing();
  CHECK(daemon.residentKiB() < before + 4096);
}

TEST_CASE("a flood of wrong passwords waits, and a client that is in does not", "[limits]") {
  const std::string hash = "alice:" + hashOf("wonder") + "\n";
  const DaemonProcess daemon(
      configWith("allow_anonymous = true\n",
                 "[pipeline]\ndefault = [\"connection\", \"auth_backoff\", \"authentication\", "
                 "\"password_file\", \"keep_alive\", \"memory_backend\", \"session_manager\", "
                 "\"subscription_manager\", \"inbound_manager\", \"outbound_manager\"]\n"
                 "[middleware.password_file]\npath = \"passwd\"\n"
                 "[middleware.auth_backoff]\nfailures = 3\ndelay = \"1s\"\n"),
      std::vector<DaemonProcess::File>{{"passwd", hash}});
  RawClient healthy(daemon.endpoint());
  healthy.connect({.clientId = "healthy"});
  const auto guess = [&] {
    const auto begin = std::chrono::steady_clock::now();
    RawClient client(daemon.endpoint());
    client.send(connectPacket(Version::v311, {.userName = "alice", .password = "guess"}));
    client.expectRefused(4, 0x86);
    return std::chrono::steady_clock::now() - begin;
  };
  for (int i = 0; i < 3; ++i) guess();
  CHECK(guess() >= std::chrono::milliseconds(900));
  healthy.expectNothing();
}

TEST_CASE(
    "without descriptors the broker rests, serves who is in, reloads nothing (mosquitto "
    "CVE-2017-7652), and accepts again",
    "[limits]") {
  DaemonProcess daemon;
  RawClient healthy(daemon.endpoint());
  healthy.connect({.clientId = "healthy"});
  // As many as it has, and a few more. The limit on connections was worked out before.
  const rlimit few{32, 32};
  REQUIRE(::prlimit(daemon.pid(), RLIMIT_NOFILE, &few, nullptr) == 0);
  std::vector<std::unique_ptr<RawClient>> crowd;
  for (int i = 0; i < 60; ++i)
    crowd.push_back(std::make_unique<RawClient>(daemon.endpoint(), Version::v311));
  const long before = cpuTicks(daemon);
  letPass(std::chrono::seconds(1));
  CHECK(cpuTicks(daemon) - before <= sysconf(_SC_CLK_TCK) / 5);
  healthy.expectNothing();
  CHECK(daemon.logs("cannot accept"));
  daemon.signal(SIGHUP);
  CHECK(daemon.logs("hangup signal: not reloaded, the broker goes on as it was"));
  healthy.expectNothing();
  crowd.clear();
  letPass(std::chrono::milliseconds(500));
  RawClient late(daemon.endpoint());
  late.connect({.clientId = "late"});
}
