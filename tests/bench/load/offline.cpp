#include <fmt/format.h>
#include <string>

#include "tests/bench/load/crowd.hpp"
#include "tests/bench/load/scenarios.hpp"

namespace mqttstack::load {
namespace {

constexpr const char* kAbsent = "load-absent";
constexpr const char* kTopic = "load/queue";

Introduction absentClient() {
  Introduction introduction;
  introduction.login.clientId = kAbsent;
  introduction.login.persistent = true;
  return introduction;
}

/// Ends the session, so that the next run finds none.
void endSession(Crowd& crowd) {
  Introduction introduction;
  introduction.login.clientId = kAbsent;
  crowd.join(std::move(introduction));
  crowd.bringUp();
}

}  // namespace

Report measureOffline(Loop& loop, const Options& options) {
  constexpr std::chrono::milliseconds kRest{300};
  Crowd crowd{loop, options};
  endSession(crowd);
  Introduction first = absentClient();
  first.filters = {kTopic};
  first.qos = options.subscribeQos;
  Connection& leaves = crowd.join(std::move(first));
  crowd.bringUp();
  leaves.close();
  Connection& publisher = crowd.join({});
  crowd.bringUp();
  loop.run(kRest);

  const Snapshot empty = snapshot(options);
  crowd.publishAll(publisher, {kTopic, options.publishQos, false, options.payload}, options.stored);
  const Snapshot stored = snapshot(options);
  loop.run(kRest);
  const Snapshot rested = snapshot(options);

  crowd.checkOrder();
  crowd.join(absentClient());
  crowd.bringUp();
  crowd.awaitMessages(options.stored);
  const Snapshot end = snapshot(options);

  const Span storing = between(empty, stored);
  Span drain = between(rested, end);
  drain.seconds = static_cast<double>(crowd.lastAt() - rested.time) * 1e-9;
  const double bytes = between(empty, rested).residentGrowth / options.stored;
  const std::uint64_t messages = crowd.messages();
  const auto lost = static_cast<std::int64_t>(options.stored) - static_cast<std::int64_t>(messages);
  Report report{"offline", options};
  auto& figures = report.figures;
  figures["stored"] = options.stored;
  figures["store_per_s"] = storing.perSecond(options.stored);
  figures["broker_us_per_store"] = storing.brokerMicroseconds(options.stored);
  figures["rss_per_message"] = bytes;
  figures["drained"] = messages;
  figures["lost"] = lost;
  figures["duplicates"] = crowd.again();
  figures["late"] = crowd.late();
  figures["drain_ms"] = drain.seconds * 1e3;
  figures["drain_per_s"] = drain.perSecond(messages);
  figures["broker_us_per_drain"] = drain.brokerMicroseconds(messages);
  figures["broker_rss"] = end.broker.residentBytes;
  report.line = fmt::format(
      "{} queued, {:.2f} us and {:.0f} bytes each | drained {} (lost {}, duplicates {}, late {}) "
      "at "
      "{:.0f}/s, {:.2f} us each",
      options.stored, storing.brokerMicroseconds(options.stored), bytes, messages, lost,
      crowd.again(), crowd.late(), drain.perSecond(messages), drain.brokerMicroseconds(messages));
  endSession(crowd);
  return report;
}

}  // namespace mqttstack::load
