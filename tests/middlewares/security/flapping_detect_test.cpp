#include "middlewares/security/flapping_detect.hpp"

#include <chrono>

#include <catch2/catch.hpp>

#include "tests/middlewares/protocol_broker.hpp"

namespace mqttstack {
namespace {

using namespace std::chrono_literals;
using mqtt::ReasonCode;
using test::Peer;
using test::ProtocolBroker;
using test::TestBroker;

/// A broker that bans who was gone three times within ten seconds, for a minute.
struct Door {
  /// Comes and goes; what the CONNECT was answered with.
  ReasonCode visit(const std::string& clientId,
                   mqtt::ProtocolVersion version = mqtt::ProtocolVersion::v5) {
    mqtt::Connect connect;
    connect.version = version;
    connect.clientId = clientId;
    Peer peer = broker.connectWith(connect);
    const auto packets = peer.packets();
    REQUIRE(packets.size() == 1);
    peer.reset();
    return std::get<mqtt::Connack>(packets[0]).code;
  }

  ProtocolBroker broker{{.second = [](TestBroker& all) {
    all.use<FlappingDetect>(FlappingDetect::Options{3, 10s, 60s, 100});
  }}};
};

}  // namespace

TEST_CASE("a client that comes and goes too often is banned for a while", "[flapping_detect]") {
  Door door;
  for (int i = 0; i < 3; ++i) CHECK(door.visit("a") == ReasonCode::success);
  CHECK(door.visit("a") == ReasonCode::banned);
  CHECK(door.visit("b") == ReasonCode::success);
  CHECK(door.broker.metrics.value("flapping_detect_banned") == 1);
  CHECK(door.broker.metrics.value("flapping_detect_refused") == 1);
  door.broker.advance(59s);
  CHECK(door.visit("a") == ReasonCode::banned);
  door.broker.advance(2s);
  CHECK(door.visit("a") == ReasonCode::success);
}

TEST_CASE("who comes and goes slowly is not banned", "[flapping_detect]") {
  Door door;
  for (int i = 0; i < 10; ++i) {
    CHECK(door.visit("a") == ReasonCode::success);
    door.broker.advance(6s);
  }
}

TEST_CASE("an MQTT 3 client that is banned hears that it is not authorized", "[flapping_detect]") {
  Door door;
  for (int i = 0; i < 3; ++i) door.visit("a", mqtt::ProtocolVersion::v311);
  CHECK(mqtt::isFailure(door.visit("a", mqtt::ProtocolVersion::v311)));
}

}  // namespace mqttstack
