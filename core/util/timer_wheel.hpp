#pragma once

#include <array>
#include <cstddef>
#include <cstdint>
#include <optional>

#include "core/util/clock.hpp"
#include "core/util/ring.hpp"

namespace mqttstack {

/// A call to be made later, once. Lives as a member of what it belongs to and
/// costs 40 bytes; starting and cancelling move two pointers. Destruction
/// cancels. Movable: a running timer goes on running at its new place, with the
/// same callback and owner (call setOwner() if the owner moved too).
///
/// Whatever happens on every packet (keep alive) must not restart a timer:
/// remember when it happened, and when the timer fires start it again for the
/// rest.
class Timer : private RingLink {
public:
  using Callback = void (*)(void* owner);

  /// Calls callback(owner) when it fires.
  Timer(Callback callback, void* owner) noexcept : callback_{callback}, owner_{owner} {}

  /// A timer that calls a member function: `Timer::calling<&Lock::expire>(lock)`.
  template <auto Method, class Owner>
  static Timer calling(Owner& owner) noexcept {
    return Timer{[](void* self) { (static_cast<Owner*>(self)->*Method)(); }, &owner};
  }

  Timer(Timer&& other) noexcept
      : deadline_{other.deadline_},
        callback_{other.callback_},
        owner_{other.owner_} {
    replace(other);
  }
  Timer& operator=(Timer&& other) noexcept {
    if (this == &other) return *this;
    deadline_ = other.deadline_;
    callback_ = other.callback_;
    owner_ = other.owner_;
    replace(other);
    return *this;
  }
  ~Timer() = default;

  /// Forgets the call. Nothing happens if it isn't running.
  void cancel() noexcept { unlink(); }

  /// Whether the call is still to come; false from just before the callback on.
  bool running() const noexcept { return linked(); }

  /// When it is due, or was when it ran last; never before the tick after its
  /// start.
  TimePoint deadline() const noexcept { return deadline_; }

  void setOwner(void* owner) noexcept { owner_ = owner; }

private:
  friend class TimerWheel;
  friend class Ring<Timer>;

  TimePoint deadline_{};
  Callback callback_;
  void* owner_;
};

/// Time as middlewares see it: they may ask for it and have something done
/// later, and never see the loop. The daemon's is net::AsioScheduler, a test's
/// is ManualScheduler.
class Scheduler : public Clock {
public:
  /// Has `timer` fire once after `after` at the earliest, a few ms later at
  /// most (plus what the loop is busy with). Starting a running timer restarts
  /// it. Never fires from inside this call; zero and less mean "soon".
  virtual void start(Timer& timer, Duration after) = 0;
};

/// All timers of the process: a hierarchical wheel, in which starting,
/// cancelling and firing take constant time however many there are. Resolution
/// is 8.4 ms; a timer never fires early. It has no clock of its own: the owner
/// calls advanceTo() at nextDeadline() or whenever it likes.
class TimerWheel {
public:
  /// `now` is where time begins. Timers that still run when the wheel is
  /// destroyed are cancelled.
  explicit TimerWheel(TimePoint now) noexcept;
  TimerWheel(const TimerWheel&) = delete;
  TimerWheel& operator=(const TimerWheel&) = delete;

  /// Has `timer` fire in the first advanceTo() that reaches `deadline`; if that
  /// is past, in the next one that reaches another tick.
  void start(Timer& timer, TimePoint deadline) noexcept;

  /// Fires what is due, in the order of ticks. A callback may start, cancel and
  /// destroy any timer, its own too; what it starts fires in a later call at the
  /// earliest. A jump of hours costs no more than the timers due.
  /// REQUIRES: not called from a callback. Going back in time does nothing.
  void advanceTo(TimePoint now);

  /// When to call advanceTo() next, or nothing if no timer runs. May be earlier
  /// than any timer's deadline: the wheel then sorts, and fires nothing.
  std::optional<TimePoint> nextDeadline() noexcept;

private:
  using Tick = std::uint64_t;
  static constexpr int kTickShift = 23;                          // 2^23 ns = 8.4 ms
  static constexpr std::chrono::hours kHorizon{24 * 365 * 140};  // as good as never
  static constexpr int kSlotBits = 6;
  static constexpr std::size_t kSlots = std::size_t{1} << kSlotBits;
  static constexpr int kLevels = 7;  // 2^42 ticks: all that 63 bits of nanoseconds can say

  struct Level {
    std::uint64_t occupied = 0;  // may name slots that have become empty
    std::array<Ring<Timer>, kSlots> slots;
  };
  struct Due {
    int level;
    std::size_t slot;
    Tick tick;
  };

  void insert(Timer& timer) noexcept;
  TimePoint timeOf(Tick tick) const noexcept;
  Tick dueTick(const Timer& timer) const noexcept;
  std::optional<Due> nextSlot() noexcept;

  std::array<Level, kLevels> levels_;
  TimePoint origin_;
  Tick now_ = 0;       // the tick that the wheel stands at; all before it have fired
  Tick earliest_ = 1;  // what is started now fires no earlier than this
  bool advancing_ = false;
};

}  // namespace mqttstack
