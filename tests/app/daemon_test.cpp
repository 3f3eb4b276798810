#include "app/daemon.hpp"

#include <arpa/inet.h>
#include <mutex>
#include <netinet/in.h>
#include <sys/socket.h>
#include <unistd.h>

#include <catch2/catch.hpp>

#include "app/run_command.hpp"
#include "tests/app/config_fixture.hpp"

using namespace mqttstack;
using namespace mqttstack::test;
using Catch::Matchers::Contains;

namespace {

struct Outcome {
  ExitCode code;
  std::string log;
};

/// Runs a daemon until a middleware of the configuration ends it.
Outcome runDaemonOf(const std::string& text) {
  Registry registry;
  registerTestMiddlewares(registry);
  ConfigReport report;
  const Config config = readConfig({"test.toml", text}, report);
  std::string log;
  const LogSink sink{LogLevel::info,
                     [&log](LogLevel level, std::string_view component, std::string_view message) {
                       log += std::string{toString(level)} + " [" + std::string{component} + "] " +
                              std::string{message} + "\n";
                     }};
  Daemon daemon{config, registry, sink, report};
  REQUIRE_FALSE(report.hasErrors());
  const ExitCode code = daemon.run();
  return {code, log};
}

/// A port of loopback that somebody listens on.
class TakenPort {
public:
  TakenPort() : socket_{::socket(AF_INET, SOCK_STREAM, 0)} {
    sockaddr_in address{};
    address.sin_family = AF_INET;
    address.sin_addr.s_addr = htonl(INADDR_LOOPBACK);
    socklen_t size = sizeof address;
    REQUIRE(::bind(socket_, reinterpret_cast<sockaddr*>(&address), size) == 0);
    REQUIRE(::listen(socket_, 1) == 0);
    REQUIRE(::getsockname(socket_, reinterpret_cast<sockaddr*>(&address), &size) == 0);
    endpoint_ = "127.0.0.1:" + std::to_string(ntohs(address.sin_port));
  }
  TakenPort(const TakenPort&) = delete;
  TakenPort& operator=(const TakenPort&) = delete;
  ~TakenPort() { ::close(socket_); }

  const std::string& endpoint() const { return endpoint_; }

private:
  int socket_;
  std::string endpoint_;
};

/// Replaces what differs from run to run.
std::string withoutPorts(std::string log) {
  for (std::size_t at = 0; (at = log.find("127.0.0.1:", at)) != std::string::npos; ++at) {
    const std::size_t port = at + 10;
    log.replace(port, log.find_first_not_of("0123456789", port) - port, "PORT");
  }
  return log;
}

const std::string kPipeline = "[pipeline]\ndefault = [\"connection\", \"signaller\"]\n";

}  // namespace

TEST_CASE("a daemon starts its middlewares, listens, and gives everything back on SIGTERM",
          "[daemon]") {
  const auto [code, log] = runDaemonOf(
      "[[listener]]\nname = \"a\"\nbind = \"127.0.0.1:0\"\n"
      "[[listener]]\nbind = \"127.0.0.1:0\"\n" +
      kPipeline);
  CHECK(code == ExitCode::success);
  CHECK(withoutPorts(log) ==
        "info [signaller] started\n"
        "info [listener] listener \"a\": listening on 127.0.0.1:PORT (pipeline \"default\", "
        "anonymous allowed, no TLS)\n"
        "info [listener] listener \"127.0.0.1:PORT\": listening on 127.0.0.1:PORT (pipeline "
        "\"default\", anonymous allowed, no TLS)\n"
        "info [daemon] Terminated: stopping, clients: 0\n"
        "info [signaller] stopped\n"
        "info [daemon] stopped\n");
}

TEST_CASE("all listeners that cannot be opened are told, and none stays open", "[daemon]") {
  const TakenPort first;
  const TakenPort second;
  const auto [code, log] = runDaemonOf("[[listener]]\nname = \"a\"\nbind = \"" + first.endpoint() +
                                       "\"\n[[listener]]\nbind = \"127.0.0.1:0\"\n"
                                       "[[listener]]\nname = \"b\"\nbind = \"" +
                                       second.endpoint() + "\"\n" + kPipeline);
  CHECK(code == ExitCode::addressInUse);
  CHECK_THAT(log, Contains("error [listener] listener \"a\": cannot listen on " + first.endpoint() +
                           ": Address already in use ("));
  // The program that listens there is this one.
  CHECK_THAT(log, Contains("(process " + std::to_string(::getpid()) + ") of user "));
  CHECK_THAT(log, Contains("listens there; stop it or choose another port"));
  CHECK_THAT(log, !Contains("listening on"));
  const auto last = log.rfind('\n', log.size() - 2) + 1;
  CHECK_THAT(log.substr(last),
             Contains("error [listener] listener \"b\": cannot listen on " + second.endpoint()));
  CHECK(log.find("[signaller] stopped") < log.find("error"));
}

TEST_CASE("a middleware that cannot start ends the daemon before anybody is served", "[daemon]") {
  const auto [code, log] = runDaemonOf(
      "[[listener]]\nbind = \"127.0.0.1:0\"\n"
      "[pipeline]\ndefault = [\"connection\", \"signaller\", \"unstartable\"]\n");
  CHECK(code == ExitCode::io);
  CHECK(log ==
        "info [signaller] started\n"
        "info [signaller] stopped\n"
        "error [daemon] test.toml:4:39: error: the lock is taken (stop the other one)\n");
}

TEST_CASE("a trial of the configuration that throws leaves the broker as it was", "[daemon]") {
  const TemporaryDirectory directory;
  Registry registry;
  registerTestMiddlewares(registry);
  const std::string file = directory.write("test.toml",
                                           "[[listener]]\nbind = \"127.0.0.1:0\"\n"
                                           "[pipeline]\ndefault = [\"connection\", \"fickle\"]\n");
  const ExitCode code = runBroker({file, "error", {}}, registry);
  CHECK(code == ExitCode::success);
}
