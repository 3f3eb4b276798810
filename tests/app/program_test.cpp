#include <chrono>
#include <csignal>
#include <cstdlib>
#include <thread>

#include <catch2/catch.hpp>

#include "tests/scenario/support/daemon.hpp"
#include "tests/scenario/support/raw_client.hpp"

using namespace mqttstack;
using Catch::Matchers::Contains;

namespace {

/// The program that was built together with these tests.
const int kProgramChosen = ::setenv("MQTT_STACKD", MQTTSTACK_PROGRAM, 0);

const std::string kListener = "[[listener]]\nbind = \"127.0.0.1:0\"\n";

/// Waits until the log says something.
bool says(const DaemonProcess& daemon, const std::string& text) {
  const auto deadline = std::chrono::steady_clock::now() + std::chrono::seconds{20};
  while (daemon.log().find(text) == std::string::npos) {
    if (std::chrono::steady_clock::now() > deadline) return false;
    std::this_thread::yield();
  }
  return true;
}

}  // namespace

TEST_CASE("a file that SIGHUP finds wrong changes nothing", "[program]") {
  REQUIRE(kProgramChosen == 0);
  const TemporaryDirectory directory;
  DaemonProcess daemon(kListener, directory.path());
  const std::string file = "mqtt-stackd.toml";  // as DaemonProcess calls it
  daemon.signal(SIGHUP);
  CHECK(says(daemon, file + " reloaded"));

  directory.write(file, kListener + "bnid = 1\n");
  daemon.signal(SIGHUP);
  CHECK(says(daemon, file + ":3:1: error: unknown option \"bnid\""));
  CHECK(says(daemon, "hangup signal: not reloaded, the broker goes on as it was: "));
  const std::string log = daemon.log();
  const std::size_t first = log.find("unknown option");
  CHECK(log.find("(", first) < log.find("\n", first));  // with its remedy
  CHECK(log.find("unknown option", first + 1) == std::string::npos);

  RawClient client(daemon.endpoint());
  client.connect({.clientId = "still here"});
  daemon.signal(SIGTERM);
  CHECK(daemon.wait() == 0);
  CHECK_THAT(daemon.log(), Contains("stopping, clients: 1"));
}

TEST_CASE("the command line decides about the log, and JSON has one object a line", "[program]") {
  const DaemonProcess daemon(kListener);
  const std::string address = "127.0.0.1:" + std::to_string(daemon.endpoint().port);
  const TemporaryDirectory directory;
  const std::string file =
      directory.write("second.toml", "[log]\nlevel = \"off\"\n[[listener]]\nname = \"second\"\n" +
                                         ("bind = \"" + address + "\"\n"));
  const auto silent = runDaemon({"run", "--config", file});
  CHECK(silent.exitCode == 69);
  CHECK(silent.output == "");
  const auto json = runDaemon({"--config", file, "--log-level", "error", "--log-format", "json"});
  CHECK(json.exitCode == 69);
  CHECK_THAT(json.output, Catch::Matchers::StartsWith("{\"time\":\"2"));
  CHECK_THAT(json.output,
             Contains("Z\",\"level\":\"error\",\"component\":\"listener\",\"message\":\"listener "
                      "\\\"second\\\": cannot listen on " +
                      address));
  CHECK_THAT(json.output, Catch::Matchers::EndsWith("\"}\n"));
}

TEST_CASE("the program links no library whose name differs between distributions", "[program]") {
  const std::string command = "ldd '" MQTTSTACK_PROGRAM "' 2>&1";
  std::string libraries;
  std::FILE* pipe = ::popen(command.c_str(), "r");
  REQUIRE(pipe);
  char line[512];
  while (std::fgets(line, sizeof line, pipe)) libraries += line;
  CHECK(::pclose(pipe) == 0);
  CHECK_THAT(libraries, Contains("libssl.so"));
  for (const char* name : {"libspdlog", "libfmt", "libtomlplusplus", "libCLI", "libboost"})
    CHECK_THAT(libraries, !Contains(name));
}
