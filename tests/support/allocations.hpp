#pragma once

#include <cstddef>

namespace mqttstack::test {

/// How often operator new was called so far, in a test program that calls
/// this: its global operator new is replaced by one that counts.
std::size_t allocations() noexcept;

}  // namespace mqttstack::test
