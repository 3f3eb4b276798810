#pragma once

#include <cstddef>
#include <system_error>

#include "core/mqtt/packet.hpp"

namespace mqttstack {

/// What the standard allows in a packet and a broker had better not: it costs
/// little to send and more to work with. Listeners lay it down for their clients.
struct PacketLimits {
  std::size_t topicBytes = 4096;  ///< of a topic name or filter
  std::size_t topicLevels = 128;
  std::size_t userProperties = 64;  ///< in one packet, those of a will included
  std::size_t userPropertyBytes = 8192;
};

/// Judges a packet that a client has sent: empty, or the reason for closing its
/// connection: topicNameInvalid, topicFilterInvalid, or packetTooLarge for user
/// properties.
std::error_code checkLimits(const mqtt::Packet& packet, const PacketLimits& limits) noexcept;

}  // namespace mqttstack
