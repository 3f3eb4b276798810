#pragma once

#include <cstdint>
#include <nlohmann/json.hpp>
#include <string>

#include "tests/bench/load/histogram.hpp"
#include "tests/bench/load/options.hpp"
#include "tests/bench/load/process.hpp"

namespace mqttstack::load {

/// All that is read at the beginning and at the end of something that is measured.
struct Snapshot {
  std::uint64_t time = 0;
  ProcessUse broker{};
  double ownCpu = 0;
};
Snapshot snapshot(const Options& options);

/// What was used from one snapshot to another.
struct Span {
  double seconds = 0;
  double brokerCpu = 0;       ///< seconds
  double brokerUser = 0;      ///< share of user code in that
  double ownCpu = 0;          ///< seconds
  double residentGrowth = 0;  ///< bytes

  /// CPU time of the broker for each of so many, in microseconds.
  double brokerMicroseconds(std::uint64_t count) const {
    return count ? brokerCpu / static_cast<double>(count) * 1e6 : 0;
  }
  double perSecond(std::uint64_t count) const {
    return seconds > 0 ? static_cast<double>(count) / seconds : 0;
  }
};
Span between(const Snapshot& begin, const Snapshot& end);

/// What a run came to: figures by name, for programs, and a line for people.
struct Report {
  nlohmann::ordered_json figures{};
  std::string line{};

  /// Begins with what was asked for.
  Report(const char* scenario, const Options& options);
  void addLatency(const Histogram& latency);
  /// How busy both sides were.
  void addLoad(const Span& span, const Snapshot& end);
  /// Prints the figures to standard output and the line to standard error.
  void print() const;

private:
  std::string label_;
};

}  // namespace mqttstack::load
