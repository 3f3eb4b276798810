#include "core/util/timer_wheel.hpp"

#include <algorithm>
#include <bit>
#include <cassert>

namespace mqttstack {

TimerWheel::TimerWheel(TimePoint now) noexcept : origin_{now} {}

void TimerWheel::start(Timer& timer, TimePoint deadline) noexcept {
  timer.unlink();
  timer.deadline_ = std::clamp(deadline, timeOf(earliest_), origin_ + kHorizon);
  insert(timer);
}

TimePoint TimerWheel::timeOf(Tick tick) const noexcept {
  return origin_ + std::chrono::nanoseconds{static_cast<std::int64_t>(tick << kTickShift)};
}

TimerWheel::Tick TimerWheel::dueTick(const Timer& timer) const noexcept {
  // Rounded up: a tick is reached when all of it lies behind us.
  const auto nanoseconds = static_cast<Tick>((timer.deadline_ - origin_).count());
  return (nanoseconds + (Tick{1} << kTickShift) - 1) >> kTickShift;
}

// The level is that of the highest digit (base 64) in which the due tick differs
// from now; so everything on a level is due before anything on the next one, and a
// slot's contents share all higher digits with now.
void TimerWheel::insert(Timer& timer) noexcept {
  const Tick tick = dueTick(timer);
  const Tick difference = tick ^ now_;
  const int highestBit = 63 - std::countl_zero(difference | 1);
  const int level = highestBit / kSlotBits;
  const std::size_t slot = (tick >> (level * kSlotBits)) % kSlots;
  Level& home = levels_[static_cast<std::size_t>(level)];
  home.slots[slot].append(timer);
  home.occupied |= std::uint64_t{1} << slot;
}

std::optional<TimerWheel::Due> TimerWheel::nextSlot() noexcept {
  for (int number = 0; number < kLevels; ++number) {
    Level& level = levels_[static_cast<std::size_t>(number)];
    while (level.occupied != 0) {
      const auto slot = static_cast<std::size_t>(std::countr_zero(level.occupied));
      if (level.slots[slot].empty()) {  // all its timers were cancelled
        level.occupied &= level.occupied - 1;
        continue;
      }
      const int shift = number * kSlotBits;
      const Tick above = now_ >> (shift + kSlotBits) << (shift + kSlotBits);
      return Due{number, slot, above | (Tick{slot} << shift)};
    }
  }
  return std::nullopt;
}

void TimerWheel::advanceTo(TimePoint now) {
  assert(!advancing_);
  if (now <= origin_) return;
  const Tick target = static_cast<Tick>((now - origin_).count()) >> kTickShift;
  if (target < now_) return;
  advancing_ = true;
  earliest_ = target + 1;
  while (const auto due = nextSlot()) {
    if (due->tick > target) break;
    now_ = due->tick;
    Level& level = levels_[static_cast<std::size_t>(due->level)];
    level.occupied &= ~(std::uint64_t{1} << due->slot);
    Ring<Timer> batch;
    batch.append(level.slots[due->slot]);
    while (!batch.empty()) {
      Timer& timer = batch.front();
      timer.unlink();
      if (due->level == 0)
        timer.callback_(timer.owner_);
      else
        insert(timer);
    }
  }
  now_ = target;
  advancing_ = false;
}

std::optional<TimePoint> TimerWheel::nextDeadline() noexcept {
  const auto due = nextSlot();
  if (!due) return std::nullopt;
  return timeOf(due->tick);
}

}  // namespace mqttstack
