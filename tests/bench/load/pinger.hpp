#pragma once

#include <atomic>
#include <chrono>
#include <cstdint>
#include <deque>
#include <thread>

#include "tests/bench/load/histogram.hpp"
#include "tests/bench/load/loop.hpp"
#include "tests/bench/load/options.hpp"

namespace mqttstack::load {

/// A client that does no harm and wants to be served: it sends a PINGREQ every few milliseconds and
/// takes the time until the answer. It has a thread and a loop of its own, so that it does not wait
/// for what the others of the generator do.
class Pinger final : private Watcher {
public:
  /// Connects. Throws std::runtime_error if that fails.
  explicit Pinger(const Options& options);
  /// Stops first, if that has not been done.
  ~Pinger() override;

  struct Result {
    Histogram waits{};  ///< from when a ping was due until its answer
    std::uint64_t sent = 0;
    std::uint64_t unanswered = 0;  ///< after some seconds of waiting
  };
  /// Sends no more pings, waits for the answers that are still to come, and says what there was.
  /// Called once.
  Result stop();

private:
  void run(std::uint64_t begin);
  void answered(Connection& connection, PacketType type) override;

  Loop loop_;
  Connection connection_;
  std::deque<std::uint64_t> due_;  // of pings that are not answered
  Result result_;
  std::atomic<bool> stop_ = false;
  std::thread thread_;
};

}  // namespace mqttstack::load
