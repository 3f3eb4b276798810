#include "tests/bench/load/report.hpp"

#include <cmath>
#include <cstdio>

#include "tests/bench/load/loop.hpp"

namespace mqttstack::load {
namespace {

/// Enough digits to compare, few enough to read.
double rounded(double value) { return std::round(value * 1e4) / 1e4; }

}  // namespace

Snapshot snapshot(const Options& options) {
  return {now(), useOf(options.broker), ownCpuSeconds()};
}

Span between(const Snapshot& begin, const Snapshot& end) {
  Span span;
  span.seconds = static_cast<double>(end.time - begin.time) * 1e-9;
  span.brokerCpu = end.broker.cpuSeconds - begin.broker.cpuSeconds;
  const double user = end.broker.userSeconds - begin.broker.userSeconds;
  const double system = end.broker.systemSeconds - begin.broker.systemSeconds;
  span.brokerUser = user + system > 0 ? user / (user + system) : 0;
  span.ownCpu = end.ownCpu - begin.ownCpu;
  span.residentGrowth = static_cast<double>(end.broker.residentBytes) -
                        static_cast<double>(begin.broker.residentBytes);
  return span;
}

Report::Report(const char* scenario, const Options& options) : label_{options.label} {
  figures["scenario"] = scenario;
  figures["label"] = options.label;
  figures["mqtt"] = options.version == Version::v5 ? "5" : "3.1.1";
  figures["tls"] = options.transport == Transport::tls;
  figures["publish_qos"] = options.publishQos;
  figures["subscribe_qos"] = options.subscribeQos;
  figures["payload"] = options.payload;
}

void Report::addLatency(const Histogram& latency) {
  const auto microseconds = [&](double share) { return rounded(latency.percentile(share) * 1e-3); };
  figures["latency_us"] = {{"p50", microseconds(0.5)},
                           {"p90", microseconds(0.9)},
                           {"p99", microseconds(0.99)},
                           {"p99.9", microseconds(0.999)},
                           {"max", microseconds(1)}};
}

void Report::addLoad(const Span& span, const Snapshot& end) {
  figures["broker_cpu"] = rounded(span.seconds > 0 ? span.brokerCpu / span.seconds : 0);
  figures["broker_user_share"] = rounded(span.brokerUser);
  figures["broker_rss"] = end.broker.residentBytes;
  figures["generator_cpu"] = rounded(span.seconds > 0 ? span.ownCpu / span.seconds : 0);
}

void Report::print() const {
  std::printf("%s\n", figures.dump().c_str());
  std::fflush(stdout);
  std::fprintf(stderr, "%s%s%s\n", label_.c_str(), label_.empty() ? "" : ": ", line.c_str());
}

}  // namespace mqttstack::load
