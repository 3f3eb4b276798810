#include <fmt/format.h>

#include <catch2/catch.hpp>

#include "tests/middlewares/protocol_broker.hpp"

/// The corpus of packets that no client may send, sent to a whole broker.
namespace mqttstack::test {
namespace {

using mqtt::ReasonCode;

bool isConnect(const BadPacket& bad) { return !bad.bytes.empty() && bad.bytes.front() == '\x10'; }

/// True if the bytes are a packet and the beginning of another, or a beginning
/// only: what follows could make them legal.
bool mayGoOn(const BadPacket& bad) {
  const mqtt::Frame frame = mqtt::nextFrame(bad.bytes, mqtt::kMaxPacketBytes);
  return frame.state == mqtt::Frame::State::incomplete ||
         (frame.state == mqtt::Frame::State::complete && frame.size < bad.bytes.size());
}

TEST_CASE(
    "every illegal packet ends its connection, and MQTT 5 hears why [v5:4.13.1-1] [v5:4.13.2-1] "
    "[v5:3.14.4-2] [v311:4.8.0-1]",
    "[bad_packets]") {
  ProtocolBroker broker{{.inbound = {.topicAliasMaximum = 65'535}}};
  std::size_t sent = 0;
  for (const BadPacket& bad : badPackets()) {
    if (bad.sender != mqtt::Sender::client || isConnect(bad)) continue;
    INFO(bad.name << "\n" << mqttstack::toHex(bad.bytes));
    ++sent;
    Peer peer = join(broker, static_cast<Version>(bad.version), "a");
    peer.send(bad.bytes);
    if (mayGoOn(bad)) {
      CHECK_FALSE(peer.closed());
      peer.reset();
      continue;
    }
    CHECK(peer.gone());
    const Lines wanted =
        bad.version == mqtt::ProtocolVersion::v5
            ? Lines{fmt::format("DISCONNECT 0x{:02X}", static_cast<unsigned>(bad.reason))}
            : Lines{};
    CHECK(said(peer) == wanted);
  }
  CHECK(sent > 2500);
}

TEST_CASE(
    "every illegal CONNECT is refused, and MQTT 5 hears why [v5:3.1.4-1] [v5:3.2.2-7] "
    "[v311:3.1.4-1] [v311:3.2.2-6]",
    "[bad_packets]") {
  ProtocolBroker broker;
  std::size_t sent = 0;
  for (const BadPacket& bad : badPackets()) {
    if (bad.sender != mqtt::Sender::client || !isConnect(bad)) continue;
    INFO(bad.name << "\n" << mqttstack::toHex(bad.bytes));
    ++sent;
    Peer peer = broker.open(bad.version);
    // What is sent behind it is not looked at.
    peer.send(bad.bytes + pingreqPacket());
    CHECK(peer.gone());
    const std::string answer = peer.received();
    if (bad.reason == ReasonCode::unsupportedProtocolVersion) {
      // The answer has the layout of the version that was asked for, if that is known.
      CHECK((answer.empty() || answer == hex("20 02 00 01") ||
             answer.substr(0, 4) == hex("20") + answer[1] + hex("00 84")));
    } else if (bad.version == mqtt::ProtocolVersion::v5) {
      REQUIRE(answer.size() > 4);
      const Connack connack = readConnack(Version::v5, answer);
      CHECK(connack.code == static_cast<unsigned>(bad.reason));
      CHECK_FALSE(connack.sessionPresent);
    } else {
      CHECK(answer.empty());
    }
  }
  CHECK(sent > 200);
}

}  // namespace
}  // namespace mqttstack::test
