#include "core/util/timer_wheel.hpp"

#include <chrono>
#include <cstddef>
#include <cstdio>
#include <vector>

#include "tests/bench/measure.hpp"

/// Prints what starting, moving, cancelling and firing a timer takes, alone and among a million.
namespace {

using namespace mqttstack;
using namespace std::chrono_literals;
using bench::measure;

const TimePoint kStart{1h};

struct Count {
  std::size_t fired = 0;
  void fire() { ++fired; }
};

/// Spans as keep alives and expiries have them: from a tick to an hour, scattered.
Duration spanOf(std::size_t i) { return std::chrono::milliseconds{10 + i * 7919 % 3'600'000}; }

std::vector<Timer> runningTimers(TimerWheel& wheel, Count& count, std::size_t size) {
  std::vector<Timer> timers;
  timers.reserve(size);
  for (std::size_t i = 0; i < size; ++i) {
    timers.push_back(Timer::calling<&Count::fire>(count));
    wheel.start(timers.back(), kStart + spanOf(i));
  }
  return timers;
}

void measureAmong(std::size_t others) {
  TimerWheel wheel{kStart};
  Count count;
  auto running = runningTimers(wheel, count, others);
  Timer timer = Timer::calling<&Count::fire>(count);
  std::printf("among %zu other timers\n", others);
  measure("  start and cancel", [&](std::size_t call) {
    wheel.start(timer, kStart + spanOf(call));
    timer.cancel();
  });
  measure("  start again", [&](std::size_t call) { wheel.start(timer, kStart + spanOf(call)); });
  measure("  when is the next due?", [&] {
    auto next = wheel.nextDeadline();
    bench::keep(next);
  });
}

/// All timers of an hour, tick by tick: what one costs from start to end.
void measureLives(std::size_t size) {
  TimerWheel wheel{kStart};
  Count count;
  const auto begin = std::chrono::steady_clock::now();
  auto timers = runningTimers(wheel, count, size);
  while (const auto next = wheel.nextDeadline()) wheel.advanceTo(*next);
  const std::chrono::duration<double, std::nano> taken = std::chrono::steady_clock::now() - begin;
  std::printf("%zu timers started and fired within an hour: %.1f ns each%s\n", size,
              taken.count() / static_cast<double>(size),
              count.fired == size ? "" : " (NOT ALL FIRED)");
}

}  // namespace

int main() {
  for (const std::size_t others : {0U, 1'000U, 1'000'000U}) measureAmong(others);
  for (const std::size_t size : {1'000U, 1'000'000U}) measureLives(size);
  return 0;
}
