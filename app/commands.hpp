#pragma once

#include "app/exit_codes.hpp"
#include "core/stack/registry.hpp"

namespace mqttstack {

/// The program: reads the command line, does what it says, returns what the
/// process shall exit with. `registry` says which middlewares there are.
ExitCode runCommandLine(int argc, const char* const* argv, const Registry& registry);

}  // namespace mqttstack
