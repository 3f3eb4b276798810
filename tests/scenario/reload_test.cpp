// What becomes of passwords and rules while clients are connected, and when their files are bad.
// Names say which known failure of a broker a test is about.

#include <crypt.h>
#include <csignal>
#include <filesystem>
#include <string>

#include <catch2/catch.hpp>

#include "tests/scenario/support/daemon.hpp"
#include "tests/scenario/support/raw_client.hpp"

using namespace mqttstack;
using Catch::Matchers::Contains;

namespace {

namespace fs = std::filesystem;

const std::string kConfig = R"toml(
[[listener]]
bind = "127.0.0.1:0"
allow_anonymous = true

[pipeline]
default = ["connection", "authentication", "password_file", "authorization", "acl_file",
           "keep_alive", "last_will", "memory_backend", "session_manager",
           "subscription_manager", "retain_manager", "inbound_manager", "outbound_manager"]

[middleware.password_file]
path = "passwd"

[middleware.acl_file]
path = "acl"
)toml";

std::string entry(const std::string& user, const std::string& password) {
  crypt_data data{};
  return user + ':' + crypt_r(password.c_str(), "$6$rounds=1000$salt$", &data) + '\n';
}

/// alice may do everything below "a", whoever has no name may read "public".
constexpr const char* kRules = "topic read public\nuser alice\ntopic readwrite a/#\n";

class House {
public:
  /// Replaces a file in one step, as `mqtt-stackd passwd` does.
  void replace(const std::string& name, const std::string& content) const {
    fs::rename(directory_.write(name + ".new", content), directory_.path() / name);
  }
  void remove(const std::string& name) const { fs::remove(directory_.path() / name); }
  void hangUp() const { daemon_.signal(SIGHUP); }
  bool logs(const std::string& text) const { return daemon_.logs(text); }
  Endpoint endpoint() const { return daemon_.endpoint(); }

  /// The reason in the CONNACK.
  unsigned knock(const std::string& user, const std::string& password) const {
    RawClient client(endpoint(), Version::v5);
    client.send(
        connectPacket(Version::v5, {.clientId = "knock", .userName = user, .password = password}));
    return readConnack(Version::v5, client.receive()).code;
  }
  bool mayPublish(RawClient& client, const std::string& topic) const {
    client.publish({.topic = topic, .payload = "x", .qos = 1, .id = 7});
    const Bytes answer = client.receive();
    return answer.size() == 4 || static_cast<unsigned char>(answer.at(4)) < 0x80;
  }

private:
  TemporaryDirectory directory_;
  DaemonProcess daemon_{[this] {
                          directory_.write("passwd", entry("alice", "wonder"));
                          directory_.write("acl", kRules);
                          return kConfig;
                        }(),
                        directory_.path()};
};

}  // namespace

TEST_CASE("passwords are read again on a hangup signal, and who is connected stays", "[reload]") {
  const House house;
  RawClient alice(house.endpoint(), Version::v5);
  alice.connect({.clientId = "a", .userName = "alice", .password = "wonder"});
  house.replace("passwd", entry("alice", "changed") + entry("bob", "builder"));
  house.hangUp();
  REQUIRE(house.logs("reloaded"));
  CHECK(house.knock("bob", "builder") == 0);
  CHECK(house.knock("alice", "changed") == 0);
  // Also what was remembered as right a moment ago.
  CHECK(house.knock("alice", "wonder") == 0x86);
  alice.expectNothing();
}

TEST_CASE("passwords and rules that are replaced are noticed without a signal", "[reload]") {
  const House house;
  RawClient alice(house.endpoint(), Version::v5);
  alice.connect({.clientId = "a", .userName = "alice", .password = "wonder"});
  house.replace("passwd", entry("bob", "builder"));
  house.replace("acl", "user alice\ntopic readwrite b/#\n");
  REQUIRE(house.logs("files of \"password_file\" have changed and were read anew"));
  REQUIRE(house.logs("files of \"acl_file\" have changed and were read anew"));
  CHECK(house.knock("bob", "builder") == 0);
  CHECK(house.knock("alice", "wonder") == 0x86);
  CHECK(house.mayPublish(alice, "b/x"));
  CHECK_FALSE(house.mayPublish(alice, "a/x"));
}

TEST_CASE("mosquitto CVE-2021-34434: a subscription reads nothing more when its right is gone",
          "[reload]") {
  const House house;
  RawClient alice(house.endpoint(), Version::v5);
  alice.connect({.clientId = "a", .userName = "alice", .password = "wonder"});
  alice.subscribe({{"a/#", 0}});
  alice.publish({.topic = "a/x", .payload = "before"});
  alice.expectPublish({.topic = "a/x", .payload = "before"});
  house.replace("acl", "user alice\ntopic publish a/#\n");
  house.hangUp();
  REQUIRE(house.logs("reloaded"));
  alice.publish({.topic = "a/x", .payload = "after"});
  alice.expectNothing();
  CHECK(house.logs("reloaded"));
}

TEST_CASE("EMQX 18246: what waits for a session is not sent when its right is gone", "[reload]") {
  const House house;
  Connect connect = durable(Version::v5, "a");
  connect.userName = "alice";
  connect.password = "wonder";
  {
    RawClient alice(house.endpoint(), Version::v5);
    alice.connect(connect);
    alice.subscribe({{"a/#", 1}});
    alice.disconnect();
  }
  RawClient writer(house.endpoint(), Version::v5);
  writer.connect({.clientId = "w", .userName = "alice", .password = "wonder"});
  CHECK(house.mayPublish(writer, "a/secret"));
  house.replace("acl", "user alice\ntopic publish a/#\n");
  house.hangUp();
  REQUIRE(house.logs("reloaded"));
  RawClient alice(house.endpoint(), Version::v5);
  CHECK(alice.connect(connect).sessionPresent);
  alice.expectNothing();
}

TEST_CASE(
    "mosquitto CVE-2018-12550, CVE-2018-12551, CVE-2017-7652: no state of the files opens anything "
    "while the broker runs",
    "[reload]") {
  const House house;
  struct Bad {
    const char* what;
    const char* file;
    const char* content;  // null: there is none
    const char* complaint;
  };
  const auto bad = GENERATE(
      Bad{"a line without hash", "passwd", "alice\n", "passwd:1: "},
      Bad{"a line without name", "passwd", ":$6$x$y\n", "passwd:1: "},
      Bad{"a clear password", "passwd", "alice:wonder\nbob:builder\n", "passwd:1: "},
      Bad{"nothing there", "passwd", nullptr, "cannot read"},
      Bad{"a line that is none", "acl", "user alice\ntopic readwrite a/#\nsudo\n", "acl:3: "},
      Bad{"no filter", "acl", "topic readwrite a#\n", "acl:1: "},
      Bad{"no rules there", "acl", nullptr, "cannot read"});
  CAPTURE(bad.what);
  const bool bySignal = GENERATE(true, false);
  if (bad.content)
    house.replace(bad.file, bad.content);
  else
    house.remove(bad.file);
  if (bySignal) {
    house.hangUp();
    REQUIRE(house.logs("hangup signal: not reloaded, the broker goes on as it was"));
  }
  REQUIRE(house.logs(bad.complaint));
  CHECK(house.knock("alice", "wonder") == 0);
  CHECK(house.knock("alice", "") == 0x86);
  CHECK(house.knock("bob", "builder") == 0x86);
  RawClient nobody(house.endpoint(), Version::v5);
  nobody.connect({.clientId = "nobody"});
  CHECK_FALSE(house.mayPublish(nobody, "a/x"));
}

TEST_CASE("mosquitto CVE-2018-12550: empty files let nobody do anything", "[reload]") {
  const House house;
  RawClient alice(house.endpoint(), Version::v5);
  alice.connect({.clientId = "a", .userName = "alice", .password = "wonder"});
  house.replace("passwd", "");
  house.replace("acl", "");
  house.hangUp();
  REQUIRE(house.logs("reloaded"));
  CHECK(house.knock("alice", "wonder") == 0x86);
  CHECK_FALSE(house.mayPublish(alice, "a/x"));
  RawClient nobody(house.endpoint(), Version::v5);
  nobody.connect({.clientId = "nobody"});
  nobody.send(subscribePacket(Version::v5, 1, {{"public", 0}}));
  nobody.expectSuback(1, {0x87});
}

TEST_CASE("mosquitto CVE-2018-12550, CVE-2018-12551: a bad file of users or rules stops the start",
          "[reload]") {
  struct Bad {
    const char* passwords;
    const char* rules;
    const char* complaint;
  };
  const auto bad =
      GENERATE(Bad{"alice\n", kRules, "passwd:1: "}, Bad{nullptr, kRules, "passwd\": No such file"},
               Bad{"", "topics\n", "acl:1: "}, Bad{"", nullptr, "acl\": No such file"});
  const TemporaryDirectory directory;
  if (bad.passwords) directory.write("passwd", bad.passwords);
  if (bad.rules) directory.write("acl", bad.rules);
  const auto config = directory.write("mqtt.toml", kConfig);
  const CommandResult started = runDaemon({"--config", config.string()});
  CHECK(started.exitCode != 0);
  CHECK_THAT(started.output, Contains(bad.complaint));
  const CommandResult checked = runDaemon({"check", config.string()});
  CHECK(checked.exitCode != 0);
  CHECK_THAT(checked.output, Contains(bad.complaint));
}
