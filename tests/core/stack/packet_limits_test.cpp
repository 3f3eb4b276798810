#include "core/stack/packet_limits.hpp"

#include <string>

#include <catch2/catch.hpp>

#include "core/mqtt/reason_code.hpp"
#include "tests/support/client_fixture.hpp"

namespace mqttstack {
namespace {

using mqtt::ReasonCode;
using test::AcceptConnect;
using test::Peer;
using test::TestBroker;

constexpr PacketLimits kLimits{
    .topicBytes = 20, .topicLevels = 3, .userProperties = 2, .userPropertyBytes = 10};

ReasonCode judge(const mqtt::Packet& packet) {
  const std::error_code error = checkLimits(packet, kLimits);
  return error ? mqtt::reasonOf(error) : ReasonCode::success;
}

ReasonCode judgeTopic(std::string_view topic) {
  mqtt::Publish publish;
  publish.topic = topic;
  return judge(publish);
}

struct UserProperties {
  explicit UserProperties(int count, std::string_view value = "") {
    for (int i = 0; i < count; ++i) writer.addUserProperty("n", value);
  }
  mqtt::PropertyWriter writer;
};

}  // namespace

TEST_CASE("a topic has so many bytes and levels", "[packet_limits]") {
  CHECK(judgeTopic("a/b/c") == ReasonCode::success);
  CHECK(judgeTopic("a/b/c/d") == ReasonCode::topicNameInvalid);
  CHECK(judgeTopic("///") == ReasonCode::topicNameInvalid);
  CHECK(judgeTopic(std::string(20, 'x')) == ReasonCode::success);
  CHECK(judgeTopic(std::string(21, 'x')) == ReasonCode::topicNameInvalid);
}

TEST_CASE("the topic of a will counts like any other", "[packet_limits]") {
  mqtt::Connect connect;
  connect.will.emplace();
  connect.will->topic = "a/b/c";
  CHECK(judge(connect) == ReasonCode::success);
  connect.will->topic = "a/b/c/d";
  CHECK(judge(connect) == ReasonCode::topicNameInvalid);
}

TEST_CASE("a packet has so many user properties of so many bytes", "[packet_limits]") {
  mqtt::Publish publish;
  publish.topic = "a";
  const auto with = [&](int count, std::string_view value) {
    const UserProperties user{count, value};
    publish.properties = user.writer.properties();
    return judge(publish);
  };
  CHECK(with(2, "") == ReasonCode::success);
  CHECK(with(3, "") == ReasonCode::packetTooLarge);
  CHECK(with(1, "123456789") == ReasonCode::success);
  CHECK(with(1, "1234567890") == ReasonCode::packetTooLarge);
}

TEST_CASE("the user properties of a CONNECT and of its will count together", "[packet_limits]") {
  const UserProperties one{1};
  const UserProperties two{2};
  mqtt::Connect connect;
  connect.version = mqtt::ProtocolVersion::v5;
  connect.properties = one.writer.properties();
  connect.will.emplace();
  connect.will->topic = "a";
  connect.will->properties = one.writer.properties();
  CHECK(judge(connect) == ReasonCode::success);
  connect.will->properties = two.writer.properties();
  CHECK(judge(connect) == ReasonCode::packetTooLarge);
}

TEST_CASE("a client hears which limit its packet broke, and is closed", "[packet_limits]") {
  TestBroker broker;
  broker.listener.packets = kLimits;
  broker.use<AcceptConnect>();
  auto& behind = broker.onPackets(mqtt::PacketTypes::all());
  Peer peer = broker.connect(mqtt::ProtocolVersion::v5);
  const auto before = behind.calls;
  mqtt::Publish publish;
  publish.topic = "a/b/c/d";
  peer.send(publish);
  const auto packets = peer.packets();
  REQUIRE(packets.size() == 1);
  CHECK(std::get<mqtt::Disconnect>(packets[0]).code == ReasonCode::topicNameInvalid);
  CHECK(peer.closed());
  CHECK(behind.calls == before);
  CHECK(broker.metrics.value("packets_beyond_limits") == 1);
}

}  // namespace mqttstack
