#include "tests/support/raw_packets.hpp"

#include <ostream>
#include <stdexcept>

namespace mqttstack {
namespace {

enum class Kind { byte, two, four, varint, text, pair };

Kind kindOf(PropertyId id) {
  switch (id) {
    case PropertyId::payloadFormat:
    case PropertyId::requestProblem:
    case PropertyId::requestResponse:
    case PropertyId::maximumQos:
    case PropertyId::retainAvailable:
    case PropertyId::wildcardAvailable:
    case PropertyId::subscriptionIdAvailable:
    case PropertyId::sharedAvailable:
      return Kind::byte;
    case PropertyId::serverKeepAlive:
    case PropertyId::receiveMaximum:
    case PropertyId::topicAliasMaximum:
    case PropertyId::topicAlias:
      return Kind::two;
    case PropertyId::messageExpiry:
    case PropertyId::sessionExpiry:
    case PropertyId::willDelay:
    case PropertyId::maximumPacketSize:
      return Kind::four;
    case PropertyId::subscriptionId:
      return Kind::varint;
    case PropertyId::user:
      return Kind::pair;
    case PropertyId::contentType:
    case PropertyId::responseTopic:
    case PropertyId::correlationData:
    case PropertyId::assignedClientId:
    case PropertyId::authMethod:
    case PropertyId::authData:
    case PropertyId::responseInfo:
    case PropertyId::serverReference:
    case PropertyId::reasonString:
      return Kind::text;
  }
  throw std::runtime_error("unknown property " + toHex(u8(static_cast<unsigned>(id))));
}

/// Walks through a packet; taking more than is there throws.
class Cursor {
public:
  explicit Cursor(std::string_view bytes) : rest_(bytes) {}

  [[nodiscard]] bool atEnd() const { return rest_.empty(); }

  std::string_view take(std::size_t count) {
    if (count > rest_.size()) throw std::runtime_error("packet ends too early");
    const auto taken = rest_.substr(0, count);
    rest_.remove_prefix(count);
    return taken;
  }

  std::uint32_t number(std::size_t width) {
    std::uint32_t value = 0;
    for (const char c : take(width)) value = value << 8 | static_cast<unsigned char>(c);
    return value;
  }

  std::uint32_t varint() {
    std::uint32_t value = 0;
    for (unsigned shift = 0; shift < 28; shift += 7) {
      const auto byte = number(1);
      value |= (byte & 0x7F) << shift;
      if ((byte & 0x80) == 0) return value;
    }
    throw std::runtime_error("variable byte integer longer than four bytes");
  }

  std::string_view field() { return take(number(2)); }
  std::string_view rest() { return take(rest_.size()); }

  Properties properties(Version version) {
    Properties found;
    if (version != Version::v5) return found;
    Cursor inner(take(varint()));
    while (!inner.atEnd()) {
      const auto id = static_cast<PropertyId>(inner.number(1));
      const std::string_view start = inner.rest_;
      switch (kindOf(id)) {
        case Kind::byte:
          inner.take(1);
          break;
        case Kind::two:
          inner.take(2);
          break;
        case Kind::four:
          inner.take(4);
          break;
        case Kind::varint:
          inner.varint();
          break;
        case Kind::text:
          inner.field();
          break;
        case Kind::pair:
          inner.field(), inner.field();
          break;
      }
      found.push_back({id, Bytes(start.substr(0, start.size() - inner.rest_.size()))});
    }
    return found;
  }

  void mustBeAtEnd() const {
    if (!rest_.empty()) throw std::runtime_error("packet has trailing bytes: " + toHex(rest_));
  }

private:
  std::string_view rest_;
};

/// The variable header and payload of `packet`, which must begin with `firstByte`.
Cursor open(std::string_view packet, unsigned firstByte, unsigned mask = 0xFF) {
  Cursor cursor(packet);
  const auto found = cursor.number(1);
  if ((found & mask) != firstByte) {
    throw std::runtime_error("expected a packet that begins with " + toHex(u8(firstByte)) +
                             ", received " + toHex(packet));
  }
  if (cursor.varint() != Cursor(cursor).rest().size()) {
    throw std::runtime_error("remaining length differs from what came");
  }
  return cursor;
}

CodeList readCodes(Version version, std::string_view packet, unsigned firstByte) {
  Cursor cursor = open(packet, firstByte);
  CodeList list;
  list.id = cursor.number(2);
  list.properties = cursor.properties(version);
  for (const char code : cursor.rest()) list.codes.push_back(static_cast<unsigned char>(code));
  return list;
}

}  // namespace

Bytes hex(std::string_view digits) {
  constexpr std::string_view kDigits = "0123456789ABCDEF";
  Bytes bytes;
  int pending = -1;
  for (const char c : digits) {
    if (c == ' ') continue;
    const auto value = kDigits.find(c);
    if (value == std::string_view::npos) throw std::runtime_error("not a hex digit");
    if (pending < 0) {
      pending = static_cast<int>(value);
    } else {
      bytes.push_back(static_cast<char>(pending * 16 + static_cast<int>(value)));
      pending = -1;
    }
  }
  if (pending >= 0) throw std::runtime_error("odd number of hex digits");
  return bytes;
}

std::string toHex(std::string_view bytes) {
  constexpr std::size_t kMost = 64;
  constexpr std::string_view kDigits = "0123456789ABCDEF";
  std::string text;
  for (const char c : bytes.substr(0, kMost)) {
    const auto value = static_cast<unsigned char>(c);
    if (!text.empty()) text += ' ';
    text += kDigits[value >> 4];
    text += kDigits[value & 15];
  }
  if (bytes.size() > kMost) text += " ... (" + std::to_string(bytes.size()) + " bytes)";
  return text;
}

std::ostream& operator<<(std::ostream& out, Version version) {
  switch (version) {
    case Version::v31:
      return out << "MQTT 3.1";
    case Version::v311:
      return out << "MQTT 3.1.1";
    case Version::v5:
      return out << "MQTT 5.0";
  }
  return out;
}

Bytes u8(unsigned value) { return Bytes(1, static_cast<char>(value)); }
Bytes u16(unsigned value) { return u8(value >> 8) + u8(value & 0xFF); }
Bytes u32(std::uint32_t value) { return u16(value >> 16) + u16(value & 0xFFFF); }

Bytes varint(std::uint32_t value) {
  Bytes bytes;
  do {
    const auto low = value & 0x7F;
    value >>= 7;
    bytes += u8(value > 0 ? low | 0x80 : low);
  } while (value > 0);
  return bytes;
}

Bytes field(std::string_view value) {
  return u16(static_cast<unsigned>(value.size())) + Bytes(value);
}

Bytes section(Version version, const Properties& properties) {
  if (version != Version::v5) return {};
  Bytes content;
  for (const auto& [id, value] : properties) content += u8(static_cast<unsigned>(id)) + value;
  return varint(static_cast<std::uint32_t>(content.size())) + content;
}

Bytes packet(unsigned firstByte, std::string_view body) {
  return u8(firstByte) + varint(static_cast<std::uint32_t>(body.size())) + Bytes(body);
}

Property property(PropertyId id, std::uint32_t number) {
  switch (kindOf(id)) {
    case Kind::byte:
      return {id, u8(number)};
    case Kind::two:
      return {id, u16(number)};
    case Kind::four:
      return {id, u32(number)};
    case Kind::varint:
      return {id, varint(number)};
    case Kind::text:
    case Kind::pair:
      break;
  }
  throw std::runtime_error("this property takes no number");
}

Property property(PropertyId id, std::string_view text) { return {id, field(text)}; }

Property userProperty(std::string_view name, std::string_view value) {
  return {PropertyId::user, field(name) + field(value)};
}

std::optional<std::uint32_t> numberOf(const Properties& properties, PropertyId id) {
  for (const auto& candidate : properties) {
    if (candidate.id != id) continue;
    Cursor cursor(candidate.value);
    return kindOf(id) == Kind::varint ? cursor.varint() : cursor.number(candidate.value.size());
  }
  return std::nullopt;
}

std::optional<std::string> textOf(const Properties& properties, PropertyId id) {
  for (const auto& candidate : properties) {
    if (candidate.id == id) return std::string(Cursor(candidate.value).field());
  }
  return std::nullopt;
}

Bytes connectPacket(Version version, const Connect& connect) {
  unsigned flags = connect.clean ? 0x02 : 0;
  Bytes payload = field(connect.clientId);
  if (const auto& will = connect.will) {
    flags |= 0x04 | will->qos << 3 | (will->retain ? 0x20 : 0);
    payload += section(version, will->properties) + field(will->topic) + field(will->payload);
  }
  if (connect.userName) {
    flags |= 0x80;
    payload += field(*connect.userName);
  }
  if (connect.password) {
    flags |= 0x40;
    payload += field(*connect.password);
  }
  return packet(0x10, field(version == Version::v31 ? "MQIsdp" : "MQTT") +
                          u8(static_cast<unsigned>(version)) + u8(flags) + u16(connect.keepAlive) +
                          section(version, connect.properties) + payload);
}

Bytes publishPacket(Version version, const Publish& publish) {
  const unsigned first =
      0x30 | (publish.dup ? 0x08 : 0) | publish.qos << 1 | (publish.retain ? 0x01 : 0);
  return packet(first, field(publish.topic) + (publish.qos > 0 ? u16(publish.id) : Bytes()) +
                           section(version, publish.properties) + publish.payload);
}

Bytes subscribePacket(Version version, unsigned id, const std::vector<Filter>& filters,
                      const Properties& properties) {
  Bytes body = u16(id) + section(version, properties);
  for (const auto& [text, options] : filters) body += field(text) + u8(options);
  return packet(0x82, body);
}

Bytes unsubscribePacket(Version version, unsigned id, const std::vector<std::string>& filters) {
  Bytes body = u16(id) + section(version, {});
  for (const auto& filter : filters) body += field(filter);
  return packet(0xA2, body);
}

Bytes pubackPacket(unsigned id) { return packet(0x40, u16(id)); }
Bytes pubrecPacket(unsigned id) { return packet(0x50, u16(id)); }
Bytes pubrelPacket(unsigned id) { return packet(0x62, u16(id)); }
Bytes pubcompPacket(unsigned id) { return packet(0x70, u16(id)); }

Bytes disconnectPacket(Version version, unsigned reason, const Properties& properties) {
  if (version != Version::v5 || (reason == 0 && properties.empty())) return packet(0xE0, "");
  return packet(0xE0, u8(reason) + section(version, properties));
}

Bytes pingreqPacket() { return hex("C0 00"); }
Bytes pingrespPacket() { return hex("D0 00"); }

Connack readConnack(Version version, std::string_view packet) {
  Cursor cursor = open(packet, 0x20);
  Connack connack;
  const auto flags = cursor.number(1);
  if ((flags & ~1U) != 0) throw std::runtime_error("CONNACK has reserved flags: " + toHex(packet));
  connack.sessionPresent = flags == 1;
  connack.code = cursor.number(1);
  // A client that speaks an unknown version is answered in the layout of MQTT 3.
  if (!cursor.atEnd()) connack.properties = cursor.properties(version);
  cursor.mustBeAtEnd();
  return connack;
}

Publish readPublish(Version version, std::string_view packet) {
  Cursor cursor = open(packet, 0x30, 0xF0);
  const unsigned flags = static_cast<unsigned char>(packet[0]) & 0x0FU;
  Publish publish;
  publish.dup = (flags & 8) != 0;
  publish.qos = flags >> 1 & 3;
  publish.retain = (flags & 1) != 0;
  publish.topic = cursor.field();
  if (publish.qos > 0) {
    publish.id = cursor.number(2);
    if (publish.id == 0) throw std::runtime_error("PUBLISH with packet identifier 0");
  }
  publish.properties = cursor.properties(version);
  publish.payload = cursor.rest();
  return publish;
}

Ack readAck(Version version, std::string_view packet) {
  const unsigned first = packet.empty() ? 0 : static_cast<unsigned char>(packet[0]);
  Cursor cursor = open(packet, first);
  Ack ack{.firstByte = first, .id = cursor.number(2)};
  if (version == Version::v5 && !cursor.atEnd()) ack.reason = cursor.number(1);
  if (version == Version::v5 && !cursor.atEnd()) ack.properties = cursor.properties(version);
  cursor.mustBeAtEnd();
  return ack;
}

CodeList readSuback(Version version, std::string_view packet) {
  return readCodes(version, packet, 0x90);
}

CodeList readUnsuback(Version version, std::string_view packet) {
  return readCodes(version, packet, 0xB0);
}

unsigned readDisconnect(Version version, std::string_view packet) {
  Cursor cursor = open(packet, 0xE0);
  unsigned reason = 0;
  if (!cursor.atEnd()) reason = cursor.number(1);
  if (!cursor.atEnd()) static_cast<void>(cursor.properties(version));
  cursor.mustBeAtEnd();
  return reason;
}

}  // namespace mqttstack
