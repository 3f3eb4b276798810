#pragma once

#include <string>
#include <string_view>
#include <vector>

#include "core/stack/registry.hpp"

/// What the program says about what can be configured. Everything comes from
/// the declarations that also read the file.
namespace mqttstack {

/// A table of the file that belongs to no middleware.
struct ConfigTableInfo {
  std::string name;
  std::string header;  ///< as it stands in the file: "[log]"
  std::string summary;
  std::vector<OptionInfo> options;
};

/// `[[listener]]`, its `tls`, `[log]` and so on: all whose options are known by name.
std::vector<ConfigTableInfo> configTables();

/// Whether there is a default worth showing: an empty text only stands for none.
bool hasDefault(const OptionInfo& option);

/// Breaks text into lines of at most 88 characters, each after `indent`.
std::string wrapped(std::string_view text, std::string_view indent);

/// One line per middleware.
std::string describeAll(const Registry& registry);

/// A middleware, or a table such as "listener": its options and callbacks. Empty
/// if there is nothing of that name.
std::string describe(const Registry& registry, std::string_view name);

/// What describe() knows.
std::vector<std::string> describableNames(const Registry& registry);

}  // namespace mqttstack
