#pragma once

#include <chrono>
#include <cstddef>
#include <string_view>

#include "core/util/clock.hpp"
#include "core/util/log.hpp"

namespace mqttstack {

/// Lets ten lines of a kind through each second, so that a client that insists
/// does not fill the disk, and tells how many were left out.
class LineLimit {
public:
  /// `what` is left out, for the line that says so: "denials". A view of
  /// something that lives on.
  explicit LineLimit(std::string_view what) : what_{what} {}

  /// True if a line may be written now.
  bool admits(TimePoint now, const Logger& log) {
    constexpr std::size_t kLinesPerSecond = 10;
    if (now - second_ >= std::chrono::seconds{1}) {
      if (lines_ > kLinesPerSecond)
        log.info("{} more {} were not written", lines_ - kLinesPerSecond, what_);
      second_ = now;
      lines_ = 0;
    }
    return ++lines_ <= kLinesPerSecond;
  }

private:
  std::string_view what_;
  TimePoint second_{};
  std::size_t lines_ = 0;
};

}  // namespace mqttstack
