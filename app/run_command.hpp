#pragma once

#include <optional>
#include <string>

#include "app/exit_codes.hpp"
#include "core/stack/registry.hpp"

namespace mqttstack {

struct RunOptions {
  std::string configFile;                ///< empty: what is built in
  std::optional<std::string> logLevel;   ///< a value of [log] level, instead of the file's
  std::optional<std::string> logFormat;  ///< a value of [log] format, instead of the file's
};

/// `mqtt-stackd run`: the broker, until a signal ends it. REQUIRES: no other
/// thread runs.
ExitCode runBroker(const RunOptions& options, const Registry& registry);

}  // namespace mqttstack
