#include "core/stack/options.hpp"

#include <algorithm>
#include <array>
#include <charconv>
#include <cmath>
#include <fmt/format.h>

#include "core/util/environment.hpp"

namespace mqttstack {
namespace {

struct Unit {
  std::string_view name;
  std::uint64_t factor;
};

constexpr std::array<Unit, 6> kTimeUnits{{{"d", 86'400'000},
                                          {"h", 3'600'000},
                                          {"ms", 1},
                                          {"m", 60'000},
                                          {"s", 1'000},
                                          {"w", 604'800'000}}};
constexpr std::array<Unit, 7> kByteUnits{{{"KiB", 1ULL << 10},
                                          {"MiB", 1ULL << 20},
                                          {"GiB", 1ULL << 30},
                                          {"kB", 1'000},
                                          {"MB", 1'000'000},
                                          {"GB", 1'000'000'000},
                                          {"B", 1}}};

/// Longer than any interval that MQTT knows, short enough never to overflow.
constexpr double kLongestMilliseconds = 1e15;

/// Takes "12.5" off the front of `text`.
std::optional<double> takeNumber(std::string_view& text) {
  // from_chars() would take a sign, "inf" and "nan" as well.
  if (text.empty() || text.front() < '0' || text.front() > '9') return std::nullopt;
  double number = 0;
  const auto [end, error] =
      std::from_chars(text.data(), text.data() + text.size(), number, std::chars_format::fixed);
  if (error != std::errc{}) return std::nullopt;
  text.remove_prefix(static_cast<std::size_t>(end - text.data()));
  return number;
}

template <std::size_t N>
std::optional<std::uint64_t> takeUnit(std::string_view& text, const std::array<Unit, N>& units) {
  for (const Unit& unit : units) {
    if (!text.starts_with(unit.name)) continue;
    text.remove_prefix(unit.name.size());
    return unit.factor;
  }
  return std::nullopt;
}

/// How many letters have to be added, taken out, replaced, or swapped with their
/// neighbour to make `b` of `a`.
std::size_t editDistance(std::string_view a, std::string_view b) {
  std::vector<std::size_t> beforeLast(b.size() + 1);
  std::vector<std::size_t> last(b.size() + 1);
  std::vector<std::size_t> row(b.size() + 1);
  for (std::size_t j = 0; j <= b.size(); ++j) row[j] = j;
  for (std::size_t i = 1; i <= a.size(); ++i) {
    beforeLast.swap(last);
    last.swap(row);
    row[0] = i;
    for (std::size_t j = 1; j <= b.size(); ++j) {
      const bool same = a[i - 1] == b[j - 1];
      row[j] = std::min({last[j - 1] + (same ? 0 : 1), last[j] + 1, row[j - 1] + 1});
      if (i > 1 && j > 1 && a[i - 1] == b[j - 2] && a[i - 2] == b[j - 1])
        row[j] = std::min(row[j], beforeLast[j - 2] + 1);
    }
  }
  return row.back();
}

}  // namespace

std::optional<TimeSpan> parseTimeSpan(std::string_view text) {
  if (text.empty()) return std::nullopt;
  double total = 0;
  while (!text.empty()) {
    const auto number = takeNumber(text);
    const auto unit = number ? takeUnit(text, kTimeUnits) : std::nullopt;
    if (!unit) return std::nullopt;
    total += *number * static_cast<double>(*unit);
  }
  if (total > kLongestMilliseconds) return std::nullopt;
  return TimeSpan{std::llround(total)};
}

std::string formatTimeSpan(TimeSpan span) {
  auto rest = static_cast<std::uint64_t>(span.count());
  if (rest == 0) return "0s";
  std::string text;
  constexpr std::array<Unit, 5> kDescending{
      {{"d", 86'400'000}, {"h", 3'600'000}, {"m", 60'000}, {"s", 1'000}, {"ms", 1}}};
  for (const Unit& unit : kDescending) {
    if (rest >= unit.factor) text += fmt::format("{}{}", rest / unit.factor, unit.name);
    rest %= unit.factor;
  }
  return text;
}

std::optional<ByteCount> parseByteCount(std::string_view text) {
  const auto number = takeNumber(text);
  if (!number) return std::nullopt;
  const auto unit = text.empty() ? std::optional<std::uint64_t>{1} : takeUnit(text, kByteUnits);
  if (!unit || !text.empty()) return std::nullopt;
  const double bytes = *number * static_cast<double>(*unit);
  if (bytes > 9e18) return std::nullopt;
  return ByteCount{static_cast<std::uint64_t>(bytes)};
}

std::string formatByteCount(ByteCount bytes) {
  constexpr std::array<Unit, 3> kDescending{
      {{"GiB", 1ULL << 30}, {"MiB", 1ULL << 20}, {"KiB", 1ULL << 10}}};
  for (const Unit& unit : kDescending)
    if (bytes.count >= unit.factor && bytes.count % unit.factor == 0)
      return fmt::format("{}{}", bytes.count / unit.factor, unit.name);
  return fmt::format("{}B", bytes.count);
}

namespace detail {

std::string convert(const OptionValue& from, bool& to, const std::filesystem::path&) {
  if (const auto* value = std::get_if<bool>(&from)) return to = *value, std::string{};
  return "true or false";
}

std::string convert(const OptionValue& from, std::int64_t& to, const std::filesystem::path&) {
  if (const auto* value = std::get_if<std::int64_t>(&from)) return to = *value, std::string{};
  return "a whole number";
}

std::string convert(const OptionValue& from, double& to, const std::filesystem::path&) {
  if (const auto* real = std::get_if<double>(&from)) {
    if (!std::isfinite(*real)) return "a number";
    return to = *real, std::string{};
  }
  if (const auto* whole = std::get_if<std::int64_t>(&from))
    return to = static_cast<double>(*whole), std::string{};
  return "a number";
}

std::string convert(const OptionValue& from, TimeSpan& to, const std::filesystem::path& base) {
  const std::string expected =
      "a duration such as \"90s\", \"1m30s\" or \"7d\", or a number of seconds";
  if (const auto* text = std::get_if<std::string>(&from)) {
    if (const auto span = parseTimeSpan(*text)) return to = *span, std::string{};
    return expected;
  }
  double seconds = 0;
  if (!convert(from, seconds, base).empty() || seconds < 0 || seconds * 1000 > kLongestMilliseconds)
    return expected;
  to = TimeSpan{std::llround(seconds * 1000)};
  return {};
}

std::string convert(const OptionValue& from, ByteCount& to, const std::filesystem::path&) {
  if (const auto* whole = std::get_if<std::int64_t>(&from); whole && *whole >= 0)
    return to = ByteCount{static_cast<std::uint64_t>(*whole)}, std::string{};
  if (const auto* text = std::get_if<std::string>(&from))
    if (const auto bytes = parseByteCount(*text)) return to = *bytes, std::string{};
  return "a size such as \"64KiB\" or \"1MiB\", or a number of bytes";
}

std::string convert(const OptionValue& from, std::string& to, const std::filesystem::path&) {
  if (const auto* text = std::get_if<std::string>(&from)) return to = *text, std::string{};
  return "a string";
}

std::string convert(const OptionValue& from, std::filesystem::path& to,
                    const std::filesystem::path& base) {
  const auto* text = std::get_if<std::string>(&from);
  if (!text || text->empty()) return "a path";
  auto expanded = expandVariables(*text);
  if (!expanded) return expanded.error();
  to = base / *expanded;  // an absolute path replaces the base
  return {};
}

std::string convert(const OptionValue& from, std::vector<std::string>& to,
                    const std::filesystem::path&) {
  if (const auto* list = std::get_if<std::vector<std::string>>(&from))
    return to = *list, std::string{};
  return "a list of strings";
}

std::string show(bool value) { return value ? "true" : "false"; }
std::string show(double value) { return fmt::format("{}", value); }
std::string show(TimeSpan value) { return '"' + formatTimeSpan(value) + '"'; }
std::string show(ByteCount value) { return '"' + formatByteCount(value) + '"'; }
std::string show(const std::string& value) {
  std::string text = "\"";
  for (const char c : value) {
    if (c == '"' || c == '\\') text += '\\';
    text += c;
  }
  return text + '"';
}
std::string show(const std::filesystem::path& value) { return show(value.string()); }
std::string show(const std::vector<std::string>& value) {
  std::string text = "[";
  for (const std::string& item : value) text += (text.size() > 1 ? ", " : "") + show(item);
  return text + "]";
}

}  // namespace detail

std::string_view closestName(std::string_view word, const std::vector<std::string>& candidates) {
  std::string_view best;
  std::size_t bestDistance = std::max<std::size_t>(1, word.size() / 3) + 1;
  for (const std::string& candidate : candidates) {
    const std::size_t distance = editDistance(word, candidate);
    if (distance >= bestDistance) continue;
    bestDistance = distance;
    best = candidate;
  }
  if (!best.empty()) return best;
  constexpr std::size_t kShortest = 3;  // that says something by itself
  for (const std::string& candidate : candidates)
    if (candidate.size() >= kShortest && word.starts_with(candidate)) return candidate;
  return best;
}

}  // namespace mqttstack
