#include "middlewares/security/jwt_auth.hpp"

#include <chrono>
#include <filesystem>
#include <fstream>
#include <string>

#include <catch2/catch.hpp>

#include "middlewares/security/authentication.hpp"
#include "tests/middlewares/security/jwt_issuer.hpp"
#include "tests/support/client_fixture.hpp"
#include "tests/support/temporary_file.hpp"

namespace mqttstack {
namespace {

using mqtt::ReasonCode;
using test::AcceptConnect;
using test::Peer;
using test::SecretIssuer;
using test::TemporaryFile;
using test::TestBroker;
using namespace std::chrono_literals;

const std::string kSecret = "a secret that has 32 bytes or so";

/// A token that is good for a while from now.
std::string token(std::chrono::seconds valid = 3600s, const std::string& more = {},
                  const std::string& secret = kSecret) {
  const auto now = std::chrono::system_clock::to_time_t(std::chrono::system_clock::now());
  return SecretIssuer{secret}.token(
      R"({"alg":"HS256"})",
      R"({"sub":"alice","exp":)" + std::to_string(now + valid.count()) + more + "}");
}

struct Door {
  explicit Door(bool disconnectAtExpiry = true) {
    JwtAuth::Options options;
    options.secret = secret.path();
    options.issuer = {};
    options.leeway = 0s;
    options.disconnectAtExpiry = disconnectAtExpiry;
    broker.use<Authentication>();
    auth = &broker.useNamed<JwtAuth>("tokens", options);
    broker.use<AcceptConnect>();
    broker.loop.hold();
  }
  Peer knock(const std::string& password, std::optional<std::string_view> user = {}) {
    mqtt::Connect connect;
    connect.version = mqtt::ProtocolVersion::v5;
    connect.clientId = "client";
    connect.userName = user;
    connect.password = password;
    return broker.connectWith(connect);
  }
  void settle(const Peer& peer) {
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
  ReasonCode enter(const std::string& password) {
    Peer peer = knock(password);
    settle(peer);
    return codeFor(peer);
  }

  TemporaryFile secret{kSecret + "\n"};
  TestBroker broker;
  JwtAuth* auth;
};

}  // namespace

// The seven cases of a middleware that answers later. There is no failing open.

TEST_CASE("jwt_auth lets in who has a good token, as whom it names", "[jwt_auth]") {
  Door door;
  Peer peer = door.knock(token(3600s, R"(,"groups":["staff"])"), "whoever");
  CHECK(peer.client().parked());
  door.settle(peer);
  CHECK(Door::codeFor(peer) == ReasonCode::success);
  CHECK(peer.client().identity()->principal() == "alice");
  CHECK(peer.client().identity()->groups() == std::vector<std::string>{"staff"});
}

TEST_CASE("jwt_auth denies a token that is no good, and says nothing of it", "[jwt_auth]") {
  Door door;
  CHECK(door.enter(token(-1s)) == ReasonCode::badUserNameOrPassword);
  CHECK(door.enter(token(3600s, {}, "another secret that has 32 bytes")) ==
        ReasonCode::badUserNameOrPassword);
  for (const auto& line : door.broker.log) CHECK(line.text.find("eyJ") == std::string::npos);
}

TEST_CASE("jwt_auth has no opinion about a password that is no token", "[jwt_auth]") {
  Door door;
  Peer peer = door.knock("wonderland", "alice");
  CHECK(Door::codeFor(peer) == ReasonCode::badUserNameOrPassword);
  CHECK(door.broker.metrics.value("auth_refused{by=\"nobody\"}") == 1);
}

TEST_CASE("jwt_auth fails closed: what it cannot verify comes not in", "[jwt_auth]") {
  Door door;
  Peer first = door.knock(token());
  door.auth->stop();
  door.broker.run();
  CHECK(Door::codeFor(first) == ReasonCode::serverUnavailable);
  Peer second = door.knock(token());
  CHECK(Door::codeFor(second) == ReasonCode::serverBusy);
}

TEST_CASE("jwt_auth discards the answer for a client that is gone", "[jwt_auth]") {
  Door door;
  Peer peer = door.knock(token());
  peer.reset();
  CHECK_FALSE(peer.gone());  // pinned by its walk
  while (!peer.gone()) {
    door.broker.loop.await();
    door.broker.run();
  }
  CHECK(peer.received().empty());
}

TEST_CASE("jwt_auth may answer when everything is over", "[jwt_auth]") {
  Door door;
  door.knock(token());
}

TEST_CASE("a client goes when its token expires", "[jwt_auth]") {
  Door door;
  Peer peer = door.knock(token(100s));
  door.settle(peer);
  CHECK(Door::codeFor(peer) == ReasonCode::success);
  door.broker.advance(95s);
  CHECK_FALSE(peer.closed());
  door.broker.advance(6s);
  CHECK(std::get<mqtt::Disconnect>(peer.packets().at(0)).code == ReasonCode::notAuthorized);
  CHECK(peer.closed());
  CHECK(door.broker.metrics.value("auth_expired") == 1);
}

TEST_CASE("a client stays when its token expires, if it may", "[jwt_auth]") {
  Door door{false};
  Peer peer = door.knock(token(100s));
  door.settle(peer);
  door.broker.advance(200s);
  CHECK_FALSE(peer.closed());
}

TEST_CASE("jwt_auth gives the rights that a token carries", "[jwt_auth]") {
  Door door;
  Peer peer =
      door.knock(token(3600s, R"(,"acl":{"publish":["out/#"],"subscribe":["in/+","$SYS/#"]})"));
  door.settle(peer);
  const broker::IdentityPtr alice = peer.client().identity();
  const auto may = [&](Action action, std::string_view topic, const broker::IdentityPtr& who) {
    Verdict verdict;
    door.broker.stack().execute(
        AuthorizePacket{*who, action, topic},
        [&](std::error_code, AuthorizePacket& question) { verdict = question.verdict; });
    return verdict.opinion;
  };
  CHECK(may(Action::publish, "out/x", alice) == Opinion::allow);
  CHECK(may(Action::will, "out/x", alice) == Opinion::allow);
  CHECK(may(Action::publish, "in/x", alice) == Opinion::none);
  CHECK(may(Action::subscribe, "in/+", alice) == Opinion::allow);
  CHECK(may(Action::subscribe, "in/x", alice) == Opinion::allow);
  CHECK(may(Action::subscribe, "in/#", alice) == Opinion::none);
  CHECK(may(Action::subscribe, "#", alice) == Opinion::none);
  CHECK(may(Action::subscribe, "out/x", alice) == Opinion::none);
  const auto stranger = broker::makeIdentity({});
  CHECK(may(Action::publish, "out/x", stranger) == Opinion::none);

  const auto reads = [&](std::string_view topic, bool asAuthor) {
    broker::MessageFields fields;
    fields.topic = topic;
    const auto message = broker::Message::create(std::move(fields));
    AuthorizeDelivery question{*alice, *message, asAuthor};
    door.broker.stack().run(question);
    return question.verdict.opinion;
  };
  CHECK(reads("in/x", false) == Opinion::allow);
  CHECK(reads("out/x", false) == Opinion::none);
  CHECK(reads("out/x", true) == Opinion::allow);
  CHECK(reads("in/x", true) == Opinion::none);
}

TEST_CASE("jwt_auth reads its keys again, all of them or none", "[jwt_auth]") {
  Door door;
  const std::string other = "another secret that has 32 bytes";
  const auto rewrite = [&](const std::string& text) {
    std::ofstream{door.secret.path()} << text;
    Diagnostics found;
    return door.auth->reload(found);
  };
  CHECK_FALSE(rewrite("short"));
  CHECK(door.enter(token()) == ReasonCode::success);
  CHECK(rewrite(other));
  CHECK(door.enter(token()) == ReasonCode::badUserNameOrPassword);
  CHECK(door.enter(token(3600s, {}, other)) == ReasonCode::success);
}

TEST_CASE("jwt_auth reports what is wrong with its keys", "[jwt_auth]") {
  TestBroker broker;
  JwtAuth::Options options;
  options.audience = "broker";
  SECTION("that there are none") {
    broker.use<JwtAuth>(options);
    REQUIRE(broker.diagnostics.errorCount() == 1);
  }
  SECTION("all of it at once") {
    const TemporaryFile bad{"nothing"};
    options.publicKey = bad.path();
    options.secret = bad.path();
    options.jwks = "/nonexistent/jwks";
    broker.use<JwtAuth>(options);
    REQUIRE(broker.diagnostics.errorCount() == 3);
    CHECK(broker.diagnostics.findings()[0].place.option == "public_key");
    CHECK(broker.diagnostics.findings()[1].place.option == "secret");
    CHECK(broker.diagnostics.findings()[2].place.option == "jwks");
  }
  SECTION("and warns of a key set that is secret and can be read by everybody") {
    const TemporaryFile set{R"({"keys":[{"kty":"oct","k":")" + std::string(43, 'A') + "\"}]}"};
    const auto [mode, warnings] = GENERATE(table<int, std::size_t>({{0644, 1}, {0600, 0}}));
    std::filesystem::permissions(set.path(), static_cast<std::filesystem::perms>(mode));
    options.jwks = set.path();
    broker.use<JwtAuth>(options);
    CHECK(broker.diagnostics.errorCount() == 0);
    CHECK(broker.diagnostics.findings().size() == warnings);
  }
  SECTION("and warns if every issuer would do") {
    const TemporaryFile good{kSecret};
    options.audience = {};
    options.secret = good.path();
    broker.use<JwtAuth>(options);
    CHECK(broker.diagnostics.errorCount() == 0);
    CHECK(broker.diagnostics.findings().size() == 1);
  }
}

}  // namespace mqttstack
