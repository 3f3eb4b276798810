#pragma once

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

/// Builds the payload of a SUBSCRIBE or UNSUBSCRIBE, entry by entry.
void appendEntry(std::string& payload, const SubscribeEntry& entry);
void appendFilter(std::string& payload, std::string_view filter);

}  // namespace mqttstack::mqtt
