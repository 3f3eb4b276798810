#pragma once

#include <cstdint>
#include <string>

#include "app/service_manager.hpp"
#include "core/util/metrics.hpp"
#include "core/util/timer_wheel.hpp"

namespace mqttstack {

/// Tells the service manager, out of the loop, that the loop runs and what it
/// has to do. A loop that is stuck falls silent, and the manager's watchdog
/// starts the daemon again. Without a manager no timer runs.
///
/// Owned by the daemon, which outlives nothing of what is given here.
class Heartbeat {
public:
  Heartbeat(ServiceManager& manager, Scheduler& scheduler, const Metrics& metrics);
  Heartbeat(const Heartbeat&) = delete;
  Heartbeat& operator=(const Heartbeat&) = delete;

  /// Says READY and begins to beat. Called when all listeners are open, and
  /// again after each reload.
  void start();
  void stop() noexcept;

  /// What the status begins with until it is set again: that something went
  /// wrong which an administrator should know.
  void setNotice(std::string notice) { notice_ = std::move(notice); }

private:
  void ping();
  void report();
  std::string status();

  ServiceManager& manager_;
  Scheduler& scheduler_;
  const Metrics& metrics_;
  std::string notice_;
  std::string lastStatus_;
  TimePoint countedAt_{};
  std::int64_t received_ = 0;  // until countedAt_
  std::int64_t sent_ = 0;
  Timer pingTimer_ = Timer::calling<&Heartbeat::ping>(*this);
  Timer reportTimer_ = Timer::calling<&Heartbeat::report>(*this);
};

}  // namespace mqttstack
