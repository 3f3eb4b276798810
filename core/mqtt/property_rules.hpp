#pragma once

#include <cstdint>
#include <string_view>

#include "core/mqtt/properties.hpp"
#include "core/mqtt/reason_code.hpp"

namespace mqttstack::mqtt {

/// Which properties a section has, one bit per identifier.
class PropertySet {
public:
  constexpr bool contains(PropertyId id) const { return (bits_ & bit(id)) != 0; }
  constexpr void insert(PropertyId id) { bits_ |= bit(id); }

private:
  static constexpr std::uint64_t bit(PropertyId id) {
    return std::uint64_t{1} << static_cast<unsigned>(id);
  }
  std::uint64_t bits_ = 0;
};

/// validateProperties() for the decoder, which needs to know besides what
/// `encoded` contains. Returns `success` or the reason to fail for.
ReasonCode checkProperties(std::string_view encoded, PropertyPlace place,
                           PropertySet& found) noexcept;

}  // namespace mqttstack::mqtt
