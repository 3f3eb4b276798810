#include "tests/bench/load/packets.hpp"

#include <algorithm>
#include <cstring>

namespace mqttstack::load {
namespace {

void appendNumber(std::string& out, std::uint16_t number) {
  out += static_cast<char>(number >> 8);
  out += static_cast<char>(number & 0xFF);
}

void appendText(std::string& out, std::string_view text) {
  appendNumber(out, static_cast<std::uint16_t>(text.size()));
  out += text;
}

void appendLength(std::string& out, std::size_t length) {
  do {
    const std::size_t more = length >> 7;
    out += static_cast<char>((length & 0x7F) | (more ? 0x80 : 0));
    length = more;
  } while (length);
}

void appendPacket(std::string& out, PacketType type, unsigned flags, std::string_view body) {
  out += static_cast<char>(static_cast<unsigned>(type) << 4 | flags);
  appendLength(out, body.size());
  out += body;
}

}  // namespace

void appendConnect(std::string& out, Version version, const Login& login) {
  std::string body;
  appendText(body, "MQTT");
  body += static_cast<char>(version);
  body += static_cast<char>(login.persistent ? 0 : 2);
  appendNumber(body, login.keepAlive);
  if (version == Version::v5) {
    using namespace std::string_view_literals;
    std::string properties = "\x21\xFF\xFF";                       // receive maximum
    if (login.persistent) properties += "\x11\x00\x00\x0E\x10"sv;  // an hour until it expires
    appendLength(body, properties.size());
    body += properties;
  }
  appendText(body, login.clientId);
  appendPacket(out, PacketType::connect, 0, body);
}

void appendSubscribe(std::string& out, Version version, std::uint16_t packetId,
                     std::span<const std::string> filters, unsigned qos) {
  std::string body;
  appendNumber(body, packetId);
  if (version == Version::v5) body += '\0';
  for (const std::string& filter : filters) {
    appendText(body, filter);
    body += static_cast<char>(qos);
  }
  appendPacket(out, PacketType::subscribe, 2, body);
}

void appendUnsubscribe(std::string& out, Version version, std::uint16_t packetId,
                       std::span<const std::string> filters) {
  std::string body;
  appendNumber(body, packetId);
  if (version == Version::v5) body += '\0';
  for (const std::string& filter : filters) appendText(body, filter);
  appendPacket(out, PacketType::unsubscribe, 2, body);
}

void appendAnswer(std::string& out, PacketType type, std::uint16_t packetId) {
  const unsigned flags = type == PacketType::pubrel ? 2 : 0;
  const char packet[] = {static_cast<char>(static_cast<unsigned>(type) << 4 | flags), 2,
                         static_cast<char>(packetId >> 8), static_cast<char>(packetId & 0xFF)};
  out.append(packet, sizeof packet);
}

void appendPing(std::string& out) { appendPacket(out, PacketType::pingreq, 0, {}); }
void appendDisconnect(std::string& out) { appendPacket(out, PacketType::disconnect, 0, {}); }

PublishBatch::PublishBatch(Version version, const PublishForm& form, std::size_t copies) {
  const std::size_t payload = std::max(form.payload, sizeof(Stamp));
  std::string body;
  appendText(body, form.topic);
  const std::size_t packetIdInBody = form.qos ? body.size() : 0;
  if (form.qos) appendNumber(body, 0);
  if (version == Version::v5) body += '\0';
  const std::size_t payloadInBody = body.size();
  for (std::size_t i = 0; i < payload; ++i) body += static_cast<char>('a' + i % 26);

  std::string packet;
  const unsigned flags = form.qos << 1 | (form.retain ? 1U : 0U);
  appendPacket(packet, PacketType::publish, flags, body);
  const std::size_t header = packet.size() - body.size();
  const std::size_t place = form.topic.find(kNumberPlace);

  stride_ = packet.size();
  copies_ = std::clamp<std::size_t>(kMaxBytes / stride_, 1, std::max<std::size_t>(copies, 1));
  packetIdAt_ = packetIdInBody ? header + packetIdInBody : 0;
  payloadAt_ = header + payloadInBody;
  numberAt_ = place == std::string::npos ? 0 : header + 2 + place;
  bytes_.reserve(copies_ * stride_);
  for (std::size_t i = 0; i < copies_; ++i)
    bytes_.insert(bytes_.end(), packet.begin(), packet.end());
}

void PublishBatch::stamp(std::size_t index, std::uint16_t packetId, const Stamp& stamp,
                         std::uint32_t number) noexcept {
  char* const packet = bytes_.data() + index * stride_;
  if (packetIdAt_) {
    packet[packetIdAt_] = static_cast<char>(packetId >> 8);
    packet[packetIdAt_ + 1] = static_cast<char>(packetId & 0xFF);
  }
  if (numberAt_) {
    for (std::size_t i = kNumberPlace.size(); i-- > 0; number /= 10)
      packet[numberAt_ + i] = static_cast<char>('0' + number % 10);
  }
  std::memcpy(packet + payloadAt_, &stamp, sizeof stamp);
}

}  // namespace mqttstack::load
