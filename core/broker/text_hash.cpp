#include "core/broker/text_hash.hpp"

#include <random>

namespace mqttstack::broker {

std::uint64_t randomSeed() {
  std::random_device device;
  return std::uint64_t{device()} << 32 | device();
}

}  // namespace mqttstack::broker
