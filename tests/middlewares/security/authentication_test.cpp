#include "middlewares/security/authentication.hpp"

#include <optional>
#include <string>
#include <utility>

#include <catch2/catch.hpp>

#include "middlewares/protocol/connection.hpp"
#include "tests/support/client_fixture.hpp"

namespace mqttstack {
namespace {

using mqtt::PacketType;
using mqtt::ProtocolVersion;
using mqtt::ReasonCode;
using test::AcceptConnect;
using test::hex;
using test::Peer;
using test::TestBroker;

using Answer = test::CallbackStub<AuthenticateConnection>::Answer;

/// A pipeline whose authenticator is a function.
struct Door {
  explicit Door(Answer answer) {
    broker.use<Connection>();
    broker.use<Authentication>();
    authenticator = &broker.on<AuthenticateConnection>(std::move(answer));
    behind = &broker.onPackets(mqtt::PacketTypes::all());
    broker.use<AcceptConnect>();
  }

  Peer knock(std::optional<std::string_view> user = "alice",
             std::optional<std::string_view> password = "wonder",
             ProtocolVersion version = ProtocolVersion::v5) {
    mqtt::Connect connect;
    connect.version = version;
    connect.clientId = "kitchen";
    connect.userName = user;
    connect.password = password;
    return broker.connectWith(connect);
  }
  std::int64_t accepted() const { return broker.metrics.value("auth_accepted"); }
  std::int64_t refused() const { return broker.metrics.value("auth_refused"); }

  TestBroker broker;
  test::CallbackStub<AuthenticateConnection>* authenticator;
  test::PacketStub* behind;
};

Flow allow(AuthenticateConnection& login, Next, Done done) {
  login.verdict.allow("stub");
  return done();
}
Flow deny(AuthenticateConnection& login, Next, Done done) {
  login.verdict.deny("stub", ReasonCode::badUserNameOrPassword);
  return done();
}

ReasonCode connackFor(Peer& peer) {
  const auto packets = peer.packets();
  REQUIRE(packets.size() == 1);
  return std::get<mqtt::Connack>(packets.front()).code;
}

}  // namespace

TEST_CASE("authentication shows the authenticators who knocks with what [original:8.11]",
          "[authentication]") {
  Door door{[](AuthenticateConnection& login, Next, Done done) {
    CHECK(login.userName == "alice");
    CHECK(login.password == "wonder");
    CHECK(login.identity.clientId() == "kitchen");
    CHECK(login.identity.listener() == "test");
    CHECK(login.identity.anonymous());
    CHECK(login.verdict.opinion == Opinion::none);
    login.verdict.allow("stub");
    return done();
  }};
  CHECK(door.knock().client().connected());
  CHECK(door.authenticator->calls == 1);
}

TEST_CASE("authentication gives an allowed client its identity [v311:3.1.4-4] [v5:3.1.4-5]",
          "[authentication]") {
  SECTION("with the user name as principal") {
    Door door{allow};
    const auto version = GENERATE(ProtocolVersion::v31, ProtocolVersion::v311, ProtocolVersion::v5);
    Peer peer = door.knock("alice", "wonder", version);
    CHECK(connackFor(peer) == ReasonCode::success);
    const broker::Identity& identity = *peer.client().identity();
    CHECK(identity.principal() == "alice");
    CHECK(identity.clientId() == "kitchen");
    CHECK(identity.listener() == "test");
    CHECK(identity.address() == "local");
    CHECK_FALSE(identity.anonymous());
    CHECK(door.accepted() == 1);
    CHECK(door.refused() == 0);
  }
  SECTION("with the principal and the groups that the authenticator names") {
    Door door{[](AuthenticateConnection& login, Next, Done done) {
      login.verdict.allow("stub");
      login.principal = "cn=alice";
      login.groups = {"family", "admins"};
      return done();
    }};
    Peer peer = door.knock();
    CHECK(peer.client().identity()->principal() == "cn=alice");
    CHECK(peer.client().identity()->groups() == std::vector<std::string>{"family", "admins"});
  }
}

TEST_CASE("authentication refuses who is allowed in without a name", "[authentication]") {
  Door door{allow};
  door.broker.listener.allowAnonymous = true;
  const auto user =
      GENERATE(std::optional<std::string_view>{}, std::optional<std::string_view>{""});
  Peer peer = door.knock(user, "token");
  CHECK(connackFor(peer) == ReasonCode::notAuthorized);
  CHECK(door.accepted() == 0);
  CHECK(door.broker.metrics.value("auth_refused{by=\"stub\"}") == 1);
  CHECK_THAT(door.broker.log.front().text, Catch::Contains("without saying who it is"));
}

TEST_CASE("authentication lets nobodies in where the listener allows it", "[authentication]") {
  Door door{deny};
  door.broker.listener.allowAnonymous = true;
  Peer peer = door.knock(std::nullopt, std::nullopt);
  CHECK(connackFor(peer) == ReasonCode::success);
  CHECK(peer.client().identity()->anonymous());
  CHECK(peer.client().identity()->principal() == "anonymous");
  CHECK(door.authenticator->calls == 0);

  SECTION("and refuses wrong credentials there too") {
    CHECK(door.knock().closed());
    CHECK(door.knock("alice", std::nullopt).closed());
    CHECK(door.knock(std::nullopt, "wonder").closed());
    CHECK(door.authenticator->calls == 3);
  }
}

TEST_CASE("authentication refuses nobodies where the listener doesn't allow them",
          "[authentication]") {
  Door door{allow};
  SECTION("with code 5 [v311:3.2.2-5]") {
    Peer peer = door.knock(std::nullopt, std::nullopt, ProtocolVersion::v311);
    CHECK(peer.received() == hex("20 02 00 05"));
    CHECK(peer.closed());
  }
  SECTION("with 0x87 [v5:3.1.4-2]") {
    Peer peer = door.knock(std::nullopt, std::nullopt);
    CHECK(connackFor(peer) == ReasonCode::notAuthorized);
    CHECK(peer.closed());
  }
  CHECK(door.authenticator->calls == 0);
  CHECK(door.refused() == 1);
}

TEST_CASE(
    "authentication tells a client why it is refused [v311:3.2.2-5] [v5:3.1.4-2] [original:8.10]",
    "[authentication]") {
  struct Case {
    Answer answer;
    const char* v3;
    ReasonCode v5;
  };
  const auto denyAs = [](ReasonCode reason) {
    return [reason](AuthenticateConnection& login, Next, Done done) {
      login.verdict.deny("stub", reason);
      return done();
    };
  };
  const Case cases[] = {
      {deny, "20 02 00 04", ReasonCode::badUserNameOrPassword},
      {nullptr, "20 02 00 04", ReasonCode::badUserNameOrPassword},  // no opinion
      {denyAs(ReasonCode::notAuthorized), "20 02 00 05", ReasonCode::notAuthorized},
      {denyAs(ReasonCode::serverBusy), "20 02 00 03", ReasonCode::serverBusy},
      {denyAs(ReasonCode::banned), "20 02 00 05", ReasonCode::banned},
      {denyAs(ReasonCode::success), "20 02 00 05", ReasonCode::notAuthorized},  // a mistake
  };
  for (const Case& each : cases) {
    Door door{each.answer};
    Peer v3 = door.knock("alice", "x", ProtocolVersion::v311);
    CHECK(v3.received() == hex(each.v3));
    CHECK(v3.closed());
    Peer v5 = door.knock();
    CHECK(connackFor(v5) == each.v5);
    CHECK(v5.closed());
    CHECK(door.accepted() == 0);
    CHECK(door.refused() == 2);
  }
}

TEST_CASE(
    "nothing that a refused client sends behind its CONNECT is looked at "
    "[v311:3.1.4-5] [v5:3.1.4-6]",
    "[authentication]") {
  Door door{deny};
  Peer peer = door.broker.open(ProtocolVersion::v311);
  mqtt::Connect connect;
  connect.clientId = "kitchen";
  connect.userName = "alice";
  const std::string hello = test::encoded(connect, ProtocolVersion::v311);
  peer.send(hello + hex("82 06 00 01 00 01 'a' 00") + hex("30 04 00 01 'a' 'x'") + hello);
  CHECK(peer.received() == hex("20 02 00 04"));
  CHECK(peer.closed());
  CHECK(door.behind->calls == 0);
  CHECK(door.authenticator->calls == 1);
}

TEST_CASE("a second CONNECT does not make a client somebody else [v311:3.1.0-2] [v5:3.1.0-2]",
          "[authentication]") {
  TestBroker broker;  // without connection, which would not let it through
  broker.use<Authentication>();
  auto& authenticator = broker.on<AuthenticateConnection>(allow);
  broker.use<AcceptConnect>();
  mqtt::Connect connect;
  connect.clientId = "kitchen";
  connect.userName = "alice";
  Peer peer = broker.connectWith(connect);
  CHECK(peer.client().connected());
  connect.userName = "bob";
  peer.send(mqtt::Packet{connect});
  CHECK(peer.closed());
  CHECK(authenticator.calls == 1);
}

TEST_CASE("authentication writes who was refused, by whom, and never the password",
          "[authentication]") {
  Door door{deny};
  door.knock("al\nice", "wonder");
  std::string text;
  for (const auto& line : door.broker.log)
    if (line.component == "authentication") text += line.text;
  CHECK(text ==
        "\"kitchen\" at local, user \"al\\x0aice\": refused by stub: Bad User Name or Password");
}

TEST_CASE("authentication writes who was let in, as whom and by whom", "[authentication]") {
  Door door{allow};
  door.knock("alice", "wonder");
  std::string text;
  for (const auto& line : door.broker.log)
    if (line.component == "authentication" && line.level == LogLevel::debug) text += line.text;
  CHECK(text == "\"kitchen\" (user \"alice\") at local: accepted by stub");
}

// The seven cases of a middleware that answers later; it never fails open.

TEST_CASE("authentication waits for a later answer, and the client's packets with it",
          "[authentication]") {
  std::optional<Deferred> later;
  Door door{[&](AuthenticateConnection& login, Next next, Done) {
    login.verdict.allow("stub");
    return next.defer([&](Deferred deferred) { later = std::move(deferred); });
  }};
  Peer peer = door.knock();
  peer.send(mqtt::Pingreq{});
  CHECK(peer.received().empty());
  CHECK(door.behind->calls == 0);

  SECTION("that lets it in") {
    later->done();
    door.broker.run();
    const auto packets = peer.packets();
    REQUIRE(packets.size() == 2);
    CHECK(std::holds_alternative<mqtt::Connack>(packets[0]));
    CHECK(std::holds_alternative<mqtt::Pingresp>(packets[1]));
  }
  SECTION("that fails with a reason") {
    later->fail(ReasonCode::serverBusy);
    door.broker.run();
    CHECK(connackFor(peer) == ReasonCode::serverBusy);
    CHECK(peer.closed());
  }
  SECTION("that never comes, since the authenticator dropped it") {
    later.reset();
    door.broker.run();
    CHECK(connackFor(peer) == ReasonCode::serverUnavailable);
    CHECK(peer.closed());
    CHECK(door.refused() == 1);
  }
  SECTION("that comes when the client is gone") {
    peer.reset();
    later->done();
    door.broker.run();
    CHECK(peer.gone());
    CHECK(peer.received().empty());
    CHECK(door.behind->calls == 0);
  }
  SECTION("that comes when everything is over") {}
}

TEST_CASE("authentication fails closed when an authenticator throws [original:8.12]",
          "[authentication]") {
  Door door{[](AuthenticateConnection&, Next, Done) -> Flow { throw std::runtime_error{"oops"}; }};
  Peer peer = door.knock();
  CHECK(connackFor(peer) == ReasonCode::implementationSpecificError);
  CHECK(peer.closed());
}

TEST_CASE("authentication has to stand before what works with identities", "[authentication]") {
  TestBroker broker;
  SECTION("right") {
    broker.use<Authentication>();
    broker.on<OpenSession>();
    broker.on<RelayMessage>();
    CHECK(broker.validate().empty());
  }
  SECTION("behind the backend") {
    broker.useNamed<test::CallbackStub<OpenSession>>("store", nullptr);
    broker.use<Authentication>();
    const auto findings = broker.validate();
    REQUIRE(findings.size() == 1);
    CHECK(findings[0].severity == Severity::error);
    CHECK(findings[0].place.instance == "authentication");
    CHECK(findings[0].help == "move \"authentication\" before \"store\"");
  }
  SECTION("behind whatever takes messages") {
    broker.on<RelayMessage>();
    broker.use<Authentication>();
    CHECK(broker.validate().size() == 1);
  }
}

}  // namespace mqttstack
