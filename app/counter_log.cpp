#include "app/counter_log.hpp"

namespace mqttstack {

void logCounters(const Metrics& metrics, const Logger& log) {
  bool any = false;
  for (const auto& [name, metric] : metrics.all()) {
    if (metric.value == 0) continue;
    any = true;
    log.info("{} = {} ({})", name, metric.value, metric.help);
  }
  if (!any) log.info("all counters are 0");
}

}  // namespace mqttstack
