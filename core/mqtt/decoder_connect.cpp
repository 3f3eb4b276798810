#include <array>

#include "core/mqtt/decoder_detail.hpp"

namespace mqttstack::mqtt {
namespace {

constexpr std::string_view kName = "MQTT";
constexpr std::string_view kName31 = "MQIsdp";

constexpr std::uint8_t kReservedBit = 0x01;
constexpr std::uint8_t kCleanStartBit = 0x02;
constexpr std::uint8_t kWillBit = 0x04;
constexpr std::uint8_t kWillQosBits = 0x18;
constexpr unsigned kWillQosShift = 3;
constexpr std::uint8_t kWillRetainBit = 0x20;
constexpr std::uint8_t kPasswordBit = 0x40;
constexpr std::uint8_t kUserNameBit = 0x80;

/// The protocol name and level, understood or not.
struct Protocol {
  std::string_view name;
  std::uint8_t level = 0;
};

bool readProtocol(Reader& in, Protocol& protocol) noexcept {
  return in.readBinary(protocol.name) && in.readByte(protocol.level);
}

std::optional<ProtocolVersion> versionOf(const Protocol& protocol) noexcept {
  if (protocol.name == kName && protocol.level == 5) return ProtocolVersion::v5;
  if (protocol.name == kName && protocol.level == 4) return ProtocolVersion::v311;
  if (protocol.name == kName31 && protocol.level == 3) return ProtocolVersion::v31;
  return std::nullopt;
}

/// The protocol of a packet that may be broken, or cut off, behind it.
Result<Protocol> protocolOfConnect(std::string_view bytes) noexcept {
  if (bytes.empty()) return Unexpected{ReasonCode::malformedPacket};
  if (static_cast<std::uint8_t>(bytes[0]) >> 4U != static_cast<unsigned>(PacketType::connect)) {
    return Unexpected{ReasonCode::protocolError};
  }
  const VariableByteInteger length = parseVariable(bytes.data() + 1, bytes.data() + bytes.size());
  if (!length.complete()) return Unexpected{ReasonCode::malformedPacket};
  Reader in{bytes.substr(1 + std::size_t{length.size})};
  Protocol protocol;
  if (!readProtocol(in, protocol)) return Unexpected{ReasonCode::malformedPacket};
  return protocol;
}

ReasonCode checkFlags(std::uint8_t flags, ProtocolVersion version) noexcept {
  const bool reservedBitCounts = version != ProtocolVersion::v31;
  const bool passwordNeedsUserName = version != ProtocolVersion::v5;
  if (reservedBitCounts && (flags & kReservedBit) != 0) {
    return ReasonCode::malformedPacket;  // [v311:3.1.2-3] [v5:3.1.2-3]
  }
  if ((flags & kWillBit) == 0 && (flags & (kWillQosBits | kWillRetainBit)) != 0) {
    return ReasonCode::malformedPacket;  // [v311:3.1.2-11] [v5:3.1.2-11] [v5:3.1.2-13]
  }
  if ((flags & kWillQosBits) == kWillQosBits) {
    return ReasonCode::malformedPacket;  // [v311:3.1.2-14] [v5:3.1.2-12]
  }
  if (passwordNeedsUserName && (flags & kPasswordBit) != 0 && (flags & kUserNameBit) == 0) {
    return ReasonCode::malformedPacket;  // [v311:3.1.2-22]
  }
  return ReasonCode::success;
}

ReasonCode readWill(Reader& in, std::uint8_t flags, ProtocolVersion version, Will& will) noexcept {
  will.qos = static_cast<Qos>((flags & kWillQosBits) >> kWillQosShift);
  will.retain = (flags & kWillRetainBit) != 0;
  if (version == ProtocolVersion::v5) {
    PropertySet found;
    const ReasonCode code = readProperties(in, PropertyPlace::will, will.properties, found);
    if (code != ReasonCode::success) return code;
  }
  if (!in.readBinary(will.topic) || !in.readBinary(will.payload)) {
    return ReasonCode::malformedPacket;  // [v311:3.1.2-9] [v5:3.1.2-9]
  }
  switch (scanTopicText(will.topic)) {
    case TopicText::invalid:
      return ReasonCode::malformedPacket;  // [v311:3.1.3-10] [v5:3.1.3-11]
    case TopicText::wildcard:
      return ReasonCode::topicNameInvalid;
    case TopicText::plain:
      break;
  }
  return will.topic.empty() ? ReasonCode::topicNameInvalid : ReasonCode::success;
}

ReasonCode readCredentials(Reader& in, std::uint8_t flags, Connect& packet) noexcept {
  // In 3.1 a flagged string may be missing: the packet's length outweighs the flags.
  const bool mayBeMissing = packet.version == ProtocolVersion::v31;
  if ((flags & kUserNameBit) != 0 && !(mayBeMissing && in.empty())) {
    if (!in.readString(packet.userName.emplace())) {
      return ReasonCode::malformedPacket;  // [v311:3.1.3-11] [v5:3.1.2-17] [v5:3.1.3-12]
    }
  }
  if ((flags & kPasswordBit) != 0 && !(mayBeMissing && in.empty())) {
    if (!in.readBinary(packet.password.emplace())) {
      return ReasonCode::malformedPacket;  // [v311:3.1.2-21] [v5:3.1.2-19]
    }
  }
  return ReasonCode::success;
}

}  // namespace

ReasonCode decodeConnect(Connect& packet, Reader in, VariableByteInteger remainingLength) noexcept {
  Protocol protocol;
  if (!readProtocol(in, protocol)) return ReasonCode::malformedPacket;
  const std::optional<ProtocolVersion> version = versionOf(protocol);
  if (!version) return ReasonCode::unsupportedProtocolVersion;  // [v311:3.1.2-2] [v5:3.1.2-2]
  packet.version = *version;
  if (*version == ProtocolVersion::v5 && !remainingLength.minimal()) {
    return ReasonCode::malformedPacket;  // [v5:1.5.5-1]
  }

  std::uint8_t flags = 0;
  if (!in.readByte(flags) || !in.readTwoBytes(packet.keepAlive)) {
    return ReasonCode::malformedPacket;
  }
  if (const ReasonCode code = checkFlags(flags, *version); code != ReasonCode::success) {
    return code;
  }
  packet.cleanStart = (flags & kCleanStartBit) != 0;

  if (*version == ProtocolVersion::v5) {
    PropertySet found;
    const ReasonCode code = readProperties(in, PropertyPlace::connect, packet.properties, found);
    if (code != ReasonCode::success) return code;
    if (found.contains(PropertyId::authenticationData) &&
        !found.contains(PropertyId::authenticationMethod)) {
      return ReasonCode::protocolError;
    }
  }

  // The order of the payload. [v311:3.1.3-1] [v5:3.1.3-1]
  if (!in.readString(packet.clientId)) {
    return ReasonCode::malformedPacket;  // [v311:3.1.3-4] [v5:3.1.3-3] [v5:3.1.3-4]
  }
  if ((flags & kWillBit) != 0) {
    const ReasonCode code = readWill(in, flags, *version, packet.will.emplace());
    if (code != ReasonCode::success) return code;
  }
  if (const ReasonCode code = readCredentials(in, flags, packet); code != ReasonCode::success) {
    return code;
  }
  return in.empty() ? ReasonCode::success : ReasonCode::malformedPacket;
}

Result<ProtocolVersion> versionOfConnect(std::string_view bytes) noexcept {
  const Result<Protocol> protocol = protocolOfConnect(bytes);
  if (!protocol) return Unexpected{protocol.error()};
  const std::optional<ProtocolVersion> version = versionOf(*protocol);
  if (!version) return Unexpected{ReasonCode::unsupportedProtocolVersion};
  return *version;
}

Result<ProtocolVersion> versionForRefusal(std::string_view bytes) noexcept {
  const Result<Protocol> protocol = protocolOfConnect(bytes);
  if (!protocol) return Unexpected{protocol.error()};
  if (protocol->name == kName31) return ProtocolVersion::v31;
  if (protocol->name != kName) return Unexpected{ReasonCode::unsupportedProtocolVersion};
  return protocol->level < 5 ? ProtocolVersion::v311 : ProtocolVersion::v5;
}

}  // namespace mqttstack::mqtt
