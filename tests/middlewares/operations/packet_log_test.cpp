#include "middlewares/operations/packet_log.hpp"

#include <string>
#include <vector>

#include <catch2/catch.hpp>

#include "tests/support/client_fixture.hpp"

namespace mqttstack {
namespace {

using mqtt::ProtocolVersion;
using mqtt::ReasonCode;
using test::AcceptConnect;
using test::Peer;
using test::TestBroker;

std::vector<std::string> linesOf(const TestBroker& broker, LogLevel level) {
  std::vector<std::string> lines;
  for (const auto& line : broker.log)
    if (line.component == "packet_log" && line.level == level) lines.push_back(line.text);
  return lines;
}

mqtt::Publish secretMessage() {
  mqtt::Publish publish;
  publish.topic = "home/\x01light";
  publish.payload = "SECRET";
  publish.qos = mqtt::Qos::atLeastOnce;
  publish.packetId = 7;
  publish.retain = true;
  return publish;
}

}  // namespace

TEST_CASE("packet_log writes a line for each packet, and passes it on", "[packet_log]") {
  TestBroker broker;
  broker.use<PacketLog>();
  broker.use<AcceptConnect>();
  Peer peer = broker.connect(ProtocolVersion::v311, "kitchen");
  peer.send(mqtt::Pingreq{});
  CHECK(peer.packets().size() == 1);
  CHECK(linesOf(broker, LogLevel::debug) ==
        std::vector<std::string>{
            "local: CONNECT, MQTT 3.1.1, \"kitchen\", clean start, keep alive 0 s",
            "local: PINGREQ"});
}

TEST_CASE("packet_log writes the packets that it was told to, at that level", "[packet_log]") {
  TestBroker broker;
  const auto level = GENERATE(LogLevel::info, LogLevel::debug);
  auto& log = broker.use<PacketLog>(PacketLog::Options{level, {"pingreq", "disconnect"}});
  broker.use<AcceptConnect>();
  CHECK(broker.diagnostics.findings().empty());
  CHECK_FALSE(log.packets().contains(mqtt::PacketType::publish));
  Peer peer = broker.connect();
  peer.send(mqtt::Pingreq{});
  CHECK(linesOf(broker, level) == std::vector<std::string>{"local: PINGREQ"});
}

TEST_CASE("packet_log writes nothing below the level of the log", "[packet_log]") {
  TestBroker broker;
  broker.use<PacketLog>(PacketLog::Options{LogLevel::trace, {}});
  broker.use<AcceptConnect>();
  broker.connect();
  CHECK(broker.log.empty());
}

TEST_CASE("packet_log reports packets that there are not", "[packet_log]") {
  TestBroker broker;
  broker.use<PacketLog>(PacketLog::Options{LogLevel::debug, {"publsh", "connect", "42"}});
  const auto& findings = broker.diagnostics.findings();
  REQUIRE(findings.size() == 2);
  CHECK(findings[0].message == "there is no packet \"publsh\"");
  CHECK(findings[0].help == "did you mean \"publish\"?");
  CHECK(findings[0].place.option == "packets");
}

TEST_CASE("a packet is summed up without payload, password or properties", "[packet_log]") {
  CHECK(summaryOf(secretMessage()) == "PUBLISH 7, \"home/\\x01light\", QoS 1, retain, 6 bytes");

  mqtt::Connect connect;
  connect.version = ProtocolVersion::v5;
  connect.clientId = "kit\nchen";
  connect.userName = "alice";
  connect.password = "SECRET";
  connect.will = mqtt::Will{"gone", "SECRET", mqtt::Qos::exactlyOnce, true, {}};
  connect.keepAlive = 30;
  CHECK(summaryOf(connect) ==
        "CONNECT, MQTT 5.0, \"kit\\x0achen\", clean start, keep alive 30 s, user \"alice\", with "
        "password, will for \"gone\", QoS 2, retain, 6 bytes");

  CHECK(summaryOf(mqtt::Puback{9, ReasonCode::success, {}}) == "PUBACK 9");
  CHECK(summaryOf(mqtt::Pubrec{9, ReasonCode::quotaExceeded, {}}) == "PUBREC 9, Quota exceeded");
  CHECK(summaryOf(mqtt::Disconnect{ReasonCode::disconnectWithWill, {}}) ==
        "DISCONNECT, Disconnect with Will Message");
  CHECK(summaryOf(mqtt::Pingreq{}) == "PINGREQ");
}

TEST_CASE("a long list of filters is cut short", "[packet_log]") {
  std::string payload;
  for (char c = 'a'; c < 'a' + 6; ++c) payload += std::string{'\0', '\1', c, '\1'};
  CHECK(summaryOf(mqtt::Subscribe{3, mqtt::SubscribeEntries{payload}, {}}) ==
        "SUBSCRIBE 3, \"a\" QoS 1, \"b\" QoS 1, \"c\" QoS 1, \"d\" QoS 1 and 2 more");
  const std::string filters{"\0\1x\0\1y", 6};
  CHECK(summaryOf(mqtt::Unsubscribe{4, mqtt::UnsubscribeFilters{filters}, {}}) ==
        "UNSUBSCRIBE 4, \"x\", \"y\"");
}

TEST_CASE("every packet of the corpus can be summed up on one line", "[packet_log]") {
  for (const auto& good : test::goodPackets()) {
    const std::string line = summaryOf(good.packet);
    CHECK(line.starts_with(toString(mqtt::typeOf(good.packet))));
    CHECK(line.find('\n') == std::string::npos);
  }
}

}  // namespace mqttstack
