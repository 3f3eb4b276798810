#pragma once

#include <algorithm>
#include <chrono>
#include <cstddef>
#include <cstdio>
#include <type_traits>

/// What the micro benchmarks share.
namespace mqttstack::bench {

/// Makes the compiler believe that `value` is used, and may have been changed.
template <class T>
void keep(T& value) {
  asm volatile("" : "+m"(value) : : "memory");
}

/// Prints what a call of `body` takes, in nanoseconds: the best of several runs, since the others
/// were disturbed. `body` gets the number of the call, if it takes one. One call may do several of
/// what is measured: `each` says how many.
template <class Body>
void measure(const char* name, Body body, std::size_t each = 1) {
  constexpr int kRuns = 15;
  const std::size_t calls = 200'000 / each + 1;
  double best = 1e18;
  for (int run = 0; run < kRuns; ++run) {
    const auto start = std::chrono::steady_clock::now();
    for (std::size_t call = 0; call < calls; ++call) {
      if constexpr (std::is_invocable_v<Body&, std::size_t>) {
        body(call);
      } else {
        body();
      }
    }
    const std::chrono::duration<double, std::nano> taken = std::chrono::steady_clock::now() - start;
    best = std::min(best, taken.count() / static_cast<double>(calls * each));
  }
  std::printf("%-60s %8.1f ns\n", name, best);
}

}  // namespace mqttstack::bench
