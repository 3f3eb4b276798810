#pragma once

#include <optional>
#include <string>
#include <string_view>

#include "core/util/expected.hpp"

namespace mqttstack {

/// A variable of the environment; nothing if it is not set.
std::optional<std::string> environmentVariable(const char* name);

/// Takes a variable out of the environment, so that no child process inherits
/// what was meant for this one. REQUIRES: no other thread runs yet.
std::optional<std::string> takeEnvironmentVariable(const char* name);

/// Replaces each `${NAME}` by that variable of the environment. The error says
/// what the text would have to be, as the conversions of options do.
Expected<std::string, std::string> expandVariables(std::string_view text);

}  // namespace mqttstack
