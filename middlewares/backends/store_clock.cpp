#include "middlewares/backends/store_clock.hpp"

#include <fstream>

namespace mqttstack {

std::string StoreClock::readBootId() {
  std::ifstream file{"/proc/sys/kernel/random/boot_id"};
  std::string id;
  std::getline(file, id);
  return id;
}

}  // namespace mqttstack
