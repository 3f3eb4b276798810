#pragma once

#include <chrono>

namespace mqttstack {

/// Points and spans of the monotonic clock, which no administrator and no time
/// server can turn. Everything that runs in this process (keep alive, expiry,
/// delays) is measured with it.
using TimePoint = std::chrono::steady_clock::time_point;
using Duration = std::chrono::steady_clock::duration;

/// Points of the wall clock: only for what is stored or shown.
using WallTime = std::chrono::system_clock::time_point;

/// What time it is. Passed in wherever time matters, so that tests and the
/// simulation decide it (ManualClock in tests/support).
class Clock {
public:
  virtual ~Clock() = default;
  virtual TimePoint now() const noexcept = 0;
  virtual WallTime wall() const noexcept = 0;
};

/// The machine's clocks.
class SystemClock final : public Clock {
public:
  TimePoint now() const noexcept override { return std::chrono::steady_clock::now(); }
  WallTime wall() const noexcept override { return std::chrono::system_clock::now(); }
};

}  // namespace mqttstack
