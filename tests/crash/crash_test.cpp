#include <algorithm>
#include <chrono>
#include <csignal>
#include <cstdlib>
#include <fcntl.h>
#include <iostream>
#include <memory>
#include <poll.h>
#include <spawn.h>
#include <string_view>
#include <sys/wait.h>
#include <thread>
#include <unistd.h>

#include "tests/crash/peers.hpp"
#include "tests/scenario/support/daemon.hpp"

// Runs the daemon with a durable store under load, cuts connections at random and
// kills the daemon at random, also while it starts, many times over. Whatever was
// acknowledged has to arrive: once at QoS 2, in order, and every session has to be
// there again.
//
//   crash_test [ROUNDS [SEED]]
//   crash_test recovery MESSAGES SECONDS    kills it with so many messages queued; it
//                                           has to serve again within that time, and
//                                           to have them all
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
    while (random_() % 3 == 0) killWhileStarting();
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
              << "killed while it started " << startsKilled_ << " times\n"
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
  /// The store is opened, brought up to date and read, or not.
  void killWhileStarting() {
    const auto config = directory_.write("starting.toml", kConfig);
    std::string program = std::getenv("MQTT_STACKD");
    std::string option = "--config";
    std::string file = config.string();
    char* arguments[]{program.data(), option.data(), file.data(), nullptr};
    posix_spawn_file_actions_t actions;
    posix_spawn_file_actions_init(&actions);
    for (const int descriptor : {1, 2})
      posix_spawn_file_actions_addopen(&actions, descriptor, "/dev/null", O_WRONLY, 0);
    pid_t process = -1;
    // Its paths are meant from there.
    const std::string here = std::filesystem::current_path().string();
    std::filesystem::current_path(directory_.path());
    const int wrong = posix_spawn(&process, program.c_str(), &actions, nullptr, arguments, environ);
    std::filesystem::current_path(here);
    posix_spawn_file_actions_destroy(&actions);
    if (wrong != 0) throw Violation{"cannot start the broker"};
    std::this_thread::sleep_for(std::chrono::microseconds{random_() % 60'000});
    ::kill(process, SIGKILL);
    ::waitpid(process, nullptr, 0);
    ++startsKilled_;
  }

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
      if (random_() % 300 == 0)  // its messages have to wait
        subscribers_[random_() % subscribers_.size()]->leave(Clock::now() +
                                                             milliseconds{random_() % 300});
    }
    std::vector<pollfd> descriptors;
    for (Peer* each : peers_) {
      if (each->away()) continue;
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
  unsigned startsKilled_ = 0;
};

/// Waits for the next packet.
Bytes nextPacket(Wire& wire) {
  const auto deadline = Clock::now() + std::chrono::seconds{60};
  while (Clock::now() < deadline) {
    if (Bytes packet = wire.next(); !packet.empty()) return packet;
    pollfd descriptor{wire.descriptor(), wire.wantedEvents(), 0};
    ::poll(&descriptor, 1, 100);
    if (!wire.pump()) throw Violation{"the broker hung up"};
  }
  throw Violation{"the broker does not answer"};
}

bool join(Wire& wire, const DaemonProcess& daemon, const std::string& name) {
  wire.open(daemon.endpoint().port);
  Connect connect;
  connect.clientId = name;
  connect.clean = false;
  connect.keepAlive = 0;
  wire.send(connectPacket(Version::v311, connect));
  return readConnack(Version::v311, nextPacket(wire)).sessionPresent;
}

/// Queues that many messages for a subscriber that is away.
void queue(const DaemonProcess& daemon, unsigned messages) {
  Wire subscriber;
  join(subscriber, daemon, "subscriber");
  subscriber.send(subscribePacket(Version::v311, 1, {{"t", 1}}));
  nextPacket(subscriber);
  subscriber.reset();
  Wire publisher;
  join(publisher, daemon, "publisher");
  unsigned sent = 0;
  for (unsigned acknowledged = 0; acknowledged < messages; ++acknowledged) {
    for (; sent < messages && sent - acknowledged < 500; ++sent)
      publisher.send(publishPacket(Version::v311,
                                   {.topic = "t",
                                    .payload = std::to_string(sent) + ' ' + std::string(150, 'x'),
                                    .qos = 1,
                                    .id = sent % 65'535 + 1}));
    nextPacket(publisher);
  }
}

/// True if all of them come, in order.
bool receiveAll(const DaemonProcess& daemon, unsigned messages) {
  Wire subscriber;
  if (!join(subscriber, daemon, "subscriber")) return false;
  unsigned expected = 0;
  while (expected < messages) {
    const Publish publish = readPublish(Version::v311, nextPacket(subscriber));
    if (std::stoul(publish.payload) != expected++) return false;
    subscriber.send(pubackPacket(publish.id));
  }
  return true;
}

/// How long a broker takes to serve again that was killed with much in its store.
bool recover(unsigned messages, double seconds) {
  const TemporaryDirectory directory;
  {
    DaemonProcess daemon{kConfig, directory.path()};
    queue(daemon, messages);
    daemon.signal(SIGKILL);
    daemon.wait();
  }
  const auto begun = Clock::now();
  DaemonProcess daemon{kConfig, directory.path()};
  Wire probe;
  join(probe, daemon, "probe");
  const double took = std::chrono::duration<double>(Clock::now() - begun).count();
  std::cout << messages << " messages, killed, and serving again after " << took << " s"
            << std::endl;
  if (!receiveAll(daemon, messages)) {
    std::cout << "FAILED: not all of them came, in their order\n";
    return false;
  }
  return daemon.residentKiB() == 0 || took <= seconds;  // sanitizers take their time
}

}  // namespace
}  // namespace mqttstack::crash

int main(int argc, char** argv) {
  if (argc == 4 && std::string_view{argv[1]} == "recovery") {
    try {
      return mqttstack::crash::recover(static_cast<unsigned>(std::atoi(argv[2])),
                                       std::atof(argv[3]))
                 ? 0
                 : 1;
    } catch (const std::exception& error) {
      std::cout << "FAILED: " << error.what() << '\n';
      return 1;
    }
  }
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
