#include <algorithm>
#include <atomic>
#include <chrono>
#include <csignal>
#include <optional>
#include <string>
#include <vector>

#include <catch2/catch.hpp>

#include "tests/middlewares/security/http_service.hpp"
#include "tests/scenario/support/daemon.hpp"
#include "tests/scenario/support/raw_client.hpp"
#include "tests/scenario/support/test_certificates.hpp"
#include "tests/support/scram_client.hpp"

using namespace mqttstack;

// Ways to come in that are no plain password, and what the log says of who may do what.
namespace {

const std::string kPipeline = R"toml(
[pipeline]
default = ["connection", "authentication", "client_certificate", "password_file", "authorization",
           "acl_file", "keep_alive", "last_will", "memory_backend", "session_manager",
           "subscription_manager", "retain_manager", "inbound_manager", "outbound_manager"]

[middleware.password_file]
path = "passwd"

[middleware.acl_file]
path = "acl"
)toml";

constexpr const char* kRules =
    "user alice\n"
    "topic readwrite home/#\n"
    "topic deny publish home/cellar\n"
    "everybody\n"
    "topic own/%u/#\n";

/// A broker with a user who may use SCRAM, made by the command for that.
class House {
public:
  explicit House(const std::string& listener = "bind = \"127.0.0.1:0\"\n")
      : daemon_{start(listener)} {}
  Endpoint endpoint() const { return daemon_.endpoint(); }
  bool says(const std::string& text) const { return daemon_.logs(text); }
  ClientTls tls(const std::string& name) const {
    return {.authority = directory_.path() / "ca.crt",
            .certificate = directory_.path() / (name + ".crt"),
            .key = directory_.path() / (name + ".key")};
  }

private:
  DaemonProcess start(const std::string& listener) const {
    writeTestCertificates(directory_.path());
    directory_.write("acl", kRules);
    // As `mqtt-stackd passwd --method scram-sha-256 --cost 4096` has written it, for "wonder".
    directory_.write("passwd", kAlice);
    return DaemonProcess("[[listener]]\n" + listener + kPipeline, directory_.path());
  }
  static const std::string kAlice;

  TemporaryDirectory directory_;
  DaemonProcess daemon_;
};

const std::string House::kAlice =
    "alice:SCRAM-SHA-256$4096:j+Ls+fXDw1TqZ5B00rFb7g==$72IfqXZGMQk2ty8AsGAg"
    "MvaqrRGB0HA1ms+S5bf1eXo=:QYPgweYJfSm+QnJ/Nsrjih8i0n+yHoNXlXGNE+/pgE4=\n";

constexpr unsigned kContinue = 0x18;
constexpr unsigned kAgain = 0x19;

Properties authentication(const std::string& data) {
  return {property(PropertyId::authMethod, "SCRAM-SHA-256"), property(PropertyId::authData, data)};
}
Bytes auth(unsigned code, const std::string& data) {
  return packet(0xF0, u8(code) + section(Version::v5, authentication(data)));
}

/// The data of an AUTH with that code, which has to come next.
std::string question(RawClient& client, unsigned code = kContinue) {
  const Bytes received = client.receive();
  // First byte, length, code, length of the properties, then method and data.
  const std::size_t begin = received.find("SCRAM-SHA-256") + 13 + 3;
  const std::string data = received.substr(begin);
  if (received != auth(code, data)) FAIL("no AUTH: " << toHex(received));
  return data;
}

}  // namespace

TEST_CASE(
    "a client comes in by SCRAM, proves itself again, and the server proves itself "
    "[v5:4.12.0-2] [v5:4.12.0-5] [v5:4.12.1-1]",
    "[authentication]") {
  const House house;
  test::ScramClient scram{"alice", "wonder"};
  RawClient client{house.endpoint(), Version::v5};
  client.send(connectPacket(Version::v5, {.properties = authentication(scram.first())}));
  client.send(auth(kContinue, scram.last(question(client))));
  const Connack connack = readConnack(Version::v5, client.receive());
  CHECK(connack.code == 0);
  CHECK(textOf(connack.properties, PropertyId::authMethod) == "SCRAM-SHA-256");
  CHECK(scram.believes(textOf(connack.properties, PropertyId::authData).value_or("")));
  client.subscribe({{"own/alice/#", 1}});

  client.send(auth(kAgain, scram.first()));
  client.send(auth(kContinue, scram.last(question(client))));
  CHECK(scram.believes(question(client, 0)));
  client.settle();
}

TEST_CASE(
    "a client that does not know the password is not let in by SCRAM, nor stays "
    "[v5:4.12.0-4] [v5:4.12.1-2]",
    "[authentication]") {
  const House house;
  test::ScramClient right{"alice", "wonder"};
  test::ScramClient wrong{GENERATE("alice", "mallory"), "guess"};
  RawClient client{house.endpoint(), Version::v5};
  SECTION("at first") {
    client.send(connectPacket(Version::v5, {.properties = authentication(wrong.first())}));
    client.send(auth(kContinue, wrong.last(question(client))));
    client.expectRefused(0, 0x87);
  }
  SECTION("again") {
    client.send(connectPacket(Version::v5, {.properties = authentication(right.first())}));
    client.send(auth(kContinue, right.last(question(client))));
    CHECK(readConnack(Version::v5, client.receive()).code == 0);
    client.send(auth(kAgain, wrong.first()));
    client.send(auth(kContinue, wrong.last(question(client))));
    client.expectDisconnected(0x87);
  }
}

TEST_CASE("nothing but AUTH and DISCONNECT comes between CONNECT and CONNACK [v5:3.1.2-30]",
          "[authentication]") {
  const House house;
  const test::ScramClient scram{"alice", "wonder"};
  RawClient client{house.endpoint(), Version::v5};
  client.send(connectPacket(Version::v5, {.properties = authentication(scram.first())}) +
              pingreqPacket());
  question(client);
  client.expectRefused(0, 0x82);
}

TEST_CASE("a client comes in by its certificate, as whom that names", "[authentication]") {
  const House house{
      "bind = \"127.0.0.1:0\"\ntls = { certificate = \"server.crt\", key = \"server.key\", "
      "client_ca = \"ca.crt\", client_certificates = \"optional\" }\n"};
  const auto version = GENERATE(Version::v311, Version::v5);
  RawClient client{house.endpoint(), version, house.tls("client")};
  client.connect();
  client.subscribe({{"own/device-7/#", 0}});
  client.send(subscribePacket(version, 2, {{"own/alice/#", 0}}));
  client.expectSuback(2, {version == Version::v5 ? 0x87U : 0x80U});

  // Without one, a password is asked for.
  RawClient nobody{house.endpoint(), version,
                   ClientTls{.authority = house.tls("client").authority}};
  nobody.send(connectPacket(version, {}));
  nobody.expectRefused(5, 0x87);
  // A name that is not the certificate's needs its own password.
  RawClient other{house.endpoint(), version, house.tls("client")};
  other.send(connectPacket(version, {.userName = "alice", .password = "guess"}));
  other.expectRefused(4, 0x86);
}

TEST_CASE("a denial is logged with the rule that it comes from", "[authentication]") {
  const House house;
  RawClient alice{house.endpoint(), Version::v5};
  alice.connect({.userName = "alice", .password = "wonder"});
  alice.publish({.topic = "home/light", .payload = "x", .qos = 1, .id = 1});
  alice.expectAck(kPuback, 1, 0x10);
  alice.publish({.topic = "home/cellar", .payload = "x", .qos = 1, .id = 2});
  alice.expectAck(kPuback, 2, 0x87);
  alice.publish({.topic = "elsewhere", .payload = "x", .qos = 1, .id = 3});
  alice.expectAck(kPuback, 3, 0x87);
  CHECK(house.says("may not publish to \"home/cellar\": denied by acl_file:3"));
  CHECK(house.says("may not publish to \"elsewhere\": no rule allows it"));
}

TEST_CASE("a flood of wrong passwords leaves others alone", "[authentication]") {
  const House house;
  RawClient healthy{house.endpoint(), Version::v5};
  healthy.connect({.userName = "alice", .password = "wonder"});
  std::chrono::steady_clock::duration worst{};
  for (int batch = 0; batch < 20; ++batch) {
    std::vector<RawClient> flood;
    for (int i = 0; i < 50; ++i) {
      flood.emplace_back(house.endpoint(), Version::v5);
      flood.back().send(connectPacket(
          Version::v5,
          {.userName = "alice", .password = "guess" + std::to_string(batch * 50 + i)}));
    }
    const auto before = std::chrono::steady_clock::now();
    healthy.settle();
    worst = std::max(worst, std::chrono::steady_clock::now() - before);
  }
  // Hashing one of these in the loop would hold it up for far longer than all of this.
  CHECK(worst < std::chrono::milliseconds{500});
  RawClient late{house.endpoint(), Version::v5};
  late.connect({.clientId = "late", .userName = "alice", .password = "wonder"});
}

TEST_CASE("rights that a service gave to a session hold until it is asked again, after a restart",
          "[authentication]") {
  const auto version = GENERATE(Version::v311, Version::v5);
  const bool stillAllowed = GENERATE(true, false);
  std::atomic<bool> allowed{true};
  const test::HttpService service{[&](const std::string&, const std::string& body) {
    const bool reading = body.find("\"subscribe\"") != std::string::npos;
    return test::HttpService::reply(reading && !allowed ? R"({"result":"deny"})"
                                                        : R"({"result":"allow"})");
  }};
  const TemporaryDirectory directory;
  const std::string config =
      "[[listener]]\nbind = \"127.0.0.1:0\"\n[pipeline]\n"
      "default = [\"connection\", \"authorization\", \"http_auth\", \"keep_alive\", \"last_will\", "
      "\"sqlite_backend\", \"session_manager\", \"subscription_manager\", \"retain_manager\", "
      "\"inbound_manager\", \"outbound_manager\"]\n"
      "[middleware.sqlite_backend]\npath = \"store.db\"\n"
      "[middleware.http_auth]\nauthorize_url = \"" +
      service.url() + "\"\ncache = 0\n";
  const Publish message{.topic = "news/today", .payload = "x", .qos = 1, .id = 5};
  {
    DaemonProcess daemon{config, directory.path()};
    RawClient reader{daemon.endpoint(), version};
    reader.connect(durable(version, "reader"));
    reader.subscribe({{"news/#", 1}});
    reader.disconnect();
    RawClient writer{daemon.endpoint(), version};
    writer.connect({.clientId = "writer"});
    writer.publishFully({.topic = "kept", .payload = "y", .qos = 1, .id = 4, .retain = true});
    daemon.signal(SIGTERM);
    REQUIRE(daemon.wait() == 0);
  }
  DaemonProcess daemon{config, directory.path()};
  RawClient writer{daemon.endpoint(), version};
  writer.connect({.clientId = "writer"});
  writer.publishFully(message);
  allowed = stillAllowed;
  RawClient reader{daemon.endpoint(), version};
  CHECK(reader.connect(durable(version, "reader")).sessionPresent);
  if (!stillAllowed) return reader.expectNothing();
  reader.expectPublishFully({.topic = "news/today", .payload = "x", .qos = 1});
  reader.subscribe({{"kept", 1}});
  reader.expectPublishFully({.topic = "kept", .payload = "y", .qos = 1, .retain = true});
}
