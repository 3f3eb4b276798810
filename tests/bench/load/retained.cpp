#include <fmt/format.h>
#include <string>
#include <vector>

#include "tests/bench/load/crowd.hpp"
#include "tests/bench/load/scenarios.hpp"

namespace mqttstack::load {

Report measureRetained(Loop& loop, const Options& options) {
  constexpr std::chrono::milliseconds kRest{500};
  Crowd crowd{loop, options};
  Connection& publisher = crowd.join({});
  crowd.bringUp();
  loop.run(kRest);

  const Snapshot empty = snapshot(options);
  crowd.publishAll(publisher,
                   {fmt::format("a/{}/c", kNumberPlace), options.publishQos, true, options.payload},
                   options.stored);
  const Snapshot stored = snapshot(options);
  loop.run(kRest);
  const Snapshot rested = snapshot(options);

  Connection& subscriber = crowd.join({});
  crowd.bringUp();
  const Snapshot begin = snapshot(options);
  const std::vector<std::string> filters{options.replayFilter};
  appendSubscribe(subscriber.pending(), options.version, 1, filters, options.subscribeQos);
  subscriber.flush();
  crowd.awaitMessages(options.stored);
  const Snapshot end = snapshot(options);

  const Span storing = between(empty, stored);
  Span replay = between(begin, end);
  const double busy = replay.seconds;
  replay.seconds = static_cast<double>(crowd.lastAt() - begin.time) * 1e-9;
  const double bytes = between(empty, rested).residentGrowth / options.stored;
  const std::uint64_t messages = crowd.messages();
  const double firstMs = messages ? static_cast<double>(crowd.firstAt() - begin.time) * 1e-6 : 0;
  const auto lost = static_cast<std::int64_t>(options.stored) - static_cast<std::int64_t>(messages);
  Report report{"retained", options};
  auto& figures = report.figures;
  figures["stored"] = options.stored;
  figures["filter"] = options.replayFilter;
  figures["store_per_s"] = storing.perSecond(options.stored);
  figures["broker_us_per_store"] = storing.brokerMicroseconds(options.stored);
  figures["rss_per_message"] = bytes;
  figures["replayed"] = messages;
  figures["lost"] = lost;
  figures["first_ms"] = firstMs;
  figures["replay_ms"] = replay.seconds * 1e3;
  figures["replay_per_s"] = replay.perSecond(messages);
  figures["broker_us_per_replay"] = replay.brokerMicroseconds(messages);
  figures["broker_rss"] = end.broker.residentBytes;
  figures["generator_cpu"] = busy > 0 ? replay.ownCpu / busy : 0;
  report.line = fmt::format(
      "{} retained, {:.2f} us and {:.0f} bytes each | replayed {} (lost {}) at {:.0f}/s, {:.2f} us "
      "each, the first after {:.1f} ms",
      options.stored, storing.brokerMicroseconds(options.stored), bytes, messages, lost,
      replay.perSecond(messages), replay.brokerMicroseconds(messages), firstMs);
  return report;
}

}  // namespace mqttstack::load
