#include "core/broker/session.hpp"

#include <cassert>
#include <utility>

namespace mqttstack::broker {

static_assert(sizeof(Session) <= 192, "an idle session stays small");

bool IncomingIds::addPending(std::uint16_t id) {
  Word& word = words_.get(id);
  const std::uint64_t bit = Words::bitOf(id);
  if ((word.known & bit) != 0) return false;
  word.known |= bit;
  word.pending |= bit;
  ++size_;
  ++pending_;
  return true;
}

void IncomingIds::markReceived(std::uint16_t id) {
  Word& word = words_.get(id);
  const std::uint64_t bit = Words::bitOf(id);
  if ((word.known & bit) == 0) ++size_;
  if ((word.pending & bit) != 0) --pending_;
  word.known |= bit;
  word.pending &= ~bit;
}

IncomingState IncomingIds::remove(std::uint16_t id) noexcept {
  const IncomingState was = state(id);
  if (was == IncomingState::absent) return was;
  Word& word = *words_.find(id);
  const std::uint64_t bit = Words::bitOf(id);
  word.known &= ~bit;
  word.pending &= ~bit;
  word.stored &= ~bit;
  --size_;
  if (was == IncomingState::pending) --pending_;
  words_.dropIfEmpty(word);
  return was;
}

void IncomingIds::clear() noexcept {
  words_.clear();
  size_ = 0;
  pending_ = 0;
}

Session::Session(std::string_view clientId, IdentityPtr owner)
    : clientId_{clientId},
      owner_{std::move(owner)},
      identity_{owner_} {}

Session::~Session() { assert(slots_.empty()); }

void Session::attach(Client& client, Stack& stack, IdentityPtr identity) noexcept {
  assert(!connected());
  client_ = &client;
  stack_ = &stack;
  setIdentity(std::move(identity));
  ++generation_;
}

void Session::detach(TimePoint now) noexcept {
  assert(connected());
  client_ = nullptr;
  disconnectedAt_ = now;
  ++generation_;
}

TimePoint Session::expiresAt() const noexcept {
  if (connected() || expiryInterval_ == kNeverExpires) return TimePoint::max();
  return disconnectedAt_ + std::chrono::seconds{expiryInterval_};
}

IncomingIds& Session::incoming() {
  if (!incoming_) incoming_ = std::make_unique<IncomingIds>();
  return *incoming_;
}

void Session::releaseIdleMemory() noexcept {
  if (outgoing_ && outgoing_->queue.empty() && outgoing_->window.empty() && !connected())
    outgoing_.reset();
  if (incoming_ && incoming_->size() == 0) incoming_.reset();
}

}  // namespace mqttstack::broker
