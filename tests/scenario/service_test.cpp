#include <algorithm>
#include <arpa/inet.h>
#include <csignal>
#include <fstream>
#include <netinet/in.h>
#include <sys/socket.h>
#include <sys/stat.h>
#include <sys/un.h>
#include <thread>
#include <unistd.h>

#include <catch2/catch.hpp>

#include "tests/scenario/support/daemon.hpp"
#include "tests/scenario/support/notify_socket.hpp"
#include "tests/scenario/support/raw_client.hpp"
#include "tests/scenario/support/test_certificates.hpp"

using namespace mqttstack;
using namespace mqttstack::test;
using Catch::Matchers::Contains;
using Catch::Matchers::StartsWith;

namespace {

/// The service manager, as a directory with a socket.
struct Manager {
  TemporaryDirectory directory;
  NotifySocket socket{(directory.path() / "notify").string()};

  [[nodiscard]] Launch launch(const std::string& watchdog = "") const {
    Launch launch{{"NOTIFY_SOCKET=" + socket.path()}, {}};
    if (!watchdog.empty()) launch.environment.push_back("WATCHDOG_USEC=" + watchdog);
    return launch;
  }
};

/// A stream socket with an address of its own, which listens.
class ListeningSocket {
public:
  static ListeningSocket four(const char* address = "127.0.0.1") {
    sockaddr_in where{};
    where.sin_family = AF_INET;
    inet_pton(AF_INET, address, &where.sin_addr);
    return {reinterpret_cast<const sockaddr*>(&where), sizeof where};
  }
  static ListeningSocket six() {
    sockaddr_in6 where{};
    where.sin6_family = AF_INET6;
    where.sin6_addr = in6addr_loopback;
    return {reinterpret_cast<const sockaddr*>(&where), sizeof where};
  }
  static ListeningSocket local(const std::string& path) {
    sockaddr_un where{};
    where.sun_family = AF_UNIX;
    path.copy(where.sun_path, sizeof where.sun_path - 1);
    return {reinterpret_cast<const sockaddr*>(&where), sizeof where};
  }
  ListeningSocket(ListeningSocket&& other) noexcept : socket_{std::exchange(other.socket_, -1)} {}
  ListeningSocket& operator=(ListeningSocket&&) = delete;
  ~ListeningSocket() {
    if (socket_ >= 0) close(socket_);
  }

  [[nodiscard]] int get() const { return socket_; }
  [[nodiscard]] std::uint16_t port() const {
    sockaddr_in6 where{};  // the port stands at one place for both families
    socklen_t size = sizeof where;
    getsockname(socket_, reinterpret_cast<sockaddr*>(&where), &size);
    return ntohs(where.sin6_port);
  }
  [[nodiscard]] std::string text() const { return "127.0.0.1:" + std::to_string(port()); }

private:
  ListeningSocket(const sockaddr* where, socklen_t size)
      : socket_{socket(where->sa_family, SOCK_STREAM | SOCK_CLOEXEC, 0)} {
    REQUIRE(bind(socket_, where, size) == 0);
    REQUIRE(listen(socket_, 16) == 0);
  }
  int socket_;
};

bool hasV6() {
  const int probe = socket(AF_INET6, SOCK_STREAM | SOCK_CLOEXEC, 0);
  sockaddr_in6 where{};
  where.sin6_family = AF_INET6;
  where.sin6_addr = in6addr_loopback;
  const bool has = bind(probe, reinterpret_cast<const sockaddr*>(&where), sizeof where) == 0;
  close(probe);
  if (!has) WARN("no IPv6 here");
  return has;
}

std::string listener(const std::string& name, const std::string& bind = "127.0.0.1:0") {
  return "[[listener]]\nname = \"" + name + "\"\nbind = \"" + bind + "\"\n";
}

std::string lastLine(const std::string& text) {
  const auto end = text.find_last_not_of('\n');
  if (end == std::string::npos) return {};
  const auto begin = text.rfind('\n', end);
  return text.substr(begin == std::string::npos ? 0 : begin + 1, end - begin);
}

/// Runs with a configuration that it should not start with.
CommandResult runWith(const std::string& config, const Launch& launch = {},
                      const std::string& format = "text") {
  const TemporaryDirectory directory;
  const auto path = directory.write("broker.toml", config);
  return runDaemon({"--config", path.string(), "--log-format", format}, launch);
}

bool says(const DaemonProcess& daemon, const std::string& text) {
  const auto deadline = std::chrono::steady_clock::now() + kPatience;
  while (daemon.log().find(text) == std::string::npos) {
    if (std::chrono::steady_clock::now() > deadline) return false;
    std::this_thread::sleep_for(std::chrono::milliseconds(5));
  }
  return true;
}

void publishAndReceive(const Endpoint& server) {
  RawClient client(server);
  client.connect({.clientId = "both"});
  client.subscribe({{"t", 0}});
  client.publish({.topic = "t", .payload = "x"});
  client.expectPublish({.topic = "t", .payload = "x"});
}

}  // namespace

TEST_CASE("a service manager hears of the start, of reloads and of the end", "[service]") {
  const Manager manager;
  DaemonProcess daemon(listener("a"), manager.launch());
  CHECK_THAT(manager.socket.receive(), StartsWith("EXTEND_TIMEOUT_USEC="));
  CHECK_THAT(manager.socket.await("READY=1"), Contains("\nSTATUS=0 clients connected; "));

  RawClient client(daemon.endpoint());
  client.connect({.clientId = "one"});
  client.publish({.topic = "t", .payload = "x"});
  client.settle();
  CHECK_THAT(manager.socket.await("STATUS="), StartsWith("STATUS=1 client connected; messages "
                                                         "received: ") &&
                                                  Contains(", 1 in total; sent: 0/s, 0 in total"));

  daemon.signal(SIGHUP);
  CHECK_THAT(manager.socket.await("RELOADING=1"), Contains("\nMONOTONIC_USEC="));
  CHECK_THAT(manager.socket.receive(), StartsWith("READY=1\nSTATUS=1 client connected"));

  daemon.signal(SIGTERM);
  CHECK_THAT(manager.socket.await("STOPPING=1"), Contains("\nSTATUS="));
  CHECK(daemon.wait() == 0);
}

TEST_CASE("readiness means that every listener takes clients", "[service]") {
  const Manager manager;
  DaemonProcess daemon(listener("a") + listener("b"), manager.launch());
  REQUIRE(!manager.socket.await("READY=1").empty());
  publishAndReceive(daemon.endpoint("a"));
  publishAndReceive(daemon.endpoint("b"));
}

TEST_CASE("the watchdog is served twice in its time, and not by a process that is stopped",
          "[service]") {
  const Manager manager;
  DaemonProcess daemon(listener("a"), manager.launch("400000"));
  REQUIRE(!manager.socket.await("READY=1").empty());
  const auto start = std::chrono::steady_clock::now();
  for (int i = 0; i < 6; ++i) REQUIRE(!manager.socket.await("WATCHDOG=1").empty());
  CHECK(std::chrono::steady_clock::now() - start >= std::chrono::milliseconds(5 * 190));

  daemon.signal(SIGSTOP);
  // What was on its way may still come, and then nothing.
  const auto quiet = [&] { return manager.socket.receive(1000).empty(); };
  CHECK((quiet() || quiet() || quiet()));
  daemon.signal(SIGCONT);
  CHECK(!manager.socket.await("WATCHDOG=1").empty());
}

TEST_CASE("a start that fails is told to the service manager and never called ready", "[service]") {
  const Manager manager;
  const auto taken = ListeningSocket::four();
  CHECK(runWith(listener("a", taken.text()), manager.launch()).exitCode == 69);
  std::string last;
  for (const std::string& message : manager.socket.receiveAll()) {
    CHECK_THAT(message, !Contains("READY=1"));
    last = message;
  }
  CHECK_THAT(last, StartsWith("STATUS=cannot start: listener \"a\": cannot listen on "));

  CHECK(runWith("bnid = 1\n", manager.launch()).exitCode == 78);
  const auto messages = manager.socket.receiveAll();
  REQUIRE(!messages.empty());
  CHECK_THAT(messages.back(), Contains("broker.toml:1:1: error: unknown option \"bnid\""));
}

TEST_CASE("sockets that are passed serve the listener of their name", "[service]") {
  const TemporaryDirectory directory;
  const auto four = ListeningSocket::four();
  const bool v6 = hasV6();
  const auto six = v6 ? ListeningSocket::six() : ListeningSocket::four();
  const std::string sixAddress = v6 ? "[::1]" : "127.0.0.1";
  const auto local = ListeningSocket::local((directory.path() / "socket").string());
  // No listener could be opened at these addresses: the ports are taken.
  DaemonProcess daemon(
      listener("unix") + listener("net", four.text()) + listener("own"),
      Launch{{"LISTEN_FDNAMES=net:unix:net"}, {four.get(), local.get(), six.get()}});
  CHECK_THAT(daemon.log(), Contains("listener \"net\": listening on " + four.text() + ", " +
                                    sixAddress + ":" + std::to_string(six.port()) + " ("));
  publishAndReceive({"127.0.0.1", four.port()});
  publishAndReceive({sixAddress, six.port()});
  publishAndReceive(daemon.endpoint("unix"));
  publishAndReceive(daemon.endpoint("own"));
  CHECK_THAT(
      daemon.log(),
      Contains("warning [listener] listener \"unix\": the socket that was passed listens on " +
               (directory.path() / "socket").string() +
               ", so bind = \"127.0.0.1:0\" has no effect"));

  // It outlives the daemon: whoever comes meanwhile waits.
  daemon.signal(SIGTERM);
  CHECK(daemon.wait() == 0);
  CHECK_NOTHROW(RawClient({"127.0.0.1", four.port()}));
}

TEST_CASE("a socket that no listener is named after is an error that names the listeners",
          "[service]") {
  const auto socket = ListeningSocket::four();
  for (const char* names : {"LISTEN_FDNAMES=lan", "LISTEN_FDNAMES="}) {
    const auto result = runWith(listener("local") + listener("secure"), {{names}, {socket.get()}});
    CHECK(result.exitCode == 78);
    CHECK_THAT(result.output, Contains("and no listener has that name") &&
                                  Contains("help: let FileDescriptorName= in the .socket unit be "
                                           "the name of a listener: local, secure"));
  }
}

TEST_CASE("a descriptor that is no listening stream socket is refused", "[service]") {
  const int datagram = socket(AF_INET, SOCK_DGRAM | SOCK_CLOEXEC, 0);
  const int idle = socket(AF_INET, SOCK_STREAM | SOCK_CLOEXEC, 0);
  const int file = dup(STDIN_FILENO);
  const auto whyRefused = [](int descriptor) {
    const auto result = runWith(listener("a"), {{"LISTEN_FDNAMES=a"}, {descriptor}});
    CHECK(result.exitCode == 78);
    return result.output;
  };
  CHECK_THAT(whyRefused(datagram), Contains("descriptor 3, called \"a\", cannot be used: it is no "
                                            "stream socket"));
  CHECK_THAT(whyRefused(idle), Contains("it does not listen"));
  CHECK_THAT(whyRefused(file), Contains("it is no socket"));
  close(datagram);
  close(idle);
  close(file);
}

TEST_CASE("sockets that were meant for another process are left alone", "[service]") {
  DaemonProcess daemon(listener("a"),
                       Launch{{"LISTEN_PID=1", "LISTEN_FDS=5", "LISTEN_FDNAMES=x"}, {}});
  publishAndReceive(daemon.endpoint());
}

TEST_CASE("a socket that the network can reach opens nothing that was meant for this machine",
          "[service]") {
  const auto everywhere = ListeningSocket::four("0.0.0.0");
  const Launch launch{{"LISTEN_FDNAMES=a"}, {everywhere.get()}};
  const auto result = runWith(listener("a"), launch);
  CHECK(result.exitCode == 78);
  CHECK_THAT(lastLine(result.output),
             Contains("can be reached from the network, and pipeline \"default\" authenticates "
                      "nobody") &&
                 Contains("allow_anonymous = true"));
  DaemonProcess daemon(listener("a") + "allow_anonymous = true\n", launch);
  publishAndReceive({"127.0.0.1", everywhere.port()});
}

TEST_CASE("a listener may be IPv6", "[service]") {
  if (!hasV6()) return;
  const DaemonProcess daemon(listener("six", "[::1]:0"));
  CHECK(daemon.endpoint().address == "[::1]");
  publishAndReceive(daemon.endpoint());
}

TEST_CASE("a port in use ends the start with the listener, the address and the remedy last",
          "[service]") {
  const auto taken = ListeningSocket::four();
  const auto result = runWith(listener("free") + listener("mine", taken.text()));
  CHECK(result.exitCode == 69);
  CHECK_THAT(lastLine(result.output),
             Contains("error [listener] listener \"mine\": cannot listen on " + taken.text() +
                      ": Address already in use (") &&
                 Contains("process " + std::to_string(getpid())) &&
                 Contains("stop it or choose another port; ss -ltnp 'sport = :" +
                          std::to_string(taken.port()) + "' shows it)"));
}

TEST_CASE("files that are missing, wrong or everybody's end the start with a code of their own",
          "[service]") {
  const TemporaryDirectory directory;
  writeTestCertificates(directory.path());
  const std::string in = directory.path().string() + "/";
  directory.write("bad-passwd", "alice\n");
  directory.write("bad.key", "no key\n");
  directory.write("loose", "", std::filesystem::perms(0666));
  const auto tls = [&](const std::string& key) {
    return listener("a") + "tls = { certificate = \"" + in + "server.crt\", key = \"" + key +
           "\" }\n";
  };
  const auto passwords = [&](const std::string& file) {
    return listener("a") +
           "[pipeline]\ndefault = [\"connection\", \"authentication\", \"password_file\", "
           "\"keep_alive\", \"last_will\", \"memory_backend\", \"session_manager\", "
           "\"subscription_manager\", \"retain_manager\", \"inbound_manager\", "
           "\"outbound_manager\"]\n[middleware.password_file]\npath = \"" +
           in + file + "\"\n";
  };
  struct Case {
    std::string config;
    int exitCode;
    std::string says;
  };
  const std::vector<Case> cases{
      {tls(in + "none.key"), 78, "none.key\": No such file or directory (make it, or correct"},
      {tls(in + "bad.key"), 65, "TLS key \"" + in + "bad.key\""},
      {tls(in + "client.key"), 65, "does not belong to the certificate"},
      {tls(in + "loose"), 78,
       "loose\" is refused: everybody on this machine can change it (chmod o-w"},
      {tls("${NO_SUCH_VARIABLE}/key"), 78, "\"NO_SUCH_VARIABLE\" is not"},
      {tls("${CREDENTIALS_DIRECTORY}/key"), 78, "systemd sets it for a unit that says LoadCred"},
      {passwords("none"), 78, "none\": No such file or directory (make it, or correct the path)"},
      {passwords("bad-passwd"), 65, "bad-passwd:1: "},
      {passwords("loose"), 78, "everybody on this machine can change it"}};
  for (const Case& each : cases) {
    const auto result = runWith(each.config, {}, "journal");
    INFO(result.output);
    CHECK(result.exitCode == each.exitCode);
    CHECK_THAT(lastLine(result.output), StartsWith("<3>[config] ") && Contains(each.says));
  }
}

TEST_CASE("a file that the user may not read ends the start with a code of its own", "[service]") {
  if (geteuid() == 0) return;  // root may read all
  const TemporaryDirectory directory;
  const auto secret = directory.write("secret", "", std::filesystem::perms(0));
  const auto result = runWith(listener("a") + "tls = { certificate = \"" + secret.string() +
                              "\", key = \"" + secret.string() + "\" }\n");
  CHECK(result.exitCode == 77);
  CHECK_THAT(result.output, Contains("Permission denied") && Contains("let the user that"));
}

TEST_CASE("paths may lead into the directory of credentials", "[service]") {
  const TemporaryDirectory directory;
  writeTestCertificates(directory.path());
  const DaemonProcess daemon(
      listener("a") +
          "tls = { certificate = \"${CREDENTIALS_DIRECTORY}/server.crt\", key = "
          "\"${CREDENTIALS_DIRECTORY}/server.key\" }\n",
      Launch{{"CREDENTIALS_DIRECTORY=" + directory.path().string()}, {}});
  RawClient client(daemon.endpoint(), Version::v5,
                   ClientTls{.authority = directory.path() / "ca.crt"});
  client.connect({.clientId = "tls"});
}

TEST_CASE("check tells root which files a user cannot read, and what is in the way", "[service]") {
  const TemporaryDirectory directory;
  std::filesystem::permissions(directory.path(), std::filesystem::perms(0755));
  const auto config =
      directory.write("broker.toml", listener("a"), std::filesystem::perms(0640)).string();
  if (geteuid() != 0) return;  // nobody else can look at all
  const auto result = runDaemon({"check", "--user", "nobody", config});
  CHECK(result.exitCode == 0);
  CHECK_THAT(result.output,
             Contains(config + ": warning: user \"nobody\" cannot read \"" + config + "\"\n") &&
                 Contains("help: chgrp nogroup '" + config + "' && chmod g+r '" + config + "'\n"));

  writeTestCertificates(directory.path());
  std::filesystem::create_directory(directory.path() / "in");
  std::filesystem::rename(directory.path() / "server.key", directory.path() / "in/server.key");
  std::filesystem::permissions(directory.path() / "in", std::filesystem::perms(0700));
  directory.write(
      "broker.toml",
      listener("a") + "tls = { certificate = \"server.crt\", key = \"in/server.key\" }\n",
      std::filesystem::perms(0644));
  const auto hidden = runDaemon({"check", "--user", "nobody", config});
  CHECK(hidden.exitCode == 0);
  const std::string folder = (directory.path() / "in").string();
  CHECK_THAT(hidden.output,
             Contains(config + ":4:43: warning: user \"nobody\" cannot read \"" + folder +
                      "/server.key\", since it may not enter \"" + folder + "\"\n") &&
                 Contains("help: chgrp nogroup '" + folder + "' && chmod g+x '" + folder + "'"));
  CHECK(runDaemon({"check", "--user", "no-such-user-here", config}).exitCode == 64);
}

TEST_CASE("a pipeline that only looks at CONNECT is refused with what is missing", "[service]") {
  const auto result =
      runWith(listener("a") + "[pipeline]\ndefault = [\"connection\", \"packet_emitter\"]\n");
  CHECK(result.exitCode == 78);
  CHECK_THAT(result.output, Contains("nothing in pipeline \"default\" answers CONNECT") &&
                                Contains("help: add session_manager"));
}

TEST_CASE("a file that SIGHUP finds wrong leaves the broker as it was, and the status says so",
          "[service]") {
  const Manager manager;
  DaemonProcess daemon(listener("a"), manager.launch());
  const std::string file = daemon.configFile().string();
  RawClient client(daemon.endpoint());
  client.connect({.clientId = "still here"});
  const auto reloadWith = [&](const std::string& config) {
    std::ofstream(file) << config;
    daemon.signal(SIGHUP);
    REQUIRE(!manager.socket.await("RELOADING=1").empty());
    return manager.socket.await("READY=1");
  };

  CHECK_THAT(reloadWith(listener("a") + "bnid = 1\n"), Contains("STATUS=Reload failed: " + file +
                                                                ":4:1: error: unknown option "
                                                                "\"bnid\". 1 client connected"));
  CHECK(says(daemon, "error [daemon] hangup signal: not reloaded, the broker goes on as it was: " +
                         file + ":4:1: error: unknown option \"bnid\""));

  CHECK_THAT(reloadWith(listener("b") + "[pipeline]\ndefault = [\"connection\", "
                                        "\"memory_backend\", \"session_manager\", "
                                        "\"outbound_manager\"]\n"),
             Contains("STATUS=Changes of the configuration need a restart. 1 client"));
  CHECK(says(
      daemon,
      "warning [daemon] hangup signal: " + file +
          " reloaded, but these changes need a "
          "restart: listener \"a\" was removed, listener \"b\" was added, pipeline \"default\" "
          "changed\n"));

  CHECK_THAT(reloadWith(listener("a") + "[log]\nlevel = \"debug\"\nformat = \"json\"\n"),
             StartsWith("READY=1\nSTATUS=1 client connected"));
  CHECK(says(daemon, "\"level\":\"info\",\"component\":\"daemon\",\"message\":\"hangup signal: "));
  client.settle();
}

TEST_CASE("under the journal a line is a level and a message", "[service]") {
  const TemporaryDirectory directory;
  const auto config = directory.write("broker.toml", "[log]\nlevel = \"info\"\n");
  const auto output = directory.path() / "output";
  // The log goes to a file, which JOURNAL_STREAM names as systemd does with its socket.
  std::ofstream(output).flush();
  struct stat status {};
  REQUIRE(stat(output.c_str(), &status) == 0);
  const auto taken = ListeningSocket::four();
  std::ofstream(config) << listener("a", taken.text());
  const std::string command = "JOURNAL_STREAM=" + std::to_string(status.st_dev) + ":" +
                              std::to_string(status.st_ino) + " \"$MQTT_STACKD\" --config '" +
                              config.string() + "' 2> '" + output.string() + "'";
  CHECK(WEXITSTATUS(std::system(command.c_str())) == 69);
  std::ifstream lines(output);
  std::string first;
  std::string second;
  std::getline(lines, first);
  std::getline(lines, second);
  CHECK_THAT(first, StartsWith("<6>[daemon] mqtt-stackd "));
  CHECK_THAT(second, StartsWith("<3>[listener] listener \"a\": cannot listen on "));
}

TEST_CASE("a second SIGTERM ends the daemon at once", "[service]") {
  DaemonProcess daemon;
  RawClient sleeper(daemon.endpoint());
  sleeper.shrinkReceiveBuffer();
  sleeper.connect({.clientId = "sleeper"});
  sleeper.subscribe({{"flood", 1}});
  RawClient publisher(daemon.endpoint());
  publisher.connect({.clientId = "publisher"});
  for (int i = 0; i < 200; ++i)
    publisher.publish({.topic = "flood", .payload = Bytes(65'536, 'f')});
  publisher.settle();
  const auto start = std::chrono::steady_clock::now();
  daemon.signal(SIGTERM);
  REQUIRE(says(daemon, "Terminated: stopping, clients: 2"));
  daemon.signal(SIGTERM);
  CHECK(daemon.wait() == 0);
  // Without it, the client that does not read would be waited for.
  CHECK(std::chrono::steady_clock::now() - start < std::chrono::milliseconds(1500));
  CHECK_THAT(daemon.log(), Contains("Terminated again: stopping at once"));
}

TEST_CASE("SIGUSR1 has the counters logged, and the daemon goes on", "[service]") {
  DaemonProcess daemon;
  RawClient client(daemon.endpoint());
  client.connect({.clientId = "counted"});
  client.publish({.topic = "t", .payload = "x"});
  client.settle();
  daemon.signal(SIGUSR1);
  CHECK(daemon.logs("[metrics] publish_received = 1 (PUBLISH packets received from clients)\n"));
  CHECK_THAT(daemon.log(), Contains("[metrics] connections = 1 (connections open now)\n") &&
                               !Contains("bad_packets"));
  client.settle();
}
