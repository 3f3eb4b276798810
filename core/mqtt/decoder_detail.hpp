#pragma once

#include "core/mqtt/decoder.hpp"
#include "core/mqtt/property_rules.hpp"
#include "core/mqtt/wire.hpp"

/// What the decoder's files share. Everything here returns `success` or the
/// reason to fail for.
namespace mqttstack::mqtt {

/// Reads a property section, its length in front, and checks it. [v5:2.2.2]
inline ReasonCode readProperties(Reader& in, PropertyPlace place, Properties& properties,
                                 PropertySet& found) noexcept {
  std::uint32_t length = 0;
  std::string_view encoded;
  if (!in.readVariable(length) || !in.readBytes(length, encoded)) {
    return ReasonCode::malformedPacket;
  }
  properties = Properties{encoded};
  return encoded.empty() ? ReasonCode::success : checkProperties(encoded, place, found);
}

/// Decodes what follows the fixed header of a CONNECT.
ReasonCode decodeConnect(Connect& packet, Reader in, VariableByteInteger remainingLength) noexcept;

}  // namespace mqttstack::mqtt
