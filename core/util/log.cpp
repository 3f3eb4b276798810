#include "core/util/log.hpp"

namespace mqttstack {

std::string_view toString(LogLevel level) noexcept {
  switch (level) {
    case LogLevel::trace:
      return "trace";
    case LogLevel::debug:
      return "debug";
    case LogLevel::info:
      return "info";
    case LogLevel::warning:
      return "warning";
    case LogLevel::error:
      return "error";
    case LogLevel::off:
      break;
  }
  return "off";
}

void Logger::vlog(LogLevel level, fmt::string_view text, fmt::format_args args) const {
  sink_->write(level, component_, fmt::vformat(text, args));
}

}  // namespace mqttstack
