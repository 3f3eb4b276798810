#pragma once

#include <cstdint>
#include <optional>
#include <string>
#include <string_view>
#include <variant>
#include <vector>

#include "app/config_report.hpp"
#include "app/source_text.hpp"
#include "core/stack/options.hpp"

/// A TOML file as a tree that remembers where everything stood.
namespace mqttstack {

struct ConfigEntry;
struct ConfigValue;

struct ConfigTable {
  /// In the order of the file.
  std::vector<ConfigEntry> entries;

  const ConfigEntry* find(std::string_view key) const noexcept;
};

using ConfigList = std::vector<ConfigValue>;

struct ConfigValue {
  SourceSpan at;
  /// monostate stands for dates and times, which nothing here uses.
  std::variant<std::monostate, bool, std::int64_t, double, std::string, ConfigList, ConfigTable>
      value;

  template <class T>
  const T* as() const noexcept {
    return std::get_if<T>(&value);
  }
};

struct ConfigEntry {
  std::string key;
  SourceSpan at;  ///< of the key
  ConfigValue value;
};

/// Parses TOML. What cannot be read is reported, further mistakes as well as far
/// as they can be told apart; the result is empty then.
std::optional<ConfigTable> parseToml(const SourceText& source, ConfigReport& report);

/// The value as an option of a middleware gets it. A value of a kind that no
/// option has (a date, a table, a mixed list) comes out as one that an option of
/// `type` refuses in its own words.
OptionValue toOptionValue(const ConfigValue& value, std::string_view type);

}  // namespace mqttstack
