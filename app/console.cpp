#include "app/console.hpp"

#include <fmt/format.h>
#include <unistd.h>

#include "app/config.hpp"

namespace mqttstack {

Result<SourceText> readSource(const std::string& file) {
  if (file.empty()) return builtInConfig();
  return SourceText::read(file);
}

Unreadable describeUnreadable(const std::string& file, std::error_code error) {
  const bool forbidden = error == std::errc::permission_denied;
  std::string line =
      fmt::format("{}: error: cannot read the configuration: {}", file, error.message());
  if (forbidden) line += " (let the user that the broker runs as read it)";
  if (error == std::errc::no_such_file_or_directory)
    line += " (make it, or name another one with --config)";
  return {std::move(line), forbidden ? ExitCode::permission : ExitCode::badConfiguration};
}

ConfigReport::Colour colourOf(int descriptor) {
  return ::isatty(descriptor) != 0 ? ConfigReport::Colour::on : ConfigReport::Colour::off;
}

}  // namespace mqttstack
