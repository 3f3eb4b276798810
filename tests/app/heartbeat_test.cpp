#include "app/heartbeat.hpp"

#include "tests/scenario/support/daemon.hpp"
#include "tests/scenario/support/notify_socket.hpp"
#include "tests/support/manual_clock.hpp"

using namespace mqttstack;
using namespace mqttstack::test;
using namespace std::chrono_literals;
using Messages = std::vector<std::string>;

namespace {

struct Fixture {
  explicit Fixture(const char* watchdog) {
    ::setenv("NOTIFY_SOCKET", socket.path().c_str(), 1);
    if (watchdog) ::setenv("WATCHDOG_USEC", watchdog, 1);
    manager = ServiceManager::fromEnvironment();
  }

  TemporaryDirectory directory;
  NotifySocket socket{(directory.path() / "notify").string()};
  ServiceManager manager;
  ManualScheduler scheduler;
  Metrics metrics;
  Metric& clients = metrics.counter("connections", "");
  Metric& received = metrics.counter("publish_received", "");
  Metric& sent = metrics.counter("publish_sent", "");
  Heartbeat heartbeat{manager, scheduler, metrics};
};

const std::string kIdle =
    "STATUS=0 clients connected; messages received: 0/s, 0 in total; sent: 0/s, 0 in total";

}  // namespace

TEST_CASE("the heart beats at once and at half of the watchdog's time", "[heartbeat]") {
  Fixture fixture{"3000000"};
  fixture.heartbeat.start();
  CHECK(fixture.socket.receiveAll() == Messages{"READY=1\n" + kIdle, "WATCHDOG=1"});
  fixture.scheduler.advance(1400ms);
  CHECK(fixture.socket.receiveAll().empty());
  fixture.scheduler.advance(200ms);
  CHECK(fixture.socket.receiveAll() == Messages{"WATCHDOG=1"});
  std::size_t beats = 0;
  for (int second = 0; second < 30; ++second) {
    fixture.scheduler.advance(1s);
    beats += fixture.socket.receiveAll().size();
  }
  CHECK(beats >= 19);
  CHECK(beats <= 20);
  fixture.heartbeat.stop();
  fixture.scheduler.advance(30s);
  CHECK(fixture.socket.receiveAll().empty());
}

TEST_CASE("a loop that is stuck does not beat", "[heartbeat]") {
  Fixture fixture{"2000000"};
  fixture.heartbeat.start();
  fixture.socket.receiveAll();
  fixture.scheduler.jump(60s);
  CHECK(fixture.socket.receiveAll() == Messages{"WATCHDOG=1"});
}

TEST_CASE("the status is told when it has changed, and only then", "[heartbeat]") {
  Fixture fixture{nullptr};
  fixture.heartbeat.start();
  CHECK(fixture.socket.receiveAll() == Messages{"READY=1\n" + kIdle});
  fixture.scheduler.advance(1min);
  CHECK(fixture.socket.receiveAll().empty());

  fixture.clients.value = 1;
  fixture.received.add(100);
  fixture.sent.add(1000);
  fixture.scheduler.advance(5100ms);
  const auto busy = fixture.socket.receiveAll();
  REQUIRE(busy.size() == 1);
  CHECK(busy[0] ==
        "STATUS=1 client connected; messages received: 20/s, 100 in total; sent: 200/s, 1000 in "
        "total");
  fixture.scheduler.advance(1min);
  CHECK(fixture.socket.receiveAll() ==
        Messages{"STATUS=1 client connected; messages received: 0/s, 100 in total; sent: 0/s, "
                 "1000 in total"});
}

TEST_CASE("a notice stands in front of the status until it is taken back", "[heartbeat]") {
  Fixture fixture{nullptr};
  fixture.heartbeat.start();
  fixture.socket.receiveAll();
  fixture.heartbeat.setNotice("Reload failed: line 3.");
  fixture.heartbeat.start();
  CHECK(fixture.socket.receive(0) == "READY=1\nSTATUS=Reload failed: line 3. " + kIdle.substr(7));
  fixture.heartbeat.setNotice("");
  fixture.heartbeat.start();
  CHECK(fixture.socket.receive(0) == "READY=1\n" + kIdle);
}
