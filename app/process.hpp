#pragma once

#include <cstdint>

namespace mqttstack {

/// Has writing to a connection that is gone, or more than a file may hold, fail with
/// an error instead of ending the process.
void haveWritesFail() noexcept;

/// Raises the limit of open files as far as the process may, since every client
/// is one. Returns the limit.
std::uint64_t raiseFileLimit() noexcept;

}  // namespace mqttstack
