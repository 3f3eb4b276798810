#include "app/commands.hpp"

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

ExitCode describeCommand(const Arguments& arguments, const Registry& registry) {
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
  // mosquitto_passwd makes a file by -c; here it would be taken for that of the broker.
  passwd
      .add_flag_callback("-c,--config",
                         [] {
                           throw CLI::ParseError{
                               "passwd takes no --config: the first word behind it is the file, "
                               "which is made if there is none",
                               CLI::ExitCodes::ExtrasError};
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
  checkApp->add_option("FILE", arguments.run.configFile, "The same as --config");
  checkApp->add_flag("-q,--quiet", arguments.check.quiet, "Print nothing if all is well");
  checkApp
      ->add_option("--user", arguments.check.user,
                   "Warn of files that this user cannot read; if root asks, of those that "
                   "mqtt-stackd cannot")
      ->type_name("NAME");
  CLI::App* describeApp =
      app.add_subcommand("describe", "Print what can be configured: all middlewares, or one");
  describeApp->add_option("MIDDLEWARE", arguments.describedName,
                          "The middleware, or \"listener\", \"tls\", \"log\"");
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
    return app.exit(error, std::cout, std::cerr) == 0 ? ExitCode::success : ExitCode::usage;
  }
  if (describeApp->parsed()) return describeCommand(arguments, registry);
  if (listApp->parsed()) {
    std::cout << describeAll(registry);
    return ExitCode::success;
  }
  if (passwdApp.parsed())
    return runPasswd(arguments.passwd, STDIN_FILENO, std::cin, std::cout, std::cerr);
  if (!arguments.test && !checkApp->parsed()) return runBroker(arguments.run, registry);
  arguments.check.configFile = arguments.run.configFile;
  return checkConfiguration(arguments.check, registry);
}

}  // namespace mqttstack
