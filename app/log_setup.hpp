#pragma once

#include <chrono>
#include <string>
#include <string_view>

#include "app/config.hpp"
#include "core/util/log.hpp"

namespace mqttstack {

/// Whether what goes to stderr is read by systemd's journal (JOURNAL_STREAM).
bool stderrIsJournal();

/// What a format means for this process: LogFormat::automatic is the journal's
/// where that reads stderr, and text elsewhere.
LogFormat resolved(LogFormat format);

/// The daemon's log: to stderr, where the supervisor picks it up.
LogSink makeLogSink(const LogSettings& settings);

/// One line of the log, with its end. Whatever could break a line or a JSON
/// string is escaped. Text is in local time, JSON in UTC, and the journal has both
/// time and level itself (see sd-daemon(3)).
/// REQUIRES: the format is not LogFormat::automatic.
///
///     2026-11-23 15:04:05.123 info  [listener] message
///     <6>[listener] message
///     {"time":"2026-11-23T15:04:05.123Z","level":"info","component":"listener","message":"…"}
std::string formatLogLine(LogFormat format, std::chrono::system_clock::time_point time,
                          LogLevel level, std::string_view component, std::string_view message);

}  // namespace mqttstack
