#include <algorithm>
#include <array>
#include <chrono>
#include <csignal>
#include <cstdio>
#include <cstdlib>
#include <deque>
#include <filesystem>
#include <fstream>
#include <memory>
#include <poll.h>
#include <string>
#include <sys/socket.h>
#include <sys/wait.h>
#include <thread>
#include <unistd.h>
#include <vector>

#include "tests/crash/wire.hpp"
#include "tests/scenario/support/daemon.hpp"

// How fast QoS 1 messages are acknowledged when that means that they are stored;
// how much is written for each; how long a start takes; and that what is not stored
// is as fast as with memory_backend. The broker is MQTT_STACKD;
// beside it mosquitto with its persistence, if it is installed, which acknowledges
// before it saves. The load is one thread, with 200 bytes of payload.
//
//   durability_bench           everything
//   durability_bench quick     a second each, and a hundred thousand queued
namespace mqttstack::crash {
namespace {

using Clock = std::chrono::steady_clock;

constexpr std::size_t kPayload = 200;

double seconds(Clock::duration span) { return std::chrono::duration<double>(span).count(); }

/// With memory_backend.
std::string plainConfig() {
  return "[[listener]]\nbind = \"127.0.0.1:0\"\n[pipeline]\ndefault = [\"connection\", "
         "\"keep_alive\", \"last_will\", \"memory_backend\", \"session_manager\", "
         "\"subscription_manager\", \"retain_manager\", \"inbound_manager\", "
         "\"outbound_manager\"]\n[middleware.inbound_manager]\nreceive_maximum = 1000\n";
}

std::string config(const std::string& durability) {
  return "[[listener]]\nbind = \"127.0.0.1:0\"\n[pipeline]\ndefault = [\"connection\", "
         "\"keep_alive\", \"last_will\", \"sqlite_backend\", \"session_manager\", "
         "\"subscription_manager\", \"retain_manager\", \"inbound_manager\", "
         "\"outbound_manager\"]\n[middleware.sqlite_backend]\npath = \"bench.db\"\ndurability = "
         "\"" +
         durability +
         "\"\nmax_queued_messages = 10000000\nmax_queued_bytes = \"8GiB\"\n"
         "max_all_queued_bytes = \"8GiB\"\n[middleware.inbound_manager]\nreceive_maximum = 1000\n";
}

/// What a process has had written to the disk, in bytes.
std::uint64_t written(pid_t process) {
  std::ifstream file{"/proc/" + std::to_string(process) + "/io"};
  for (std::string line; std::getline(file, line);)
    if (line.starts_with("write_bytes: ")) return std::stoull(line.substr(13));
  return 0;
}

/// A client that publishes as fast as its window and its pace allow.
struct Publisher {
  Wire wire;
  std::deque<Clock::time_point> sent;  // not acknowledged yet, in order
  unsigned id = 0;
};

void await(Wire& wire, unsigned type) {
  const auto deadline = Clock::now() + std::chrono::seconds{60};
  while (Clock::now() < deadline) {
    pollfd descriptor{wire.descriptor(), wire.wantedEvents(), 0};
    ::poll(&descriptor, 1, 100);
    if (!wire.pump()) throw Violation{"the broker hung up"};
    for (Bytes packet = wire.next(); !packet.empty(); packet = wire.next())
      if (static_cast<unsigned char>(packet[0]) >> 4U == type) return;
  }
  throw Violation{"the broker does not answer"};
}

void join(Wire& wire, std::uint16_t port, const std::string& name, bool durable) {
  wire.open(port);
  Connect connect;
  connect.clientId = name;
  connect.clean = !durable;
  connect.keepAlive = 0;
  wire.send(connectPacket(Version::v311, connect));
  await(wire, 2);
}

struct Result {
  double perSecond = 0;
  double p50 = 0;  // in ms, from the PUBLISH to its PUBACK
  double p99 = 0;
};

struct Load {
  unsigned publishers = 1;
  std::size_t window = 100;
  bool online = true;        ///< the subscriber is there
  bool durable = true;       ///< its session outlives its connection
  unsigned qos = 1;          ///< 0: a message counts when it has arrived
  double pace = 0;           ///< messages a second of all; 0: as fast as it goes
  std::size_t messages = 0;  ///< how many; 0: for `time`
  Clock::duration time = std::chrono::seconds{4};
};

/// Publishes, and answers for the subscriber, on one thread.
Result publish(std::uint16_t port, const Load& load) {
  Wire subscriber;
  join(subscriber, port, "subscriber", load.durable);
  subscriber.send(subscribePacket(Version::v311, 1, {{"bench/#", 1}}));
  await(subscriber, 9);
  if (!load.online) {
    subscriber.send(disconnectPacket(Version::v311));
    subscriber.pump();
    std::this_thread::sleep_for(std::chrono::milliseconds{100});
    subscriber.reset();
  }
  std::vector<std::unique_ptr<Publisher>> publishers;
  for (unsigned i = 0; i < load.publishers; ++i) {
    publishers.push_back(std::make_unique<Publisher>());
    join(publishers.back()->wire, port, "publisher" + std::to_string(i), false);
  }
  Bytes packet = publishPacket(
      Version::v311,
      {.topic = "bench/topic", .payload = std::string(kPayload, 'x'), .qos = load.qos, .id = 1});
  const std::size_t idAt = packet.size() - kPayload - 2;

  std::vector<double> latencies;
  std::size_t sent = 0;
  std::size_t acknowledged = 0;
  const auto begun = Clock::now();
  const auto end = begun + load.time;
  std::vector<pollfd> descriptors;
  while (load.messages != 0 ? acknowledged < load.messages : Clock::now() < end) {
    const auto now = Clock::now();
    const auto due =
        load.pace == 0 ? SIZE_MAX : static_cast<std::size_t>(seconds(now - begun) * load.pace);
    descriptors.clear();
    for (const auto& each : publishers) {
      const auto underWay = [&] {
        return load.qos != 0 ? each->sent.size() : (sent - acknowledged) / load.publishers;
      };
      while (underWay() < load.window && sent < due &&
             (load.messages == 0 || sent < load.messages) && each->wire.waiting() < 65'536) {
        if (load.qos != 0) {
          each->id = each->id % 65'535 + 1;
          packet[idAt] = static_cast<char>(each->id >> 8U);
          packet[idAt + 1] = static_cast<char>(each->id & 0xffU);
          each->sent.push_back(now);
        }
        each->wire.send(packet);
        ++sent;
        if (load.pace != 0) break;  // the next one is another's
      }
      descriptors.push_back({each->wire.descriptor(), each->wire.wantedEvents(), 0});
    }
    if (load.online) descriptors.push_back({subscriber.descriptor(), subscriber.wantedEvents(), 0});
    ::poll(descriptors.data(), descriptors.size(), load.pace == 0 ? 100 : 1);
    const auto read = Clock::now();
    for (const auto& each : publishers) {
      if (!each->wire.pump()) throw Violation{"the broker hung up"};
      for (Bytes answer = each->wire.next(); !answer.empty(); answer = each->wire.next()) {
        latencies.push_back(seconds(read - each->sent.front()) * 1000);
        each->sent.pop_front();
        ++acknowledged;
      }
    }
    if (!load.online) continue;
    if (!subscriber.pump()) throw Violation{"the broker hung up"};
    for (Bytes message = subscriber.next(); !message.empty(); message = subscriber.next())
      if (load.qos == 0) {
        ++acknowledged;
      } else if ((static_cast<unsigned char>(message[0]) >> 4U) == 3) {
        const std::size_t at = message.size() - kPayload - 2;
        subscriber.send(Bytes{"\x40\x02", 2} + message.substr(at, 2));
      }
  }
  const double took = seconds(Clock::now() - begun);
  Result result;
  result.perSecond = static_cast<double>(acknowledged) / took;
  std::sort(latencies.begin(), latencies.end());
  if (!latencies.empty()) {
    result.p50 = latencies[latencies.size() / 2];
    result.p99 = latencies[latencies.size() * 99 / 100];
  }
  return result;
}

void print(const char* broker, const std::string& what, const Result& result, double bytes) {
  std::printf("%-22s %-34s %9.0f/s  p50 %7.2f ms  p99 %7.2f ms  %7.0f bytes written each\n", broker,
              what.c_str(), result.perSecond, result.p50, result.p99, bytes);
  std::fflush(stdout);
}

std::string describe(const Load& load) {
  std::string text = std::to_string(load.publishers) + " publisher" +
                     (load.publishers == 1 ? "" : "s") + ", window " + std::to_string(load.window);
  if (load.pace != 0) text += ", " + std::to_string(static_cast<int>(load.pace)) + "/s";
  if (load.qos == 0) text += ", QoS 0";
  if (!load.durable) text += ", clean";
  return text + (load.online ? "" : ", offline");
}

/// mosquitto, with its persistence, in a directory of its own.
class Mosquitto {
public:
  Mosquitto() : directory_{} {
    const auto file = directory_.write(
        "mosquitto.conf", "listener " + std::to_string(kPort) +
                              " 127.0.0.1\nallow_anonymous true\npersistence true\n"
                              "persistence_location " +
                              directory_.path().string() +
                              "/\nautosave_interval 1\n"
                              "max_queued_messages 0\nmax_inflight_messages 0\nuser root\n");
    process_ = ::fork();
    if (process_ == 0) {
      if (!std::freopen("/dev/null", "w", stderr)) ::_exit(127);
      ::execlp("mosquitto", "mosquitto", "-c", file.c_str(), nullptr);
      ::execl("/usr/sbin/mosquitto", "mosquitto", "-c", file.c_str(), nullptr);
      ::_exit(127);
    }
    std::this_thread::sleep_for(std::chrono::milliseconds{500});
  }
  ~Mosquitto() {
    ::kill(process_, SIGTERM);
    ::waitpid(process_, nullptr, 0);
  }
  bool running() const { return ::waitpid(process_, nullptr, WNOHANG) == 0; }
  pid_t pid() const { return process_; }
  static constexpr std::uint16_t kPort = 18'839;

private:
  TemporaryDirectory directory_;
  pid_t process_ = -1;
};

void run(bool quick) {
  const auto time = std::chrono::seconds{quick ? 1 : 5};
  std::vector<Load> loads;
  for (const unsigned publishers : {1U, 50U, 500U}) {
    loads.push_back({.publishers = publishers, .time = time});
    loads.push_back({.publishers = publishers, .window = 1, .time = time});
  }
  loads.push_back({.publishers = 50, .pace = 20'000, .time = time});
  loads.push_back({.publishers = 50, .online = false, .pace = 20'000, .time = time});
  loads.push_back({.publishers = 50, .online = false, .time = time});
  for (const char* durability : {"sync", "relaxed"})
    for (const Load& load : loads) {
      DaemonProcess daemon{config(durability)};
      const auto before = written(daemon.pid());
      const Result result = publish(daemon.endpoint().port, load);
      const double messages = result.perSecond * seconds(load.time);
      print((std::string{"mqtt-stackd "} + durability).c_str(), describe(load), result,
            static_cast<double>(written(daemon.pid()) - before) / std::max(1.0, messages));
    }
  // What is not stored.
  for (const bool stores : {false, true})
    for (const unsigned qos : {0U, 1U}) {
      const Load load{.publishers = 50, .durable = false, .qos = qos, .time = time};
      DaemonProcess daemon{stores ? config("sync") : plainConfig()};
      print(stores ? "mqtt-stackd sync" : "memory_backend", describe(load),
            publish(daemon.endpoint().port, load), 0);
    }
  for (const Load& load : loads) {
    Mosquitto mosquitto;
    if (!mosquitto.running()) {
      std::puts("mosquitto is not installed: nothing to compare with");
      break;
    }
    const auto before = written(mosquitto.pid());
    const Result result = publish(Mosquitto::kPort, load);
    const double messages = result.perSecond * seconds(load.time);
    print("mosquitto, not synced", describe(load), result,
          static_cast<double>(written(mosquitto.pid()) - before) / std::max(1.0, messages));
  }

  const std::size_t queued = quick ? 100'000 : 1'000'000;
  const TemporaryDirectory directory;
  {
    DaemonProcess daemon{config("sync"), directory.path()};
    const auto begun = Clock::now();
    const Result result =
        publish(daemon.endpoint().port, {.publishers = 50, .online = false, .messages = queued});
    std::printf("%zu messages queued in %.1f s (%.0f/s), ", queued, seconds(Clock::now() - begun),
                result.perSecond);
    std::printf("broker %ld MiB", daemon.residentKiB() / 1024);
    daemon.signal(SIGKILL);
    daemon.wait();
  }
  std::uintmax_t size = 0;
  for (const auto& entry : std::filesystem::directory_iterator{directory.path()})
    size += entry.file_size();
  const auto begun = Clock::now();
  const DaemonProcess daemon{config("sync"), directory.path()};
  std::printf(", %.0f MiB on disk; killed, and serving again after %.2f s\n",
              static_cast<double>(size) / 1048576, seconds(Clock::now() - begun));
}

}  // namespace
}  // namespace mqttstack::crash

int main(int argc, char** argv) {
  try {
    mqttstack::crash::run(argc > 1 && std::string_view{argv[1]} == "quick");
  } catch (const std::exception& error) {
    std::fprintf(stderr, "durability_bench: %s\n", error.what());
    return 1;
  }
}
