#pragma once

#include <algorithm>
#include <chrono>
#include <cstdint>
#include <string>
#include <utility>

#include "core/util/clock.hpp"

namespace mqttstack {

/// Time as it is stored: milliseconds since 1970, on a clock that nobody turns.
using StoreTime = std::int64_t;

/// Turns points of the monotonic clock into what can be stored, and back. It
/// shows the wall clock's time of when the store was made, or of the machine's
/// last start, and goes on from there as the monotonic clock does: turning the
/// wall clock while the broker runs, or between two runs without a restart of the
/// machine, changes nothing about what expires when.
class StoreClock {
public:
  /// What goes into the store beside the times.
  struct Setting {
    std::string bootId{};  ///< of the machine's run that the offset belongs to
    StoreTime offset = 0;  ///< what is added to the monotonic clock
  };

  /// Begins anew, or goes on with what was stored. `latest` is the latest time that
  /// is stored: the clock never shows an earlier one, whatever the wall clock says.
  StoreClock(const Clock& clock, std::string bootId, const Setting& stored, StoreTime latest)
      : setting_{std::move(bootId), 0} {
    if (!setting_.bootId.empty() && stored.bootId == setting_.bootId) {
      setting_.offset = stored.offset;
      return;
    }
    const StoreTime wall = milliseconds(clock.wall().time_since_epoch());
    setting_.offset = std::max(wall, latest) - milliseconds(clock.now().time_since_epoch());
  }

  const Setting& setting() const noexcept { return setting_; }

  StoreTime toStored(TimePoint time) const noexcept {
    return milliseconds(time.time_since_epoch()) + setting_.offset;
  }
  TimePoint fromStored(StoreTime time) const noexcept {
    // What was damaged may say anything; nanoseconds have to hold it.
    constexpr StoreTime kHorizon = 290LL * 365 * 24 * 3600 * 1000;
    const StoreTime stored = std::clamp(time, -kHorizon, kHorizon);
    const StoreTime shown = std::clamp(stored - setting_.offset, -kHorizon, kHorizon);
    return TimePoint{std::chrono::milliseconds{shown}};
  }

  /// Names the run of the machine since it was last started; empty if unknown.
  static std::string readBootId();

private:
  template <class Span>
  static StoreTime milliseconds(Span span) noexcept {
    return std::chrono::duration_cast<std::chrono::milliseconds>(span).count();
  }

  Setting setting_;
};

}  // namespace mqttstack
