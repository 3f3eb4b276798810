#pragma once

#include <boost/unordered/unordered_flat_set.hpp>
#include <cstddef>
#include <cstdint>
#include <functional>
#include <set>
#include <string>
#include <string_view>
#include <utility>

#include "core/broker/message.hpp"
#include "core/broker/text_hash.hpp"

namespace mqttstack::broker {

/// Orders topics so that everything below a topic follows it directly: by bytes,
/// but `/` comes before all others. Negative, zero or positive.
int compareTopics(std::string_view a, std::string_view b) noexcept;

/// The retained messages of a backend, one per topic. [v5:3.3.1-5]
///
/// Kept in the order of compareTopics(), in which a filter's matches stand in
/// few runs, with a flat table beside it for exact topics. Lookups by filter go
/// through a RetainedCursor.
class RetainedTree {
public:
  /// `seed` is for the hash table; a test may fix it.
  explicit RetainedTree(std::uint64_t seed = randomSeed()) : hash_{seed} {}
  RetainedTree(const RetainedTree&) = delete;
  RetainedTree& operator=(const RetainedTree&) = delete;

  /// What store() did.
  enum class Stored : std::uint8_t { added, replaced, removed, nothing };

  /// Keeps the message in place of the topic's former one; an empty payload only
  /// removes that. [v311:3.3.1-10] [v5:3.3.1-6] [v5:3.3.1-7]
  Stored store(MessagePtr message);
  /// False if there was none.
  bool remove(std::string_view topic) noexcept;
  void clear() noexcept;

  /// Null if there is none, or it has expired.
  MessagePtr find(std::string_view topic, TimePoint now) const noexcept;

  /// Looks at up to `limit` messages, going on where the last call stopped and
  /// round and round, and removes the expired ones; returns how many. For a
  /// timer, so that nobody's expired messages stay for ever.
  std::size_t removeExpired(TimePoint now, std::size_t limit);

  /// Has `listener` called with each message that is removed since it has expired,
  /// be it here or by a cursor: for who keeps the messages elsewhere, too.
  void onExpired(std::function<void(const Message&)> listener) { expired_ = std::move(listener); }

  std::size_t size() const noexcept { return topics_.size(); }
  bool empty() const noexcept { return topics_.empty(); }
  /// Memory of the messages, without the tree's own.
  std::size_t bytes() const noexcept { return bytes_; }

private:
  friend class RetainedCursor;

  struct Retained {
    mutable MessagePtr message;
    mutable std::uint64_t storedAs;  // counts store() calls
  };
  struct ByTopic {
    using is_transparent = void;
    bool operator()(const Retained& a, const Retained& b) const noexcept {
      return compareTopics(a.message->topic(), b.message->topic()) < 0;
    }
    bool operator()(const Retained& a, std::string_view b) const noexcept {
      return compareTopics(a.message->topic(), b) < 0;
    }
    bool operator()(std::string_view a, const Retained& b) const noexcept {
      return compareTopics(a, b.message->topic()) < 0;
    }
  };
  using Set = std::set<Retained, ByTopic>;

  struct Entry {
    std::uint64_t hash;
    Set::const_iterator place;
  };
  struct Key {
    std::uint64_t hash;
    std::string_view topic;
  };
  struct EntryHash {
    using is_transparent = void;
    using is_avalanching = void;
    std::size_t operator()(const Entry& entry) const noexcept { return entry.hash; }
    std::size_t operator()(const Key& key) const noexcept { return key.hash; }
  };
  struct EntryEqual {
    using is_transparent = void;
    bool operator()(const Entry& a, const Entry& b) const noexcept { return a.place == b.place; }
    bool operator()(const Key& key, const Entry& entry) const noexcept {
      return key.hash == entry.hash && key.topic == entry.place->message->topic();
    }
    bool operator()(const Entry& entry, const Key& key) const noexcept {
      return (*this)(key, entry);
    }
  };

  Set::const_iterator erase(Set::const_iterator place) noexcept;
  Set::const_iterator expire(Set::const_iterator place);

  TextHash hash_;
  Set topics_;
  boost::unordered_flat_set<Entry, EntryHash, EntryEqual> table_;
  std::size_t bytes_ = 0;
  std::uint64_t stores_ = 0;
  std::uint64_t removals_ = 0;  // lets cursors know whether their place still stands
  MessagePtr sweptUpTo_;        // where removeExpired() stopped
  std::function<void(const Message&)> expired_;
};

/// A walk over the retained messages that match a filter, in slices, for the
/// replay after a SUBSCRIBE. The tree may change between and during slices:
/// every message that was there all the time is visited exactly once, in the
/// order of compareTopics(); one that was stored after the cursor was made is
/// not (it reached the subscriber live); one that has expired is removed.
/// [v5:3.3.1-9] [v311:3.3.1-6] [v5:4.7.2-1]
///
/// The tree outlives the cursor. Between slices the cursor keeps the last
/// message it looked at.
class RetainedCursor {
public:
  /// REQUIRES: mqtt::isValidTopicFilter(filter), and not shared.
  RetainedCursor(RetainedTree& tree, std::string_view filter);

  /// Calls `visit(const MessagePtr&)` for the next matching messages, at most
  /// `limit`, and looks at no more than 16 times as many that don't match, so a
  /// slice is short whatever the filter. Returns how many were visited, which
  /// may be 0 before the end: ask done().
  template <class Visitor>
  std::size_t next(std::size_t limit, TimePoint now, Visitor&& visit) {
    std::size_t visited = 0;
    std::size_t budget = limit * kStepsPerMessage;
    while (visited < limit && budget > 0) {
      const MessagePtr message = advance(now, budget);
      if (!message) break;
      ++visited;
      visit(message);
    }
    return visited;
  }
  bool done() const noexcept { return done_; }

private:
  static constexpr std::size_t kStepsPerMessage = 16;

  /// What a topic says about the way to the next match.
  enum class Step : std::uint8_t {
    match,
    next,  ///< no match; the next topic may be one
    seek,  ///< no match, nor any topic before target_
    end,   ///< no match, nor any later topic
  };

  MessagePtr advance(TimePoint now, std::size_t& budget);
  MessagePtr findExact(TimePoint now, std::size_t& budget);
  RetainedTree::Set::const_iterator resume();
  RetainedTree::Set::const_iterator seek(RetainedTree::Set::const_iterator at);
  Step judge(std::string_view topic);
  Step seekBehind(std::string_view topic);

  RetainedTree* tree_;
  std::string filter_;
  std::uint64_t storedUpTo_;
  std::uint64_t removals_ = 0;
  RetainedTree::Set::const_iterator at_{};  // the last looked at, while removals_ is right
  MessagePtr last_;                         // the same, pinned
  std::string target_;                      // go on here rather than behind last_, if not empty
  bool wildcards_;
  bool done_ = false;
};

}  // namespace mqttstack::broker
