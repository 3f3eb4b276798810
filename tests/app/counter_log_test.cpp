#include "app/counter_log.hpp"

#include <string>

#include <catch2/catch.hpp>

using namespace mqttstack;

namespace {

std::string counterLines(const Metrics& metrics) {
  std::string lines;
  const LogSink sink{LogLevel::info,
                     [&lines](LogLevel level, std::string_view component, std::string_view text) {
                       lines += std::string{toString(level)} + " [" + std::string{component} +
                                "] " + std::string{text} + "\n";
                     }};
  logCounters(metrics, Logger{sink, "metrics"});
  return lines;
}

}  // namespace

TEST_CASE("every counter that is not 0 has a line, in the order of their names", "[metrics]") {
  Metrics metrics;
  metrics.counter("packets_sent", "packets sent to clients").add(-2);
  metrics.counter("bad_packets", "packets that are none");
  metrics.counter("denied{by=\"acl_file:14\"}", "packets denied").add(14);
  CHECK(counterLines(metrics) ==
        "info [metrics] denied{by=\"acl_file:14\"} = 14 (packets denied)\n"
        "info [metrics] packets_sent = -2 (packets sent to clients)\n");
}

TEST_CASE("counters that are all 0 are told in one line", "[metrics]") {
  Metrics metrics;
  metrics.counter("bad_packets", "packets that are none");
  CHECK(counterLines(metrics) == "info [metrics] all counters are 0\n");
}
