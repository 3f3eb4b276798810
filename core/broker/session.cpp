#include "core/broker/session.hpp"

#include <cassert>
#include <utility>

namespace mqttstack::broker {

static_assert(sizeof(Session) <= 192, "an idle session stays small");

IncomingState IncomingIds::state(std::uint16_t id) const noexcept {
  if (!ids_.contains(id)) return IncomingState::absent;
  return pending_.contains(id) ? IncomingState::pending : IncomingState::received;
}

bool IncomingIds::addPending(std::uint16_t id) {
  if (!ids_.insert(id)) return false;
  pending_.insert(id);
  return true;
}

void IncomingIds::markReceived(std::uint16_t id) {
  ids_.insert(id);
  pending_.erase(id);
}

IncomingState IncomingIds::remove(std::uint16_t id) noexcept {
  if (!ids_.erase(id)) return IncomingState::absent;
  stored_.erase(id);
  return pending_.erase(id) ? IncomingState::pending : IncomingState::received;
}

void IncomingIds::clear() noexcept {
  ids_.clear();
  pending_.clear();
  stored_.clear();
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
  identity_ = std::move(identity);
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
