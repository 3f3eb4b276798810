#include "app/pipelines.hpp"

#include <catch2/catch.hpp>

#include "tests/app/config_fixture.hpp"

using namespace mqttstack;
using namespace mqttstack::test;
using Catch::Matchers::Contains;

namespace {

const std::string kListener = "[[listener]]\nbind = \"127.0.0.1:1883\"\n";

}  // namespace

TEST_CASE("an unknown middleware is told at its place in the list", "[pipelines]") {
  CHECK(problemsOf(kListener + "[pipeline]\ndefault = [\"connection\", \"keep_alve\"]\n") ==
        R"(test.toml:4:26: error: unknown middleware "keep_alve"
    default = ["connection", "keep_alve"]
                             ^~~~~~~~~~~
help: did you mean "keep_alive"?
test.toml: 1 error
)");
}

TEST_CASE("a name that resembles nothing gets the list of all", "[pipelines]") {
  CHECK_THAT(problemsOf("[pipeline]\ndefault = [\"connection\", \"zzz\"]\n"),
             Contains("help: there are: authentication, connection, "));
}

TEST_CASE("an instance of another name is meant by its own", "[pipelines]") {
  CHECK_THAT(problemsOf("[pipeline]\ndefault = [\"connection\", \"stroe\"]\n"
                        "[middleware.store]\nuse = \"memory_backend\"\n"),
             Contains("test.toml:2:26: error: unknown middleware \"stroe\"") &&
                 Contains("did you mean \"store\"?") &&
                 Contains("test.toml:3:13: error: no pipeline lists \"store\""));
}

TEST_CASE("an unknown middleware behind use is told at its value", "[pipelines]") {
  CHECK_THAT(problemsOf("[pipeline]\ndefault = [\"connection\", \"store\"]\n"
                        "[middleware.store]\nuse = \"memory_bakend\"\n"),
             Contains("test.toml:4:7: error: unknown middleware \"memory_bakend\"") &&
                 Contains("did you mean \"memory_backend\"?") && Contains("test.toml: 1 error\n"));
}

TEST_CASE("a table that does not say its middleware is told what to add", "[pipelines]") {
  CHECK_THAT(problemsOf("[pipeline]\ndefault = [\"connection\", \"zzz\"]\n[middleware.zzz]\n"),
             Contains("test.toml:3:13: error: which middleware \"zzz\" is, is not said") &&
                 Contains("help: add use = \"…\" with one of: authentication, ") &&
                 Contains("test.toml: 1 error\n"));
  CHECK_THAT(problemsOf("[pipeline]\ndefault = [\"connection\", \"conection\"]\n"
                        "[middleware.conection]\n"),
             Contains("test.toml:3:13: error: unknown middleware \"conection\"") &&
                 Contains("did you mean \"connection\"?"));
}

TEST_CASE("an instance that is listed twice is told at the second place", "[pipelines]") {
  CHECK_THAT(
      problemsOf("[pipeline]\ndefault = [\"connection\",\n  \"keep_alive\",\n  \"connection\"]\n"),
      Contains("test.toml:4:3: error: pipeline \"default\" lists \"connection\" twice\n"
               "      \"connection\"]\n"
               "      ^~~~~~~~~~~~\n"));
}

TEST_CASE("a table that no pipeline lists is an error", "[pipelines]") {
  CHECK(problemsOf(kListener +
                   "[pipeline]\ndefault = [\"connection\"]\n\n[middleware.keep_alive]\n") ==
        R"(test.toml:6:13: error: no pipeline lists "keep_alive"
    [middleware.keep_alive]
                ^~~~~~~~~~
help: add it to a pipeline, or take its table out
test.toml: 1 error
)");
}

TEST_CASE("a callback that nobody handles names who executes it and who could help",
          "[pipelines]") {
  CHECK(
      problemsOf(kListener + "[pipeline]\ndefault = [\"connection\", \"inbound_manager\"]\n") ==
      R"(test.toml:4:26: error: "inbound_manager" executes relayMessage, and nothing in pipeline "default" handles it
    default = ["connection", "inbound_manager"]
                             ^~~~~~~~~~~~~~~~~
help: add memory_backend
test.toml: 1 error
)");
}

TEST_CASE("a callback is looked for in each pipeline by itself", "[pipelines]") {
  CHECK_THAT(problemsOf(kListener + "[pipeline]\n"
                                    "default = [\"connection\", \"memory_backend\"]\n"
                                    "other = [\"connection\", \"inbound_manager\"]\n"),
             Contains("test.toml:5:24: error: \"inbound_manager\" executes relayMessage, and "
                      "nothing in pipeline \"other\" handles it"));
}

TEST_CASE("a pipeline that answers no CONNECT is refused", "[pipelines]") {
  CHECK_THAT(problemsOf("[pipeline]\ndefault = [\"keep_alive\"]\n"),
             Contains("test.toml:2:1: error: nothing in pipeline \"default\" answers CONNECT: no "
                      "client could connect") &&
                 Contains("help: add connection\n"));
}

TEST_CASE("who only looks at CONNECT does not answer it", "[pipelines]") {
  CHECK(
      problemsOf(kListener + "[pipeline]\ndefault = [\"packet_emitter\"]\n") ==
      R"(test.toml:4:1: error: nothing in pipeline "default" answers CONNECT: no client could connect
    default = ["packet_emitter"]
    ^~~~~~~
help: add connection
test.toml: 1 error
)");
  CHECK(problemsOf(kListener + "[pipeline]\ndefault = [\"packet_emitter\", \"connection\"]\n") ==
        "");
}

TEST_CASE("a reload reaches those that can read again, and tells what they find at its option",
          "[pipelines]") {
  Registry registry;
  registerTestMiddlewares(registry);
  ConfigReport report;
  const Config config = readConfig(
      {"test.toml", kListener +
                        "[pipeline]\ndefault = [\"connection\", \"keep_alive\", \"rereader\"]\n"
                        "[middleware.rereader]\npath = \"/\"\n"},
      report);
  std::string said;
  const LogSink sink{LogLevel::info,
                     [&said](LogLevel, std::string_view component, std::string_view message) {
                       said += std::string{component} + ": " + std::string{message} + "\n";
                     }};
  Daemon daemon{config, registry, sink, report};
  REQUIRE_FALSE(report.hasErrors());
  daemon.reloadFiles(report);
  CHECK(said == "rereader: reloaded\n");
  REQUIRE(report.findings().size() == 1);
  CHECK(oneLine(report.findings()[0], config.source) ==
        "test.toml:6:8: error: it exists (remove it)");
  CHECK(report.exitCode() == ExitCode::badData);
}

TEST_CASE("a reload that throws is an error like any other", "[pipelines]") {
  Registry registry;
  registerTestMiddlewares(registry);
  ConfigReport report;
  const Config config = readConfig(
      {"test.toml", kListener +
                        "[pipeline]\ndefault = [\"connection\", \"keep_alive\", \"rereader\"]\n"
                        "[middleware.rereader]\npath = \"broken-disk\"\n"},
      report);
  const LogSink silent;
  Daemon daemon{config, registry, silent, report};
  REQUIRE_FALSE(report.hasErrors());
  daemon.reloadFiles(report);
  REQUIRE(report.findings().size() == 1);
  CHECK(oneLine(report.findings()[0], config.source) ==
        "test.toml:5:13: error: its files cannot be read anew: input/output error");
}

TEST_CASE("all options of a middleware are checked at their values", "[pipelines]") {
  const std::string problems = problemsOf(R"([pipeline]
default = ["connection", "keep_alive"]
[middleware.keep_alive]
grace = 0.5
after = "soon"
size = -1
strict = { }
names = [1]
grase = 2
)");
  CHECK_THAT(problems, Contains("test.toml:4:9: error: \"grace\" has to be a value from 1 to 10"));
  CHECK_THAT(problems, Contains("test.toml:5:9: error: \"after\" has to be a duration such as"));
  CHECK_THAT(problems, Contains("test.toml:6:8: error: \"size\" has to be a size such as"));
  CHECK_THAT(problems, Contains("test.toml:7:10: error: \"strict\" has to be true or false"));
  CHECK_THAT(problems, Contains("test.toml:8:9: error: \"names\" has to be a list of strings"));
  CHECK_THAT(problems, Contains("test.toml:9:1: error: unknown option \"grase\"\n"
                                "    grase = 2\n"
                                "    ^~~~~\n"
                                "help: did you mean \"grace\"?"));
  CHECK_THAT(problems, Contains("test.toml: 6 errors"));
}

TEST_CASE("a required option that is missing is told at the table or the list", "[pipelines]") {
  CHECK_THAT(problemsOf("[pipeline]\ndefault = [\"connection\", \"users\"]\n"
                        "[middleware.users]\nuse = \"password_file\"\n"),
             Contains("test.toml:3:13: error: \"users\": option \"path\" is missing") &&
                 Contains("help: add: path = …   (The file.)"));
  CHECK_THAT(problemsOf("[pipeline]\ndefault = [\"connection\", \"password_file\"]\n"),
             Contains("test.toml:2:26: error: \"password_file\": option \"path\" is missing"));
}

TEST_CASE("what a constructor finds is told at the option", "[pipelines]") {
  CHECK_THAT(problemsOf("[pipeline]\ndefault = [\"connection\", \"password_file\"]\n"
                        "[middleware.password_file]\npath = \"no-such-file\"\n"),
             Contains("test.toml:4:8: error: cannot read no-such-file\n"
                      "    path = \"no-such-file\"\n"
                      "           ^~~~~~~~~~~~~~\n"));
}

TEST_CASE("what validate finds is told at the list and at the option", "[pipelines]") {
  CHECK(problemsOf(kListener + R"([pipeline]
default = ["connection", "keep_alive"]
[middleware.keep_alive]
strict = true
)") == R"(test.toml:4:26: error: it has to be the first
    default = ["connection", "keep_alive"]
                             ^~~~~~~~~~~~
help: move it
test.toml:6:10: warning: being strict costs time
    strict = true
             ^~~~
test.toml: 1 error, 1 warning
)");
}

TEST_CASE("what validate finds in the built-in pipeline is told at the table", "[pipelines]") {
  CHECK_THAT(problemsOf("[middleware.keep_alive]\nstrict = true\n"),
             Contains("test.toml:1:13: error: it has to be the first"));
}

TEST_CASE("a pipeline is validated even where options of its members are wrong", "[pipelines]") {
  const std::string problems = problemsOf(R"([pipeline]
default = ["connection", "keep_alive"]
[middleware.keep_alive]
strict = true
grace = 100
)");
  CHECK_THAT(problems, Contains("test.toml:5:9: error: \"grace\" has to be"));
  CHECK_THAT(problems, Contains("test.toml:2:26: error: it has to be the first"));
}

TEST_CASE("an unknown middleware causes no second error in its pipeline", "[pipelines]") {
  CHECK_THAT(problemsOf("[pipeline]\ndefault = [\"inbound_manager\", \"memory_bakend\"]\n"),
             Contains("test.toml: 1 error\n"));
}

TEST_CASE("mistakes of all kinds are told in one run, in the order of the file", "[pipelines]") {
  const std::string problems = problemsOf(R"([log]
levle = "info"
[[listener]]
bind = "0.0.0.0:1883"
[[listener]]
name = "x"
bind = "127.0.0.1:99999"
pipeline = "defualt"
[pipeline]
default = ["connection", "inbound_manager", "connection"]
other = ["conection"]
[middleware.keep_alive]
grace = 0
)");
  const std::vector<std::string> expected{
      "test.toml:2:1: error: unknown option \"levle\"",
      "test.toml:4:8: error: listener \"0.0.0.0:1883\" can be reached from the network",
      "test.toml:7:8: error: \"127.0.0.1:99999\" is no endpoint",
      "test.toml:8:12: error: unknown pipeline \"defualt\"",
      "test.toml:10:26: error: \"inbound_manager\" executes relayMessage",
      "test.toml:10:45: error: pipeline \"default\" lists \"connection\" twice",
      "test.toml:11:1: warning: no listener uses pipeline \"other\"",
      "test.toml:11:10: error: unknown middleware \"conection\"",
      "test.toml:12:13: error: no pipeline lists \"keep_alive\"",
      "test.toml:13:9: error: \"grace\" has to be",
      "test.toml: 9 errors, 1 warning"};
  std::size_t at = 0;
  for (const std::string& line : expected) {
    INFO(line << "\n\nin\n\n" << problems);
    const std::size_t found = problems.find(line, at);
    REQUIRE(found != std::string::npos);
    at = found;
  }
}

TEST_CASE("pipelines share the instances that both list", "[pipelines]") {
  Registry registry;
  registerTestMiddlewares(registry);
  ConfigReport report;
  const Config config =
      readConfig({"test.toml", kListener + "[pipeline]\n"
                                           "default = [\"connection\", \"store\"]\n"
                                           "other = [\"store\", \"connection\"]\n"
                                           "[middleware.store]\nuse = \"memory_backend\"\n"},
                 report);
  const LogSink silent;
  const Daemon daemon{config, registry, silent, report};
  REQUIRE_FALSE(report.hasErrors());
  const Pipeline* one = daemon.pipelines().find("default");
  const Pipeline* two = daemon.pipelines().find("other");
  REQUIRE(one);
  REQUIRE(two);
  CHECK(one->stack->middlewares()[0] == two->stack->middlewares()[1]);
  CHECK(one->stack->middlewares()[1] == two->stack->middlewares()[0]);
  CHECK(one->stack->middlewares()[1]->name() == "store");
  CHECK(describeMembers(*one) == "connection, store (memory_backend)");
  CHECK(daemon.pipelines().find("third") == nullptr);
}
