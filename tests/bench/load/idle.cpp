#include <fmt/format.h>
#include <memory>
#include <vector>

#include "tests/bench/load/crowd.hpp"
#include "tests/bench/load/scenarios.hpp"

namespace mqttstack::load {
namespace {

/// Has all clients get so many messages, and says what each delivery cost.
void broadcast(Loop& loop, const Options& options, Crowd& crowd, std::uint64_t clients,
               Report& report) {
  Connection& publisher = crowd.join({});
  crowd.bringUp();
  const Snapshot begin = snapshot(options);
  PublishBatch batch{options.version, {"load/all", 0, false, options.payload}, 1};
  for (std::uint32_t sequence = 1; sequence <= options.broadcast; ++sequence) {
    batch.stamp(0, 0, {now(), 0, sequence});
    publisher.write(batch.packets(1));
    while (publisher.busy() && publisher.up()) loop.turn(std::chrono::milliseconds{10});
  }
  const std::uint64_t wanted = clients * options.broadcast;
  crowd.awaitMessages(wanted);
  const Span span = between(begin, snapshot(options));
  report.figures["broadcast_lost"] = wanted - crowd.messages();
  report.figures["broadcast_us_per_delivery"] = span.brokerMicroseconds(crowd.messages());
  report.line +=
      fmt::format("; {} broadcast, lost {}, {:.2f} us for each delivery", options.broadcast,
                  wanted - crowd.messages(), span.brokerMicroseconds(crowd.messages()));
}

}  // namespace

Report measureIdle(Loop& loop, const Options& options) {
  Crowd crowd{loop, options};
  loop.run(std::chrono::milliseconds{200});
  for (std::uint32_t i = 0; i < options.clients; ++i) {
    Introduction introduction;
    introduction.login.persistent = options.persistent;
    introduction.filters = {fmt::format("load/c/{}", i)};
    if (options.broadcast) introduction.filters.emplace_back("load/all");
    introduction.qos = options.subscribeQos;
    crowd.join(std::move(introduction));
  }
  const Snapshot begin = snapshot(options);
  const std::size_t up = crowd.tryToBringUp(std::chrono::minutes{5});
  const Snapshot end = snapshot(options);
  const auto hold = std::chrono::duration_cast<std::chrono::nanoseconds>(
      std::chrono::duration<double>{options.hold});
  loop.run(hold);
  const Snapshot rested = snapshot(options);
  loop.run(hold);
  const Snapshot held = snapshot(options);

  const Span span = between(begin, end);
  const Span rest = between(rested, held);
  const double idle = rest.seconds > 0 ? 100 * rest.brokerCpu / rest.seconds : 0;
  const double bytes = up ? between(begin, rested).residentGrowth / static_cast<double>(up) : 0;
  Report report{"idle", options};
  report.figures["clients"] = up;
  report.figures["failed"] = options.clients - up;
  report.figures["lost_connections"] = loop.counts().lost;
  report.figures["first_failure"] = loop.firstFailure();
  report.figures["seconds"] = span.seconds;
  report.figures["connects_per_s"] = span.perSecond(up);
  report.figures["broker_us_per_connect"] = span.brokerMicroseconds(up);
  report.figures["rss_per_client"] = bytes;
  report.figures["idle_cpu_percent"] = idle;
  report.addLoad(span, rested);
  report.line = fmt::format(
      "{} clients ({} failed{}{}), {:.0f}/s, {:.1f} us and {:.0f} bytes each, {:.2f} % CPU at rest "
      "| generator {:.0f} % CPU",
      up, options.clients - up, up < options.clients ? ": " : "",
      up < options.clients ? loop.firstFailure() : "", span.perSecond(up),
      span.brokerMicroseconds(up), bytes, idle, 100 * span.ownCpu / span.seconds);
  if (options.broadcast) broadcast(loop, options, crowd, up, report);
  return report;
}

}  // namespace mqttstack::load
