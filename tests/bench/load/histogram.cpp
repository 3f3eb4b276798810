#include "tests/bench/load/histogram.hpp"

#include <algorithm>
#include <cmath>
#include <numeric>

namespace mqttstack::load {

std::uint64_t Histogram::count() const noexcept {
  return std::accumulate(counts_.begin(), counts_.end(), std::uint64_t{0});
}

double Histogram::percentile(double share) const noexcept {
  const std::uint64_t all = count();
  if (all == 0) return 0;
  const auto rank = static_cast<std::uint64_t>(std::ceil(share * static_cast<double>(all)));
  if (rank >= all) return static_cast<double>(longest_);
  std::uint64_t passed = 0;
  std::size_t step = 0;
  while ((passed += counts_[step]) < std::max<std::uint64_t>(rank, 1)) ++step;
  return std::min(valueOf(step), static_cast<double>(longest_));
}

double Histogram::valueOf(std::size_t step) noexcept {
  constexpr std::size_t kPerDoubling = std::size_t{1} << kStepBits;
  if (step < 2 * kPerDoubling) return static_cast<double>(step);
  const std::size_t doublings = (step >> kStepBits) - 1;
  const std::size_t position = kPerDoubling + step % kPerDoubling;
  return (static_cast<double>(position) + 0.5) * std::ldexp(1.0, static_cast<int>(doublings));
}

}  // namespace mqttstack::load
