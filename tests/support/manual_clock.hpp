#pragma once

#include "core/util/clock.hpp"
#include "core/util/timer_wheel.hpp"

namespace mqttstack::test {

/// A clock that stands still until a test moves it. Both clocks move together;
/// setWall() turns only the wall clock, as an administrator would.
class ManualClock final : public Clock {
public:
  TimePoint now() const noexcept override { return now_; }
  WallTime wall() const noexcept override { return wall_; }

  void advance(Duration by) noexcept {
    now_ += by;
    wall_ += std::chrono::duration_cast<WallTime::duration>(by);
  }
  void setWall(WallTime wall) noexcept { wall_ = wall; }

private:
  TimePoint now_{std::chrono::hours{1}};
  WallTime wall_{std::chrono::seconds{1'700'000'000}};
};

/// A Scheduler whose time a test moves.
class ManualScheduler final : public Scheduler {
public:
  TimePoint now() const noexcept override { return clock_.now(); }
  WallTime wall() const noexcept override { return clock_.wall(); }
  void start(Timer& timer, Duration after) override { wheel_.start(timer, now() + after); }

  /// Lets time pass; each timer sees the time at which it is due.
  void advance(Duration by) {
    const TimePoint end = now() + by;
    for (auto next = wheel_.nextDeadline(); next && *next <= end; next = wheel_.nextDeadline())
      jumpTo(*next);
    jumpTo(end);
  }

  /// Lets time pass in one go, as for a process that was stopped: all timers see
  /// the time at the end.
  void jump(Duration by) { jumpTo(now() + by); }

  void setWall(WallTime wall) noexcept { clock_.setWall(wall); }

private:
  void jumpTo(TimePoint time) {
    if (time > now()) clock_.advance(time - now());
    wheel_.advanceTo(now());
  }

  ManualClock clock_;
  TimerWheel wheel_{clock_.now()};
};

}  // namespace mqttstack::test
