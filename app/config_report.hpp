#pragma once

#include <cstddef>
#include <iosfwd>
#include <string>
#include <vector>

#include "app/exit_codes.hpp"
#include "app/source_text.hpp"
#include "core/stack/diagnostics.hpp"
#include "core/util/log.hpp"

namespace mqttstack {

/// Something that is wrong with the configuration, and where.
struct ConfigFinding {
  Severity severity;
  SourceSpan at;
  std::string message;
  std::string help;  ///< what to do; may be empty
  Fault fault = Fault::configuration;
};

/// Everything that is wrong with one configuration file. Whoever reads a part
/// of it adds what it finds and goes on.
class ConfigReport {
public:
  void add(ConfigFinding finding);
  void error(SourceSpan at, std::string message, std::string help = {},
             Fault fault = Fault::configuration) {
    add({Severity::error, at, std::move(message), std::move(help), fault});
  }
  void warning(SourceSpan at, std::string message, std::string help = {}) {
    add({Severity::warning, at, std::move(message), std::move(help)});
  }

  bool hasErrors() const noexcept { return errors_ != 0; }
  std::size_t errorCount() const noexcept { return errors_; }
  /// In the order of the file; what concerns the file as a whole comes first.
  const std::vector<ConfigFinding>& findings() const noexcept { return findings_; }

  /// How a process ends that cannot start because of this: what the file says
  /// wrong comes before what this user may not do, and that before the contents
  /// of other files. Success if there are no errors.
  ExitCode exitCode() const noexcept;

  enum class Colour : bool { off, on };

  /// Prints each finding as `file:line:column: error: message` with its line, a
  /// caret below the place, and what to do. Nothing if there are none.
  void print(std::ostream& out, const SourceText& source, Colour colour = Colour::off) const;
  /// Writes each finding to a log as one line, errors last.
  void log(const Logger& log, const SourceText& source) const;

private:
  std::vector<ConfigFinding> findings_;
  std::size_t errors_ = 0;
};

/// A finding as print() begins it:
/// `file:line:column: error: message`.
std::string headline(const ConfigFinding& finding, const SourceText& source);
/// The same, with what to do in parentheses behind it.
std::string oneLine(const ConfigFinding& finding, const SourceText& source);

/// What to tell somebody who wrote `word` where only one of `names` can stand:
/// the one that was probably meant, or all of them after `introduction`.
std::string helpWithName(std::string_view word, const std::vector<std::string>& names,
                         std::string_view introduction);

}  // namespace mqttstack
