#pragma once

#include <array>
#include <cstddef>
#include <cstdint>
#include <string>
#include <string_view>

#include "core/mqtt/packet.hpp"

namespace mqttstack::mqtt {

/// The exact number of bytes that encode() writes for the packet.
template <class P>
std::size_t encodedSize(const P& packet, ProtocolVersion version) noexcept;

/// Writes the packet to `out` and returns the position behind it. What the
/// version does not have (properties, reason codes) is left out. A CONNECT is
/// written in its own version.
/// REQUIRES: room for encodedSize() bytes; strings and the whole packet within
/// the limits of protocol.hpp.
template <class P>
char* encode(const P& packet, ProtocolVersion version, char* out) noexcept;

/// The packet in any of its types.
std::size_t encodedSize(const Packet& packet, ProtocolVersion version) noexcept;
char* encode(const Packet& packet, ProtocolVersion version, char* out) noexcept;

/// PUBACK and its like in their shortest form, which says that all is well; the
/// same in all versions.
template <PacketType Type>
constexpr std::array<char, 4> encodeShortest(const PublishResponse<Type>& packet) noexcept {
  constexpr unsigned kFlags = Type == PacketType::pubrel ? 0x02U : 0U;  // [v5:3.6.1-1]
  return {static_cast<char>(static_cast<unsigned>(Type) << 4U | kFlags), 2,
          static_cast<char>(packet.packetId >> 8U), static_cast<char>(packet.packetId)};
}
template <PacketType Type>
constexpr bool hasShortestForm(const PublishResponse<Type>& packet) noexcept {
  return packet.code == ReasonCode::success && packet.properties.empty();
}

/// Builds the payload of a SUBSCRIBE or UNSUBSCRIBE, entry by entry.
void appendEntry(std::string& payload, const SubscribeEntry& entry);
void appendFilter(std::string& payload, std::string_view filter);

}  // namespace mqttstack::mqtt
