#pragma once

#include <cstddef>
#include <cstdint>
#include <string_view>

namespace mqttstack::mqtt {

/// The protocol level byte of CONNECT. Every rule that differs between the
/// versions asks for one of these.
enum class ProtocolVersion : std::uint8_t { v31 = 3, v311 = 4, v5 = 5 };

/// "3.1", "3.1.1" or "5.0", for people.
std::string_view toString(ProtocolVersion version) noexcept;

enum class Qos : std::uint8_t { atMostOnce = 0, atLeastOnce = 1, exactlyOnce = 2 };

constexpr Qos lower(Qos a, Qos b) noexcept { return a < b ? a : b; }

/// The type nibble of the fixed header. [v5:2.1.2]
enum class PacketType : std::uint8_t {
  connect = 1,
  connack = 2,
  publish = 3,
  puback = 4,
  pubrec = 5,
  pubrel = 6,
  pubcomp = 7,
  subscribe = 8,
  suback = 9,
  unsubscribe = 10,
  unsuback = 11,
  pingreq = 12,
  pingresp = 13,
  disconnect = 14,
  auth = 15,
};

/// "PUBLISH" and so on, as the standard writes it.
std::string_view toString(PacketType type) noexcept;

/// A set of packet types, one bit each.
class PacketTypes {
public:
  constexpr PacketTypes() = default;
  constexpr PacketTypes(PacketType type) : bits_{bit(type)} {}
  static constexpr PacketTypes all() { return PacketTypes{std::uint16_t{0xfffe}}; }

  constexpr PacketTypes operator|(PacketTypes other) const {
    return PacketTypes{static_cast<std::uint16_t>(bits_ | other.bits_)};
  }
  constexpr bool contains(PacketType type) const { return (bits_ & bit(type)) != 0; }
  constexpr bool empty() const { return bits_ == 0; }

private:
  constexpr explicit PacketTypes(std::uint16_t bits) : bits_{bits} {}
  static constexpr std::uint16_t bit(PacketType type) {
    return static_cast<std::uint16_t>(1U << static_cast<unsigned>(type));
  }
  std::uint16_t bits_ = 0;
};

constexpr PacketTypes operator|(PacketType a, PacketType b) { return PacketTypes{a} | b; }

inline constexpr std::size_t kMaxStringBytes = 65'535;
inline constexpr std::uint32_t kMaxVariableByteInteger = 268'435'455;
/// Fixed header (1 + 4) and the largest remaining length.
inline constexpr std::size_t kMaxPacketBytes = 5 + std::size_t{kMaxVariableByteInteger};

}  // namespace mqttstack::mqtt
