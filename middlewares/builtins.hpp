#pragma once

#include "core/stack/registry.hpp"

namespace mqttstack {

/// Adds every middleware that ships with the daemon. A new one is added here,
/// and only here.
void registerBuiltins(Registry& registry);

}  // namespace mqttstack
