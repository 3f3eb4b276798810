#include "app/run_command.hpp"

#include <algorithm>
#include <fmt/format.h>
#include <iostream>
#include <unistd.h>

#include "app/config.hpp"
#include "app/console.hpp"
#include "app/daemon.hpp"
#include "app/inherited_sockets.hpp"
#include "app/log_setup.hpp"
#include "app/reload.hpp"
#include "app/service_manager.hpp"

namespace mqttstack {
namespace {

/// How long reading the configuration and the files that it names may take.
constexpr std::chrono::seconds kReadTime{90};

/// The file's settings with what the command line says instead.
LogSettings logSettings(LogSettings settings, const RunOptions& options) {
  OptionTable<LogSettings> table;
  LogSettings::declare(table);
  for (const auto& entry : table.entries()) {
    const auto& given = entry.info.name == "level" ? options.logLevel : options.logFormat;
    if (given) entry.set(settings, *given, {});  // the command line was checked
  }
  return settings;
}

/// Why the broker does not start is told whatever [log] says.
LogSink loudSink(LogSettings settings) {
  settings.level = std::min(settings.level, LogLevel::warning);
  return makeLogSink(settings);
}

/// Tells what is wrong with a configuration: with lines and carets for people,
/// one line each where a program reads the log.
void tell(const ConfigReport& report, const SourceText& source, const LogSettings& settings) {
  if (resolved(settings.format) == LogFormat::text)
    return report.print(std::cerr, source, colourOf(STDERR_FILENO));
  const LogSink sink = loudSink(settings);
  report.log(Logger{sink, "config"}, source);
}

/// REQUIRES: there is one.
const ConfigFinding* firstError(const ConfigReport& report) {
  return &*std::find_if(report.findings().begin(), report.findings().end(),
                        [](const auto& each) { return each.severity == Severity::error; });
}

/// What SIGHUP does: looks at the whole file first, and takes over what can be
/// changed while clients are connected.
class Reload {
public:
  Reload(const RunOptions& options, const Registry& registry, const Config& running, Daemon& daemon,
         LogSink& sink)
      : options_{options},
        registry_{registry},
        running_{running},
        daemon_{daemon},
        sink_{sink},
        log_{sink, "daemon"} {}

  /// Returns what went wrong, for the status.
  std::string operator()() {
    const std::string name = running_.source.name();
    auto source = readSource(options_.configFile);
    if (!source) {
      const std::string why = fmt::format("cannot read {}: {}", name, source.error().message());
      return refuse(why, why);
    }
    ConfigReport report;
    const Config config = readConfig(std::move(source).value(), report);
    try {
      const LogSink silent;
      const Daemon trial{config, registry_, silent, report};
    } catch (const std::exception& exception) {
      report.error({}, fmt::format("what {} names cannot be read: {}", name, exception.what()));
    }
    if (report.hasErrors()) return refuse(report, config.source);

    sink_ = makeLogSink(logSettings(config.log, options_));
    daemon_.reloadFiles(report);
    if (report.hasErrors()) return refuse(report, config.source);
    report.log(log_, config.source);
    const std::vector<std::string> changes = changesThatNeedRestart(running_, config);
    if (changes.empty()) {
      log_.info("hangup signal: {} reloaded", name);
      return {};
    }
    log_.warning("hangup signal: {} reloaded, but these changes need a restart: {}", name,
                 fmt::join(changes, ", "));
    return "Changes of the configuration need a restart.";
  }

private:
  /// Every finding has one line, the first error that which says what comes of it.
  std::string refuse(const ConfigReport& report, const SourceText& source) const {
    const ConfigFinding* const first = firstError(report);
    for (const ConfigFinding& finding : report.findings())
      if (finding.severity == Severity::warning)
        log_.warning("{}", oneLine(finding, source));
      else if (&finding != first)
        log_.error("{}", oneLine(finding, source));
    return refuse(oneLine(*first, source), headline(*first, source));
  }
  std::string refuse(const std::string& line, const std::string& why) const {
    log_.error("hangup signal: not reloaded, the broker goes on as it was: {}", line);
    return fmt::format("Reload failed: {}.", why);
  }

  const RunOptions& options_;
  const Registry& registry_;
  const Config& running_;
  Daemon& daemon_;
  LogSink& sink_;
  Logger log_;
};

}  // namespace

ExitCode runBroker(const RunOptions& options, const Registry& registry) {
  ServiceManager manager = ServiceManager::fromEnvironment();
  ConfigReport report;
  std::vector<InheritedSocket> sockets = takeInheritedSockets(report);
  manager.extendTimeout(kReadTime, "reading the configuration");

  auto source = readSource(options.configFile);
  if (!source) {
    const auto [line, code] = describeUnreadable(options.configFile, source.error());
    const LogSettings settings = logSettings({}, options);
    if (resolved(settings.format) == LogFormat::text)
      std::cerr << line << '\n';
    else
      loudSink(settings).write(LogLevel::error, "config", line);
    manager.status("cannot start: " + line);
    return code;
  }
  const Config config = readConfig(std::move(source).value(), report);
  const LogSettings settings = logSettings(config.log, options);
  LogSink sink = makeLogSink(settings);
  Daemon daemon{config, registry, sink, report};
  daemon.inherit(std::move(sockets), report);
  tell(report, config.source, settings);
  if (report.hasErrors()) {
    manager.status("cannot start: " + headline(*firstError(report), config.source));
    return report.exitCode();
  }

  const Logger log{sink, "daemon"};
  log.info("mqtt-stackd {} starts with {}", MQTTSTACK_VERSION,
           options.configFile.empty() ? "its built-in configuration" : config.source.name());
  daemon.onReload(Reload{options, registry, config, daemon, sink});
  daemon.reportTo(std::move(manager));
  return daemon.run();
}

}  // namespace mqttstack
