#pragma once

#include <boost/unordered/unordered_flat_set.hpp>
#include <cstddef>
#include <cstdint>
#include <string_view>
#include <vector>

#include "core/broker/session.hpp"
#include "core/broker/text_hash.hpp"

namespace mqttstack::broker {

/// All sessions of a backend by client identifier, and when they end.
class SessionTable {
public:
  /// `seed` is for the hash table; a test may fix it.
  explicit SessionTable(std::uint64_t seed = randomSeed()) : hash_{seed} {}
  SessionTable(const SessionTable&) = delete;
  SessionTable& operator=(const SessionTable&) = delete;

  /// Null if there is none.
  SessionPtr find(std::string_view clientId) const noexcept;
  /// A new session, not connected and of expiry interval 0.
  /// REQUIRES: there is none of this client identifier.
  SessionPtr create(std::string_view clientId, IdentityPtr owner);
  /// Takes it out and marks it ended; false if it isn't in the table. The caller
  /// has removed its subscriptions, or does so before letting it go.
  bool remove(Session& session) noexcept;

  /// A connection takes the session: it can't expire meanwhile.
  /// REQUIRES: in the table, not connected.
  void attach(Session& session, Client& client, Stack& stack, IdentityPtr identity) noexcept;
  /// The connection has gone: the expiry interval runs from `now`.
  /// A session that was removed while connected is merely detached.
  /// REQUIRES: connected.
  void detach(Session& session, TimePoint now);
  /// Works out anew when the session ends: after a change of its expiry interval
  /// or of disconnectedAt. REQUIRES: in the table.
  void scheduleExpiry(Session& session);

  /// Calls `visit(const SessionPtr&)` for the sessions that have ended by `now`,
  /// the earliest first, at most `limit` of them; returns how many. A session is
  /// visited once; it is up to the visitor to remove() it.
  template <class Visitor>
  std::size_t expired(TimePoint now, Visitor&& visit, std::size_t limit) {
    std::size_t count = 0;
    while (count < limit && nextExpiry() <= now) {
      visit(takeEarliest());
      ++count;
    }
    return count;
  }
  /// When the next session ends; TimePoint::max() if none does.
  TimePoint nextExpiry() const noexcept {
    return heap_.empty() ? TimePoint::max() : heap_.front().when;
  }

  /// Calls `visit(Session&)` for each, in no particular order.
  /// REQUIRES: `visit` adds and removes no session.
  template <class Visitor>
  void forEach(Visitor&& visit) const {
    for (const Entry& entry : sessions_) visit(*entry.session);
  }

  std::size_t size() const noexcept { return sessions_.size(); }
  std::size_t connected() const noexcept { return connected_; }

private:
  struct Entry {
    std::uint64_t hash;
    SessionPtr session;
  };
  struct Key {
    std::uint64_t hash;
    std::string_view clientId;
  };
  struct EntryHash {
    using is_transparent = void;
    using is_avalanching = void;
    std::size_t operator()(const Entry& entry) const noexcept { return entry.hash; }
    std::size_t operator()(const Key& key) const noexcept { return key.hash; }
  };
  struct EntryEqual {
    using is_transparent = void;
    bool operator()(const Entry& a, const Entry& b) const noexcept {
      return a.session == b.session;
    }
    bool operator()(const Key& key, const Entry& entry) const noexcept {
      return key.hash == entry.hash && key.clientId == entry.session->clientId();
    }
    bool operator()(const Entry& entry, const Key& key) const noexcept {
      return (*this)(key, entry);
    }
  };

  // A binary heap; each session knows its position.
  struct Expiry {
    TimePoint when;
    Session* session;
  };
  void unschedule(Session& session) noexcept;
  SessionPtr takeEarliest() noexcept;
  void place(std::size_t position, const Expiry& expiry) noexcept;
  void reposition(std::size_t position, Expiry expiry) noexcept;

  TextHash hash_;
  boost::unordered_flat_set<Entry, EntryHash, EntryEqual> sessions_;
  std::vector<Expiry> heap_;
  std::size_t connected_ = 0;
};

}  // namespace mqttstack::broker
