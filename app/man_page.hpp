#pragma once

#include <string>
#include <string_view>

#include "core/stack/registry.hpp"

/// The manual page of the configuration file, for `man`.
namespace mqttstack {

/// mqtt-stackd.toml(5), in the language of man(7): the same reference as
/// docs/configuration.md, from the same declarations. The build writes it to a
/// file for packages to install.
std::string configurationManPage(const Registry& registry, std::string_view version);

/// The Markdown of our own documents in the language of man(7): paragraphs, list
/// items that begin with "- ", code between fences, `code` and **strong** words.
std::string manPageText(std::string_view markdown);

}  // namespace mqttstack
