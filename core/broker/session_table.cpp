#include "core/broker/session_table.hpp"

#include <cassert>
#include <utility>

#include "core/broker/flat_table.hpp"

namespace mqttstack::broker {

SessionPtr SessionTable::find(std::string_view clientId) const noexcept {
  const auto place = sessions_.find(Key{hash_(clientId), clientId});
  return place == sessions_.end() ? SessionPtr{} : place->session;
}

SessionPtr SessionTable::create(std::string_view clientId, IdentityPtr owner) {
  assert(!find(clientId));
  SessionPtr session{new Session{clientId, std::move(owner)}};
  sessions_.insert(Entry{hash_(clientId), session});
  return session;
}

bool SessionTable::remove(Session& session) noexcept {
  const auto place = sessions_.find(Key{hash_(session.clientId()), session.clientId()});
  if (place == sessions_.end() || place->session.get() != &session) return false;
  unschedule(session);
  if (session.connected()) --connected_;
  session.ended_ = true;
  const SessionPtr kept = place->session;
  sessions_.erase(place);
  shrinkIfSparse(sessions_);
  return true;
}

void SessionTable::attach(Session& session, Client& client, Stack& stack,
                          IdentityPtr identity) noexcept {
  assert(!session.ended());
  unschedule(session);
  session.attach(client, stack, std::move(identity));
  ++connected_;
}

void SessionTable::detach(Session& session, TimePoint now) {
  session.detach(now);
  if (session.ended()) return;
  --connected_;
  scheduleExpiry(session);
}

void SessionTable::scheduleExpiry(Session& session) {
  assert(!session.ended());
  const TimePoint when = session.expiresAt();
  if (when == TimePoint::max()) {
    unschedule(session);
    return;
  }
  std::size_t position = session.expiryPosition_;
  if (position == Session::kNotScheduled) {
    position = heap_.size();
    heap_.push_back({when, &session});
  }
  reposition(position, {when, &session});
}

void SessionTable::unschedule(Session& session) noexcept {
  const std::size_t position = session.expiryPosition_;
  if (position == Session::kNotScheduled) return;
  session.expiryPosition_ = Session::kNotScheduled;
  const Expiry last = heap_.back();
  heap_.pop_back();
  if (position < heap_.size()) reposition(position, last);
}

SessionPtr SessionTable::takeEarliest() noexcept {
  SessionPtr session{heap_.front().session};
  unschedule(*session);
  return session;
}

void SessionTable::place(std::size_t position, const Expiry& expiry) noexcept {
  heap_[position] = expiry;
  expiry.session->expiryPosition_ = static_cast<std::uint32_t>(position);
}

void SessionTable::reposition(std::size_t position, Expiry expiry) noexcept {
  while (position > 0 && expiry.when < heap_[(position - 1) / 2].when) {
    place(position, heap_[(position - 1) / 2]);
    position = (position - 1) / 2;
  }
  while (true) {
    std::size_t child = 2 * position + 1;
    if (child + 1 < heap_.size() && heap_[child + 1].when < heap_[child].when) ++child;
    if (child >= heap_.size() || heap_[child].when >= expiry.when) break;
    place(position, heap_[child]);
    position = child;
  }
  place(position, expiry);
}

}  // namespace mqttstack::broker
