#include "app/config_document.hpp"

#include <algorithm>
#include <cctype>
#include <fmt/format.h>
#include <stdexcept>

#include "app/toml.hpp"
#include "core/mqtt/text.hpp"

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

/// The text of a file whose statements can be taken out one by one, so that
/// another look finds what else is wrong.
class Statements {
public:
  explicit Statements(std::string text) : text_{std::move(text)} {
    for (std::size_t begin = 0; begin <= text_.size();) {
      const std::size_t end = std::min(text_.find('\n', begin), text_.size());
      lines_.push_back({begin, end});
      begin = end + 1;
    }
  }

  const std::string& text() const noexcept { return text_; }
  std::uint32_t lines() const noexcept { return static_cast<std::uint32_t>(lines_.size()); }
  std::string_view line(std::uint32_t number) const {
    const auto [begin, end] = lines_[number - 1];
    return std::string_view{text_}.substr(begin, end - begin);
  }

  /// The line in which the statement begins that line `number` belongs to.
  std::uint32_t beginOf(std::uint32_t number) const {
    while (number > 1 && !beginsStatement(line(number))) --number;
    return number;
  }
  /// The last line of the statement that begins in line `number`.
  std::uint32_t endOf(std::uint32_t number) const {
    while (number < lines() && !beginsStatement(line(number + 1))) ++number;
    return number;
  }
  /// The line in which an earlier statement begins that holds an opening
  /// bracket, and so may go on until line `number`; 0 if there is none.
  std::uint32_t unclosedBefore(std::uint32_t number) const {
    while (number > 1) {
      --number;
      if (line(number).find_first_not_of(" \t\r") == std::string_view::npos) continue;
      number = beginOf(number);
      std::ptrdiff_t depth = 0;
      for (std::uint32_t each = number; each <= endOf(number); ++each)
        for (const char c : line(each)) depth += (c == '[' || c == '{') - (c == ']' || c == '}');
      return depth > 0 ? number : 0;
    }
    return 0;
  }

  /// Turns lines into spaces.
  void blank(std::uint32_t first, std::uint32_t last) {
    for (; first <= last; ++first)
      std::fill(text_.begin() + static_cast<std::ptrdiff_t>(lines_[first - 1].begin),
                text_.begin() + static_cast<std::ptrdiff_t>(lines_[first - 1].end), ' ');
  }

private:
  struct Line {
    std::size_t begin;
    std::size_t end;
  };
  std::string text_;
  std::vector<Line> lines_;
};

/// Where a table header has no name, if that is what is wrong with the file.
SourceSpan namelessHeader(const Statements& statements) {
  for (std::uint32_t number = 1; number <= statements.lines(); ++number) {
    const std::string_view line = statements.line(number);
    const auto bracket = line.find_first_not_of(" \t");
    if (bracket == std::string_view::npos || line[bracket] != '[') continue;
    const auto name = line.find_first_not_of("[ \t", bracket);
    const auto c = name == std::string_view::npos ? '\0' : line[name];
    if (name > bracket + 2 || !(std::isalnum(static_cast<unsigned char>(c)) || c == '_' ||
                                c == '-' || c == '"' || c == '\''))
      return {number, static_cast<std::uint32_t>(bracket + 1), 1};
  }
  return {};
}

/// What may be meant by a line that cannot be read.
std::string syntaxHelp(std::string_view line, std::uint32_t unclosed) {
  if (unclosed != 0) return fmt::format("what begins on line {} may not be closed", unclosed);
  const auto equals = line.find('=');
  if (equals == std::string_view::npos) return {};
  std::string_view word = line.substr(equals + 1);
  word.remove_prefix(std::min(word.find_first_not_of(" \t"), word.size()));
  word = word.substr(0, word.find_first_of(" \t\r#"));
  if (word.empty() || !(std::isalpha(static_cast<unsigned char>(word[0])) || word[0] == '/') ||
      word.find_first_of("\"'{}[]") != std::string_view::npos)
    return {};
  return fmt::format("a text stands in quotes: \"{}\"", mqtt::printable(word));
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
  Statements statements{source.text()};
  std::uint32_t searchedTo = 0;
  for (int errors = 0; errors < kMostSyntaxErrors; ++errors) {
    SourceSpan at;
    std::string message;
    try {
      ConfigTable table = convert(toml::parse(statements.text()));
      if (errors == 0) return table;
      return std::nullopt;
    } catch (const toml::parse_error& error) {
      at = spanOf(error.source());
      message = syntaxMessage(error.description());
    } catch (const std::logic_error&) {
      at = namelessHeader(statements);
      message = "cannot read table header: there is no name in it";
    }
    if (at.line <= searchedTo) {
      if (errors == 0) report.error(at, message);
      return std::nullopt;
    }
    at.line = std::min(at.line, statements.lines());
    const std::uint32_t begin = statements.beginOf(at.line);
    const std::uint32_t unclosed = statements.unclosedBefore(begin);
    report.error(at, message, syntaxHelp(statements.line(at.line), unclosed));
    searchedTo = statements.endOf(begin);
    statements.blank(unclosed != 0 ? unclosed : begin, searchedTo);
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
