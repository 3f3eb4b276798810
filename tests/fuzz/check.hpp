#pragma once

#include <cstdio>
#include <cstdlib>

namespace mqttstack::fuzz {

/// Stops the fuzzer at an input that breaks a promise.
inline void check(bool kept, const char* promise) {
  if (kept) return;
  std::fprintf(stderr, "broken: %s\n", promise);
  std::abort();
}

}  // namespace mqttstack::fuzz
