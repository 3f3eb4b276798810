#pragma once

#include <memory>

#include <asio/io_context.hpp>
#include <asio/steady_timer.hpp>

#include "core/util/clock.hpp"
#include "core/util/timer_wheel.hpp"

namespace mqttstack::net {

/// The daemon's Scheduler: one timer wheel, driven by one timer of the
/// io_context that is set to the wheel's next deadline. The io_context sleeps
/// while no timer runs.
class AsioScheduler final : public Scheduler {
public:
  explicit AsioScheduler(asio::io_context& io);

  TimePoint now() const noexcept override { return clock_.now(); }
  WallTime wall() const noexcept override { return clock_.wall(); }
  void start(Timer& timer, Duration after) override;

private:
  void arm();
  void onTime();

  SystemClock clock_;
  TimerWheel wheel_;
  asio::steady_timer alarm_;
  TimePoint alarmAt_ = TimePoint::max();
  bool advancing_ = false;
  std::shared_ptr<void> alive_ = std::make_shared<char>();  // queued handlers look at it
};

}  // namespace mqttstack::net
