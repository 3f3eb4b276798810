#pragma once

#include <cstdint>
#include <fmt/format.h>
#include <functional>
#include <string>
#include <string_view>
#include <utility>

namespace mqttstack {

enum class LogLevel : std::uint8_t { trace, debug, info, warning, error, off };

/// "trace", "debug", "info", "warning", "error", "off".
std::string_view toString(LogLevel level) noexcept;

/// Where log lines go: the daemon's spdlog sink, or a test's vector. Lines at or
/// above `level` are written, the others cost one comparison.
class LogSink {
public:
  using Write = std::function<void(LogLevel, std::string_view component, std::string_view message)>;

  LogSink() = default;
  LogSink(LogLevel level, Write write) : level_{level}, write_{std::move(write)} {}

  bool wants(LogLevel level) const noexcept { return level >= level_ && write_; }
  LogLevel level() const noexcept { return level_; }
  void write(LogLevel level, std::string_view component, std::string_view message) const {
    if (wants(level)) write_(level, component, message);
  }

private:
  LogLevel level_ = LogLevel::off;
  Write write_;
};

/// Writes log lines under a component's name, usually a middleware instance's.
/// A line is for the operator: what happened, to whom, what to do. Anything
/// that came from outside goes through mqtt::printable() first.
///
/// Cheap to copy; the sink outlives every logger.
class Logger {
public:
  /// A logger that says nothing.
  Logger() = default;
  Logger(const LogSink& sink, std::string component)
      : sink_{&sink},
        component_{std::move(component)} {}

  template <class... Args>
  void trace(fmt::format_string<Args...> text, Args&&... args) const {
    log(LogLevel::trace, text, std::forward<Args>(args)...);
  }
  template <class... Args>
  void debug(fmt::format_string<Args...> text, Args&&... args) const {
    log(LogLevel::debug, text, std::forward<Args>(args)...);
  }
  template <class... Args>
  void info(fmt::format_string<Args...> text, Args&&... args) const {
    log(LogLevel::info, text, std::forward<Args>(args)...);
  }
  template <class... Args>
  void warning(fmt::format_string<Args...> text, Args&&... args) const {
    log(LogLevel::warning, text, std::forward<Args>(args)...);
  }
  template <class... Args>
  void error(fmt::format_string<Args...> text, Args&&... args) const {
    log(LogLevel::error, text, std::forward<Args>(args)...);
  }

  bool wants(LogLevel level) const noexcept { return sink_ && sink_->wants(level); }
  Logger named(std::string component) const {
    return sink_ ? Logger{*sink_, std::move(component)} : Logger{};
  }

private:
  template <class... Args>
  void log(LogLevel level, fmt::format_string<Args...> text, Args&&... args) const {
    if (wants(level)) vlog(level, text, fmt::make_format_args(args...));
  }
  void vlog(LogLevel level, fmt::string_view text, fmt::format_args args) const;

  const LogSink* sink_ = nullptr;
  std::string component_;
};

}  // namespace mqttstack
