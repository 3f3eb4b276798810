#include "app/config_report.hpp"

#include <algorithm>
#include <fmt/format.h>
#include <ostream>

#include "core/stack/options.hpp"

namespace mqttstack {
namespace {

constexpr std::string_view kIndent = "    ";
constexpr std::string_view kPlain = "\033[0m";
constexpr std::string_view kBold = "\033[1m";
constexpr std::string_view kRed = "\033[1;31m";
constexpr std::string_view kMagenta = "\033[1;35m";
constexpr std::string_view kGreen = "\033[1;32m";

std::string_view word(Severity severity) {
  return severity == Severity::error ? "error" : "warning";
}

std::string place(const ConfigFinding& finding, const SourceText& source) {
  if (finding.at.line == 0) return source.name() + ": ";
  return fmt::format("{}:{}:{}: ", source.name(), finding.at.line, finding.at.column);
}

/// Text from a configuration, with asterisks for what a URL in it says of user and
/// password: a report may end up in a log that others read.
std::string withoutCredentials(std::string text) {
  constexpr std::string_view kScheme = "://";
  for (std::size_t at = 0; (at = text.find(kScheme, at)) != std::string::npos;) {
    at += kScheme.size();
    const std::size_t end = std::min(text.find_first_of("/?#\"' \t", at), text.size());
    const std::size_t host = text.rfind('@', end);
    if (host != std::string::npos && host > at) std::fill(&text[at], &text[host], '*');
  }
  return text;
}

/// The line as a terminal may see it. A control character that a broken file
/// holds is one column wide like any other.
std::string shown(std::string_view line) {
  std::string text = withoutCredentials(std::string{line});
  for (char& c : text)
    if ((static_cast<unsigned char>(c) < 0x20 && c != '\t') || c == 0x7f) c = '?';
  return text;
}

/// What puts a caret below the place: columns count characters, and a tab stays
/// one, so that it is as wide as the tab above.
std::string underline(std::string_view line, const SourceSpan& at) {
  std::string text;
  std::uint32_t column = 1;
  std::size_t i = 0;
  for (; i < line.size() && column < at.column; ++i) {
    if ((line[i] & 0xc0) == 0x80) continue;  // inside a character
    text += line[i] == '\t' ? '\t' : ' ';
    ++column;
  }
  const auto left = static_cast<std::uint32_t>(
      std::count_if(line.begin() + static_cast<std::ptrdiff_t>(std::min(i, line.size())),
                    line.end(), [](char c) { return (c & 0xc0) != 0x80; }));
  text.append(at.column - column, ' ');
  text += '^';
  const std::uint32_t length = std::min(at.length, left);
  if (length > 1) text.append(length - 1, '~');
  return text;
}

std::string counted(std::size_t count, std::string_view what) {
  return fmt::format("{} {}{}", count, what, count == 1 ? "" : "s");
}

}  // namespace

void ConfigReport::add(ConfigFinding finding) {
  finding.message = withoutCredentials(std::move(finding.message));
  const auto same = [&](const ConfigFinding& other) {
    return other.at == finding.at && other.message == finding.message;
  };
  if (std::any_of(findings_.begin(), findings_.end(), same)) return;
  errors_ += finding.severity == Severity::error;
  const auto later = std::upper_bound(
      findings_.begin(), findings_.end(), finding,
      [](const ConfigFinding& a, const ConfigFinding& b) {
        return std::pair{a.at.line, a.at.column} < std::pair{b.at.line, b.at.column};
      });
  findings_.insert(later, std::move(finding));
}

ExitCode ConfigReport::exitCode() const noexcept {
  const auto has = [this](Fault fault) {
    return std::any_of(findings_.begin(), findings_.end(), [fault](const ConfigFinding& finding) {
      return finding.severity == Severity::error && finding.fault == fault;
    });
  };
  if (has(Fault::configuration)) return ExitCode::badConfiguration;
  if (has(Fault::permission)) return ExitCode::permission;
  return has(Fault::data) ? ExitCode::badData : ExitCode::success;
}

void ConfigReport::print(std::ostream& out, const SourceText& source, Colour colour) const {
  const auto paint = [colour](std::string_view code) {
    return colour == Colour::on ? code : std::string_view{};
  };
  for (const ConfigFinding& finding : findings_) {
    out << paint(kBold) << place(finding, source)
        << paint(finding.severity == Severity::error ? kRed : kMagenta) << word(finding.severity)
        << ": " << paint(kPlain) << paint(kBold) << finding.message << paint(kPlain) << '\n';
    if (finding.at.line != 0) {
      const std::string line = shown(source.line(finding.at.line));
      out << kIndent << line << '\n'
          << kIndent << paint(kGreen) << underline(line, finding.at) << paint(kPlain) << '\n';
    }
    if (!finding.help.empty())
      out << paint(kGreen) << "help: " << paint(kPlain) << finding.help << '\n';
  }
  if (findings_.empty()) return;
  const std::size_t warnings = findings_.size() - errors_;
  out << source.name() << ": " << (errors_ ? counted(errors_, "error") : "")
      << (errors_ && warnings ? ", " : "") << (warnings ? counted(warnings, "warning") : "")
      << '\n';
}

void ConfigReport::log(const Logger& log, const SourceText& source) const {
  for (const ConfigFinding& finding : findings_)
    if (finding.severity == Severity::warning) log.warning("{}", oneLine(finding, source));
  for (const ConfigFinding& finding : findings_)
    if (finding.severity == Severity::error) log.error("{}", oneLine(finding, source));
}

std::string headline(const ConfigFinding& finding, const SourceText& source) {
  return fmt::format("{}{}: {}", place(finding, source), word(finding.severity), finding.message);
}

std::string oneLine(const ConfigFinding& finding, const SourceText& source) {
  return headline(finding, source) + (finding.help.empty() ? "" : " (" + finding.help + ")");
}

std::string helpWithName(std::string_view word, const std::vector<std::string>& names,
                         std::string_view introduction) {
  if (const std::string_view meant = closestName(word, names); !meant.empty())
    return fmt::format("did you mean \"{}\"?", meant);
  if (names.empty()) return {};
  return fmt::format("{} {}", introduction, fmt::join(names, ", "));
}

}  // namespace mqttstack
