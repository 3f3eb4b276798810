#include "app/service_manager.hpp"

#include <cstdlib>
#include <ctime>

#include "tests/scenario/support/daemon.hpp"
#include "tests/scenario/support/notify_socket.hpp"

using namespace mqttstack;
using namespace mqttstack::test;
using namespace std::chrono_literals;
using Messages = std::vector<std::string>;

namespace {

/// The manager that these variables make.
ServiceManager managerOf(const std::string& socket, const std::string& watchdog = "",
                         const std::string& pid = "") {
  ::setenv("NOTIFY_SOCKET", socket.c_str(), 1);
  if (!watchdog.empty()) ::setenv("WATCHDOG_USEC", watchdog.c_str(), 1);
  if (!pid.empty()) ::setenv("WATCHDOG_PID", pid.c_str(), 1);
  return ServiceManager::fromEnvironment();
}

}  // namespace

TEST_CASE("each state is one message in the words of sd_notify", "[service_manager]") {
  const TemporaryDirectory directory;
  const bool abstract = GENERATE(true, false);
  const std::string path = abstract ? "@mqtt-stackd-test-" + std::to_string(::getpid())
                                    : (directory.path() / "notify").string();
  const NotifySocket socket{path};
  ServiceManager manager = managerOf(path);
  REQUIRE(manager.present());
  CHECK(manager.heartbeat() == 0us);
  manager.extendTimeout(90s, "reading");
  manager.ready("up");
  manager.ping();
  CHECK(manager.status("busy\nREADY=1"));
  manager.stopping("ending");
  CHECK(socket.receiveAll() == Messages{"EXTEND_TIMEOUT_USEC=90000000\nSTATUS=reading",
                                        "READY=1\nSTATUS=up", "WATCHDOG=1", "STATUS=busy READY=1",
                                        "STOPPING=1\nSTATUS=ending"});
}

TEST_CASE("a reload is told with the time of the monotonic clock", "[service_manager]") {
  const TemporaryDirectory directory;
  const NotifySocket socket{(directory.path() / "notify").string()};
  ServiceManager manager = managerOf(socket.path());
  timespec before{};
  ::clock_gettime(CLOCK_MONOTONIC, &before);
  manager.reloading();
  const std::string message = socket.receive();
  const std::string begin = "RELOADING=1\nMONOTONIC_USEC=";
  REQUIRE(message.starts_with(begin));
  const long long told = std::stoll(message.substr(begin.size()));
  CHECK(told >= before.tv_sec * 1'000'000LL + before.tv_nsec / 1000);
  CHECK(told <= before.tv_sec * 1'000'000LL + before.tv_nsec / 1000 + 60'000'000);
}

TEST_CASE("the watchdog is served at half of its time, if it means this process",
          "[service_manager]") {
  const TemporaryDirectory directory;
  const NotifySocket socket{(directory.path() / "notify").string()};
  const auto heartbeat = [&](const std::string& time, const std::string& pid) {
    return managerOf(socket.path(), time, pid).heartbeat();
  };
  CHECK(heartbeat("30000000", "") == 15s);
  CHECK(heartbeat("30000000", std::to_string(::getpid())) == 15s);
  CHECK(heartbeat("30000000", "1") == 0s);
  CHECK(heartbeat("30000000", "x") == 0s);
  CHECK(heartbeat("0", "") == 0s);
  CHECK(heartbeat("-5", "") == 0s);
  CHECK(heartbeat("30s", "") == 0s);
}

TEST_CASE("what was meant for this process is not passed on", "[service_manager]") {
  const TemporaryDirectory directory;
  const NotifySocket socket{(directory.path() / "notify").string()};
  managerOf(socket.path(), "1000000", "1");
  for (const char* name : {"NOTIFY_SOCKET", "WATCHDOG_USEC", "WATCHDOG_PID"})
    CHECK(::getenv(name) == nullptr);
}

TEST_CASE("without a manager all calls do nothing", "[service_manager]") {
  for (const std::string path : {"", "@", "relative", "vsock:2:1", "/no/such/socket"}) {
    INFO(path);
    ServiceManager manager = managerOf(path, "1000000");
    manager.ready("up");
    manager.reloading();
    manager.stopping("ending");
    manager.extendTimeout(1s, "");
    manager.ping();
    CHECK_FALSE(manager.status("x"));
    CHECK(manager.present() == (path == "/no/such/socket"));
  }
  CHECK_FALSE(managerOf("/" + std::string(200, 'x')).present());
  CHECK_FALSE(ServiceManager{}.present());
}
