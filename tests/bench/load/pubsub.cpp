#include <fmt/format.h>
#include <vector>

#include "tests/bench/load/scenarios.hpp"
#include "tests/bench/load/traffic.hpp"

namespace mqttstack::load {

Report measureTraffic(Loop& loop, const Options& options) {
  const std::uint32_t topics = options.topics ? options.topics : options.publishers;
  Traffic traffic{loop, options};
  std::vector<std::uint32_t> subscribersOf(topics);
  for (std::uint32_t i = 0; i < options.subscribers; ++i) {
    switch (options.subscribing) {
      case Subscribing::exact:
        traffic.addSubscriber({fmt::format("load/t/{}", i % topics)}, topics, i % topics);
        ++subscribersOf[i % topics];
        break;
      case Subscribing::plus:
        traffic.addSubscriber({"load/t/+"}, 1, 0);
        break;
      case Subscribing::hash:
        traffic.addSubscriber({"load/#"}, 1, 0);
        break;
    }
  }
  traffic.bringUp();
  for (std::uint32_t i = 0; i < options.publishers; ++i) {
    const std::uint32_t copies =
        options.subscribing == Subscribing::exact ? subscribersOf[i % topics] : options.subscribers;
    traffic.addPublisher(fmt::format("load/t/{}", i % topics), copies);
  }
  traffic.bringUp();
  Report report{"traffic", options};
  report.figures["topics"] = topics;
  traffic.run(report);
  for (const auto& connection : traffic.connections()) connection->close();
  return report;
}

}  // namespace mqttstack::load
