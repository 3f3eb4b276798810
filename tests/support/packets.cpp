#include "tests/support/packets.hpp"

#include <cassert>
#include <stdexcept>
#include <type_traits>

#include "core/mqtt/encoder.hpp"
#include "tests/support/packet_parts.hpp"

namespace mqttstack::test {
namespace {

unsigned digit(char c) {
  if (c >= '0' && c <= '9') return static_cast<unsigned>(c - '0');
  if (c >= 'A' && c <= 'F') return static_cast<unsigned>(c - 'A') + 10;
  if (c >= 'a' && c <= 'f') return static_cast<unsigned>(c - 'a') + 10;
  throw std::invalid_argument{"not a hexadecimal digit"};
}

bool sameProperties(mqtt::Properties a, mqtt::Properties b) { return a.encoded() == b.encoded(); }

bool sameFields(const mqtt::Connect& a, const mqtt::Connect& b) {
  if (a.will.has_value() != b.will.has_value()) return false;
  if (a.will && (a.will->topic != b.will->topic || a.will->payload != b.will->payload ||
                 a.will->qos != b.will->qos || a.will->retain != b.will->retain ||
                 !sameProperties(a.will->properties, b.will->properties))) {
    return false;
  }
  return a.version == b.version && a.cleanStart == b.cleanStart && a.keepAlive == b.keepAlive &&
         a.clientId == b.clientId && a.userName == b.userName && a.password == b.password &&
         sameProperties(a.properties, b.properties);
}

bool sameFields(const mqtt::Connack& a, const mqtt::Connack& b) {
  return a.sessionPresent == b.sessionPresent && a.code == b.code &&
         sameProperties(a.properties, b.properties);
}

bool sameFields(const mqtt::Publish& a, const mqtt::Publish& b) {
  return a.topic == b.topic && a.payload == b.payload && a.packetId == b.packetId &&
         a.qos == b.qos && a.dup == b.dup && a.retain == b.retain &&
         sameProperties(a.properties, b.properties);
}

template <mqtt::PacketType Type>
bool sameFields(const mqtt::PublishResponse<Type>& a, const mqtt::PublishResponse<Type>& b) {
  return a.packetId == b.packetId && a.code == b.code && sameProperties(a.properties, b.properties);
}

bool sameFields(const mqtt::Subscribe& a, const mqtt::Subscribe& b) {
  return a.packetId == b.packetId && a.entries.encoded() == b.entries.encoded() &&
         sameProperties(a.properties, b.properties);
}

bool sameFields(const mqtt::Unsubscribe& a, const mqtt::Unsubscribe& b) {
  return a.packetId == b.packetId && a.filters.encoded() == b.filters.encoded() &&
         sameProperties(a.properties, b.properties);
}

bool sameFields(const mqtt::Suback& a, const mqtt::Suback& b) {
  return a.packetId == b.packetId && a.codes == b.codes &&
         sameProperties(a.properties, b.properties);
}

bool sameFields(const mqtt::Unsuback& a, const mqtt::Unsuback& b) {
  return a.packetId == b.packetId && a.codes == b.codes &&
         sameProperties(a.properties, b.properties);
}

bool sameFields(const mqtt::Pingreq&, const mqtt::Pingreq&) { return true; }
bool sameFields(const mqtt::Pingresp&, const mqtt::Pingresp&) { return true; }

bool sameFields(const mqtt::Disconnect& a, const mqtt::Disconnect& b) {
  return a.code == b.code && sameProperties(a.properties, b.properties);
}

bool sameFields(const mqtt::Auth& a, const mqtt::Auth& b) {
  return a.code == b.code && sameProperties(a.properties, b.properties);
}

}  // namespace

std::string hex(std::string_view text) {
  std::string bytes;
  while (!text.empty()) {
    if (text.front() == ' ' || text.front() == '\n') {
      text.remove_prefix(1);
    } else if (text.front() == '\'') {
      const std::size_t end = text.find('\'', 1);
      if (end == std::string_view::npos) throw std::invalid_argument{"a quote is not closed"};
      bytes.append(text.substr(1, end - 1));
      text.remove_prefix(end + 1);
    } else {
      if (text.size() < 2) throw std::invalid_argument{"half a byte"};
      bytes.push_back(static_cast<char>(digit(text[0]) << 4U | digit(text[1])));
      text.remove_prefix(2);
    }
  }
  return bytes;
}

std::string toHex(std::string_view bytes) {
  constexpr std::string_view kDigits = "0123456789ABCDEF";
  std::string text;
  for (const char c : bytes) {
    const auto byte = static_cast<unsigned char>(c);
    if (!text.empty()) text.push_back(' ');
    text.push_back(kDigits[byte >> 4U]);
    text.push_back(kDigits[byte & 0x0FU]);
  }
  return text;
}

std::string variable(std::size_t value) {
  std::string bytes;
  do {
    const std::size_t group = value % 128;
    value /= 128;
    bytes.push_back(static_cast<char>(group + (value > 0 ? 128 : 0)));
  } while (value > 0);
  return bytes;
}

std::string frame(unsigned firstByte, std::string_view body) {
  std::string bytes(1, static_cast<char>(firstByte));
  bytes += variable(body.size());
  bytes += body;
  return bytes;
}

bool same(const mqtt::Packet& a, const mqtt::Packet& b) {
  if (a.index() != b.index()) return false;
  return std::visit(
      [&b](const auto& one) { return sameFields(one, std::get<std::decay_t<decltype(one)>>(b)); },
      a);
}

std::string encoded(const mqtt::Packet& packet, mqtt::ProtocolVersion version) {
  std::string bytes(mqtt::encodedSize(packet, version), '\0');
  [[maybe_unused]] const char* end = mqtt::encode(packet, version, bytes.data());
  assert(end == bytes.data() + bytes.size());
  return bytes;
}

}  // namespace mqttstack::test
