#pragma once

#include "core/util/log.hpp"
#include "core/util/metrics.hpp"

namespace mqttstack {

/// Writes a line of level info for each counter that is not 0, by name and with
/// what it counts; one that says so if all are 0. What SIGUSR1 asks for.
void logCounters(const Metrics& metrics, const Logger& log);

}  // namespace mqttstack
