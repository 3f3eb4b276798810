#include "core/mqtt/encoder.hpp"

#include <variant>

#include "core/mqtt/wire.hpp"

namespace mqttstack::mqtt {
namespace {

constexpr std::uint8_t kServerUnavailable3 = 3;

constexpr bool isV5(ProtocolVersion version) { return version == ProtocolVersion::v5; }

constexpr std::uint8_t bit(bool set, unsigned position) {
  return static_cast<std::uint8_t>((set ? 1U : 0U) << position);
}

template <class E>
constexpr std::uint8_t byteOf(E value) {
  return static_cast<std::uint8_t>(value);
}

std::size_t sectionSize(Properties properties) noexcept {
  const std::size_t size = properties.encoded().size();
  return variableSize(size) + size;
}

void writeSection(Writer& out, Properties properties) noexcept {
  out.writeVariable(properties.encoded().size());
  out.writeBytes(properties.encoded());
}

/// The end of PUBACK and its like, DISCONNECT and AUTH. A code is written
/// together with a property length, since some clients read the form without
/// one wrongly.
std::size_t reasonSize(ReasonCode code, Properties properties) noexcept {
  if (code == ReasonCode::success && properties.empty()) return 0;
  return 1 + sectionSize(properties);
}

void writeReason(Writer& out, ReasonCode code, Properties properties) noexcept {
  if (code == ReasonCode::success && properties.empty()) return;
  out.writeByte(byteOf(code));
  writeSection(out, properties);
}

template <class P>
constexpr std::uint8_t flagsOf(const P&) noexcept {
  constexpr bool hasFlag = P::kType == PacketType::pubrel || P::kType == PacketType::subscribe ||
                           P::kType == PacketType::unsubscribe;
  return hasFlag ? 0x02 : 0x00;  // [v5:3.6.1-1] [v5:3.8.1-1] [v5:3.10.1-1]
}

constexpr std::uint8_t flagsOf(const Publish& packet) noexcept {
  return static_cast<std::uint8_t>(bit(packet.dup, 3) | byteOf(packet.qos) << 1U |
                                   bit(packet.retain, 0));
}

std::string_view protocolName(ProtocolVersion version) noexcept {
  return version == ProtocolVersion::v31 ? "MQIsdp" : "MQTT";
}

std::size_t bodySize(const Connect& packet, ProtocolVersion) noexcept {
  const bool v5 = isV5(packet.version);
  std::size_t size = stringSize(protocolName(packet.version)) + 4 + stringSize(packet.clientId);
  if (v5) size += sectionSize(packet.properties);
  if (packet.will) {
    size += stringSize(packet.will->topic) + stringSize(packet.will->payload);
    if (v5) size += sectionSize(packet.will->properties);
  }
  if (packet.userName) size += stringSize(*packet.userName);
  if (packet.password) size += stringSize(*packet.password);
  return size;
}

void writeBody(Writer& out, const Connect& packet, ProtocolVersion) noexcept {
  const bool v5 = isV5(packet.version);
  out.writeString(protocolName(packet.version));
  out.writeByte(byteOf(packet.version));
  std::uint8_t flags = bit(packet.cleanStart, 1);
  if (packet.will) {
    flags = static_cast<std::uint8_t>(flags | bit(true, 2) | byteOf(packet.will->qos) << 3U |
                                      bit(packet.will->retain, 5));
  }
  flags = static_cast<std::uint8_t>(flags | bit(packet.password.has_value(), 6) |
                                    bit(packet.userName.has_value(), 7));
  out.writeByte(flags);
  out.writeTwoBytes(packet.keepAlive);
  if (v5) writeSection(out, packet.properties);
  out.writeString(packet.clientId);
  if (packet.will) {
    if (v5) writeSection(out, packet.will->properties);
    out.writeString(packet.will->topic);
    out.writeString(packet.will->payload);
  }
  if (packet.userName) out.writeString(*packet.userName);
  if (packet.password) out.writeString(*packet.password);
}

std::size_t bodySize(const Connack& packet, ProtocolVersion version) noexcept {
  return 2 + (isV5(version) ? sectionSize(packet.properties) : 0);
}

void writeBody(Writer& out, const Connack& packet, ProtocolVersion version) noexcept {
  const bool hasSessionPresent = version != ProtocolVersion::v31;
  const bool accepted = packet.code == ReasonCode::success;
  out.writeByte(bit(packet.sessionPresent && accepted && hasSessionPresent, 0));
  if (isV5(version)) {
    out.writeByte(byteOf(packet.code));
    writeSection(out, packet.properties);
    return;
  }
  const std::uint8_t code = toConnackReturnCode(packet.code);
  // A refusal that has no return code is not sent at all; if it is, it must not read as accepted.
  out.writeByte(code == 0 && !accepted ? kServerUnavailable3 : code);
}

std::size_t bodySize(const Publish& packet, ProtocolVersion version) noexcept {
  return stringSize(packet.topic) + (packet.qos == Qos::atMostOnce ? 0 : 2) +
         (isV5(version) ? sectionSize(packet.properties) : 0) + packet.payload.size();
}

void writeBody(Writer& out, const Publish& packet, ProtocolVersion version) noexcept {
  out.writeString(packet.topic);
  if (packet.qos != Qos::atMostOnce) out.writeTwoBytes(packet.packetId);
  if (isV5(version)) writeSection(out, packet.properties);
  out.writeBytes(packet.payload);
}

template <PacketType Type>
std::size_t bodySize(const PublishResponse<Type>& packet, ProtocolVersion version) noexcept {
  return 2 + (isV5(version) ? reasonSize(packet.code, packet.properties) : 0);
}

template <PacketType Type>
void writeBody(Writer& out, const PublishResponse<Type>& packet, ProtocolVersion version) noexcept {
  out.writeTwoBytes(packet.packetId);
  if (isV5(version)) writeReason(out, packet.code, packet.properties);
}

std::size_t bodySize(const Subscribe& packet, ProtocolVersion version) noexcept {
  return 2 + (isV5(version) ? sectionSize(packet.properties) : 0) + packet.entries.encoded().size();
}

void writeBody(Writer& out, const Subscribe& packet, ProtocolVersion version) noexcept {
  out.writeTwoBytes(packet.packetId);
  if (isV5(version)) {
    writeSection(out, packet.properties);
    out.writeBytes(packet.entries.encoded());
    return;
  }
  for (SubscribeEntries rest = packet.entries; !rest.empty();) {
    const SubscribeEntry entry = rest.takeFront();
    out.writeString(entry.filter);
    out.writeByte(byteOf(entry.options.qos));
  }
}

std::size_t bodySize(const Suback& packet, ProtocolVersion version) noexcept {
  return 2 + (isV5(version) ? sectionSize(packet.properties) : 0) + packet.codes.size();
}

void writeBody(Writer& out, const Suback& packet, ProtocolVersion version) noexcept {
  out.writeTwoBytes(packet.packetId);
  if (isV5(version)) {
    writeSection(out, packet.properties);
    out.writeBytes(packet.codes);
    return;
  }
  // 3.1 has no failure code: the client hears of a grant that is worth nothing.
  const std::uint8_t failure =
      byteOf(version == ProtocolVersion::v311 ? ReasonCode::unspecifiedError : ReasonCode::success);
  for (const char code : packet.codes) {
    out.writeByte(isFailure(static_cast<ReasonCode>(code)) ? failure : byteOf(code));
  }
}

std::size_t bodySize(const Unsubscribe& packet, ProtocolVersion version) noexcept {
  return 2 + (isV5(version) ? sectionSize(packet.properties) : 0) + packet.filters.encoded().size();
}

void writeBody(Writer& out, const Unsubscribe& packet, ProtocolVersion version) noexcept {
  out.writeTwoBytes(packet.packetId);
  if (isV5(version)) writeSection(out, packet.properties);
  out.writeBytes(packet.filters.encoded());
}

std::size_t bodySize(const Unsuback& packet, ProtocolVersion version) noexcept {
  return 2 + (isV5(version) ? sectionSize(packet.properties) + packet.codes.size() : 0);
}

void writeBody(Writer& out, const Unsuback& packet, ProtocolVersion version) noexcept {
  out.writeTwoBytes(packet.packetId);
  if (!isV5(version)) return;
  writeSection(out, packet.properties);
  out.writeBytes(packet.codes);
}

std::size_t bodySize(const Pingreq&, ProtocolVersion) noexcept { return 0; }
void writeBody(Writer&, const Pingreq&, ProtocolVersion) noexcept {}

std::size_t bodySize(const Pingresp&, ProtocolVersion) noexcept { return 0; }
void writeBody(Writer&, const Pingresp&, ProtocolVersion) noexcept {}

std::size_t bodySize(const Disconnect& packet, ProtocolVersion version) noexcept {
  return isV5(version) ? reasonSize(packet.code, packet.properties) : 0;
}

void writeBody(Writer& out, const Disconnect& packet, ProtocolVersion version) noexcept {
  if (isV5(version)) writeReason(out, packet.code, packet.properties);
}

std::size_t bodySize(const Auth& packet, ProtocolVersion version) noexcept {
  return isV5(version) ? reasonSize(packet.code, packet.properties) : 0;
}

void writeBody(Writer& out, const Auth& packet, ProtocolVersion version) noexcept {
  assert(isV5(version));
  if (isV5(version)) writeReason(out, packet.code, packet.properties);
}

}  // namespace

template <class P>
std::size_t encodedSize(const P& packet, ProtocolVersion version) noexcept {
  const std::size_t size = bodySize(packet, version);
  return 1 + variableSize(size) + size;
}

template <class P>
char* encode(const P& packet, ProtocolVersion version, char* out) noexcept {
  Writer writer{out};
  writer.writeByte(static_cast<std::uint8_t>(byteOf(P::kType) << 4U | flagsOf(packet)));
  writer.writeVariable(bodySize(packet, version));
  writeBody(writer, packet, version);
  return writer.position();
}

std::size_t encodedSize(const Packet& packet, ProtocolVersion version) noexcept {
  return std::visit([version](const auto& one) { return encodedSize(one, version); }, packet);
}

char* encode(const Packet& packet, ProtocolVersion version, char* out) noexcept {
  return std::visit([version, out](const auto& one) { return encode(one, version, out); }, packet);
}

void appendFilter(std::string& payload, std::string_view filter) {
  assert(filter.size() <= kMaxStringBytes);
  payload.push_back(static_cast<char>(filter.size() >> 8U));
  payload.push_back(static_cast<char>(filter.size()));
  payload.append(filter);
}

void appendEntry(std::string& payload, const SubscribeEntry& entry) {
  appendFilter(payload, entry.filter);
  payload.push_back(static_cast<char>(entry.options.toByte()));
}

template std::size_t encodedSize(const Connect&, ProtocolVersion) noexcept;
template std::size_t encodedSize(const Connack&, ProtocolVersion) noexcept;
template std::size_t encodedSize(const Publish&, ProtocolVersion) noexcept;
template std::size_t encodedSize(const Puback&, ProtocolVersion) noexcept;
template std::size_t encodedSize(const Pubrec&, ProtocolVersion) noexcept;
template std::size_t encodedSize(const Pubrel&, ProtocolVersion) noexcept;
template std::size_t encodedSize(const Pubcomp&, ProtocolVersion) noexcept;
template std::size_t encodedSize(const Subscribe&, ProtocolVersion) noexcept;
template std::size_t encodedSize(const Suback&, ProtocolVersion) noexcept;
template std::size_t encodedSize(const Unsubscribe&, ProtocolVersion) noexcept;
template std::size_t encodedSize(const Unsuback&, ProtocolVersion) noexcept;
template std::size_t encodedSize(const Pingreq&, ProtocolVersion) noexcept;
template std::size_t encodedSize(const Pingresp&, ProtocolVersion) noexcept;
template std::size_t encodedSize(const Disconnect&, ProtocolVersion) noexcept;
template std::size_t encodedSize(const Auth&, ProtocolVersion) noexcept;

template char* encode(const Connect&, ProtocolVersion, char*) noexcept;
template char* encode(const Connack&, ProtocolVersion, char*) noexcept;
template char* encode(const Publish&, ProtocolVersion, char*) noexcept;
template char* encode(const Puback&, ProtocolVersion, char*) noexcept;
template char* encode(const Pubrec&, ProtocolVersion, char*) noexcept;
template char* encode(const Pubrel&, ProtocolVersion, char*) noexcept;
template char* encode(const Pubcomp&, ProtocolVersion, char*) noexcept;
template char* encode(const Subscribe&, ProtocolVersion, char*) noexcept;
template char* encode(const Suback&, ProtocolVersion, char*) noexcept;
template char* encode(const Unsubscribe&, ProtocolVersion, char*) noexcept;
template char* encode(const Unsuback&, ProtocolVersion, char*) noexcept;
template char* encode(const Pingreq&, ProtocolVersion, char*) noexcept;
template char* encode(const Pingresp&, ProtocolVersion, char*) noexcept;
template char* encode(const Disconnect&, ProtocolVersion, char*) noexcept;
template char* encode(const Auth&, ProtocolVersion, char*) noexcept;

}  // namespace mqttstack::mqtt
