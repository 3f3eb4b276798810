#include <algorithm>
#include <array>
#include <atomic>
#include <chrono>
#include <crypt.h>
#include <cstdio>
#include <memory>
#include <poll.h>
#include <string>
#include <thread>
#include <vector>

#include "tests/crash/wire.hpp"
#include "tests/scenario/support/daemon.hpp"
#include "tests/scenario/support/raw_client.hpp"

// What a client that is connected feels while others guess passwords, ten thousand
// times a second: how long its pings take. The broker is MQTT_STACKD, with yescrypt
// hashes and one thread for them.
//
//   login_flood_bench [SECONDS [LOGINS_A_SECOND]]
namespace mqttstack::crash {
namespace {

using Clock = std::chrono::steady_clock;
using Milliseconds = std::chrono::duration<double, std::milli>;

std::string config(const std::string& backoff) {
  return "[log]\nlevel = \"info\"\n[[listener]]\nbind = \"127.0.0.1:0\"\n"
         "[pipeline]\ndefault = [\"connection\", " +
         backoff +
         "\"authentication\", \"password_file\", \"keep_alive\", \"last_will\", "
         "\"memory_backend\", \"session_manager\", \"subscription_manager\", "
         "\"retain_manager\", \"inbound_manager\", \"outbound_manager\"]\n"
         "[middleware.password_file]\npath = \"passwd\"\n";
}

/// Logins with wrong passwords, as many a second as asked for, each on a connection
/// of its own, a few hundred at a time.
class Flood {
public:
  Flood(std::uint16_t port, double perSecond) : port_{port}, perSecond_{perSecond} {
    for (auto& wire : wires_) wire = std::make_unique<Wire>();
  }

  void run(Clock::duration length) {
    const auto begin = Clock::now();
    for (auto now = begin; now - begin < length; now = Clock::now()) {
      const auto due = static_cast<std::uint64_t>(
          std::chrono::duration<double>(now - begin).count() * perSecond_);
      for (auto& wire : wires_)
        if (begun_ < due && !wire->isOpen()) login(*wire);
      turn();
    }
  }
  std::uint64_t answered() const noexcept { return answered_; }

private:
  void login(Wire& wire) {
    ++begun_;
    if (!wire.open(port_)) return wire.reset();
    wire.send(connectPacket(
        Version::v5,
        {.clientId = "guess", .userName = "alice", .password = std::to_string(begun_)}));
  }

  void turn() {
    descriptors_.clear();
    open_.clear();
    for (auto& wire : wires_) {
      if (!wire->isOpen()) continue;
      open_.push_back(wire.get());
      descriptors_.push_back({wire->descriptor(), wire->wantedEvents(), 0});
    }
    ::poll(descriptors_.data(), descriptors_.size(), 1);
    for (std::size_t i = 0; i < open_.size(); ++i) {
      if (descriptors_[i].revents == 0) continue;
      const bool alive = open_[i]->pump();
      const bool told = !open_[i]->next().empty();
      answered_ += told;
      if (told || !alive) open_[i]->reset();
    }
  }

  std::uint16_t port_;
  double perSecond_;
  std::uint64_t begun_ = 0;
  std::uint64_t answered_ = 0;
  std::array<std::unique_ptr<Wire>, 512> wires_;
  std::vector<Wire*> open_;
  std::vector<pollfd> descriptors_;
};

double percentile(std::vector<double>& sorted, double part) {
  return sorted[std::min(sorted.size() - 1,
                         static_cast<std::size_t>(static_cast<double>(sorted.size()) * part))];
}

/// Pings a hundred times a second.
std::vector<double> pingWhile(const std::atomic<bool>& goesOn, const Endpoint& server) {
  RawClient client{server, Version::v5};
  client.connect({.clientId = "healthy", .userName = "bob", .password = "builder"});
  std::vector<double> took;
  while (goesOn) {
    const auto begin = Clock::now();
    client.expectNothing();
    took.push_back(Milliseconds{Clock::now() - begin}.count());
    std::this_thread::sleep_for(std::chrono::milliseconds{10});
  }
  std::sort(took.begin(), took.end());
  return took;
}

std::string entry(const std::string& user, const char* password) {
  crypt_data data{};
  const std::string salt = crypt_gensalt("$y$", 0, nullptr, 0);
  return user + ':' + crypt_r(password, salt.c_str(), &data) + '\n';
}

void measure(const char* what, const std::string& backoff, std::chrono::seconds length,
             double perSecond) {
  const DaemonProcess daemon{config(backoff),
                             std::vector<DaemonProcess::File>{
                                 {"passwd", entry("alice", "wonder") + entry("bob", "builder")}}};
  std::atomic<bool> goesOn{true};
  std::vector<double> pings;
  std::thread healthy{[&] { pings = pingWhile(goesOn, daemon.endpoint()); }};
  std::this_thread::sleep_for(std::chrono::milliseconds{200});  // it is in by then
  Flood flood{daemon.endpoint().port, perSecond};
  flood.run(length);
  goesOn = false;
  healthy.join();
  std::printf("%-22s %7.0f refused a second; %5zu pings: p50 %.2f ms, p99 %.2f ms, worst %.2f ms\n",
              what, static_cast<double>(flood.answered()) / static_cast<double>(length.count()),
              pings.size(), percentile(pings, 0.5), percentile(pings, 0.99), pings.back());
  std::fflush(stdout);
}

}  // namespace
}  // namespace mqttstack::crash

int main(int count, char** arguments) {
  using namespace mqttstack::crash;
  const std::chrono::seconds length{count > 1 ? std::stoi(arguments[1]) : 10};
  const double perSecond = count > 2 ? std::stod(arguments[2]) : 10'000;
  measure("nobody guesses", "", length, 0);
  measure("guesses", "", length, perSecond);
  measure("guesses, auth_backoff", "\"auth_backoff\", ", length, perSecond);
}
