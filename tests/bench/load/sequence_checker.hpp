#pragma once

#include <array>
#include <cstddef>
#include <cstdint>

namespace mqttstack::load {

/// Tells by the sequence numbers of one publisher (1, 2, 3 …), as one subscriber gets them, what
/// was left out, what comes late, and what comes twice.
///
/// Exact while no message is overtaken by kReach others or more. Of one that is later still, all
/// that is known is whether anything is missing: if so it is taken for that.
class SequenceChecker {
public:
  static constexpr std::uint32_t kReach = 256;

  enum class Arrival : std::uint8_t { inOrder, late, again };
  struct Seen {
    Arrival arrival;
    std::uint32_t skipped;  ///< how many between this one and the one before have not been seen
  };

  Seen see(std::uint32_t sequence) noexcept {
    if (sequence == newest_ + 1) [[likely]] {
      newest_ = sequence;
      mark(sequence);
      return {Arrival::inOrder, 0};
    }
    return sequence > newest_ ? jump(sequence) : lookBack(sequence);
  }

  /// How many up to the newest have not been seen.
  std::uint32_t missing() const noexcept { return missing_; }

private:
  Seen jump(std::uint32_t sequence) noexcept;
  Seen lookBack(std::uint32_t sequence) noexcept;

  std::uint64_t& wordOf(std::uint32_t sequence) noexcept { return seen_[sequence % kReach / 64]; }
  static std::uint64_t bitOf(std::uint32_t sequence) noexcept {
    return std::uint64_t{1} << (sequence % 64);
  }
  void mark(std::uint32_t sequence) noexcept { wordOf(sequence) |= bitOf(sequence); }

  std::uint32_t newest_ = 0;
  std::uint32_t missing_ = 0;
  std::array<std::uint64_t, kReach / 64> seen_{};  // a ring: of the newest kReach numbers
};

}  // namespace mqttstack::load
