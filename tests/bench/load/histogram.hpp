#pragma once

#include <array>
#include <cstddef>
#include <cstdint>

namespace mqttstack::load {

/// Durations in nanoseconds, counted in steps that grow with them: 64 for each doubling, so that a
/// percentile is within 1 % of the truth however long the durations are. Adding one costs a few
/// instructions and never memory.
class Histogram {
public:
  void add(std::uint64_t nanoseconds) noexcept {
    ++counts_[stepOf(nanoseconds)];
    if (nanoseconds > longest_) longest_ = nanoseconds;
  }

  std::uint64_t count() const noexcept;
  /// The longest that was added, exactly.
  std::uint64_t longest() const noexcept { return longest_; }
  /// What `share` (0 to 1) of the durations don't exceed, in nanoseconds; 0 if there are none.
  double percentile(double share) const noexcept;

private:
  static constexpr unsigned kStepBits = 6;
  static constexpr std::size_t kSteps = (65 - kStepBits) << kStepBits;

  /// Up to 2^7 a step is one nanosecond, then two, four and so on.
  static std::size_t stepOf(std::uint64_t nanoseconds) noexcept {
    if (nanoseconds < 2U << kStepBits) return nanoseconds;
    const unsigned doublings =
        63U - static_cast<unsigned>(__builtin_clzll(nanoseconds)) - kStepBits;
    return (std::size_t{doublings} << kStepBits) + (nanoseconds >> doublings);
  }
  /// The middle of a step.
  static double valueOf(std::size_t step) noexcept;

  std::array<std::uint64_t, kSteps> counts_{};
  std::uint64_t longest_ = 0;
};

}  // namespace mqttstack::load
