#pragma once

#include <cstdint>
#include <string_view>

#include "tests/bench/load/packets.hpp"

namespace mqttstack::load {

/// What a broker answers to a CONNECT.
struct Connack {
  unsigned code = 0;  ///< 0: accepted
  std::uint16_t receiveMaximum = 65'535;
};

/// Reads the body of a CONNACK. One that makes no sense is code 0xFF.
Connack readConnack(std::string_view body, Version version);

}  // namespace mqttstack::load
