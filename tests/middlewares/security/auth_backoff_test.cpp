#include "middlewares/security/auth_backoff.hpp"

#include <arpa/inet.h>
#include <chrono>
#include <netinet/in.h>

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

net::PeerAddress addressOf(const char* text) {
  sockaddr_storage storage{};
  auto& v4 = reinterpret_cast<sockaddr_in&>(storage);
  v4.sin_family = AF_INET;
  REQUIRE(::inet_pton(AF_INET, text, &v4.sin_addr) == 1);
  return net::PeerAddress::fromSockaddr(storage);
}

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

TEST_CASE("a login that has waited is refused by whoever stands behind", "[auth_backoff]") {
  ProtocolBroker broker{{.second = [](TestBroker& all) {
    all.use<AuthBackoff>(AuthBackoff::Options{1, 60s, 1s, 100});
    all.onPackets(mqtt::PacketType::connect, [](Client&, Packet&, Next next, Done) {
      return next(ReasonCode::badUserNameOrPassword);
    });
  }}};
  mqtt::Connect connect;
  connect.version = mqtt::ProtocolVersion::v5;
  connect.clientId = "client";
  Peer first = broker.connectWith(connect);
  CHECK(Door::answer(first) == ReasonCode::badUserNameOrPassword);
  Peer second = broker.connectWith(connect);
  CHECK(second.client().parked());
  broker.advance(1100ms);
  CHECK(Door::answer(second) == ReasonCode::badUserNameOrPassword);
}

TEST_CASE("a login may still wait when everything is over", "[auth_backoff]") {
  Door door;  // ends before the timer fires: a sanitizer would tell
  door.fail(3);
  CHECK(door.knock("right").client().parked());
}

TEST_CASE("addresses wait for their own refusals only, and no more are remembered than may be",
          "[auth_backoff]") {
  Door door{{2, 60s, 1s, 2}};
  const auto knockFrom = [&](const char* address, const char* password) {
    mqtt::Connect connect;
    connect.version = mqtt::ProtocolVersion::v5;
    connect.clientId = "client";
    connect.userName = "alice";
    connect.password = password;
    Peer peer = door.broker.open(door.broker.stack(), connect.version, addressOf(address));
    peer.send(mqtt::Packet{connect});
    return peer;
  };
  for (int i = 0; i < 2; ++i) knockFrom("192.0.2.1", "wrong");
  CHECK_FALSE(knockFrom("192.0.2.2", "right").closed());
  CHECK(door.delayed() == 0);
  knockFrom("192.0.2.1", "right");
  CHECK(door.delayed() == 1);
  // Two others fail, and the first is forgotten.
  knockFrom("192.0.2.3", "wrong");
  knockFrom("192.0.2.4", "wrong");
  knockFrom("192.0.2.1", "right");
  CHECK(door.delayed() == 1);
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
