#include <algorithm>
#include <chrono>
#include <csignal>
#include <cstdlib>
#include <iostream>
#include <memory>
#include <optional>
#include <poll.h>

#include "tests/crash/peers.hpp"
#include "tests/scenario/support/daemon.hpp"

// Runs the daemon with a durable store under load, cuts connections at random and
// kills the daemon at random, many times over. Whatever was acknowledged has to
// arrive: once at QoS 2, in order, and every session has to be there again.
namespace mqttstack::crash {
namespace {

using Clock = std::chrono::steady_clock;
using std::chrono::milliseconds;

constexpr const char* kConfig = R"([log]
level = "info"
[[listener]]
bind = "127.0.0.1:0"
[pipeline]
default = ["connection", "keep_alive", "last_will", "sqlite_backend", "session_manager",
           "subscription_manager", "retain_manager", "inbound_manager", "outbound_manager"]
[middleware.sqlite_backend]
path = "crash.db"
max_queued_messages = 10000000
max_queued_bytes = "1GiB"
)";

class Run {
public:
  explicit Run(unsigned seed) : random_{seed} {
    for (unsigned i = 0; i < 3; ++i)
      publishers_.push_back(std::make_unique<Publisher>(i, version(i), faults_));
    for (unsigned i = 0; i < 2; ++i)
      subscribers_.push_back(std::make_unique<Subscriber>(i, version(i + 1), faults_));
    for (const auto& each : publishers_) peers_.push_back(each.get());
    for (const auto& each : subscribers_) peers_.push_back(each.get());
  }

  /// One life of a broker: load, cuts, and SIGKILL.
  void round() {
    const auto begun = Clock::now();
    DaemonProcess daemon{kConfig, directory_.path()};
    slowestStart_ = std::max(slowestStart_, Clock::now() - begun);
    connectAll(daemon);
    const auto end = Clock::now() + milliseconds{50 + random_() % 700};
    while (Clock::now() < end) turn(daemon, true);
    daemon.signal(SIGKILL);
    daemon.wait();
    for (Peer* each : peers_) each->cut();
  }

  /// A broker that lives until everything has arrived.
  void settle() {
    DaemonProcess daemon{kConfig, directory_.path()};
    connectAll(daemon);
    const auto deadline = Clock::now() + std::chrono::seconds{60};
    while (!settled() && Clock::now() < deadline) turn(daemon, false);
    daemon.signal(SIGTERM);
    if (daemon.wait() != 0) throw Violation{"the broker did not end well"};
  }

  /// Prints what came of it; true if nothing was wrong.
  bool judge() const {
    std::size_t acknowledged = 0;
    std::size_t lost = 0;
    for (const auto& publisher : publishers_)
      for (const unsigned qos : {1U, 2U})
        for (const unsigned sequence : publisher->acknowledged(qos)) {
          ++acknowledged;
          for (const auto& subscriber : subscribers_)
            if (!subscriber->got(publisher->number(), qos, sequence)) ++lost;
        }
    std::size_t received = 0;
    std::size_t repeated = 0;
    for (const auto& subscriber : subscribers_) {
      received += subscriber->messages();
      repeated += subscriber->repeated();
    }
    std::cout << "acknowledged " << acknowledged << ", received " << received << ", of these again "
              << repeated << "; slowest start "
              << std::chrono::duration_cast<milliseconds>(slowestStart_).count() << " ms\n"
              << "lost " << lost << ", QoS 2 twice " << faults_.twice << ", reordered "
              << faults_.reordered << ", sessions lost " << faults_.sessionsLost << ", refused "
              << faults_.refused << '\n';
    for (const std::string& each : faults_.first) std::cout << "  " << each << '\n';
    const bool unsettled = !settled();
    if (unsettled) std::cout << "  not everything was acknowledged or received in time\n";
    return lost + faults_.twice + faults_.reordered + faults_.sessionsLost + faults_.refused == 0 &&
           !unsettled && acknowledged != 0;
  }

private:
  static Version version(unsigned i) { return i % 2 == 0 ? Version::v311 : Version::v5; }

  void connectAll(const DaemonProcess& daemon) {
    for (Peer* each : peers_) each->connect(daemon.endpoint().port);
  }

  void turn(const DaemonProcess& daemon, bool load) {
    if (load) {
      // Nothing is published before everybody subscribed, or it would be nobody's.
      const bool ready = std::all_of(subscribers_.begin(), subscribers_.end(),
                                     [](const auto& each) { return each->subscribed(); });
      if (ready)
        for (const auto& each : publishers_) each->publishMore(random_);
      if (random_() % 400 == 0) peers_[random_() % peers_.size()]->cut();
    }
    std::vector<pollfd> descriptors;
    for (Peer* each : peers_) {
      if (!each->wire().isOpen()) each->connect(daemon.endpoint().port);
      descriptors.push_back({each->wire().descriptor(), each->wire().wantedEvents(), 0});
    }
    ::poll(descriptors.data(), descriptors.size(), 5);
    for (Peer* each : peers_)
      if (each->wire().isOpen()) each->work();
  }

  bool settled() const {
    for (const auto& publisher : publishers_) {
      if (!publisher->allAcknowledged()) return false;
      for (const unsigned qos : {1U, 2U})
        for (unsigned i = publisher->published(qos); i > 0; --i)
          for (const auto& subscriber : subscribers_)
            if (!subscriber->got(publisher->number(), qos, i)) return false;
    }
    return true;
  }

  std::mt19937 random_;
  Faults faults_;
  TemporaryDirectory directory_;
  std::vector<std::unique_ptr<Publisher>> publishers_;
  std::vector<std::unique_ptr<Subscriber>> subscribers_;
  std::vector<Peer*> peers_;
  Clock::duration slowestStart_{};
};

}  // namespace
}  // namespace mqttstack::crash

int main(int argc, char** argv) {
  const int rounds = argc > 1 ? std::atoi(argv[1]) : 12;
  const unsigned seed =
      argc > 2 ? static_cast<unsigned>(std::atoi(argv[2])) : std::random_device{}();
  std::cout << "rounds " << rounds << ", seed " << seed << std::endl;
  try {
    mqttstack::crash::Run run{seed};
    for (int i = 0; i < rounds; ++i) run.round();
    run.settle();
    return run.judge() ? 0 : 1;
  } catch (const std::exception& error) {
    std::cout << "FAILED: " << error.what() << '\n';
    return 1;
  }
}
