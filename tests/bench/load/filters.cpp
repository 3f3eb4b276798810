#include <fmt/format.h>
#include <span>
#include <stdexcept>
#include <string>
#include <vector>

#include "tests/bench/load/scenarios.hpp"
#include "tests/bench/load/traffic.hpp"

namespace mqttstack::load {
namespace {

/// Topics are d/x/N/y: each of them matches the filter number N and no other.
std::string filterOf(const std::string& form, std::uint32_t number) {
  if (form == "plus") return fmt::format("d/+/{:07}/y", number);
  if (form == "hash") return fmt::format("d/x/{:07}/#", number);
  if (form == "head") return fmt::format("+/x/{:07}/y", number);
  return fmt::format("d/x/{:07}/y", number);
}

/// Gives the filters to the subscribers in turns, a packet full each.
void subscribeAll(Loop& loop, const Options& options, const Traffic& traffic,
                  std::span<const std::unique_ptr<Connection>> subscribers) {
  constexpr std::uint64_t kLimit = 180'000'000'000;
  constexpr std::size_t kPacketsAtOnce = 2;  // of each subscriber, not yet answered
  const std::uint64_t end = now() + kLimit;
  std::uint64_t packets = 0;
  std::vector<std::string> filters;
  for (std::uint32_t next = 0; next < options.filters || traffic.subacks() < packets;) {
    if (now() > end || loop.counts().lost)
      throw std::runtime_error{"the subscriptions did not get through: " + loop.firstFailure()};
    if (next < options.filters &&
        packets - traffic.subacks() < kPacketsAtOnce * subscribers.size()) {
      filters.clear();
      while (next < options.filters && filters.size() < options.filtersPerPacket)
        filters.push_back(filterOf(options.filterForm, next++));
      Connection& connection = *subscribers[packets % subscribers.size()];
      appendSubscribe(connection.pending(), options.version,
                      static_cast<std::uint16_t>(packets++ % 0xFFFF + 1), filters,
                      options.subscribeQos);
      connection.flush();
    } else {
      loop.turn(std::chrono::milliseconds{100});
    }
  }
}

}  // namespace

Report measureFilters(Loop& loop, const Options& options) {
  constexpr std::chrono::milliseconds kRest{300};
  Traffic traffic{loop, options};
  for (std::uint32_t i = 0; i < options.subscribers; ++i) traffic.addSubscriberOfSome();
  traffic.bringUp();
  for (std::uint32_t i = 0; i < options.publishers; ++i)
    traffic.addPublisher(fmt::format("d/x/{}/y", kNumberPlace), 1, options.filters);
  traffic.bringUp();
  loop.run(kRest);

  const Snapshot begin = snapshot(options);
  subscribeAll(loop, options, traffic, std::span{traffic.connections()}.first(options.subscribers));
  const Snapshot end = snapshot(options);
  loop.run(kRest);
  const Snapshot rested = snapshot(options);

  const Span span = between(begin, end);
  const double each = between(begin, rested).residentGrowth / options.filters;
  Report report{"filters", options};
  report.figures["form"] = options.filterForm;
  report.figures["filters"] = options.filters;
  report.figures["refused"] = loop.counts().refused;
  report.figures["filters_per_s"] = span.perSecond(options.filters);
  report.figures["broker_us_per_filter"] = span.brokerMicroseconds(options.filters);
  report.figures["rss_per_filter"] = each;
  report.line =
      fmt::format("{} filters ({}), {:.2f} us and {:.0f} bytes each{} | ", options.filters,
                  options.filterForm, span.brokerMicroseconds(options.filters), each,
                  loop.counts().refused ? ", SOME REFUSED" : "");
  traffic.run(report);
  for (const auto& connection : traffic.connections()) connection->close();
  return report;
}

}  // namespace mqttstack::load
