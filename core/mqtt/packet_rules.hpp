#pragma once

#include "core/mqtt/decoder.hpp"
#include "core/mqtt/protocol.hpp"
#include "core/mqtt/reason_code.hpp"

namespace mqttstack::mqtt {

/// True if an MQTT 5 packet of this type may carry `code` when it comes from
/// that side. [v5:2.4]
bool isLegalReason(PacketType type, ReasonCode code, Sender sender) noexcept;

/// The packets that a side may send at all.
PacketTypes packetsFrom(Sender sender, ProtocolVersion version) noexcept;

}  // namespace mqttstack::mqtt
