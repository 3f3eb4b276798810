#pragma once

#include <string>

#include "app/exit_codes.hpp"
#include "core/stack/registry.hpp"

namespace mqttstack {

struct CheckOptions {
  std::string configFile;  ///< empty: what is built in
  bool quiet = false;      ///< says nothing if all is well
  /// Whose access to the files of the configuration is looked at. Empty: that of
  /// the packages' user if root asks, of nobody otherwise.
  std::string user;
};

/// `mqtt-stackd check`: everything that the broker does before its first effect,
/// told on standard error, and what would listen on standard output.
ExitCode checkConfiguration(const CheckOptions& options, const Registry& registry);

}  // namespace mqttstack
