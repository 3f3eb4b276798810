#pragma once

#include <cstdint>
#include <sys/types.h>

namespace mqttstack::load {

/// What a process has used so far, all its threads together.
struct ProcessUse {
  double cpuSeconds = 0;     ///< with the resolution of the scheduler: nanoseconds
  double userSeconds = 0;    ///< with that of the kernel's tick: 10 ms
  double systemSeconds = 0;  ///< the same
  std::uint64_t residentBytes = 0;
};

/// What that process has used, or nothing but zeros if `process` is 0. Throws std::runtime_error if
/// there is no such process.
ProcessUse useOf(pid_t process);

/// CPU seconds that this process has used.
double ownCpuSeconds();

}  // namespace mqttstack::load
