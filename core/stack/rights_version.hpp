#pragma once

#include <cstdint>

namespace mqttstack {

/// Counts the changes of what anybody may do, so that what was worked out from
/// the rights can be kept until then. Of the loop's thread.
std::uint32_t rightsVersion() noexcept;

/// To be called by whoever decides about rights when what it would answer to a
/// question about an identity has changed: its file was read again.
void rightsHaveChanged() noexcept;

}  // namespace mqttstack
