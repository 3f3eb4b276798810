#pragma once

#include <cstdint>
#include <string>

namespace mqttstack {

/// Who listens on a TCP port of this machine, as far as this process may know:
/// `mosquitto (process 812) of user "mosquitto"`, or less. Empty if it cannot be
/// told. Reads /proc from end to end, so it is for when something failed.
std::string describePortHolder(std::uint16_t port);

}  // namespace mqttstack
