#include "middlewares/security/auth_backoff.hpp"

#include <chrono>

#include <catch2/catch.hpp>

#include "middlewares/protocol/connection.hpp"
#include "middlewares/security/authentication.hpp"
#include "tests/middlewares/protocol_broker.hpp"
#include "tests/support/client_fixture.hpp"

namespace mqttstack {
namespace {

using namespace std::chrono_literals;
using mqtt::ReasonCode;
using test::Parts;
using test::Peer;
using test::ProtocolBroker;
using test::TestBroker;

/// A broker that knows one password, and forgives three mistakes a minute.
struct Door {
  explicit Door(AuthBackoff::Options options = {3, 60s, 1s, 100})
      : broker{{.second = [this, options](TestBroker& all) {
          all.use<AuthBackoff>(options);
          asked = &all.onPackets(mqtt::PacketType::connect);
          all.use<Authentication>();
          all.on<AuthenticateConnection>([](AuthenticateConnection& login, Next, Done done) {
            if (login.password == "right")
              login.verdict.allow("test");
            else
              login.verdict.deny("test", ReasonCode::badUserNameOrPassword);
            return done();
          });
        }}} {}

  Peer knock(const std::string& password) {
    mqtt::Connect connect;
    connect.version = mqtt::ProtocolVersion::v5;
    connect.clientId = "client";
    connect.userName = "alice";
    connect.password = password;
    return broker.connectWith(connect);
  }
  static ReasonCode answer(Peer& peer) {
    const auto packets = peer.packets();
    REQUIRE(packets.size() == 1);
    return std::get<mqtt::Connack>(packets[0]).code;
  }
  void fail(int times) {
    for (int i = 0; i < times; ++i) knock("wrong");
  }
  std::int64_t delayed() const { return broker.metrics.value("auth_backoff_delayed"); }

  test::PacketStub* asked = nullptr;
  ProtocolBroker broker;
};

}  // namespace

TEST_CASE("a login waits for nothing while few were refused", "[auth_backoff]") {
  Door door;
  door.fail(2);
  Peer peer = door.knock("right");
  CHECK(Door::answer(peer) == ReasonCode::success);
  CHECK(door.delayed() == 0);
}

TEST_CASE("after too many refusals a login waits before anybody looks at it", "[auth_backoff]") {
  Door door;
  door.fail(3);
  const auto before = door.asked->calls;
  Peer wrong = door.knock("wrong");
  Peer right = door.knock("right");
  CHECK(door.asked->calls == before);
  CHECK(door.delayed() == 2);
  door.broker.advance(900ms);
  CHECK(wrong.packets().empty());
  door.broker.advance(200ms);
  CHECK(door.asked->calls == before + 2);
  CHECK(Door::answer(wrong) == ReasonCode::badUserNameOrPassword);
  CHECK(Door::answer(right) == ReasonCode::success);
}

TEST_CASE("refusals are forgiven with time, and by nothing else", "[auth_backoff]") {
  Door door;
  door.fail(2);
  door.knock("right");
  door.fail(1);
  door.knock("right");
  CHECK(door.delayed() == 1);
  door.broker.advance(25s);
  door.knock("right");
  CHECK(door.delayed() == 1);
}

TEST_CASE("a login that goes away while it waits is forgotten", "[auth_backoff]") {
  Door door;
  door.fail(3);
  Peer peer = door.knock("right");
  const auto before = door.asked->calls;
  peer.reset();
  door.broker.advance(5s);
  CHECK(door.asked->calls == before);
  CHECK(peer.gone());
}

TEST_CASE("what ends later for want of rights is no refused login", "[auth_backoff]") {
  Door door;
  for (int i = 0; i < 5; ++i) {
    Peer peer = door.knock("right");
    REQUIRE(Door::answer(peer) == ReasonCode::success);
    peer.client().close(ReasonCode::notAuthorized);
    door.broker.run();
  }
  CHECK(door.broker.metrics.value("auth_backoff_failures") == 0);
  door.knock("right");
  CHECK(door.delayed() == 0);
}

TEST_CASE("auth_backoff behind what judges a CONNECT is an error", "[auth_backoff]") {
  ProtocolBroker broker{{.second = [](TestBroker& all) {
    all.use<Authentication>();
    all.onPackets(mqtt::PacketType::connect);
    all.on<AuthenticateConnection>([](AuthenticateConnection&, Next next, Done) { return next(); });
    all.use<AuthBackoff>();
  }}};
  const auto findings = broker.validate();
  REQUIRE(findings.size() == 1);
  CHECK_THAT(findings[0].message,
             Catch::Contains("\"auth_backoff\" stands behind \"authentication\""));
}

}  // namespace mqttstack
