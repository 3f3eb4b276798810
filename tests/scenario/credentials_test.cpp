#include <crypt.h>

#include <catch2/catch.hpp>

#include "tests/scenario/support/daemon.hpp"
#include "tests/scenario/support/raw_client.hpp"

using namespace mqttstack;

namespace {

std::string hashOf(const char* password, const char* method) {
  const std::string salt = crypt_gensalt(method, 0, nullptr, 0);
  return crypt(password, salt.c_str());
}

/// "alice" has a yescrypt hash, "bob" a sha512crypt one.
DaemonProcess::File passwords() {
  return {"passwd",
          "alice:" + hashOf("wonder land", "$y$") + "\nbob:" + hashOf("builder", "$6$") + "\n"};
}

const std::string kConfig = R"toml(
[[listener]]
bind = "127.0.0.1:0"

[pipeline]
default = ["connection", "authentication", "password_file", "keep_alive", "last_will", "memory_backend",
           "session_manager", "subscription_manager", "retain_manager", "inbound_manager",
           "outbound_manager"]

[middleware.password_file]
path = "passwd"
)toml";

const std::string kOpenConfig = R"toml(
[[listener]]
bind = "127.0.0.1:0"
allow_anonymous = true
)toml" + kConfig.substr(kConfig.find("[pipeline]"));

}  // namespace

TEST_CASE("the right password is accepted [v311:3.1.4-4] [v5:3.1.4-5]", "[credentials]") {
  DaemonProcess daemon(kConfig, {passwords()});
  const auto version = GENERATE(Version::v31, Version::v311, Version::v5);
  CAPTURE(version);
  RawClient alice(daemon.endpoint(), version);
  alice.connect({.clientId = "a", .userName = "alice", .password = "wonder land"});
  RawClient bob(daemon.endpoint(), version);
  bob.connect({.clientId = "b", .userName = "bob", .password = "builder"});
  alice.expectNothing();
}

TEST_CASE(
    "wrong credentials are refused, and the connection closed (tinyMQTT CVE-2025-56352, sol "
    "CVE-2025-63235) [v311:3.2.2-5] [v5:3.1.4-2]",
    "[credentials]") {
  DaemonProcess daemon(GENERATE(kConfig, kOpenConfig), {passwords()});
  struct Wrong {
    const char* what;
    std::string userName;
    std::optional<Bytes> password;
  };
  const auto wrong = GENERATE(
      Wrong{"wrong password", "alice", "wonderland"}, Wrong{"empty password", "alice", ""},
      Wrong{"no password", "alice", std::nullopt}, Wrong{"unknown user", "mallory", "builder"},
      Wrong{"another's password", "alice", "builder"}, Wrong{"case", "Alice", "wonder land"},
      Wrong{"user with a colon", "alice:", "wonder land"},
      Wrong{"password and U+0000", "alice", Bytes("wonder land\0x", 13)},
      Wrong{"empty user", "", "builder"});
  for (const auto version : {Version::v31, Version::v311, Version::v5}) {
    CAPTURE(version, wrong.what);
    RawClient client(daemon.endpoint(), version);
    client.send(connectPacket(
        version, {.clientId = "a", .userName = wrong.userName, .password = wrong.password}));
    client.expectRefused(4, 0x86);
  }
}

TEST_CASE(
    "a client without credentials is not authorized where none may be anonymous "
    "[v5:3.1.4-2]",
    "[credentials]") {
  DaemonProcess daemon(kConfig, {passwords()});
  const auto version = GENERATE(Version::v31, Version::v311, Version::v5);
  CAPTURE(version);
  RawClient client(daemon.endpoint(), version);
  client.send(connectPacket(version, {}));
  client.expectRefused(5, 0x87);
}

TEST_CASE("a client without credentials is let in where the listener allows it", "[credentials]") {
  DaemonProcess daemon(kOpenConfig, {passwords()});
  const auto version = GENERATE(Version::v31, Version::v311, Version::v5);
  CAPTURE(version);
  RawClient client(daemon.endpoint(), version);
  client.connect();
}

TEST_CASE(
    "a refused client leaves nothing behind: no will, no takeover, no message (EMQX 8978, 1230) "
    "[v311:3.1.4-5] [v5:3.1.4-6]",
    "[credentials]") {
  DaemonProcess daemon(kConfig, {passwords()});
  const auto version = GENERATE(Version::v311, Version::v5);
  CAPTURE(version);
  RawClient alice(daemon.endpoint(), version);
  alice.connect({.clientId = "same", .userName = "alice", .password = "wonder land"});
  alice.subscribe({{"#", 0}});
  RawClient mallory(daemon.endpoint(), version);
  mallory.send(connectPacket(version, {.clientId = "same",
                                       .will = Will{.topic = "will", .payload = "x"},
                                       .userName = "alice",
                                       .password = "guess"}) +
               publishPacket(version, {.topic = "t", .payload = "x"}));
  mallory.expectRefused(4, 0x86);
  alice.expectNothing();
}

TEST_CASE("RabbitMQ CVE-2016-9877: a user name alone convinces no authenticator", "[credentials]") {
  const std::string authenticators =
      GENERATE(as<std::string>{}, "\"password_file\"", "\"jwt_auth\"", "\"http_auth\"",
               "\"client_certificate\"",
               "\"client_certificate\", \"jwt_auth\", \"password_file\", \"http_auth\"");
  const auto version = GENERATE(Version::v311, Version::v5);
  CAPTURE(authenticators, version);
  std::string config = kOpenConfig.substr(0, kOpenConfig.find("[middleware"));
  config.replace(config.find("\"password_file\""), 15, authenticators);
  if (authenticators.find("password_file") != std::string::npos)
    config += "[middleware.password_file]\npath = \"passwd\"\n";
  if (authenticators.find("jwt_auth") != std::string::npos)
    config += "[middleware.jwt_auth]\nsecret = \"secret\"\n";
  // Nobody answers there.
  if (authenticators.find("http_auth") != std::string::npos)
    config += "[middleware.http_auth]\nauthenticate_url = \"http://127.0.0.1:9/\"\n";
  DaemonProcess daemon(config, {passwords(), {"secret", std::string(32, 's')}});
  for (const auto& user : {"alice", "mallory", "", "anonymous"}) {
    RawClient client(daemon.endpoint(), version);
    client.send(connectPacket(version, {.userName = user}));
    const auto code = readConnack(version, client.receive()).code;
    CAPTURE(user);
    CHECK(code != 0);
    client.expectClosed();
  }
}

TEST_CASE("mosquitto 2.0.16: a will for the server's own topics is refused with its client",
          "[credentials]") {
  DaemonProcess daemon;
  const std::string topic = GENERATE("$CONTROL/x", "$SYS/broker/load", "$SYS");
  RawClient client(daemon.endpoint(), Version::v5);
  client.send(connectPacket(Version::v5, {.will = Will{.topic = topic, .payload = "x"}}));
  client.expectRefused(5, 0x87);
}

TEST_CASE("another user does not get the session of a client identifier (EMQX CVE-2026-6564)",
          "[credentials]") {
  DaemonProcess daemon(kConfig, {passwords()});
  const auto version = GENERATE(Version::v311, Version::v5);
  CAPTURE(version);
  auto connect = durable(version, "same");
  connect.userName = "alice";
  connect.password = "wonder land";
  RawClient alice(daemon.endpoint(), version);
  alice.connect(connect);
  alice.subscribe({{"secret", 1}});
  connect.userName = "bob";
  connect.password = "builder";
  RawClient bob(daemon.endpoint(), version);
  bob.send(connectPacket(version, connect));
  bob.expectRefused(2, 0x85);
  alice.expectNothing();
}
