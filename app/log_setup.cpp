#include "app/log_setup.hpp"

#include <ctime>
#include <fmt/format.h>
#include <memory>
#include <sys/stat.h>
#include <unistd.h>

#include <spdlog/common.h>
#include <spdlog/details/log_msg.h>
#include <spdlog/formatter.h>
#include <spdlog/sinks/stdout_sinks.h>

#include "core/util/environment.hpp"

namespace mqttstack {
namespace {

spdlog::level::level_enum toSpdlog(LogLevel level) {
  switch (level) {
    case LogLevel::trace:
      return spdlog::level::trace;
    case LogLevel::debug:
      return spdlog::level::debug;
    case LogLevel::info:
      return spdlog::level::info;
    case LogLevel::warning:
      return spdlog::level::warn;
    case LogLevel::error:
      return spdlog::level::err;
    case LogLevel::off:
      break;
  }
  return spdlog::level::off;
}

LogLevel fromSpdlog(spdlog::level::level_enum level) {
  switch (level) {
    case spdlog::level::trace:
      return LogLevel::trace;
    case spdlog::level::debug:
      return LogLevel::debug;
    case spdlog::level::warn:
      return LogLevel::warning;
    case spdlog::level::err:
    case spdlog::level::critical:
      return LogLevel::error;
    default:
      return LogLevel::info;
  }
}

/// The levels of syslog(3).
int journalLevel(LogLevel level) {
  switch (level) {
    case LogLevel::error:
      return 3;
    case LogLevel::warning:
      return 4;
    case LogLevel::info:
      return 6;
    default:
      return 7;
  }
}

/// Control characters, so that nothing in a message looks like another line.
void appendText(std::string& line, std::string_view text) {
  for (const char c : text) {
    const auto byte = static_cast<unsigned char>(c);
    if (byte < 0x20 || byte == 0x7f)
      line += fmt::format("\\x{:02x}", byte);
    else
      line += c;
  }
}

void appendJson(std::string& line, std::string_view text) {
  for (const char c : text) {
    const auto byte = static_cast<unsigned char>(c);
    if (c == '"' || c == '\\')
      (line += '\\') += c;
    else if (byte < 0x20 || byte == 0x7f)
      line += fmt::format("\\u{:04x}", byte);
    else
      line += c;
  }
}

std::string timeText(std::chrono::system_clock::time_point time, LogFormat format) {
  using namespace std::chrono;
  const auto milliseconds = duration_cast<std::chrono::milliseconds>(time.time_since_epoch());
  const auto fraction = milliseconds.count() % 1000;
  const std::time_t seconds = milliseconds.count() / 1000;
  std::tm parts{};
  if (format == LogFormat::json)
    ::gmtime_r(&seconds, &parts);
  else
    ::localtime_r(&seconds, &parts);
  const bool json = format == LogFormat::json;
  return fmt::format("{:04}-{:02}-{:02}{}{:02}:{:02}:{:02}.{:03}{}", parts.tm_year + 1900,
                     parts.tm_mon + 1, parts.tm_mday, json ? 'T' : ' ', parts.tm_hour, parts.tm_min,
                     parts.tm_sec, fraction, json ? "Z" : "");
}

class LineFormatter final : public spdlog::formatter {
public:
  explicit LineFormatter(LogFormat format) : format_{format} {}

  void format(const spdlog::details::log_msg& message, spdlog::memory_buf_t& to) override {
    const std::string line = formatLogLine(format_, message.time, fromSpdlog(message.level),
                                           {message.logger_name.data(), message.logger_name.size()},
                                           {message.payload.data(), message.payload.size()});
    to.append(line.data(), line.data() + line.size());
  }
  std::unique_ptr<spdlog::formatter> clone() const override {
    return std::make_unique<LineFormatter>(format_);
  }

private:
  LogFormat format_;
};

}  // namespace

bool stderrIsJournal() {
  const auto stream = environmentVariable("JOURNAL_STREAM");
  struct stat status;
  if (!stream || ::fstat(STDERR_FILENO, &status) != 0) return false;
  return *stream == fmt::format("{}:{}", status.st_dev, status.st_ino);
}

LogFormat resolved(LogFormat format) {
  if (format != LogFormat::automatic) return format;
  return stderrIsJournal() ? LogFormat::journal : LogFormat::text;
}

LogSink makeLogSink(const LogSettings& settings) {
  auto sink = std::make_shared<spdlog::sinks::stderr_sink_mt>();
  sink->set_formatter(std::make_unique<LineFormatter>(resolved(settings.format)));
  return {settings.level,
          [sink](LogLevel level, std::string_view component, std::string_view message) {
            sink->log(spdlog::details::log_msg{{component.data(), component.size()},
                                               toSpdlog(level),
                                               {message.data(), message.size()}});
          }};
}

std::string formatLogLine(LogFormat format, std::chrono::system_clock::time_point time,
                          LogLevel level, std::string_view component, std::string_view message) {
  std::string line;
  if (format == LogFormat::json) {
    line = fmt::format("{{\"time\":\"{}\",\"level\":\"{}\",\"component\":\"",
                       timeText(time, format), toString(level));
    appendJson(line, component);
    line += "\",\"message\":\"";
    appendJson(line, message);
    line += "\"}\n";
  } else if (format == LogFormat::journal) {
    line = fmt::format("<{}>[", journalLevel(level));
    appendText(line, component);
    line += "] ";
    appendText(line, message);
    line += '\n';
  } else {
    line = fmt::format("{} {:5} [", timeText(time, format), toString(level));
    appendText(line, component);
    line += "] ";
    appendText(line, message);
    line += '\n';
  }
  return line;
}

}  // namespace mqttstack
