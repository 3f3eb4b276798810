#include "app/config.hpp"

#include <algorithm>
#include <random>
#include <sstream>

#include <catch2/catch.hpp>

#include "tests/app/config_fixture.hpp"

using namespace mqttstack;
using namespace mqttstack::test;
using Catch::Matchers::Contains;

TEST_CASE("a file that holds nothing is complete", "[config]") {
  ConfigReport report;
  const Config config = readConfig({"test.toml", ""}, report);
  CHECK(report.findings().empty());
  REQUIRE(config.listeners.size() == 1);
  CHECK(config.listeners[0].settings.bind == "127.0.0.1:1883");
  REQUIRE(config.pipelines.size() == 1);
  CHECK(config.pipelines[0].name == "default");
  CHECK(config.pipelines[0].instances.size() == builtInPipeline().size());
  CHECK(config.log.level == LogLevel::info);
  CHECK(config.log.format == LogFormat::automatic);
}

TEST_CASE("a listener with a bind is a complete file", "[config]") {
  ConfigReport report;
  const Config config = readConfig({"test.toml", "[[listener]]\nbind = \"[::1]:1884\"\n"}, report);
  CHECK(report.findings().empty());
  REQUIRE(config.listeners.size() == 1);
  CHECK(config.listeners[0].settings.name == "[::1]:1884");
  CHECK(config.listeners[0].settings.pipeline == "default");
  CHECK(config.pipelines.size() == 1);
}

TEST_CASE("the built-in configuration is read without complaint", "[config]") {
  CHECK(problemsOf(builtInConfig().text()) == "");
}

TEST_CASE("every setting of a file arrives", "[config]") {
  ConfigReport report;
  const Config config = readConfig({"/etc/broker/test.toml", R"([log]
level = "debug"
format = "json"

[[listener]]
name = "lan"
bind = "0.0.0.0:1883"
pipeline = "open"
allow_anonymous = true
max_packet_size = "64KiB"

[[listener]]
bind = "*:8883"
[listener.tls]
certificate = "a.crt"
key = "/keys/a.key"
client_ca = "ca.crt"
client_certificates = "required"

[pipeline]
open = ["connection", "store"]

[middleware.store]
use = "memory_backend"
)"},
                                   report);
  CHECK(report.findings().empty());
  CHECK(config.log.level == LogLevel::debug);
  CHECK(config.log.format == LogFormat::json);
  REQUIRE(config.listeners.size() == 2);
  const ListenerSettings& lan = config.listeners[0].settings;
  CHECK(lan.name == "lan");
  CHECK(lan.bind == "0.0.0.0:1883");
  CHECK(lan.pipeline == "open");
  CHECK(lan.allowAnonymous);
  CHECK(lan.maximumPacketSize.count == 65'536);
  CHECK_FALSE(config.listeners[0].tls);
  REQUIRE(config.listeners[1].tls);
  CHECK(config.listeners[1].tls->certificate == "/etc/broker/a.crt");
  CHECK(config.listeners[1].tls->key == "/keys/a.key");
  CHECK(config.listeners[1].tls->clientCertificates == net::ClientCertificates::required);
  REQUIRE(config.instance("store"));
  CHECK(config.instance("store")->type == "memory_backend");
}

TEST_CASE("a mistake is shown with its line, a caret, and what was meant", "[config]") {
  CHECK(problemsOf("[[listener]]\nbnid = \"127.0.0.1:1883\"\n") ==
        R"(test.toml:1:1: error: option "bind" is missing
    [[listener]]
    ^~~~~~~~~~~~
help: add: bind = …   (Address and port to listen on: "127.0.0.1:1883", "[::1]:1883", "localhost:1883"; "*:1883" is every address of the machine.)
test.toml:2:1: error: unknown option "bnid"
    bnid = "127.0.0.1:1883"
    ^~~~
help: did you mean "bind"?
test.toml: 2 errors
)");
}

TEST_CASE("a caret stands below its place behind tabs and long characters", "[config]") {
  CHECK(problemsOf("log = { level = \"ünïcödé\",\tformat = 7 }\n") ==
        "test.toml:1:17: error: \"level\" has to be one of \"trace\", \"debug\", \"info\", "
        "\"warning\", \"error\", \"off\"\n"
        "    log = { level = \"ünïcödé\",\tformat = 7 }\n"
        "                    ^~~~~~~~~\n"
        "test.toml:1:37: error: \"format\" has to be one of \"auto\", "
        "\"text\", \"json\", \"journal\"\n"
        "    log = { level = \"ünïcödé\",\tformat = 7 }\n"
        "                              \t         ^\n"
        "test.toml: 2 errors\n");
}

TEST_CASE("each mistake in the shape of the file is told with a remedy", "[config]") {
  const auto shape = [](const std::string& text, const std::string& message,
                        const std::string& help) {
    INFO(text);
    const std::string problems = problemsOf(text);
    CHECK_THAT(problems, Catch::Matchers::StartsWith("test.toml:" + message + "\n"));
    CHECK_THAT(problems, Contains("help: " + help));
  };
  shape("lisener = 1", "1:1: error: unknown option \"lisener\"", "did you mean \"listener\"?");
  shape("[brokr]\n", "1:2: error: unknown table \"brokr\"",
        "the file consists of: limits, listener, log, middleware, pipeline");
  shape("[[listner]]\nbind = \"127.0.0.1:1\"\n", "1:3: error: unknown table \"listner\"",
        "did you mean \"listener\"?");
  shape("[loging]\n", "1:2: error: unknown table \"loging\"", "did you mean \"log\"?");
  shape("bind = \"127.0.0.1:1\"", "1:1: error: unknown option \"bind\"",
        "write it below a [[listener]]");
  shape("log = 1", "1:7: error: \"log\" has to be a table", "write [log]");
  shape("[listener]\nbind = \"127.0.0.1:1\"", "1:2: error: there may be several listeners",
        "write [[listener]]");
  shape("listener = [1]", "1:12: error: \"listener\" has to be a table", "write [[listener]]");
  shape("pipeline = [\"connection\"]", "1:12: error: \"pipeline\" has to be a table",
        "write [pipeline]");
  shape("[pipeline]", "1:2: error: there is no pipeline in it", "leave it out");
  shape("[pipeline]\ndefault = []", "2:11: error: pipeline \"default\" is empty", "list the");
  shape("middleware = 7", "1:14: error: \"middleware\" has to be a table",
        "write [middleware.NAME]");
  shape("[middleware]\nkeep_alive = 5", "2:14: error: \"keep_alive\" has to be a table",
        "write [middleware.NAME]");
  shape("[[listener]]\nbind = \"127.0.0.1:1\"\ntls = true", "3:7: error: \"tls\" has to be a table",
        "write tls = {");
  CHECK_THAT(
      problemsOf("[pipeline]\ndefault = \"connection\""),
      Contains("test.toml:2:11: error: pipeline \"default\" has to be a list of middlewares"));
  CHECK_THAT(problemsOf("[pipeline]\ndefault = [\"connection\", 7]"),
             Contains("test.toml:2:26: error: the name of a middleware has to be a string"));
  CHECK_THAT(problemsOf("[middleware.keep_alive]\nuse = 7"),
             Contains("test.toml:2:7: error: \"use\" has to be the name of a middleware"));
}

TEST_CASE("all settings of a listener are checked", "[config]") {
  const std::string problems = problemsOf(R"([[listener]]
name = 7
bind = "127.0.0.1"
allow_anonymous = "yes"
max_packet_size = "1KB"
pipeline = 2020-01-01
tls = { certificat = "a" }
)");
  CHECK_THAT(problems, Contains("test.toml:2:8: error: \"name\" has to be a string"));
  CHECK_THAT(problems,
             Contains("test.toml:3:8: error: \"127.0.0.1\" is no endpoint: write address and port, "
                      "such as \"0.0.0.0:1883\""));
  CHECK_THAT(problems,
             Contains("test.toml:4:19: error: \"allow_anonymous\" has to be true or false"));
  CHECK_THAT(problems, Contains("test.toml:5:19: error: \"max_packet_size\" has to be a"));
  CHECK_THAT(problems, Contains("test.toml:6:12: error: \"pipeline\" has to be a string"));
  CHECK_THAT(problems, Contains("test.toml:7:1: error: option \"certificate\" is missing"));
  CHECK_THAT(problems, Contains("test.toml:7:1: error: option \"key\" is missing"));
  CHECK_THAT(problems, Contains("test.toml:7:9: error: unknown option \"certificat\""));
  CHECK_THAT(problems, Contains("test.toml: 8 errors"));
}

TEST_CASE("a password in a URL is shown to nobody", "[config]") {
  const std::string problems = problemsOf("[[listener]]\nbind = \"http://me:s3cret@host:1/x\"\n");
  CHECK_THAT(problems, !Contains("s3cret"));
  CHECK_THAT(problems, Contains("bind = \"http://*********@host:1/x\""));
}

TEST_CASE("a misspelt name is shown harmlessly", "[config]") {
  CHECK_THAT(problemsOf("\"a\\nb\" = 1"), Contains("error: unknown option \"a\\x0ab\""));
}

TEST_CASE(
    "a file that was damaged anywhere is read or refused, and every place is in it (mosquitto "
    "OSV-2024-314)",
    "[config]") {
  const std::string whole = R"([log]
level = "info"
[[listener]]
bind = "127.0.0.1:1883"
tls = { certificate = "a", key = "b" }
[pipeline]
default = ["connection", "store",
           "keep_alive"]
[middleware.store]
use = "memory_backend"
[middleware.keep_alive]
grace = 1.5
names = ["a", """b"""]
)";
  const std::string letters =
      "[]{}\"'=.,#\n\\ a\xc3\xa9"
      "1-\t" +
      std::string{"\0\xff", 2};
  std::minstd_rand random{1};
  for (int round = 0; round < 1500; ++round) {
    std::string text = whole;
    for (auto changes = 1 + random() % 4; changes > 0; --changes) {
      const std::size_t at = random() % text.size();
      const char letter = letters[random() % letters.size()];
      switch (random() % 3) {
        case 0:
          text[at] = letter;
          break;
        case 1:
          text.insert(at, 1 + random() % 3, letter);
          break;
        default:
          text.erase(at, random() % 8);
      }
    }
    INFO(text);
    Registry registry;
    registerTestMiddlewares(registry);
    ConfigReport report;
    const Config config = readConfig({"test.toml", text}, report);
    const LogSink silent;
    const Daemon daemon{config, registry, silent, report};
    const auto lines = std::count(text.begin(), text.end(), '\n') + 1;
    for (const ConfigFinding& finding : report.findings()) {
      REQUIRE(finding.at.line <= lines);
      REQUIRE_FALSE(finding.message.empty());
    }
    std::ostringstream out;
    report.print(out, config.source);
  }
}
