#include "tests/bench/load/packet_reader.hpp"

#include <algorithm>

namespace mqttstack::load {
namespace {

std::uint16_t numberAt(std::string_view bytes, std::size_t at) noexcept {
  return static_cast<std::uint16_t>(static_cast<unsigned char>(bytes[at]) << 8 |
                                    static_cast<unsigned char>(bytes[at + 1]));
}

/// Passes over the properties that begin at `at`. False if their length is not there yet.
bool passProperties(std::string_view bytes, std::size_t& at) noexcept {
  std::size_t length = 0;
  for (unsigned shift = 0; at < bytes.size() && shift < 28; shift += 7) {
    const auto byte = static_cast<unsigned char>(bytes[at++]);
    length |= std::size_t{byte & 0x7FU} << shift;
    if (byte < 0x80) {
      at += length;
      return true;
    }
  }
  return false;
}

}  // namespace

bool PacketReader::readPublish(std::string_view bytes, const Frame& frame, Version version,
                               ReceivedPublish& publish) noexcept {
  publish.qos = static_cast<unsigned char>(bytes[0]) >> 1 & 3U;
  if (bytes.size() < frame.header + 2) return false;
  std::size_t at = frame.header + 2 + numberAt(bytes, frame.header);
  publish.packetId = 0;
  if (publish.qos) {
    if (bytes.size() < at + 2) return false;
    publish.packetId = numberAt(bytes, at);
    at += 2;
  }
  if (version == Version::v5 && !passProperties(bytes, at)) return false;
  if (at > frame.total) return false;
  publish.payloadBytes = frame.total - at;
  if (publish.payloadBytes < sizeof(Stamp)) {
    publish.stamp = {};
    return bytes.size() >= frame.total;
  }
  if (bytes.size() < at + sizeof(Stamp)) return false;
  std::memcpy(&publish.stamp, bytes.data() + at, sizeof(Stamp));
  return true;
}

}  // namespace mqttstack::load
