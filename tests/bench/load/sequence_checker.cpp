#include "tests/bench/load/sequence_checker.hpp"

namespace mqttstack::load {

SequenceChecker::Seen SequenceChecker::jump(std::uint32_t sequence) noexcept {
  const std::uint32_t skipped = sequence - newest_ - 1;
  if (skipped >= kReach) {
    seen_.fill(0);
  } else {
    for (std::uint32_t gap = newest_ + 1; gap != sequence; ++gap) wordOf(gap) &= ~bitOf(gap);
  }
  missing_ += skipped;
  newest_ = sequence;
  mark(sequence);
  return {Arrival::inOrder, skipped};
}

SequenceChecker::Seen SequenceChecker::lookBack(std::uint32_t sequence) noexcept {
  const bool known = newest_ - sequence < kReach;
  const bool again = known ? (wordOf(sequence) & bitOf(sequence)) != 0 : missing_ == 0;
  if (again || missing_ == 0) return {Arrival::again, 0};
  if (known) mark(sequence);
  --missing_;
  return {Arrival::late, 0};
}

}  // namespace mqttstack::load
