#pragma once

#include <cstdint>

#include "core/broker/delivery.hpp"
#include "core/stack/options.hpp"
#include "core/util/log.hpp"
#include "core/util/metrics.hpp"

namespace mqttstack {

/// What messages may take that are queued, under way or retained: the option memory_limit
/// of backends. A member of each; they share the counters, so that all messages
/// count for each limit.
///
/// The limit is reached when something did not fit, and left again when an eighth
/// of it is free: the operator is told once each.
class MemoryBudget {
public:
  /// `log` outlives it. A `limit` of 0 stands for half of what this process may use.
  MemoryBudget(Metrics& metrics, const Logger& log, ByteCount limit);

  /// True if there is room for so many bytes more, were so many others freed.
  bool fits(std::uint64_t bytes, std::uint64_t freed = 0) const noexcept {
    return used() + bytes <= limit_ + freed;
  }
  /// Something did not fit, and is refused.
  void refused();
  /// There may be less than there was.
  void freed() {
    if (reached_) [[unlikely]]
      leaveIfRoom();
  }
  /// True from when the limit is reached until it is left: what would only grow
  /// later had better not begin.
  bool exhausted();

  /// The retained messages of this backend take so many bytes now.
  void setRetained(std::uint64_t bytes) noexcept {
    retainedBytes_.add(static_cast<std::int64_t>(bytes - ownRetained_));
    ownRetained_ = bytes;
  }

private:
  std::uint64_t used() const noexcept {
    return static_cast<std::uint64_t>(queuedBytes_.value + retainedBytes_.value) +
           broker::InflightWindow::allBytes();
  }
  void leaveIfRoom();

  const Logger& log_;
  Metric& queuedBytes_;  // kept by the backends
  Metric& retainedBytes_;
  std::uint64_t limit_;
  std::uint64_t ownRetained_ = 0;
  bool reached_ = false;
};

}  // namespace mqttstack
