#include "tests/bench/load/crowd.hpp"

#include <algorithm>
#include <fmt/format.h>
#include <stdexcept>
#include <utility>

namespace mqttstack::load {

Crowd::~Crowd() {
  for (const auto& connection : connections_) connection->close();
}

Connection& Crowd::join(Introduction introduction) {
  const auto id = static_cast<std::uint32_t>(connections_.size());
  introduction.login.keepAlive = options_.keepAlive;
  if (introduction.login.clientId.empty()) introduction.login.clientId = fmt::format("load-{}", id);
  connections_.push_back(std::make_unique<Connection>(loop_, *this, id, std::move(introduction)));
  return *connections_.back();
}

std::size_t Crowd::tryToBringUp(std::chrono::seconds limit) {
  const auto fresh = std::span{connections_}.subspan(broughtUp_);
  broughtUp_ = connections_.size();
  return loop_.bringUp(fresh, options_.connecting, limit);
}

void Crowd::bringUp() {
  const std::size_t wanted = connections_.size() - broughtUp_;
  if (tryToBringUp(std::chrono::seconds{10}) < wanted)
    throw std::runtime_error{"a client did not come up: " + loop_.firstFailure()};
}

void Crowd::awaitMessages(std::uint64_t count) {
  constexpr std::uint64_t kPatience = 5'000'000'000;
  std::uint64_t last = messages_;
  std::uint64_t lastAt = now();
  while (messages_ < count && now() < lastAt + kPatience) {
    loop_.turn(std::chrono::milliseconds{50});
    if (std::exchange(last, messages_) != messages_) lastAt = now();
  }
}

void Crowd::publishAll(Connection& connection, const PublishForm& form, std::uint32_t count) {
  constexpr std::uint64_t kPatience = 300'000'000'000;
  const std::uint64_t end = now() + kPatience;
  const std::uint64_t window =
      std::min<std::uint64_t>(options_.window, connection.receiveMaximum());
  PublishBatch batch{options_.version, form, window};
  std::uint16_t packetId = 0;
  answers_ = 0;
  for (std::uint64_t sent = 0; answers_ < count;) {
    if (!connection.up() || now() > end)
      throw std::runtime_error{fmt::format("{} of {} messages were acknowledged: {}", answers_,
                                           count, loop_.firstFailure())};
    const std::uint64_t some =
        connection.busy()
            ? 0
            : std::min<std::uint64_t>({window - (sent - answers_), count - sent, batch.copies()});
    for (std::size_t slot = 0; slot < some; ++slot) {
      if (++packetId == 0) packetId = 1;
      const auto number = static_cast<std::uint32_t>(sent++);
      batch.stamp(slot, packetId, {now(), 0, number + 1}, number);
    }
    if (some) connection.write(batch.packets(some));
    loop_.turn(std::chrono::milliseconds{some ? 0 : 100});
  }
}

void Crowd::received(Connection&, const ReceivedPublish& publish) {
  if (messages_ == 0) firstAt_ = loop_.arrival();
  if (checking_) {
    const auto seen = checker_.see(publish.stamp.sequence);
    if (seen.arrival == SequenceChecker::Arrival::again) {
      ++again_;
      return;
    }
    late_ += seen.arrival == SequenceChecker::Arrival::late;
  }
  ++messages_;
}

void Crowd::answered(Connection&, PacketType) { ++answers_; }

}  // namespace mqttstack::load
