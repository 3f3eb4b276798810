#pragma once

#include <filesystem>
#include <optional>
#include <string>
#include <string_view>

#include "core/stack/diagnostics.hpp"

namespace mqttstack {

/// Reads a file that the option `option` names, for a middleware's constructor.
/// Reports and returns nothing if it cannot be read.
std::optional<std::string> readOptionFile(std::string_view option,
                                          const std::filesystem::path& path,
                                          Diagnostics& diagnostics);

/// Warns if everybody on this machine can read the file: for files with secrets.
void warnIfPublic(std::string_view option, const std::filesystem::path& path,
                  Diagnostics& diagnostics);

}  // namespace mqttstack
