#include "app/commands.hpp"

#include <algorithm>
#include <fmt/format.h>
#include <iostream>
#include <unistd.h>

#include <CLI/CLI.hpp>
#include <openssl/crypto.h>

#include "app/check_command.hpp"
#include "app/config_report.hpp"
#include "app/describe.hpp"
#include "app/man_page.hpp"
#include "app/manual.hpp"
#include "app/passwd_command.hpp"
#include "app/run_command.hpp"
#include "core/mqtt/text.hpp"

namespace mqttstack {
namespace {

struct Arguments {
  RunOptions run;
  CheckOptions check;
  std::string checkedFile;
  bool test = false;
  bool markdown = false;
  bool toml = false;
  bool man = false;
  std::string describedName;
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

/// What a wrong use of the program is answered with.
ExitCode misuse(const std::string& problem, const std::string& help = "--help tells more") {
  std::cerr << fmt::format("mqtt-stackd: {}\nhelp: {}\n", problem, help);
  return ExitCode::usage;
}

/// Whether an option stands on the command line, rather than in the environment.
bool isGiven(const CLI::Option& option, int argc, const char* const* argv) {
  return std::any_of(argv, argv + argc, [&option](std::string_view word) {
    const auto begins = [word](const std::string& name) { return word.starts_with(name); };
    return std::any_of(option.get_lnames().begin(), option.get_lnames().end(),
                       [&](const std::string& name) { return begins("--" + name); }) ||
           std::any_of(option.get_snames().begin(), option.get_snames().end(),
                       [&](const std::string& name) { return begins("-" + name); });
  });
}

/// What could have been meant by a word: a command, or an option that can stand there.
std::vector<std::string> namesLike(std::string_view word, const CLI::App& app) {
  std::vector<std::string> names;
  if (word.starts_with('-')) {
    std::vector<const CLI::App*> apps{&app};
    for (const CLI::App* each : app.get_subcommands()) apps.push_back(each);
    for (const CLI::App* each : apps)
      for (const CLI::Option* option : each->get_options())
        for (const std::string& name : option->get_lnames()) names.push_back("--" + name);
  } else if (app.get_subcommands().empty()) {
    for (const CLI::App* each : app.get_subcommands({})) names.push_back(each->get_name());
  }
  return names;
}

/// A parse error in words, where the library's are for programmers.
ExitCode misuse(const CLI::App& app, const CLI::ParseError& error, int argc,
                const char* const* argv) {
  const std::vector<std::string> extra = app.remaining(true);
  if (error.get_exit_code() == static_cast<int>(CLI::ExitCodes::ExtrasError) && !extra.empty()) {
    std::string words;
    for (const std::string& word : extra) words += " \"" + mqtt::printable(word) + '"';
    const std::vector<std::string> names = namesLike(extra.front(), app);
    return names.empty()
               ? misuse("not expected:" + words)
               : misuse("not expected:" + words, helpWithName(extra.front(), names, "there are:"));
  }
  std::string text = mqtt::printable(error.what(), 512);
  // "Could not convert: --cost = abc", "--cost: 1 required N missing"
  const bool conversion = error.get_name() == "ConversionError";
  if (const auto begin = text.find("--");
      begin != std::string::npos && (conversion || error.get_name() == "ArgumentMismatch"))
    text = text.substr(begin, text.find_first_of(": ", begin) - begin) +
           (conversion ? " takes a number" : " needs a value behind it");
  for (const CLI::Option* option : app.get_options())
    if (!option->get_envname().empty() && text.starts_with(option->get_name() + ": ") &&
        !isGiven(*option, argc, argv))
      text.replace(0, option->get_name().size(), option->get_envname());
  return misuse(text);
}

ExitCode describeCommand(const Arguments& arguments, const Registry& registry) {
  const int tasks = static_cast<int>(arguments.markdown) + static_cast<int>(arguments.toml) +
                    static_cast<int>(arguments.man) +
                    static_cast<int>(!arguments.describedName.empty());
  if (tasks > 1) return misuse("give one of: a name, --markdown, --toml, --man");
  if (arguments.markdown) {
    std::cout << configurationManual(registry);
    return ExitCode::success;
  }
  if (arguments.toml) {
    std::cout << packagedConfig(registry);
    return ExitCode::success;
  }
  if (arguments.man) {
    std::cout << configurationManPage(registry, MQTTSTACK_VERSION);
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
  return misuse(fmt::format("there is no middleware or table \"{}\"",
                            mqtt::printable(arguments.describedName)),
                helpWithName(arguments.describedName, describableNames(registry), "there are:"));
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
  // mosquitto_passwd makes a file by -c; here it would be taken for that of the broker.
  passwd
      .add_flag_callback("-c,--config",
                         [] {
                           throw CLI::ParseError{
                               "passwd takes no --config: the first word behind it is the file, "
                               "which is made if there is none",
                               CLI::ExitCodes::InvalidError};
                         })
      ->group("");
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
  const CLI::Option* config =
      app.add_option("-c,--config", arguments.run.configFile,
                     "The configuration; without it, loopback port 1883 and a store in memory")
          ->type_name("FILE")
          ->envname("MQTT_STACKD_CONFIG");
  app.add_flag("-t,--test", arguments.test, "The same as check");
  app.add_option("--log-level", arguments.run.logLevel, "Instead of [log] level")
      ->check(CLI::IsMember({"trace", "debug", "info", "warning", "error", "off"}))
      ->type_name("LEVEL")
      ->envname("MQTT_STACKD_LOG_LEVEL");
  app.add_option("--log-format", arguments.run.logFormat, "Instead of [log] format")
      ->check(CLI::IsMember({"auto", "text", "json", "journal"}))
      ->type_name("FORMAT")
      ->envname("MQTT_STACKD_LOG_FORMAT");

  app.add_subcommand("run", "Run the broker (the default)");
  CLI::App* checkApp = app.add_subcommand(
      "check", "Tell everything that is wrong with the configuration; change nothing");
  checkApp->add_option("FILE", arguments.checkedFile, "The same as --config");
  checkApp->add_flag("-q,--quiet", arguments.check.quiet, "Print nothing if all is well");
  checkApp
      ->add_option("--user", arguments.check.user,
                   "Warn of files that this user cannot read; if root asks, of those that "
                   "mqtt-stackd cannot")
      ->type_name("NAME");
  CLI::App* describeApp =
      app.add_subcommand("describe", "Print what can be configured: all middlewares, or one");
  describeApp->add_option("MIDDLEWARE", arguments.describedName,
                          "The middleware, or \"listener\", \"tls\", \"sni\", \"pipeline\", "
                          "\"middleware\", \"limits\", \"log\"");
  describeApp->add_flag("--markdown", arguments.markdown,
                        "Print the whole reference, which is docs/configuration.md");
  describeApp->add_flag("--toml", arguments.toml,
                        "Print a configuration with every option, which is what packages install");
  describeApp->add_flag("--man", arguments.man,
                        "Print the whole reference as the manual page mqtt-stackd.toml(5)");
  CLI::App* listApp = app.add_subcommand("list-middlewares", "The same as describe without a name");

  CLI::App& passwdApp = addPasswd(app, arguments.passwd);

  try {
    app.parse(argc, argv);
  } catch (const CLI::ParseError& error) {
    if (error.get_exit_code() != 0) return misuse(app, error, argc, argv);
    app.exit(error, std::cout, std::cerr);
    return ExitCode::success;
  }
  if (describeApp->parsed()) return describeCommand(arguments, registry);
  if (listApp->parsed()) {
    std::cout << describeAll(registry);
    return ExitCode::success;
  }
  if (passwdApp.parsed())
    return runPasswd(arguments.passwd, STDIN_FILENO, std::cin, std::cout, std::cerr);
  if (!arguments.test && !checkApp->parsed()) return runBroker(arguments.run, registry);
  if (!arguments.checkedFile.empty() && isGiven(*config, argc, argv))
    return misuse("check takes one file, as FILE or as --config FILE");
  arguments.check.configFile =
      arguments.checkedFile.empty() ? arguments.run.configFile : arguments.checkedFile;
  return checkConfiguration(arguments.check, registry);
}

}  // namespace mqttstack
