#pragma once

#include <string>
#include <string_view>
#include <vector>

#include "core/stack/registry.hpp"

/// What the program says about what can be configured. Everything comes from
/// the declarations that also read the file.
namespace mqttstack {

/// One line per middleware.
std::string describeAll(const Registry& registry);

/// A middleware, or "listener", "tls" or "log": its options and callbacks. Empty
/// if there is nothing of that name.
std::string describe(const Registry& registry, std::string_view name);

/// What describe() knows.
std::vector<std::string> describableNames(const Registry& registry);

/// The whole of docs/configuration.md.
std::string configurationManual(const Registry& registry);

}  // namespace mqttstack
