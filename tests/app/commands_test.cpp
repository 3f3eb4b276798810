#include "app/commands.hpp"

#include <cstdlib>
#include <iostream>
#include <sstream>
#include <unistd.h>

#include <catch2/catch.hpp>

#include "tests/app/config_fixture.hpp"

using namespace mqttstack;
using namespace mqttstack::test;
using Catch::Matchers::Contains;
using Catch::Matchers::StartsWith;

namespace {

/// Catches what goes to a stream.
class Capture {
public:
  explicit Capture(std::ostream& stream) : stream_{stream}, old_{stream.rdbuf(text_.rdbuf())} {}
  Capture(const Capture&) = delete;
  Capture& operator=(const Capture&) = delete;
  ~Capture() { stream_.rdbuf(old_); }
  std::string text() const { return text_.str(); }

private:
  std::ostringstream text_;
  std::ostream& stream_;
  std::streambuf* old_;
};

struct Outcome {
  int code;
  std::string out;
  std::string err;
};

Outcome command(const std::vector<std::string>& arguments) {
  Registry registry;
  registerTestMiddlewares(registry);
  std::vector<const char*> argv{"mqtt-stackd"};
  for (const std::string& argument : arguments) argv.push_back(argument.c_str());
  const Capture out{std::cout};
  const Capture err{std::cerr};
  const ExitCode code = runCommandLine(static_cast<int>(argv.size()), argv.data(), registry);
  return {static_cast<int>(code), out.text(), err.text()};
}

}  // namespace

TEST_CASE("check prints what would listen and the pipelines", "[commands]") {
  const TemporaryDirectory directory;
  const std::string file = directory.write("broker.toml", R"([[listener]]
name = "lan"
bind = "0.0.0.0:1883"
allow_anonymous = true
[pipeline]
default = ["connection", "store"]
[middleware.store]
use = "memory_backend"
)");
  const std::string expected =
      "listener \"lan\": 0.0.0.0:1883 (pipeline \"default\", anonymous allowed, no TLS)\n"
      "pipeline default: connection, store (memory_backend)\n" +
      file + ": OK\n";
  for (const auto& arguments : {std::vector<std::string>{"check", "--config", file},
                                {"--config", file, "check"},
                                {"-c", file, "-t"},
                                {"check", file},
                                {"check", "-c", file}}) {
    const auto [code, out, err] = command(arguments);
    CHECK(code == 0);
    CHECK(out == expected);
    CHECK(err == "");
  }
  const auto quiet = command({"check", "-q", file});
  CHECK(quiet.code == 0);
  CHECK(quiet.out == "");
}

TEST_CASE("check without a file checks what is built in", "[commands]") {
  const auto [code, out, err] = command({"check"});
  CHECK(code == 0);
  CHECK(out ==
        "listener \"127.0.0.1:1883\": 127.0.0.1:1883 (pipeline \"default\", anonymous allowed, no "
        "TLS)\n"
        "pipeline default: connection, keep_alive, last_will, memory_backend, session_manager, "
        "subscription_manager, retain_manager, inbound_manager, outbound_manager\n"
        "built-in configuration: OK\n");
  CHECK(err == "");
}

TEST_CASE("a bad configuration ends check and run alike", "[commands]") {
  const TemporaryDirectory directory;
  const std::string file = directory.write("broker.toml", "[[listener]]\nbnid = 1\nbind = 2\n");
  for (const char* name : {"check", "run"}) {
    const auto [code, out, err] = command({name, "--config", file});
    CHECK(code == 78);
    CHECK(out == "");
    CHECK_THAT(err, StartsWith(file +
                               ":2:1: error: unknown option \"bnid\"\n"
                               "    bnid = 1\n"
                               "    ^~~~\n"
                               "help: did you mean \"bind\"?\n" +
                               file + ":3:8: error: \"bind\" has to be a string\n"));
    CHECK_THAT(err, Contains(file + ": 2 errors\n"));
  }
}

TEST_CASE("a warning does not make a configuration bad", "[commands]") {
  const TemporaryDirectory directory;
  const std::string file = directory.write(
      "broker.toml", "[pipeline]\ndefault = [\"connection\"]\nother = [\"connection\"]\n");
  const auto [code, out, err] = command({"check", file});
  CHECK(code == 0);
  CHECK_THAT(err, Contains(file + ":3:1: warning: no listener uses pipeline \"other\""));
  CHECK_THAT(err, Contains(file + ": 1 warning\n"));
  CHECK_THAT(out, Contains(file + ": OK\n"));
}

TEST_CASE("a configuration that cannot be read is named", "[commands]") {
  const TemporaryDirectory directory;
  const auto missing = command({"check", "/no/such/file"});
  CHECK(missing.code == 78);
  CHECK(missing.err ==
        "/no/such/file: error: cannot read the configuration: No such file or directory (make it, "
        "or name another one with --config)\n");
  const auto folder = command({"run", "--config", directory.path().string()});
  CHECK(folder.code == 78);
  CHECK_THAT(folder.err, Contains("Is a directory"));
  if (::geteuid() != 0) {
    const std::string secret =
        directory.write("secret.toml", "", std::filesystem::perms::none).string();
    CHECK(command({"check", secret}).code == 77);
  }
}

TEST_CASE("a wrong command line is a usage error", "[commands]") {
  for (const auto& arguments : {std::vector<std::string>{"--no-such-option"},
                                {"no-such-command"},
                                {"run", "--config"},
                                {"--log-level", "loud"},
                                {"--log-format", "xml"},
                                {"run", "check"}}) {
    const auto [code, out, err] = command(arguments);
    INFO(arguments.front());
    CHECK(code == 64);
    CHECK_THAT(err, StartsWith("mqtt-stackd: ") && Contains("\nhelp: "));
  }
}

TEST_CASE("a wrong command line is answered with what is wrong with it", "[commands]") {
  const auto says = [](const std::vector<std::string>& arguments, const std::string& said) {
    const auto [code, out, err] = command(arguments);
    CHECK(code == 64);
    CHECK(out == "");
    CHECK(err == "mqtt-stackd: " + said + "\n");
  };
  says({"chekc"}, "not expected: \"chekc\"\nhelp: did you mean \"check\"?");
  says({"check", "--quite"}, "not expected: \"--quite\"\nhelp: did you mean \"--quiet\"?");
  says({"passwd", "f", "alice", "secret", "again"},
       "not expected: \"secret\" \"again\"\nhelp: --help tells more");
  says({"check", "a.toml", "--config", "b.toml"},
       "check takes one file, as FILE or as --config FILE\nhelp: --help tells more");
  says({"describe", "--toml", "keep_alive"},
       "give one of: a name, --markdown, --toml, --man\nhelp: --help tells more");
  says({"describe", "--toml", "--man"},
       "give one of: a name, --markdown, --toml, --man\nhelp: --help tells more");
  says({"passwd", "f", "alice", "--cost", "abc"}, "--cost takes a number\nhelp: --help tells more");
  says({"passwd", "f", "-i"}, "--import needs a value behind it\nhelp: --help tells more");
  says({"passwd"}, "FILE is required\nhelp: --help tells more");
}

TEST_CASE("a bad variable of the environment is called by its name", "[commands]") {
  ::setenv("MQTT_STACKD_LOG_LEVEL", "loud", 1);
  const auto variable = command({"check"});
  const auto option = command({"check", "--log-level", "quiet"});
  ::unsetenv("MQTT_STACKD_LOG_LEVEL");
  CHECK(variable.code == 64);
  CHECK_THAT(variable.err, StartsWith("mqtt-stackd: MQTT_STACKD_LOG_LEVEL: loud not in {"));
  CHECK_THAT(option.err, StartsWith("mqtt-stackd: --log-level: quiet not in {"));
}

TEST_CASE("help and version end well", "[commands]") {
  const auto help = command({"--help"});
  CHECK(help.code == 0);
  CHECK_THAT(help.out, Contains("check") && Contains("describe") && Contains("--config"));
  for (const char* flag : {"--version", "-V"}) {
    const auto version = command({flag});
    CHECK(version.code == 0);
    CHECK_THAT(version.out, StartsWith("mqtt-stackd " MQTTSTACK_VERSION "\n") &&
                                Contains("compiler: ") && Contains("TLS: OpenSSL ") &&
                                Contains("build: "));
  }
}

TEST_CASE("describe lists all middlewares, or tells of one", "[commands]") {
  const auto all = command({"describe"});
  CHECK(all.code == 0);
  CHECK_THAT(all.out, Contains("  memory_backend        Stores.\n") && Contains("  listener "));
  CHECK_THAT(command({"describe", "--help"}).out,
             Contains("\"pipeline\", \"middleware\", \"limits\""));
  CHECK(command({"list-middlewares"}).out == all.out);

  const auto one = command({"describe", "keep_alive"});
  CHECK(one.code == 0);
  CHECK_THAT(one.out, StartsWith("keep_alive\n\nHas options.\n"));

  const auto none = command({"describe", "keep_alife"});
  CHECK(none.code == 64);
  CHECK(none.err ==
        "mqtt-stackd: there is no middleware or table \"keep_alife\"\nhelp: did you mean "
        "\"keep_alive\"?\n");
}

TEST_CASE("check looks for a listener's name", "[commands]") {
  const TemporaryDirectory directory;
  const std::string file = directory.write(
      "broker.toml", "[[listener]]\nbind = \"nohost.invalid:1883\"\nallow_anonymous = true\n");
  const Outcome checked = command({"check", "--config", file});
  CHECK(checked.code == 78);
  CHECK_THAT(checked.err, Contains("broker.toml:2:8: error: no address of \"nohost.invalid\" is "
                                   "known"));
}
