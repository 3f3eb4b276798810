#pragma once

#include <cstdint>
#include <string_view>
#include <system_error>

#include "core/mqtt/packet.hpp"
#include "core/util/expected.hpp"

namespace mqttstack::mqtt {

/// Which peer sent the bytes: some packets, properties and reason codes are
/// legal in one direction only.
enum class Sender : std::uint8_t { client, server };

/// Decodes one complete packet, fixed header included, without allocating: the
/// result's strings are views of `bytes`.
///
/// Everything that the standard calls malformed or a protocol error within one
/// packet is judged here: flags, lengths, UTF-8, packet identifiers, topic
/// names and filters, properties, reason codes, bytes left over. Fails with the
/// reason code to be told to an MQTT 5 peer. For CONNECT `version` is ignored,
/// since the packet names its own.
///
/// REQUIRES: `bytes` is exactly one packet, as FrameReader cuts them.
Result<Packet> decode(std::string_view bytes, ProtocolVersion version,
                      Sender sender = Sender::client) noexcept;

/// The same into `packet`, which spares a copy on the hot path. On failure
/// `packet` is unspecified.
std::error_code decodeInto(Packet& packet, std::string_view bytes, ProtocolVersion version,
                           Sender sender = Sender::client) noexcept;

/// The protocol version that the first bytes of a CONNECT name, even if the
/// rest is malformed: a refusal has to be written in some version. Fails if
/// the packet isn't a CONNECT, or names none that we know.
Result<ProtocolVersion> versionOfConnect(std::string_view bytes) noexcept;

/// The version whose CONNACK tells a client that its own is not supported: the
/// nearest one that we know. Fails if the packet isn't a CONNECT, or its
/// protocol name isn't MQTT's; nothing is sent then.
Result<ProtocolVersion> versionForRefusal(std::string_view bytes) noexcept;

}  // namespace mqttstack::mqtt
