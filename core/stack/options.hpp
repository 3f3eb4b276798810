#pragma once

#include <chrono>
#include <cstdint>
#include <filesystem>
#include <functional>
#include <limits>
#include <optional>
#include <string>
#include <string_view>
#include <type_traits>
#include <utility>
#include <variant>
#include <vector>

/// Options of middlewares: declared once, in one place, and that declaration
/// parses and checks the file, suggests what was meant, prints `mqtt-stackd
/// describe`, and generates docs/configuration.md.
namespace mqttstack {

/// A value as it stands in the configuration file.
using OptionValue = std::variant<bool, std::int64_t, double, std::string, std::vector<std::string>>;

/// A number of bytes: `1048576`, `"1MiB"`, `"64KiB"`.
struct ByteCount {
  std::uint64_t count = 0;
  friend auto operator<=>(const ByteCount&, const ByteCount&) = default;
};

/// A span of time: `10`, `1.5` (seconds), `"90s"`, `"1m30s"`, `"7d"`, `"250ms"`.
using TimeSpan = std::chrono::milliseconds;

std::optional<TimeSpan> parseTimeSpan(std::string_view text);
std::string formatTimeSpan(TimeSpan span);
std::optional<ByteCount> parseByteCount(std::string_view text);
std::string formatByteCount(ByteCount bytes);

/// What an option is, for people: printed by `describe` and in the docs.
struct OptionInfo {
  std::string name;
  std::string type;          ///< "duration", "size", "integer", "path", …
  std::string defaultValue;  ///< as it would be written in the file; empty if required
  std::string range;         ///< "1 to 65535", "one of …"; may be empty
  std::string text;          ///< one or two sentences
  bool required = false;
};

/// The options of one kind of middleware, bound to the members of its options
/// struct.
///
///     void KeepAliveOptions::declare(OptionTable<KeepAliveOptions>& table) {
///       table.add("grace", &KeepAliveOptions::grace, "Factor on the interval …").range(1.0, 10.0);
///     }
///
/// Defaults are the initial values of the struct's members.
template <class Options>
class OptionTable {
public:
  using Set =
      std::function<std::string(Options&, const OptionValue&, const std::filesystem::path&)>;
  struct Entry {
    OptionInfo info;
    Set set;
  };

  /// Narrows what was just added.
  template <class T>
  class Adding {
  public:
    /// Only values from `low` to `high`.
    Adding& range(T low, T high);
    /// There is no default; the file has to say it.
    Adding& required() {
      entry().info.required = true;
      entry().info.defaultValue.clear();
      return *this;
    }

  private:
    friend class OptionTable;
    Adding(OptionTable& table, T Options::*member) : table_{table}, member_{member} {}
    Entry& entry() { return table_.entries_.back(); }
    OptionTable& table_;
    T Options::*member_;
  };

  template <class T>
  Adding<T> add(std::string name, T Options::*member, std::string text);

  /// An option that takes one of a few names.
  template <class E>
  requires std::is_enum_v<E>
  void addChoice(std::string name, E Options::*member,
                 std::vector<std::pair<std::string, E>> choices, std::string text);

  const std::vector<Entry>& entries() const noexcept { return entries_; }

private:
  std::vector<Entry> entries_;
};

/// A middleware without options has these.
struct NoOptions {
  static void declare(OptionTable<NoOptions>&) {}
};

namespace detail {

/// Converts a value of the file to an option's type; on failure returns what was
/// expected ("a duration such as \"10s\"").
std::string convert(const OptionValue& from, bool& to, const std::filesystem::path& base);
std::string convert(const OptionValue& from, std::int64_t& to, const std::filesystem::path& base);
std::string convert(const OptionValue& from, double& to, const std::filesystem::path& base);
std::string convert(const OptionValue& from, TimeSpan& to, const std::filesystem::path& base);
std::string convert(const OptionValue& from, ByteCount& to, const std::filesystem::path& base);
std::string convert(const OptionValue& from, std::string& to, const std::filesystem::path& base);
std::string convert(const OptionValue& from, std::filesystem::path& to,
                    const std::filesystem::path& base);
std::string convert(const OptionValue& from, std::vector<std::string>& to,
                    const std::filesystem::path& base);

template <class T>
concept PlainInteger = std::is_integral_v<T> && !std::is_same_v<T, bool>;

template <PlainInteger T>
std::string convert(const OptionValue& from, T& to,
                    const std::filesystem::path& base) requires(!std::is_same_v<T, std::int64_t>) {
  std::int64_t wide = 0;
  if (std::string expected = convert(from, wide, base); !expected.empty()) return expected;
  if (wide < 0 || static_cast<std::uint64_t>(wide) > std::numeric_limits<T>::max())
    return "a number from 0 to " + std::to_string(std::numeric_limits<T>::max());
  to = static_cast<T>(wide);
  return {};
}

std::string show(bool value);
std::string show(double value);
std::string show(TimeSpan value);
std::string show(ByteCount value);
std::string show(const std::string& value);
std::string show(const std::filesystem::path& value);
std::string show(const std::vector<std::string>& value);
template <PlainInteger T>
std::string show(T value) {
  return std::to_string(value);
}

template <class T>
constexpr std::string_view typeName() {
  if constexpr (std::is_same_v<T, bool>)
    return "boolean";
  else if constexpr (std::is_same_v<T, double>)
    return "number";
  else if constexpr (std::is_same_v<T, TimeSpan>)
    return "duration";
  else if constexpr (std::is_same_v<T, ByteCount>)
    return "size";
  else if constexpr (std::is_same_v<T, std::string>)
    return "string";
  else if constexpr (std::is_same_v<T, std::filesystem::path>)
    return "path";
  else if constexpr (std::is_same_v<T, std::vector<std::string>>)
    return "list of strings";
  else
    return "integer";
}

}  // namespace detail

template <class Options>
template <class T>
auto OptionTable<Options>::add(std::string name, T Options::*member, std::string text)
    -> Adding<T> {
  const Options defaults{};
  OptionInfo info{std::move(name),
                  std::string{detail::typeName<T>()},
                  detail::show(defaults.*member),
                  {},
                  std::move(text),
                  false};
  entries_.push_back({std::move(info), [member](Options& options, const OptionValue& value,
                                                const std::filesystem::path& base) {
                        return detail::convert(value, options.*member, base);
                      }});
  return {*this, member};
}

template <class Options>
template <class T>
auto OptionTable<Options>::Adding<T>::range(T low, T high) -> Adding& {
  Entry& last = entry();
  last.info.range = detail::show(low) + " to " + detail::show(high);
  last.set = [inner = std::move(last.set), member = member_, low, high, text = last.info.range](
                 Options& options, const OptionValue& value, const std::filesystem::path& base) {
    if (std::string expected = inner(options, value, base); !expected.empty()) return expected;
    if (options.*member < low || high < options.*member) return "a value from " + text;
    return std::string{};
  };
  return *this;
}

template <class Options>
template <class E>
requires std::is_enum_v<E>
void OptionTable<Options>::addChoice(std::string name, E Options::*member,
                                     std::vector<std::pair<std::string, E>> choices,
                                     std::string text) {
  const Options defaults{};
  OptionInfo info{std::move(name), "string", {}, "one of ", std::move(text), false};
  for (const auto& [word, value] : choices) {
    if (value == defaults.*member) info.defaultValue = detail::show(word);
    if (&word != &choices.front().first) info.range += ", ";
    info.range += detail::show(word);
  }
  std::string expected = info.range;
  entries_.push_back({std::move(info),
                      [member, choices = std::move(choices), expected = std::move(expected)](
                          Options& options, const OptionValue& value,
                          const std::filesystem::path&) -> std::string {
                        if (const auto* word = std::get_if<std::string>(&value))
                          for (const auto& [choice, meaning] : choices)
                            if (choice == *word) {
                              options.*member = meaning;
                              return {};
                            }
                        return expected;
                      }});
}

/// The name among `candidates` that `word` was most likely meant to be; empty
/// if none is close.
std::string_view closestName(std::string_view word, const std::vector<std::string>& candidates);

}  // namespace mqttstack
