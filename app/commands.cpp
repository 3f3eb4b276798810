#include "app/commands.hpp"

#include <filesystem>
#include <fmt/format.h>
#include <iostream>
#include <optional>
#include <unistd.h>

#include <CLI/CLI.hpp>
#include <openssl/crypto.h>

#include "app/config.hpp"
#include "app/daemon.hpp"
#include "app/describe.hpp"
#include "app/log_setup.hpp"
#include "app/manual.hpp"
#include "app/passwd_command.hpp"
#include "core/mqtt/text.hpp"

namespace mqttstack {
namespace {

struct Arguments {
  std::string configFile;
  bool check = false;
  bool quiet = false;
  bool markdown = false;
  bool toml = false;
  std::string describedName;
  std::optional<std::string> logLevel;
  std::optional<std::string> logFormat;
  PasswdArguments passwd;
};

std::string version() {
  return fmt::format(
      "mqtt-stackd {}\nMQTT 3.1, 3.1.1, 5.0\ncompiler: {} {}, C++{}\nTLS: {}\n"
      "build: {}",
      MQTTSTACK_VERSION,
#if defined(__clang__)
      "clang", __clang_version__,
#else
      "g++", __VERSION__,
#endif
      __cplusplus / 100 % 100, OpenSSL_version(OPENSSL_VERSION), MQTTSTACK_BUILD_TYPE);
}

ConfigReport::Colour colourOf(int descriptor) {
  return ::isatty(descriptor) != 0 ? ConfigReport::Colour::on : ConfigReport::Colour::off;
}

/// The source text of the file, or of the built-in default.
Result<SourceText> readSource(const std::string& file) {
  if (file.empty()) return builtInConfig();
  return SourceText::read(file);
}

ExitCode cannotRead(const std::string& file, std::error_code error) {
  std::cerr << file << ": error: cannot read the configuration: " << error.message() << '\n';
  return error == std::errc::permission_denied ? ExitCode::permission : ExitCode::badConfiguration;
}

void applyArguments(const Arguments& arguments, LogSettings& log) {
  OptionTable<LogSettings> options;
  LogSettings::declare(options);
  for (const auto& entry : options.entries()) {
    const auto& given = entry.info.name == "level" ? arguments.logLevel : arguments.logFormat;
    if (given) entry.set(log, *given, {});  // CLI11 has checked it
  }
}

/// `check`: everything that `run` does before its first effect.
ExitCode check(const Arguments& arguments, const Registry& registry) {
  auto source = readSource(arguments.configFile);
  if (!source) return cannotRead(arguments.configFile, source.error());
  ConfigReport report;
  const Config config = readConfig(std::move(source).value(), report);
  const LogSink silent;
  const Daemon daemon{config, registry, silent, report};
  report.print(std::cerr, config.source, colourOf(STDERR_FILENO));
  if (report.hasErrors()) return ExitCode::badConfiguration;
  if (arguments.quiet) return ExitCode::success;
  for (const auto& plan : daemon.listeners())
    std::cout << fmt::format("listener \"{}\": {} ({})\n", mqtt::printable(plan->policy.name),
                             plan->socket.endpoint.text(), describePolicy(*plan));
  for (const Pipeline& pipeline : daemon.pipelines().all())
    std::cout << fmt::format("pipeline {}: {}\n", mqtt::printable(pipeline.name),
                             describeMembers(pipeline));
  std::cout << config.source.name() << ": OK\n";
  return ExitCode::success;
}

/// What SIGHUP does as long as nothing is reloaded: it tells whether a restart
/// would succeed.
void checkForRestart(const std::string& file, const Registry& registry, const Logger& log) {
  auto source = readSource(file);
  if (!source) {
    log.error("hangup signal: cannot read \"{}\": {}; the broker goes on as it is", file,
              source.error().message());
    return;
  }
  ConfigReport report;
  const Config config = readConfig(std::move(source).value(), report);
  const LogSink silent;
  const Daemon unused{config, registry, silent, report};
  for (const ConfigFinding& finding : report.findings()) {
    const std::string line = headline(finding, config.source);
    if (finding.severity == Severity::error)
      log.error("{}", line);
    else
      log.warning("{}", line);
  }
  if (report.hasErrors())
    log.error("hangup signal: {} has errors; the broker goes on as it is", config.source.name());
  else
    log.info("hangup signal: {} is good; restart the broker to apply it", config.source.name());
}

ExitCode run(const Arguments& arguments, const Registry& registry) {
  auto source = readSource(arguments.configFile);
  if (!source) return cannotRead(arguments.configFile, source.error());
  ConfigReport report;
  Config config = readConfig(std::move(source).value(), report);
  applyArguments(arguments, config.log);
  const LogSink sink = makeLogSink(config.log);
  const Logger log{sink, "daemon"};
  Daemon daemon{config, registry, sink, report};
  report.print(std::cerr, config.source, colourOf(STDERR_FILENO));
  if (report.hasErrors()) return ExitCode::badConfiguration;
  log.info("mqtt-stackd {} starts with {}", MQTTSTACK_VERSION,
           arguments.configFile.empty() ? "its built-in configuration" : config.source.name());
  daemon.onReload([&] { checkForRestart(arguments.configFile, registry, log); });
  return daemon.run();
}

ExitCode describeCommand(const Arguments& arguments, const Registry& registry) {
  if (arguments.markdown) {
    std::cout << configurationManual(registry);
    return ExitCode::success;
  }
  if (arguments.toml) {
    std::cout << packagedConfig(registry);
    return ExitCode::success;
  }
  if (arguments.describedName.empty()) {
    std::cout << describeAll(registry);
    return ExitCode::success;
  }
  const std::string text = describe(registry, arguments.describedName);
  if (!text.empty()) {
    std::cout << text;
    return ExitCode::success;
  }
  std::cerr << fmt::format(
      "mqtt-stackd: there is no middleware \"{}\"\nhelp: {}\n",
      mqtt::printable(arguments.describedName),
      helpWithName(arguments.describedName, describableNames(registry), "there are:"));
  return ExitCode::usage;
}

CLI::App& addPasswd(CLI::App& app, PasswdArguments& arguments) {
  CLI::App& passwd = *app.add_subcommand(
      "passwd", "Change a password file: set a user's password, or take a user out");
  passwd.add_option("FILE", arguments.file, "The password file; made if there is none")->required();
  passwd.add_option("USER", arguments.user,
                    "Whose password to set; it is asked for, or read from standard input");
  passwd.add_flag("-d,--delete", arguments.remove, "Take the user out instead");
  passwd.add_flag("-b,--batch", arguments.batch,
                  "Set the users of standard input, one a line as \"name:password\"");
  passwd
      .add_option("-i,--import", arguments.importedFile,
                  "Bring in the users of a password file of mosquitto")
      ->type_name("FILE");
  std::vector<std::string> methods;
  for (const auto& [name, method] : passwdMethods()) methods.push_back(name);
  passwd
      .add_option("-m,--method", arguments.method,
                  "How to hash: yescrypt (the default), or scram-sha-256 for clients that log in "
                  "by SCRAM, or another")
      ->check(CLI::IsMember(methods))
      ->type_name("METHOD");
  passwd
      .add_option("--cost", arguments.cost,
                  "Of the method: yescrypt 1 to 11, SCRAM iterations, bcrypt 5 to 18, SHA-512 "
                  "rounds")
      ->type_name("N");
  return passwd;
}

}  // namespace

ExitCode runCommandLine(int argc, const char* const* argv, const Registry& registry) {
  Arguments arguments;
  CLI::App app{"An MQTT broker that is nothing but a pipeline of middlewares", "mqtt-stackd"};
  app.set_version_flag("-V,--version", version());
  app.set_help_flag("-h,--help", "Print this help and exit");
  app.fallthrough();
  app.require_subcommand(0, 1);
  app.add_option("-c,--config", arguments.configFile,
                 "The configuration; without it, loopback port 1883 and a store in memory")
      ->type_name("FILE");
  app.add_flag("-t,--test", arguments.check, "The same as check");
  app.add_option("--log-level", arguments.logLevel, "Instead of [log] level")
      ->check(CLI::IsMember({"trace", "debug", "info", "warning", "error", "off"}))
      ->type_name("LEVEL");
  app.add_option("--log-format", arguments.logFormat, "Instead of [log] format")
      ->check(CLI::IsMember({"text", "json"}))
      ->type_name("FORMAT");

  app.add_subcommand("run", "Run the broker (the default)");
  CLI::App* checkApp = app.add_subcommand(
      "check", "Tell everything that is wrong with the configuration; change nothing");
  checkApp->add_option("FILE", arguments.configFile, "The same as --config");
  checkApp->add_flag("-q,--quiet", arguments.quiet, "Print nothing if all is well");
  CLI::App* describeApp =
      app.add_subcommand("describe", "Print what can be configured: all middlewares, or one");
  describeApp->add_option("MIDDLEWARE", arguments.describedName,
                          "The middleware, or \"listener\", \"tls\", \"log\"");
  describeApp->add_flag("--markdown", arguments.markdown,
                        "Print the whole reference, which is docs/configuration.md");
  describeApp->add_flag("--toml", arguments.toml,
                        "Print a configuration with every option, which is what packages install");
  CLI::App* listApp = app.add_subcommand("list-middlewares", "The same as describe without a name");

  CLI::App& passwdApp = addPasswd(app, arguments.passwd);

  try {
    app.parse(argc, argv);
  } catch (const CLI::ParseError& error) {
    return app.exit(error, std::cout, std::cerr) == 0 ? ExitCode::success : ExitCode::usage;
  }
  if (describeApp->parsed()) return describeCommand(arguments, registry);
  if (listApp->parsed()) {
    std::cout << describeAll(registry);
    return ExitCode::success;
  }
  if (passwdApp.parsed())
    return runPasswd(arguments.passwd, STDIN_FILENO, std::cin, std::cout, std::cerr);
  return arguments.check || checkApp->parsed() ? check(arguments, registry)
                                               : run(arguments, registry);
}

}  // namespace mqttstack
