#include "tests/bench/load/pinger.hpp"

#include <stdexcept>

namespace mqttstack::load {
namespace {

constexpr std::uint64_t kInterval = 5'000'000;
constexpr std::uint64_t kPatience = 10'000'000'000;

Introduction pingerIntroduction() {
  Introduction introduction;
  introduction.login.clientId = "load-pinger";
  return introduction;
}

}  // namespace

Pinger::Pinger(const Options& options)
    : loop_{Endpoint{options.host, options.port, options.transport}, options.version},
      connection_{loop_, *this, 0, pingerIntroduction()} {
  connection_.open(0);
  const std::uint64_t end = now() + kPatience;
  while (!connection_.up() && !connection_.closed() && now() < end)
    loop_.turn(std::chrono::milliseconds{100});
  if (!connection_.up())
    throw std::runtime_error{"the client that pings did not come up: " + loop_.firstFailure()};
  thread_ = std::thread{[this] { run(now()); }};
}

Pinger::~Pinger() {
  stop_ = true;
  if (thread_.joinable()) thread_.join();
}

Pinger::Result Pinger::stop() {
  stop_ = true;
  thread_.join();
  result_.unanswered = due_.size();
  connection_.close();
  return result_;
}

/// A ping that is late is due all the same: who is kept waiting would otherwise be counted once,
/// however long it takes.
void Pinger::run(std::uint64_t begin) {
  std::uint64_t due = begin;
  while (!stop_ && connection_.up()) {
    for (; due <= now() && connection_.up(); due += kInterval) {
      due_.push_back(due);
      ++result_.sent;
      appendPing(connection_.pending());
      connection_.flush();
    }
    if (const std::uint64_t at = now(); at < due) loop_.turn(std::chrono::nanoseconds{due - at});
  }
  const std::uint64_t end = now() + kPatience;
  while (!due_.empty() && connection_.up() && now() < end)
    loop_.turn(std::chrono::milliseconds{100});
}

void Pinger::answered(Connection&, PacketType type) {
  if (type != PacketType::pingresp || due_.empty()) return;
  result_.waits.add(loop_.arrival() - due_.front());
  due_.pop_front();
}

}  // namespace mqttstack::load
