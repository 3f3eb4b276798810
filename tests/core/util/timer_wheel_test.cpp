#include "core/util/timer_wheel.hpp"

#include <algorithm>
#include <cstdint>
#include <memory>
#include <optional>
#include <random>
#include <utility>
#include <vector>

#include <catch2/catch.hpp>

#include "tests/support/manual_clock.hpp"

using namespace mqttstack;
using namespace std::chrono_literals;

namespace {

constexpr TimePoint kStart{std::chrono::hours{5}};
constexpr Duration kTick{1 << 23};

/// Counts its firings and may do something more.
struct Bell {
  int rung = 0;
  TimePoint rungAt{};
  void ring() { ++rung; }
};

}  // namespace

TEST_CASE("a timer costs 40 bytes", "[timer_wheel]") { CHECK(sizeof(Timer) == 40); }

TEST_CASE("a timer fires once, not early and at most two ticks late [original:8.39]",
          "[timer_wheel]") {
  for (const Duration after : {Duration{1ms}, Duration{10ms}, Duration{500ms}, Duration{1min},
                               Duration{36h}, Duration{24h * 365 * 20}}) {
    TimerWheel wheel{kStart};
    Bell bell;
    Timer timer = Timer::calling<&Bell::ring>(bell);
    wheel.start(timer, kStart + after);
    CHECK(timer.running());
    const TimePoint due = timer.deadline();
    wheel.advanceTo(due - 1ns);
    CHECK(bell.rung == 0);
    wheel.advanceTo(due + 2 * kTick);
    CHECK(bell.rung == 1);
    CHECK_FALSE(timer.running());
    wheel.advanceTo(kStart + after + 100h);
    CHECK(bell.rung == 1);
  }
}

TEST_CASE("a timer that is cancelled or destroyed does not fire", "[timer_wheel]") {
  TimerWheel wheel{kStart};
  Bell bell;
  Timer cancelled = Timer::calling<&Bell::ring>(bell);
  wheel.start(cancelled, kStart + 20ms);
  cancelled.cancel();
  {
    Timer destroyed = Timer::calling<&Bell::ring>(bell);
    wheel.start(destroyed, kStart + 20ms);
  }
  CHECK_FALSE(wheel.nextDeadline());
  wheel.advanceTo(kStart + 1h);
  CHECK(bell.rung == 0);
  cancelled.cancel();
}

TEST_CASE("a timer that is started again keeps only the new deadline", "[timer_wheel]") {
  TimerWheel wheel{kStart};
  Bell bell;
  Timer timer = Timer::calling<&Bell::ring>(bell);
  wheel.start(timer, kStart + 50ms);
  wheel.start(timer, kStart + 5s);
  wheel.advanceTo(kStart + 4s);
  CHECK(bell.rung == 0);
  wheel.start(timer, kStart + 4100ms);
  wheel.advanceTo(kStart + 4200ms);
  CHECK(bell.rung == 1);
}

TEST_CASE("a timer that is moved goes on running at its new place", "[timer_wheel]") {
  TimerWheel wheel{kStart};
  Bell first;
  Bell second;
  std::vector<Timer> timers;
  for (int i = 0; i < 50; ++i) {
    timers.push_back(Timer::calling<&Bell::ring>(first));
    wheel.start(timers.back(), kStart + 20ms);
  }
  timers[0].setOwner(&second);
  Timer replaced = Timer::calling<&Bell::ring>(first);
  wheel.start(replaced, kStart + 20ms);
  replaced = std::move(timers[0]);
  CHECK_FALSE(timers[0].running());
  wheel.advanceTo(kStart + 1s);
  CHECK(first.rung == 49);
  CHECK(second.rung == 1);
}

TEST_CASE("the wheel goes before its timers", "[timer_wheel]") {
  Bell bell;
  Timer timer = Timer::calling<&Bell::ring>(bell);
  {
    TimerWheel wheel{kStart};
    wheel.start(timer, kStart + 20ms);
  }
  CHECK_FALSE(timer.running());
}

TEST_CASE("a deadline that is past fires with the next tick, not at once", "[timer_wheel]") {
  TimerWheel wheel{kStart};
  wheel.advanceTo(kStart + 1s);
  Bell bell;
  Timer timer = Timer::calling<&Bell::ring>(bell);
  wheel.start(timer, kStart);
  wheel.advanceTo(kStart + 1s);
  CHECK(bell.rung == 0);
  wheel.advanceTo(kStart + 1s + 2 * kTick);
  CHECK(bell.rung == 1);
}

TEST_CASE("a deadline beyond all measure is kept without harm", "[timer_wheel]") {
  TimerWheel wheel{kStart};
  Bell bell;
  Timer timer = Timer::calling<&Bell::ring>(bell);
  wheel.start(timer, TimePoint::max());
  wheel.advanceTo(kStart + std::chrono::hours{24 * 365 * 100});
  CHECK(bell.rung == 0);
  CHECK(timer.running());
}

TEST_CASE("a timer started by a callback waits for a later advance", "[timer_wheel]") {
  struct Restarter {
    TimerWheel wheel{kStart};
    Timer timer = Timer::calling<&Restarter::fire>(*this);
    int fired = 0;
    void fire() {
      ++fired;
      wheel.start(timer, kStart);
    }
  } restarter;
  restarter.wheel.start(restarter.timer, kStart + 10ms);
  restarter.wheel.advanceTo(kStart + 10s);  // a process that was stopped for 10 s
  CHECK(restarter.fired == 1);
  restarter.wheel.advanceTo(kStart + 20s);
  CHECK(restarter.fired == 2);
}

TEST_CASE("a callback may destroy itself, its neighbours and what is due with it",
          "[timer_wheel]") {
  struct Field {
    TimerWheel wheel{kStart};
    std::vector<std::unique_ptr<Timer>> timers;
    int fired = 0;
    void fire() {
      ++fired;
      timers.clear();
    }
  } field;
  for (int i = 0; i < 10; ++i) {
    field.timers.push_back(std::make_unique<Timer>(Timer::calling<&Field::fire>(field)));
    field.wheel.start(*field.timers.back(), kStart + 30ms);
  }
  field.wheel.advanceTo(kStart + 1s);
  CHECK(field.fired == 1);
}

TEST_CASE("the next deadline is never later than the first timer", "[timer_wheel]") {
  TimerWheel wheel{kStart};
  CHECK_FALSE(wheel.nextDeadline());
  Bell bell;
  Timer timer = Timer::calling<&Bell::ring>(bell);
  wheel.start(timer, kStart + 3h);
  int wakes = 0;
  for (auto next = wheel.nextDeadline(); next; next = wheel.nextDeadline()) {
    REQUIRE(*next <= kStart + 3h + kTick);
    wheel.advanceTo(*next);
    ++wakes;
  }
  CHECK(bell.rung == 1);
  CHECK(wakes <= 4);
}

TEST_CASE("a time in the past changes nothing", "[timer_wheel]") {
  TimerWheel wheel{kStart};
  wheel.advanceTo(kStart + 1h);
  wheel.advanceTo(kStart - 1h);
  Bell bell;
  Timer timer = Timer::calling<&Bell::ring>(bell);
  wheel.start(timer, kStart + 1h + 1s);
  wheel.advanceTo(kStart + 1h + 900ms);
  CHECK(bell.rung == 0);
  wheel.advanceTo(kStart + 1h + 1s + kTick);
  CHECK(bell.rung == 1);
}

namespace {

/// Timers beside a list of what should happen, kept by the simplest means.
class Model {
public:
  explicit Model(std::uint32_t seed) : random_{seed} {
    for (int i = 0; i < 60; ++i) entries_.push_back(std::make_unique<Entry>(*this));
  }

  void run(int steps) {
    for (int i = 0; i < steps; ++i) step();
  }
  int fired() const { return fired_; }

private:
  struct Entry {
    explicit Entry(Model& owner) : model{owner} {}
    void fire() { model.onFire(*this); }

    Model& model;
    Timer timer = Timer::calling<&Entry::fire>(*this);
    std::optional<TimePoint> expected;
    bool startedInAdvance = false;
  };

  void step() {
    switch (pick(6)) {
      case 0:
      case 1:
      case 2:
        start(any());
        break;
      case 3: {
        Entry& entry = any();
        entry.timer.cancel();
        entry.expected.reset();
        break;
      }
      default:
        advance();
    }
    for (const auto& entry : entries_)
      REQUIRE(entry->timer.running() == entry->expected.has_value());
  }

  void start(Entry& entry) {
    const Duration after{static_cast<std::int64_t>(random_() >> pick(62)) %
                         (std::int64_t{1} << 50)};
    wheel_.start(entry.timer, now_ + after);
    entry.expected = now_ + after;
    entry.startedInAdvance = advancing_;
  }

  void advance() {
    const auto next = wheel_.nextDeadline();
    if (next && pick(2) == 0)
      now_ = std::max(now_, *next);
    else
      now_ += Duration{static_cast<std::int64_t>(random_() >> pick(62)) % (std::int64_t{1} << 48)};
    for (const auto& entry : entries_) entry->startedInAdvance = false;
    advancing_ = true;
    lastFired_ = TimePoint::min();
    wheel_.advanceTo(now_);
    advancing_ = false;
    // Whatever is more than a tick overdue must have fired, unless it was started
    // while the wheel turned.
    for (const auto& entry : entries_)
      if (entry->expected && !entry->startedInAdvance)
        REQUIRE(std::max(*entry->expected, entry->timer.deadline()) + kTick > now_);
  }

  void onFire(Entry& entry) {
    ++fired_;
    REQUIRE(entry.expected);
    REQUIRE_FALSE(entry.startedInAdvance);
    REQUIRE(*entry.expected <= now_);
    REQUIRE(entry.timer.deadline() + kTick >= lastFired_);
    lastFired_ = std::max(lastFired_, entry.timer.deadline());
    entry.expected.reset();
    switch (pick(5)) {
      case 0:
        start(any());
        break;
      case 1:
        start(entry);
        break;
      case 2: {
        Entry& other = any();
        other.timer.cancel();
        other.expected.reset();
        break;
      }
      case 3: {
        auto& place = entries_[pick(static_cast<std::uint32_t>(entries_.size()))];
        place = std::make_unique<Entry>(*this);  // perhaps the one that fires
        break;
      }
      default:
        break;
    }
  }

  Entry& any() { return *entries_[pick(static_cast<std::uint32_t>(entries_.size()))]; }
  std::uint32_t pick(std::uint32_t below) { return static_cast<std::uint32_t>(random_() % below); }

  std::mt19937_64 random_;
  TimePoint now_ = kStart;
  TimerWheel wheel_{kStart};
  std::vector<std::unique_ptr<Entry>> entries_;
  TimePoint lastFired_{};
  bool advancing_ = false;
  int fired_ = 0;
};

}  // namespace

TEST_CASE("the wheel does what a list of deadlines would do", "[timer_wheel]") {
  int fired = 0;
  for (std::uint32_t seed = 1; seed <= 30; ++seed) {
    INFO("seed " << seed);
    Model model{seed};
    model.run(3000);
    fired += model.fired();
  }
  CHECK(fired > 10000);
}

TEST_CASE("a manual scheduler shows each timer the time at which it is due", "[timer_wheel]") {
  test::ManualScheduler scheduler;
  struct Witness {
    test::ManualScheduler& scheduler;
    std::vector<TimePoint> seen;
    void look() { seen.push_back(scheduler.now()); }
  } witness{scheduler, {}};
  Timer first = Timer::calling<&Witness::look>(witness);
  Timer second = Timer::calling<&Witness::look>(witness);
  const TimePoint start = scheduler.now();
  const WallTime wall = scheduler.wall();
  scheduler.start(first, 10s);
  scheduler.start(second, 20s);
  scheduler.advance(30s);
  REQUIRE(witness.seen.size() == 2);
  CHECK(witness.seen[0] >= start + 10s);
  CHECK(witness.seen[0] <= start + 10s + kTick);
  CHECK(witness.seen[1] >= start + 20s);
  CHECK(scheduler.now() == start + 30s);
  CHECK(scheduler.wall() == wall + 30s);

  scheduler.start(first, 10s);
  scheduler.jump(1h);
  CHECK(witness.seen.back() == scheduler.now());
}
