#include "middlewares/security/password_file.hpp"

#include <chrono>
#include <crypt.h>
#include <filesystem>
#include <fstream>
#include <string>
#include <sys/resource.h>

#include <catch2/catch.hpp>

#include "middlewares/protocol/connection.hpp"
#include "middlewares/security/authentication.hpp"
#include "tests/support/client_fixture.hpp"
#include "tests/support/scram_client.hpp"
#include "tests/support/temporary_file.hpp"

namespace mqttstack {
namespace {

using mqtt::ReasonCode;
using test::AcceptConnect;
using test::ManualLoop;
using test::Peer;
using test::TemporaryFile;
using test::TestBroker;

std::string hashed(const std::string& password) {
  crypt_data data{};
  return crypt_r(password.c_str(), "$6$rounds=1000$salt$", &data);
}

const TemporaryFile& passwords() {
  static const TemporaryFile file{"alice:" + hashed("wonder") + "\nbob:" + hashed("builder") +
                                  "\n"};
  return file;
}

/// A pipeline that asks a password file about each CONNECT.
struct Door {
  explicit Door(TimeSpan cache = std::chrono::seconds{60}) {
    broker.use<Authentication>();
    file = &broker.use<PasswordFile>(PasswordFile::Options{passwords().path(), cache});
    broker.use<AcceptConnect>();
    broker.loop.hold();
  }

  /// A connection whose CONNECT was read, and maybe answered.
  Peer knock(std::optional<std::string_view> user, std::optional<std::string_view> password,
             mqtt::ProtocolVersion version = mqtt::ProtocolVersion::v5) {
    mqtt::Connect connect;
    connect.version = version;
    connect.clientId = "client";
    connect.userName = user;
    connect.password = password;
    return broker.connectWith(connect);
  }
  /// The same, when the hash is made.
  ReasonCode enter(std::optional<std::string_view> user, std::optional<std::string_view> password) {
    Peer peer = knock(user, password);
    awaitAnswer(peer);
    return codeFor(peer);
  }
  void awaitAnswer(const Peer& peer) {
    while (!peer.gone() && peer.client().parked()) {
      broker.loop.await();
      broker.run();
    }
  }
  static ReasonCode codeFor(Peer& peer) {
    const auto packets = peer.packets();
    REQUIRE(packets.size() == 1);
    return std::get<mqtt::Connack>(packets.front()).code;
  }

  TestBroker broker;
  PasswordFile* file;
};

// The seven cases of a middleware that may answer later. There is no failing
// open.

TEST_CASE("password_file answers later, from its own thread", "[password_file]") {
  Door door;
  Peer peer = door.knock("alice", "wonder");
  CHECK(peer.client().parked());
  CHECK(peer.received().empty());
  door.awaitAnswer(peer);
  CHECK(Door::codeFor(peer) == ReasonCode::success);
  CHECK(peer.client().identity()->principal() == "alice");
  CHECK_FALSE(peer.client().identity()->anonymous());
}

TEST_CASE("password_file answers at once for a login that it has verified", "[password_file]") {
  Door door;
  CHECK(door.enter("alice", "wonder") == ReasonCode::success);
  Peer again = door.knock("alice", "wonder");
  CHECK_FALSE(again.client().parked());
  CHECK(Door::codeFor(again) == ReasonCode::success);

  SECTION("and not for another password or user") {
    CHECK(door.enter("alice", "wonderer") == ReasonCode::badUserNameOrPassword);
    CHECK(door.enter("bob", "wonder") == ReasonCode::badUserNameOrPassword);
    CHECK(door.enter("alicew", "onder") == ReasonCode::badUserNameOrPassword);
    CHECK(door.enter("alice", std::nullopt) == ReasonCode::badUserNameOrPassword);
  }
  SECTION("and not when that was too long ago") {
    door.broker.advance(std::chrono::seconds{61});
    CHECK(door.knock("alice", "wonder").client().parked());
  }
}

TEST_CASE("password_file remembers nothing if it shall not", "[password_file]") {
  Door door{TimeSpan::zero()};
  CHECK(door.enter("alice", "wonder") == ReasonCode::success);
  CHECK(door.knock("alice", "wonder").client().parked());
}

TEST_CASE("password_file refuses wrong credentials [v311:3.2.2-5] [v5:3.1.4-2]",
          "[password_file]") {
  Door door;
  CHECK(door.enter("alice", "builder") == ReasonCode::badUserNameOrPassword);
  CHECK(door.enter("alice", "") == ReasonCode::badUserNameOrPassword);
  CHECK(door.enter("alice", std::string_view{"wonder\0x", 8}) == ReasonCode::badUserNameOrPassword);
  CHECK(door.enter("mallory", "builder") == ReasonCode::badUserNameOrPassword);
  CHECK(door.enter("", "builder") == ReasonCode::badUserNameOrPassword);
}

TEST_CASE("password_file refuses a user name without password (CVE-2016-9877)", "[password_file]") {
  Door door;
  CHECK(door.enter("alice", std::nullopt) == ReasonCode::badUserNameOrPassword);
  CHECK(door.enter("mallory", std::nullopt) == ReasonCode::badUserNameOrPassword);
}

TEST_CASE("password_file has no opinion about a password without user name", "[password_file]") {
  Door door;
  Peer peer = door.knock(std::nullopt, "wonder");
  CHECK(Door::codeFor(peer) == ReasonCode::badUserNameOrPassword);
}

TEST_CASE("password_file fails closed: what it cannot check comes not in", "[password_file]") {
  Door door;
  Peer first = door.knock("alice", "wonder");
  door.file->stop();
  door.broker.run();
  SECTION("when the login waited for it") {
    CHECK(Door::codeFor(first) == ReasonCode::serverUnavailable);
    CHECK(first.closed());
  }
  SECTION("when its thread doesn't run") {
    Peer second = door.knock("bob", "builder");
    CHECK(Door::codeFor(second) == ReasonCode::serverBusy);
    CHECK(second.closed());
  }
}

TEST_CASE("password_file discards the answer for a client that is gone", "[password_file]") {
  Door door;
  Peer peer = door.knock("alice", "wonder");
  peer.reset();
  CHECK_FALSE(peer.gone());  // pinned by its walk
  while (!peer.gone()) {
    door.broker.loop.await();
    door.broker.run();
  }
  CHECK(peer.received().empty());
  CHECK(door.broker.context.clients() == 0);
}

TEST_CASE("password_file may answer when everything is over", "[password_file]") {
  // The broker goes while the hash is being made; a sanitizer would tell.
  Door door;
  door.knock("alice", "wonder");
}

TEST_CASE("password_file lets the next authenticator judge users that it doesn't know",
          "[password_file]") {
  TestBroker broker;
  broker.use<Authentication>();
  broker.use<PasswordFile>(PasswordFile::Options{passwords().path()});
  auto& second =
      broker.on<AuthenticateConnection>([](AuthenticateConnection& login, Next, Done done) {
        login.verdict.allow("second");
        return done();
      });
  broker.use<AcceptConnect>();
  broker.loop.hold();

  mqtt::Connect connect;
  connect.clientId = "client";
  connect.userName = "carol";
  connect.password = "x";
  Peer stranger = broker.connectWith(connect);
  broker.loop.await();
  broker.run();
  CHECK(stranger.client().connected());

  connect.userName = "alice";
  Peer wrong = broker.connectWith(connect);
  broker.loop.await();
  broker.run();
  CHECK(wrong.closed());
  CHECK(second.calls == 1);
}

TEST_CASE("password_file has room for so many logins and no more", "[password_file]") {
  Door door;
  std::vector<Peer> peers;
  for (int i = 0; i < 80; ++i) peers.push_back(door.knock("alice", "wonder"));
  for (const Peer& peer : peers) door.awaitAnswer(peer);
  std::size_t busy = 0;
  for (Peer& peer : peers) {
    const ReasonCode code = Door::codeFor(peer);
    CHECK((code == ReasonCode::success || code == ReasonCode::serverBusy));
    busy += code == ReasonCode::serverBusy;
  }
  // 64 wait, one is being hashed, and the thread may have got on meanwhile.
  CHECK(busy <= 80 - 64);
}

TEST_CASE("password_file reads its file again, all of it or nothing (CVE-2018-12551)",
          "[password_file]") {
  TemporaryFile changing{"alice:" + hashed("wonder") + "\n"};
  TestBroker broker;
  broker.use<Authentication>();
  auto& file = broker.use<PasswordFile>(PasswordFile::Options{changing.path()});
  broker.use<AcceptConnect>();
  const auto enter = [&](const char* user, const char* password) {
    mqtt::Connect connect;
    connect.version = mqtt::ProtocolVersion::v5;
    connect.clientId = "client";
    connect.userName = user;
    connect.password = password;
    Peer peer = broker.connectWith(connect);
    while (!peer.gone() && peer.client().parked()) {
      broker.loop.await();
      broker.run();
    }
    return Door::codeFor(peer);
  };
  CHECK(enter("alice", "wonder") == ReasonCode::success);

  const auto rewrite = [&](const std::string& text) {
    std::ofstream{changing.path()} << text;
    Diagnostics found;
    const bool good = file.reload(found);
    CHECK(good != found.hasErrors());
    return good;
  };
  SECTION("a new password counts at once, whatever is remembered") {
    CHECK(rewrite("alice:" + hashed("land") + "\nbob:" + hashed("builder") + "\n"));
    CHECK(enter("alice", "wonder") == ReasonCode::badUserNameOrPassword);
    CHECK(enter("alice", "land") == ReasonCode::success);
    CHECK(enter("bob", "builder") == ReasonCode::success);
  }
  SECTION("a file with a mistake changes nothing") {
    CHECK_FALSE(rewrite("bob:" + hashed("builder") + "\nalice\n"));
    CHECK(enter("alice", "wonder") == ReasonCode::success);
    CHECK(enter("bob", "builder") == ReasonCode::badUserNameOrPassword);
  }
  SECTION("a file that is gone changes nothing") {
    std::filesystem::remove(changing.path());
    Diagnostics found;
    CHECK_FALSE(file.reload(found));
    CHECK(enter("alice", "wonder") == ReasonCode::success);
  }
  SECTION("a file that cannot be read for want of descriptors changes nothing (CVE-2017-7652)") {
    rlimit before{};
    ::getrlimit(RLIMIT_NOFILE, &before);
    const rlimit none{0, before.rlim_max};
    ::setrlimit(RLIMIT_NOFILE, &none);
    Diagnostics found;
    const bool good = file.reload(found);
    ::setrlimit(RLIMIT_NOFILE, &before);
    CHECK_FALSE(good);
    CHECK(enter("alice", "wonder") == ReasonCode::success);
  }
  SECTION("an empty file lets nobody in") {
    CHECK(rewrite(""));
    CHECK(enter("alice", "wonder") == ReasonCode::badUserNameOrPassword);
  }
}

TEST_CASE("password_file finishes with the entry that it began with", "[password_file]") {
  const TemporaryFile changing{"alice:" + hashed("wonder") + "\n"};
  TestBroker broker;
  broker.use<Authentication>();
  auto& file = broker.use<PasswordFile>(PasswordFile::Options{changing.path()});
  broker.use<AcceptConnect>();
  broker.loop.hold();
  mqtt::Connect connect;
  connect.clientId = "client";
  connect.userName = "alice";
  connect.password = "wonder";
  Peer peer = broker.connectWith(connect);
  std::ofstream{changing.path()} << "bob:" + hashed("builder") + "\n";
  Diagnostics found;
  CHECK(file.reload(found));
  broker.loop.await();
  broker.run();
  // The user is gone from the file, and so from the broker.
  CHECK(peer.closed());
}

// SCRAM-SHA-256.

namespace {

struct ScramDoor {
  explicit ScramDoor(const std::string& others = {})
      : file{"alice:" + ScramKeys::derive("wonder", "some salt", 4096).text() +
             "\nbob:" + hashed("builder") + "\n" + others} {
    broker.use<Connection>();
    broker.use<Authentication>();
    broker.use<PasswordFile>(PasswordFile::Options{file.path()});
    broker.use<AcceptConnect>();
  }

  Peer knock(const std::string& data) {
    mqtt::PropertyWriter properties;
    properties.add(mqtt::PropertyId::authenticationMethod, "SCRAM-SHA-256");
    properties.add(mqtt::PropertyId::authenticationData, data);
    mqtt::Connect connect;
    connect.version = mqtt::ProtocolVersion::v5;
    connect.clientId = "client";
    connect.properties = properties.properties();
    return broker.connectWith(connect);
  }
  static void send(Peer& peer, const std::string& data) {
    mqtt::PropertyWriter properties;
    properties.add(mqtt::PropertyId::authenticationMethod, "SCRAM-SHA-256");
    properties.add(mqtt::PropertyId::authenticationData, data);
    peer.send(
        mqtt::Packet{mqtt::Auth{ReasonCode::continueAuthentication, properties.properties()}});
  }
  static std::string dataOf(Peer& peer) {
    const auto packets = peer.packets();
    REQUIRE(packets.size() == 1);
    const auto& auth = std::get<mqtt::Auth>(packets.front());
    return std::string{auth.properties.text(mqtt::PropertyId::authenticationData).value()};
  }
  ReasonCode enter(const char* user, const char* password) {
    test::ScramClient client{user, password};
    Peer peer = knock(client.first());
    send(peer, client.last(dataOf(peer)));
    return Door::codeFor(peer);
  }

  TemporaryFile file;
  TestBroker broker;
};

}  // namespace

TEST_CASE("password_file lets in who proves by SCRAM to know the password", "[password_file]") {
  ScramDoor door;
  CHECK(door.enter("alice", "wonder") == ReasonCode::success);
  CHECK(door.enter("alice", "builder") == ReasonCode::notAuthorized);
  CHECK(door.enter("mallory", "wonder") == ReasonCode::notAuthorized);
  // His entry is of another kind: nothing tells him from an unknown one.
  CHECK(door.enter("bob", "builder") == ReasonCode::notAuthorized);
}

TEST_CASE("password_file is convinced by no replay of a SCRAM proof", "[password_file]") {
  ScramDoor door;
  test::ScramClient client{"alice", "wonder"};
  Peer first = door.knock(client.first());
  const std::string proof = client.last(ScramDoor::dataOf(first));
  ScramDoor::send(first, proof);
  CHECK(Door::codeFor(first) == ReasonCode::success);
  Peer second = door.knock(client.first());
  ScramDoor::dataOf(second);
  ScramDoor::send(second, proof);
  CHECK(Door::codeFor(second) == ReasonCode::notAuthorized);
}

TEST_CASE("password_file refuses SCRAM messages that are none", "[password_file]") {
  ScramDoor door;
  Peer wrong = door.knock("alice");
  CHECK(Door::codeFor(wrong) == ReasonCode::notAuthorized);
  Peer later = door.knock("n,,n=alice,r=x");
  ScramDoor::dataOf(later);
  ScramDoor::send(later, "p=AAAA");
  CHECK(Door::codeFor(later) == ReasonCode::notAuthorized);
}

TEST_CASE("password_file verifies a plain password by SCRAM keys too", "[password_file]") {
  ScramDoor door;
  mqtt::Connect connect;
  connect.clientId = "client";
  connect.userName = "alice";
  connect.password = GENERATE("wonder", "builder");
  Peer peer = door.broker.connectWith(connect);
  while (!peer.gone() && peer.client().parked()) {
    door.broker.loop.await();
    door.broker.run();
  }
  CHECK(peer.closed() == (connect.password == "builder"));
}

TEST_CASE("password_file reports what is wrong with its file", "[password_file]") {
  TestBroker broker;
  const auto findingsFor = [&](const std::filesystem::path& path) {
    broker.use<PasswordFile>(PasswordFile::Options{path});
    return broker.diagnostics.findings();
  };

  SECTION("that there is none") {
    const auto findings = findingsFor("/nonexistent/passwd");
    REQUIRE(findings.size() == 1);
    CHECK(findings[0].severity == Severity::error);
    CHECK(findings[0].place.option == "path");
    CHECK(findings[0].message == "cannot read \"/nonexistent/passwd\": No such file or directory");
  }
  SECTION("that it is something else") {
    const auto findings = findingsFor("/dev/null");
    REQUIRE(findings.size() == 1);
    CHECK(findings[0].message == "cannot read \"/dev/null\": it is not a regular file");
  }
  SECTION("that everybody can read it") {
    const TemporaryFile file{"alice:" + hashed("x") + "\n"};
    std::filesystem::permissions(file.path(), std::filesystem::perms{0644});
    const auto findings = findingsFor(file.path());
    REQUIRE(findings.size() == 1);
    CHECK(findings[0].severity == Severity::warning);
    CHECK(findings[0].help == "chmod 640 " + file.path().string());
  }
  SECTION("that nobody is in it") {
    const TemporaryFile file{"# nobody\n"};
    const auto findings = findingsFor(file.path());
    REQUIRE(findings.size() == 1);
    CHECK(findings[0].severity == Severity::warning);
    CHECK(findings[0].message == file.path().string() + " has no users: it lets nobody in");
  }
  SECTION("every bad line, by its number") {
    const TemporaryFile file{"alice:" + hashed("x") + "\nbob\ncarol:plain\n"};
    const auto findings = findingsFor(file.path());
    REQUIRE(findings.size() == 2);
    CHECK(findings[0].message.starts_with(file.path().string() + ":2: "));
    CHECK(findings[1].message.starts_with(file.path().string() + ":3: "));
  }
}

}  // namespace
}  // namespace mqttstack
