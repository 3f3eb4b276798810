#include "app/config_document.hpp"

#include <algorithm>

#include <toml++/toml.h>

namespace mqttstack {
namespace {

/// More than this tells nobody anything.
constexpr int kMostSyntaxErrors = 20;

SourceSpan spanOf(const toml::source_region& region) {
  SourceSpan span{region.begin.line, region.begin.column, 1};
  if (region.end.line == region.begin.line && region.end.column > region.begin.column)
    span.length = region.end.column - region.begin.column;
  return span;
}

ConfigValue convert(const toml::node& node);

ConfigTable convert(const toml::table& table) {
  ConfigTable converted;
  for (const auto& [key, node] : table)
    converted.entries.push_back({std::string{key.str()}, spanOf(key.source()), convert(node)});
  const auto stoodBefore = [](const ConfigEntry& a, const ConfigEntry& b) { return a.at < b.at; };
  std::sort(converted.entries.begin(), converted.entries.end(), stoodBefore);
  return converted;
}

ConfigValue convert(const toml::node& node) {
  ConfigValue converted{spanOf(node.source()), {}};
  if (const auto* table = node.as_table()) {
    converted.value = convert(*table);
  } else if (const auto* array = node.as_array()) {
    ConfigList list;
    for (const toml::node& item : *array) list.push_back(convert(item));
    converted.value = std::move(list);
  } else if (const auto* text = node.as_string()) {
    converted.value = text->get();
  } else if (const auto* whole = node.as_integer()) {
    converted.value = whole->get();
  } else if (const auto* real = node.as_floating_point()) {
    converted.value = real->get();
  } else if (const auto* truth = node.as_boolean()) {
    converted.value = truth->get();
  }
  return converted;
}

/// Whether a line begins a table or a key, and so is no continuation of a list
/// or a string.
bool beginsStatement(std::string_view line) {
  const auto begin = line.find_first_not_of(" \t");
  if (begin == std::string_view::npos) return false;
  line.remove_prefix(begin);
  if (line.front() == '[')  // a header, unless it is a list within a list
    return line.size() > 1 && line.find_first_of(",\"'") == std::string_view::npos;
  const auto isBare = [](char c) {
    return (c >= 'a' && c <= 'z') || (c >= 'A' && c <= 'Z') || (c >= '0' && c <= '9') || c == '_' ||
           c == '-' || c == '.';
  };
  const auto end = std::find_if_not(line.begin(), line.end(), isBare);
  const auto equals = std::find_if(end, line.end(), [](char c) { return c != ' ' && c != '\t'; });
  return end != line.begin() && equals != line.end() && *equals == '=';
}

/// Turns the statement that holds line `number` into spaces, so that a second
/// look finds what else is wrong. Returns the number of the line after it.
std::uint32_t blankStatement(std::string& text, std::uint32_t number) {
  struct Line {
    std::size_t begin;
    std::size_t end;
  };
  std::vector<Line> lines;
  for (std::size_t begin = 0; begin <= text.size();) {
    const std::size_t end = std::min(text.find('\n', begin), text.size());
    lines.push_back({begin, end});
    begin = end + 1;
  }
  const auto starts = [&](std::size_t index) {
    const Line& line = lines[index];
    return beginsStatement(std::string_view{text}.substr(line.begin, line.end - line.begin));
  };
  std::size_t first = std::min<std::size_t>(number, lines.size()) - 1;
  std::size_t last = first + 1;
  while (first > 0 && !starts(first)) --first;
  while (last < lines.size() && !starts(last)) ++last;
  for (std::size_t index = first; index < last; ++index)
    std::fill(text.begin() + static_cast<std::ptrdiff_t>(lines[index].begin),
              text.begin() + static_cast<std::ptrdiff_t>(lines[index].end), ' ');
  return static_cast<std::uint32_t>(last + 1);
}

std::string syntaxMessage(std::string_view description) {
  constexpr std::string_view kBegin = "Error while parsing ";
  std::string message{description};
  if (message.starts_with(kBegin)) message.replace(0, kBegin.size(), "cannot read ");
  return message;
}

}  // namespace

const ConfigEntry* ConfigTable::find(std::string_view key) const noexcept {
  const auto found = std::find_if(entries.begin(), entries.end(),
                                  [key](const ConfigEntry& entry) { return entry.key == key; });
  return found == entries.end() ? nullptr : &*found;
}

std::optional<ConfigTable> parseToml(const SourceText& source, ConfigReport& report) {
  std::string text = source.text();
  std::uint32_t searchedTo = 0;
  for (int errors = 0; errors < kMostSyntaxErrors; ++errors) {
    try {
      ConfigTable table = convert(toml::parse(text));
      if (errors == 0) return table;
      return std::nullopt;
    } catch (const toml::parse_error& error) {
      const SourceSpan at = spanOf(error.source());
      if (at.line <= searchedTo) return std::nullopt;
      report.error(at, syntaxMessage(error.description()));
      searchedTo = std::max(at.line, blankStatement(text, at.line) - 1);
    }
  }
  return std::nullopt;
}

OptionValue toOptionValue(const ConfigValue& value, std::string_view type) {
  if (const auto* truth = value.as<bool>()) return *truth;
  if (const auto* whole = value.as<std::int64_t>()) return *whole;
  if (const auto* real = value.as<double>()) return *real;
  if (const auto* text = value.as<std::string>()) return *text;
  const auto* list = value.as<ConfigList>();
  if (list && std::all_of(list->begin(), list->end(), [](const ConfigValue& item) {
        return item.as<std::string>() != nullptr;
      })) {
    std::vector<std::string> words;
    for (const ConfigValue& item : *list) words.push_back(*item.as<std::string>());
    return words;
  }
  if (type == "list of strings") return false;
  return std::vector<std::string>{};
}

}  // namespace mqttstack
