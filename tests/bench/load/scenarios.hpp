#pragma once

#include "tests/bench/load/loop.hpp"
#include "tests/bench/load/options.hpp"
#include "tests/bench/load/report.hpp"

/// What can be measured. Each brings its clients up, does what it is called after, and reports.
/// They throw std::runtime_error if that can't be done.
namespace mqttstack::load {

/// Publishers and subscribers: rates, losses, order, latency, CPU time for each delivery.
Report measureTraffic(Loop& loop, const Options& options);
/// Connections that do nothing: what one costs to make, in memory, and at rest.
Report measureIdle(Loop& loop, const Options& options);
/// Traffic of which each message matches one of very many filters.
Report measureFilters(Loop& loop, const Options& options);
/// Retained messages: what storing one costs, and replaying all of them.
Report measureRetained(Loop& loop, const Options& options);
/// Messages for somebody who is away: what queuing one costs, and getting them.
Report measureOffline(Loop& loop, const Options& options);
/// How long a client waits for the answers to its pings while others keep the broker busy.
Report measureHealth(Loop& loop, const Options& options);

}  // namespace mqttstack::load
