#pragma once

#include <chrono>
#include <cstddef>

#include "core/util/timer_wheel.hpp"

namespace mqttstack {

/// Gives memory that a peak needed back to the system. The allocator keeps what
/// is freed, which is right for what comes and goes, but not for ever: so this
/// looks every now and then whether much is free that was in use before.
class MemoryReturn {
public:
  explicit MemoryReturn(Scheduler& scheduler) noexcept : scheduler_{scheduler} {}

  /// Looks from now on.
  void start();

  /// Looks once; true if memory was given back.
  bool look();

private:
  static constexpr std::chrono::seconds kInterval{10};
  static constexpr std::size_t kWorthwhile = 8 * 1024 * 1024;

  void onTime();

  Scheduler& scheduler_;
  std::size_t freeThen_ = 0;  // that much was free, and given back as far as possible
  Timer timer_ = Timer::calling<&MemoryReturn::onTime>(*this);
};

}  // namespace mqttstack
