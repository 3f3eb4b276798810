#pragma once

#include <string>
#include <vector>

#include "app/config.hpp"

namespace mqttstack {

/// What differs between the configuration that runs and the one that the file
/// holds by now, as far as it is fixed when the daemon starts: one phrase each,
/// such as `listener "lan" was added` or `pipeline "default" changed`. How a
/// value is written counts, comments and the order of tables don't; [log] can be
/// changed at any time and is not looked at.
std::vector<std::string> changesThatNeedRestart(const Config& running, const Config& wanted);

}  // namespace mqttstack
