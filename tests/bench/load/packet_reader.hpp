#pragma once

#include <cstddef>
#include <cstdint>
#include <cstring>
#include <span>
#include <string>
#include <string_view>

#include "tests/bench/load/packets.hpp"

namespace mqttstack::load {

/// A PUBLISH that arrives, as far as the generator looks at it.
struct ReceivedPublish {
  unsigned qos;
  std::uint16_t packetId;    ///< 0 with QoS 0
  std::size_t payloadBytes;  ///< of which the stamp are the first, if there are so many
  Stamp stamp;
};

/// Splits what one connection receives into packets. Of a payload only the beginning is looked at:
/// the rest is passed over where it lies, and never kept.
///
/// All connections of a loop receive into the same memory. What is left of an unfinished packet is
/// kept here, and put in front of what comes next.
class PacketReader {
public:
  /// Puts what was left into the beginning of `memory`; new bytes are to be received behind it.
  /// Returns how many bytes that are.
  std::size_t restore(std::span<char> memory) const noexcept {
    if (!rest_.empty()) std::memcpy(memory.data(), rest_.data(), rest_.size());
    return rest_.size();
  }

  /// Takes what `restore` put there together with what came, and calls for each packet in it
  /// onPublish(ReceivedPublish) or onPacket(PacketType, body). Stops early, and returns true, if
  /// a call returns false. Returns false if this is not MQTT.
  template <class OnPublish, class OnPacket>
  bool read(std::string_view bytes, Version version, OnPublish&& onPublish, OnPacket&& onPacket);

private:
  /// A fixed header. `header` is 0 as long as it is incomplete.
  struct Frame {
    std::size_t header = 0;
    std::size_t total = 0;
    bool broken = false;
  };
  static Frame frameOf(std::string_view bytes) noexcept;

  /// Reads the beginning of a PUBLISH. False if there is too little of it yet.
  static bool readPublish(std::string_view bytes, const Frame& frame, Version version,
                          ReceivedPublish& publish) noexcept;

  std::string rest_;      // of an unfinished packet; keeps its memory
  std::size_t skip_ = 0;  // so many bytes of a payload are still to come
};

template <class OnPublish, class OnPacket>
bool PacketReader::read(std::string_view bytes, Version version, OnPublish&& onPublish,
                        OnPacket&& onPacket) {
  const std::size_t skipped = skip_ < bytes.size() ? skip_ : bytes.size();
  skip_ -= skipped;
  bytes.remove_prefix(skipped);
  while (bytes.size() >= 2) {
    const Frame frame = frameOf(bytes);
    if (frame.broken) return false;
    if (frame.header == 0) break;
    const auto type = static_cast<PacketType>(static_cast<unsigned char>(bytes[0]) >> 4);
    if (type == PacketType::publish) {
      ReceivedPublish publish;
      if (!readPublish(bytes, frame, version, publish)) {
        if (bytes.size() >= frame.total) return false;
        break;
      }
      const bool goOn = onPublish(publish);
      const std::size_t here = frame.total < bytes.size() ? frame.total : bytes.size();
      skip_ = frame.total - here;
      bytes.remove_prefix(here);
      if (!goOn) return true;
    } else {
      if (bytes.size() < frame.total) break;
      if (!onPacket(type, bytes.substr(frame.header, frame.total - frame.header))) return true;
      bytes.remove_prefix(frame.total);
    }
  }
  rest_.assign(bytes);
  return true;
}

inline PacketReader::Frame PacketReader::frameOf(std::string_view bytes) noexcept {
  std::size_t length = 0;
  for (std::size_t i = 1; i < bytes.size(); ++i) {
    if (i == 5) return {0, 0, true};
    const auto byte = static_cast<unsigned char>(bytes[i]);
    length |= std::size_t{byte & 0x7FU} << (7 * (i - 1));
    if (byte < 0x80) return {i + 1, i + 1 + length, false};
  }
  return {};
}

}  // namespace mqttstack::load
