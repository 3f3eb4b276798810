#pragma once

#include <cstddef>
#include <cstdint>

#include "core/mqtt/packet.hpp"

namespace mqttstack::mqtt {

/// The exact number of bytes that encode() writes for the packet.
template <class P>
std::size_t encodedSize(const P& packet, ProtocolVersion version) noexcept;

/// Writes the packet to `out` and returns the position behind it. What the
/// version does not have (properties, reason codes) is left out.
/// REQUIRES: room for encodedSize() bytes.
template <class P>
char* encode(const P& packet, ProtocolVersion version, char* out) noexcept;

/// The packet in any of its types.
std::size_t encodedSize(const Packet& packet, ProtocolVersion version) noexcept;
char* encode(const Packet& packet, ProtocolVersion version, char* out) noexcept;

}  // namespace mqttstack::mqtt
