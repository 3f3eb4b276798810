#pragma once

#include <string>
#include <string_view>
#include <vector>

#include "core/mqtt/decoder.hpp"
#include "core/mqtt/packet.hpp"

/// The corpus: packets byte by byte, for whoever tests with them. Everything
/// lives until the program ends.
namespace mqttstack::test {

/// Bytes written for people: hexadecimal pairs and 'text' in single quotes,
/// with spaces between them: `hex("00 03 'a/b' 0A")`.
std::string hex(std::string_view text);

/// The same the other way, for messages: "00 03 61".
std::string toHex(std::string_view bytes);

/// A packet of the first byte, the remaining length, and `body`.
std::string frame(unsigned firstByte, std::string_view body);

/// A packet that is legal.
struct GoodPacket {
  std::string name;
  mqtt::ProtocolVersion version;
  mqtt::Sender sender;
  std::string bytes;
  mqtt::Packet packet;  ///< what `bytes` decode to
  /// False for a form that we accept but write in another way.
  bool canonical = true;
};

/// A packet that is not, as a frame with a correct remaining length unless that is the fault.
struct BadPacket {
  std::string name;
  mqtt::ProtocolVersion version;
  mqtt::Sender sender;
  std::string bytes;
  mqtt::ReasonCode reason;
};

/// All packet types in all versions, every property wherever it may stand, and
/// every reason code wherever it is legal.
const std::vector<GoodPacket>& goodPackets();

/// Among others: every property wherever it may not stand, twice where it may
/// stand once, cut short, and out of range.
const std::vector<BadPacket>& badPackets();

/// True if all fields are equal; properties are compared by their bytes.
bool same(const mqtt::Packet& a, const mqtt::Packet& b);

std::string encoded(const mqtt::Packet& packet, mqtt::ProtocolVersion version);

}  // namespace mqttstack::test
