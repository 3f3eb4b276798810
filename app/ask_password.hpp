#pragma once

#include <optional>
#include <string>

namespace mqttstack {

/// Writes `prompt` to a terminal and reads a line from it that is not shown.
/// Nothing if whoever sits there gives up (^C, ^D), or it is no terminal.
std::optional<std::string> askPassword(int terminal, const std::string& prompt);

}  // namespace mqttstack
