#pragma once

#include <string>
#include <system_error>

#include "app/config_report.hpp"
#include "app/exit_codes.hpp"
#include "app/source_text.hpp"
#include "core/util/expected.hpp"

/// What the commands that read a configuration have in common.
namespace mqttstack {

/// The text of a configuration file, or of the built-in one if `file` is empty.
Result<SourceText> readSource(const std::string& file);

/// What to say of a configuration that can't be read, and how to end.
struct Unreadable {
  std::string line;
  ExitCode code;
};
Unreadable describeUnreadable(const std::string& file, std::error_code error);

/// Whether to print in colours: only to a terminal.
ConfigReport::Colour colourOf(int descriptor);

}  // namespace mqttstack
