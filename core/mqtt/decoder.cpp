#include "core/mqtt/decoder.hpp"

#include <iterator>

#include "core/mqtt/decoder_detail.hpp"
#include "core/mqtt/packet_rules.hpp"
#include "core/mqtt/topic.hpp"

namespace mqttstack::mqtt {
namespace {

/// What a packet is judged by besides its own bytes.
struct Rules {
  ProtocolVersion version;
  Sender sender;

  bool v5() const noexcept { return version == ProtocolVersion::v5; }
};

bool readPacketId(Reader& in, std::uint16_t& id) noexcept {
  return in.readTwoBytes(id) && id != 0;  // [v311:2.3.1-1] [v5:2.2.1-3]
}

/// The flags of every packet but PUBLISH are fixed. [v311:2.2.2-1] [v5:2.1.3-1]
bool flagsAreLegal(PacketType type, std::uint8_t flags, ProtocolVersion version) noexcept {
  switch (type) {
    case PacketType::publish:
      return true;
    case PacketType::pubrel:
    case PacketType::subscribe:
    case PacketType::unsubscribe:
      // In 3.1 these are sent with QoS 1, and with DUP when they are sent again.
      return version == ProtocolVersion::v31 ? (flags & 0x06U) == 0x02U : flags == 0x02U;
    default:
      return flags == 0;
  }
}

/// What ends a PUBACK and its like, DISCONNECT and AUTH: a reason code and
/// properties, which may both be left out, or the properties alone.
ReasonCode readReason(Reader in, PacketType type, Sender sender, ReasonCode& reason,
                      Properties& properties, PropertySet& found) noexcept {
  std::uint8_t byte = 0;
  if (!in.empty() && !in.readByte(byte)) return ReasonCode::malformedPacket;
  reason = static_cast<ReasonCode>(byte);
  if (!isLegalReason(type, reason, sender)) return ReasonCode::protocolError;
  if (in.empty()) return ReasonCode::success;

  const auto place = static_cast<PropertyPlace>(type);
  const ReasonCode code = readProperties(in, place, properties, found);
  if (code != ReasonCode::success) return code;
  return in.empty() ? ReasonCode::success : ReasonCode::malformedPacket;
}

inline ReasonCode decodePublish(Publish& packet, std::uint8_t flags, Reader in,
                                Rules rules) noexcept {
  const unsigned qos = (flags >> 1U) & 0x03U;
  if (qos == 3) return ReasonCode::malformedPacket;  // [v311:3.3.1-4] [v5:3.3.1-4]
  packet.qos = static_cast<Qos>(qos);
  packet.dup = (flags & 0x08U) != 0;
  packet.retain = (flags & 0x01U) != 0;
  packet.packetId = 0;
  packet.properties = {};
  if (packet.dup && qos == 0) return ReasonCode::malformedPacket;  // [v311:3.3.1-2] [v5:3.3.1-2]

  if (!in.readBinary(packet.topic)) return ReasonCode::malformedPacket;
  switch (scanTopicText(packet.topic)) {
    case TopicText::invalid:
      return ReasonCode::malformedPacket;  // [v311:3.3.2-1] [v5:3.3.2-1]
    case TopicText::wildcard:
      return ReasonCode::topicNameInvalid;  // [v311:3.3.2-2] [v5:3.3.2-2]
    case TopicText::plain:
      break;
  }
  if (qos > 0 && !readPacketId(in, packet.packetId)) return ReasonCode::malformedPacket;

  PropertySet found;
  if (rules.v5()) {
    const ReasonCode code = readProperties(in, PropertyPlace::publish, packet.properties, found);
    if (code != ReasonCode::success) return code;
    if (found.contains(PropertyId::subscriptionIdentifier) && rules.sender == Sender::client) {
      return ReasonCode::protocolError;  // [v5:3.3.4-6]
    }
  }
  if (packet.topic.empty() && !found.contains(PropertyId::topicAlias)) {
    return ReasonCode::protocolError;  // [v311:4.7.3-1] [v5:4.7.3-1]
  }
  packet.payload = in.rest();
  return ReasonCode::success;
}

template <PacketType Type>
ReasonCode decodeBody(PublishResponse<Type>& packet, Reader in, Rules rules) noexcept {
  if (!readPacketId(in, packet.packetId)) return ReasonCode::malformedPacket;
  if (!rules.v5()) return in.empty() ? ReasonCode::success : ReasonCode::malformedPacket;
  PropertySet found;
  return readReason(in, Type, rules.sender, packet.code, packet.properties, found);
}

ReasonCode checkOptions(std::uint8_t options, std::string_view filter, Rules rules) noexcept {
  const unsigned reserved = rules.v5() ? 0xC0U : 0xFCU;
  if ((options & reserved) != 0) {
    return ReasonCode::malformedPacket;  // [v311:3.8.3-4] [v5:3.8.3-5]
  }
  if ((options & 0x03U) == 0x03U || (options & 0x30U) == 0x30U) return ReasonCode::protocolError;
  const bool noLocal = (options & 0x04U) != 0;
  if (noLocal && splitSharedFilter(filter).shared()) {
    return ReasonCode::protocolError;  // [v5:3.8.3-4]
  }
  return ReasonCode::success;
}

ReasonCode decodeBody(Subscribe& packet, Reader in, Rules rules) noexcept {
  if (!readPacketId(in, packet.packetId)) return ReasonCode::malformedPacket;
  if (rules.v5()) {
    PropertySet found;
    const ReasonCode code = readProperties(in, PropertyPlace::subscribe, packet.properties, found);
    if (code != ReasonCode::success) return code;
  }
  if (in.empty()) return ReasonCode::protocolError;  // [v311:3.8.3-3] [v5:3.8.3-2]
  packet.entries = SubscribeEntries{in.rest()};
  while (!in.empty()) {
    std::string_view filter;
    std::uint8_t options = 0;
    if (!in.readString(filter) || !isValidTopicFilter(filter) || !in.readByte(options)) {
      return ReasonCode::malformedPacket;  // [v311:3.8.3-1] [v5:3.8.3-1]
    }
    if (const ReasonCode code = checkOptions(options, filter, rules); code != ReasonCode::success) {
      return code;
    }
  }
  return ReasonCode::success;
}

ReasonCode decodeBody(Unsubscribe& packet, Reader in, Rules rules) noexcept {
  if (!readPacketId(in, packet.packetId)) return ReasonCode::malformedPacket;
  if (rules.v5()) {
    PropertySet found;
    const ReasonCode code =
        readProperties(in, PropertyPlace::unsubscribe, packet.properties, found);
    if (code != ReasonCode::success) return code;
  }
  if (in.empty()) return ReasonCode::protocolError;  // [v311:3.10.3-2] [v5:3.10.3-2]
  packet.filters = UnsubscribeFilters{in.rest()};
  while (!in.empty()) {
    std::string_view filter;
    if (!in.readString(filter) || !isValidTopicFilter(filter)) {
      return ReasonCode::malformedPacket;  // [v311:3.10.3-1] [v5:3.10.3-1]
    }
  }
  return ReasonCode::success;
}

/// The reason codes that stand for the return codes of 3.x, by value.
constexpr ReasonCode kReturnCodes[] = {ReasonCode::success,
                                       ReasonCode::unsupportedProtocolVersion,
                                       ReasonCode::clientIdentifierNotValid,
                                       ReasonCode::serverUnavailable,
                                       ReasonCode::badUserNameOrPassword,
                                       ReasonCode::notAuthorized};

ReasonCode decodeBody(Connack& packet, Reader in, Rules rules) noexcept {
  std::uint8_t flags = 0;
  std::uint8_t byte = 0;
  if (!in.readByte(flags) || !in.readByte(byte)) return ReasonCode::malformedPacket;
  // In 3.1 the byte is reserved and says nothing.
  if (rules.version != ProtocolVersion::v31) {
    if (flags > 1) return ReasonCode::malformedPacket;  // [v5:3.2.2-1]
    packet.sessionPresent = flags == 1;
  }
  if (rules.v5()) {
    packet.code = static_cast<ReasonCode>(byte);
    if (!isLegalReason(PacketType::connack, packet.code, rules.sender)) {
      return ReasonCode::protocolError;
    }
    PropertySet found;
    const ReasonCode code = readProperties(in, PropertyPlace::connack, packet.properties, found);
    if (code != ReasonCode::success) return code;
  } else {
    if (byte >= std::size(kReturnCodes)) return ReasonCode::protocolError;
    packet.code = kReturnCodes[byte];
  }
  if (packet.sessionPresent && packet.code != ReasonCode::success) {
    return ReasonCode::protocolError;  // [v311:3.2.2-4] [v5:3.2.2-6]
  }
  return in.empty() ? ReasonCode::success : ReasonCode::malformedPacket;
}

bool isLegalSubackCode(std::uint8_t byte, Rules rules) noexcept {
  if (rules.v5()) {
    return isLegalReason(PacketType::suback, static_cast<ReasonCode>(byte), rules.sender);
  }
  const bool failure = static_cast<ReasonCode>(byte) == ReasonCode::unspecifiedError;
  return byte <= 2 || (failure && rules.version == ProtocolVersion::v311);
}

ReasonCode decodeBody(Suback& packet, Reader in, Rules rules) noexcept {
  if (!readPacketId(in, packet.packetId)) return ReasonCode::malformedPacket;
  if (rules.v5()) {
    PropertySet found;
    const ReasonCode code = readProperties(in, PropertyPlace::suback, packet.properties, found);
    if (code != ReasonCode::success) return code;
  }
  packet.codes = in.rest();
  if (packet.codes.empty()) return ReasonCode::protocolError;
  for (const char code : packet.codes) {
    if (!isLegalSubackCode(static_cast<std::uint8_t>(code), rules)) {
      return ReasonCode::protocolError;  // [v311:3.9.3-2] [v5:3.9.3-2]
    }
  }
  return ReasonCode::success;
}

ReasonCode decodeBody(Unsuback& packet, Reader in, Rules rules) noexcept {
  if (!readPacketId(in, packet.packetId)) return ReasonCode::malformedPacket;
  if (!rules.v5()) return in.empty() ? ReasonCode::success : ReasonCode::malformedPacket;
  PropertySet found;
  const ReasonCode code = readProperties(in, PropertyPlace::unsuback, packet.properties, found);
  if (code != ReasonCode::success) return code;
  packet.codes = in.rest();
  if (packet.codes.empty()) return ReasonCode::protocolError;
  for (const char byte : packet.codes) {
    if (!isLegalReason(PacketType::unsuback, static_cast<ReasonCode>(byte), rules.sender)) {
      return ReasonCode::protocolError;  // [v5:3.11.3-2]
    }
  }
  return ReasonCode::success;
}

ReasonCode decodeBody(Pingreq&, Reader in, Rules) noexcept {
  return in.empty() ? ReasonCode::success : ReasonCode::malformedPacket;
}

ReasonCode decodeBody(Pingresp&, Reader in, Rules) noexcept {
  return in.empty() ? ReasonCode::success : ReasonCode::malformedPacket;
}

ReasonCode decodeBody(Disconnect& packet, Reader in, Rules rules) noexcept {
  if (!rules.v5()) return in.empty() ? ReasonCode::success : ReasonCode::malformedPacket;
  PropertySet found;
  const ReasonCode code =
      readReason(in, PacketType::disconnect, rules.sender, packet.code, packet.properties, found);
  if (code != ReasonCode::success) return code;
  const PropertyId fromTheOtherSide = rules.sender == Sender::client
                                          ? PropertyId::serverReference
                                          : PropertyId::sessionExpiryInterval;  // [v5:3.14.2-2]
  return found.contains(fromTheOtherSide) ? ReasonCode::protocolError : ReasonCode::success;
}

ReasonCode decodeBody(Auth& packet, Reader in, Rules rules) noexcept {
  PropertySet found;
  const ReasonCode code =
      readReason(in, PacketType::auth, rules.sender, packet.code, packet.properties, found);
  if (code != ReasonCode::success) return code;
  return found.contains(PropertyId::authenticationMethod) ? ReasonCode::success
                                                          : ReasonCode::protocolError;
}

/// Everything but PUBLISH. REQUIRES: `type` is one that the version has.
ReasonCode decodeOther(Packet& packet, PacketType type, Reader in, Rules rules) noexcept {
  switch (type) {
    case PacketType::connack:
      return decodeBody(packet.emplace<Connack>(), in, rules);
    case PacketType::puback:
      return decodeBody(packet.emplace<Puback>(), in, rules);
    case PacketType::pubrec:
      return decodeBody(packet.emplace<Pubrec>(), in, rules);
    case PacketType::pubrel:
      return decodeBody(packet.emplace<Pubrel>(), in, rules);
    case PacketType::pubcomp:
      return decodeBody(packet.emplace<Pubcomp>(), in, rules);
    case PacketType::subscribe:
      return decodeBody(packet.emplace<Subscribe>(), in, rules);
    case PacketType::suback:
      return decodeBody(packet.emplace<Suback>(), in, rules);
    case PacketType::unsubscribe:
      return decodeBody(packet.emplace<Unsubscribe>(), in, rules);
    case PacketType::unsuback:
      return decodeBody(packet.emplace<Unsuback>(), in, rules);
    case PacketType::pingreq:
      return decodeBody(packet.emplace<Pingreq>(), in, rules);
    case PacketType::pingresp:
      return decodeBody(packet.emplace<Pingresp>(), in, rules);
    case PacketType::disconnect:
      return decodeBody(packet.emplace<Disconnect>(), in, rules);
    case PacketType::auth:
      return decodeBody(packet.emplace<Auth>(), in, rules);
    case PacketType::connect:
    case PacketType::publish:
      break;
  }
  return ReasonCode::malformedPacket;
}

template <PacketType Type>
ReasonCode takeId(Packet& packet, std::uint16_t id) noexcept {
  packet.emplace<PublishResponse<Type>>().packetId = id;
  return ReasonCode::success;
}

/// PUBACK and its like in their shortest form, a packet id and nothing else, in
/// which they mostly come; all versions have it. `malformedPacket` if it isn't
/// one.
inline ReasonCode decodeShortest(Packet& packet, const char* bytes) noexcept {
  const auto byte = [bytes](std::size_t i) { return static_cast<std::uint8_t>(bytes[i]); };
  const auto id = static_cast<std::uint16_t>(byte(2) << 8U | byte(3));
  if (byte(1) != 2 || id == 0) return ReasonCode::malformedPacket;
  switch (byte(0)) {
    case 0x40:
      return takeId<PacketType::puback>(packet, id);
    case 0x50:
      return takeId<PacketType::pubrec>(packet, id);
    case 0x62:
      return takeId<PacketType::pubrel>(packet, id);
    case 0x70:
      return takeId<PacketType::pubcomp>(packet, id);
    default:
      return ReasonCode::malformedPacket;
  }
}

ReasonCode decodePacket(Packet& packet, std::string_view bytes, Rules rules) noexcept {
  if (bytes.size() < 2) return ReasonCode::malformedPacket;
  if (bytes.size() == 4 && decodeShortest(packet, bytes.data()) == ReasonCode::success)
    return ReasonCode::success;
  const auto first = static_cast<std::uint8_t>(bytes[0]);
  const auto type = static_cast<PacketType>(first >> 4U);
  const std::uint8_t flags = first & 0x0FU;

  const VariableByteInteger length = parseVariable(bytes.data() + 1, bytes.data() + bytes.size());
  if (!length.complete() || 1 + std::size_t{length.size} + length.value != bytes.size()) {
    return ReasonCode::malformedPacket;
  }
  const Reader in{bytes.substr(1 + std::size_t{length.size})};
  if (type == PacketType::connect && rules.sender == Sender::client) {
    if (flags != 0) return ReasonCode::malformedPacket;
    return decodeConnect(packet.emplace<Connect>(), in, length);
  }

  if (rules.v5() && !length.minimal()) return ReasonCode::malformedPacket;  // [v5:1.5.5-1]
  if (type == PacketType::publish) [[likely]] {
    Publish* publish = std::get_if<Publish>(&packet);
    return decodePublish(publish != nullptr ? *publish : packet.emplace<Publish>(), flags, in,
                         rules);
  }
  if (first < 0x10 || (type == PacketType::auth && !rules.v5())) {
    return ReasonCode::malformedPacket;  // no packet has this type
  }
  if (!packetsFrom(rules.sender, rules.version).contains(type)) return ReasonCode::protocolError;
  if (!flagsAreLegal(type, flags, rules.version)) return ReasonCode::malformedPacket;
  return decodeOther(packet, type, in, rules);
}

}  // namespace

std::error_code decodeInto(Packet& packet, std::string_view bytes, ProtocolVersion version,
                           Sender sender) noexcept {
  const ReasonCode code = decodePacket(packet, bytes, {version, sender});
  if (code != ReasonCode::success) [[unlikely]] {
    return code;
  }
  return {};
}

Result<Packet> decode(std::string_view bytes, ProtocolVersion version, Sender sender) noexcept {
  Packet packet;
  if (const std::error_code error = decodeInto(packet, bytes, version, sender)) {
    return Unexpected{error};
  }
  return packet;
}

}  // namespace mqttstack::mqtt
