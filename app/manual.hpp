#pragma once

#include <string>
#include <string_view>

#include "core/stack/registry.hpp"

/// Documents that are generated, so that they tell what the program does. Tests
/// compare them with the files of the source tree.
namespace mqttstack {

/// What the reference says before it comes to single options, in Markdown: an
/// example and the rules that hold for the whole file.
std::string_view configurationIntroduction();

/// docs/configuration.md: everything that may stand in the file.
std::string configurationManual(const Registry& registry);

/// config/mqtt-stackd.toml: the configuration that packages install. It is safe
/// as it stands, and shows every option with its default, commented out.
std::string packagedConfig(const Registry& registry);

}  // namespace mqttstack
