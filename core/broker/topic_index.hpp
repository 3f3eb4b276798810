#pragma once

#include <boost/unordered/unordered_flat_set.hpp>
#include <cstddef>
#include <cstdint>
#include <optional>
#include <span>
#include <string>
#include <string_view>
#include <vector>

#include "core/broker/compact_vector.hpp"
#include "core/broker/match_cache.hpp"
#include "core/broker/text_hash.hpp"
#include "core/broker/topic_filter.hpp"
#include "core/broker/wildcard_trie.hpp"
#include "core/mqtt/packet.hpp"

namespace mqttstack::broker {

class Session;

/// A subscription that matches a topic. For a shared group it is that of the
/// member which the message goes to.
struct Match {
  Session* session = nullptr;
  std::uint32_t identifier = 0;  ///< subscription identifier, 0 for none
  mqtt::SubscriptionOptions options;
  const SharedGroup* group = nullptr;  ///< that it is for; null if it is not shared
};

/// What a subscription was made with.
struct SubscriptionDetails {
  mqtt::SubscriptionOptions options;
  std::uint32_t identifier = 0;
};

/// Who is subscribed to what: all subscriptions of all sessions of a backend,
/// found by topic.
///
/// Each distinct filter is one record with the list of its subscribers, in a
/// flat table by text; filters with wildcards also hang in a trie, in front of
/// which stands a cache from topic to matched filters. `$share/{group}/{filter}`
/// is a group of subscribers that hangs off the record of `{filter}`.
/// A session keeps a list of its places in these lists, so the text exists once
/// and leaving costs O(1) per subscription.
///
/// Sessions are referred to, not owned: removeSession() comes before a session
/// is destroyed (asserted there), and a session belongs to one index at a time.
/// A backend declares its SessionTable before its TopicIndex.
class TopicIndex {
public:
  /// `seed` is for the hash tables; a test may fix it. `cacheEntries` bounds the
  /// cache: a power of two, or 0 for none.
  explicit TopicIndex(std::uint64_t seed = randomSeed(),
                      std::size_t cacheEntries = MatchCache::kDefaultEntries);
  TopicIndex(const TopicIndex&) = delete;
  TopicIndex& operator=(const TopicIndex&) = delete;
  /// Sessions that are still subscribed lose their subscriptions.
  ~TopicIndex();

  /// Adds a subscription or replaces the options and identifier of an existing
  /// one. True if it existed. REQUIRES: mqtt::isValidTopicFilter(filter).
  /// [v311:3.8.4-3] [v5:3.8.4-3]
  bool subscribe(std::string_view filter, Session& session,
                 const mqtt::SubscriptionOptions& options, std::uint32_t identifier = 0);

  /// True if it existed. The filter is compared as text; a shared one is named
  /// with `$share/…`. [v311:3.10.4-1] [v5:3.10.4-1]
  bool unsubscribe(std::string_view filter, Session& session) noexcept;

  /// Removes all subscriptions of the session; returns how many there were.
  std::size_t removeSession(Session& session) noexcept;

  std::optional<SubscriptionDetails> find(std::string_view filter,
                                          const Session& session) const noexcept;

  /// Calls `visit(const Match&)` for each matching subscription: each non-shared
  /// one, and for each shared group one member. Groups take turns among their
  /// connected members; if none is connected, among those whose session outlives
  /// its connection; a group with neither gives no match. Not const because of
  /// the turns. The work for one topic is bounded, see matchesCut(). REQUIRES:
  /// mqtt::isValidTopicName(topic), and `visit` does not change subscriptions. [v5:4.8.2-4]
  /// [v5:4.7.2-1]
  template <class Visitor>
  void match(std::string_view topic, Visitor&& visit) {
    for (TopicFilter* const filter : findFilters(topic)) {
      for (const Subscriber& subscriber : *filter)
        visit(Match{&subscriber.session(), subscriber.identifier(), subscriber.options()});
      for (SharedGroup* group = filter->groups; group != nullptr; group = group->next) {
        const Subscriber* const member = nextOf(*group);
        if (member)
          visit(Match{&member->session(), member->identifier(), member->options(), group});
      }
    }
  }

  /// For a message that the member which match() has named may not have: another one of
  /// that group, the connected ones first, until it was everybody's turn. `place` is 0
  /// at first, and says how far that has come. None, too, if the group is gone.
  std::optional<Match> another(std::string_view topic, const Match& instead, std::uint32_t& place);

  /// Calls `visit(std::string_view filter, const SubscriptionDetails&)` for each
  /// subscription of the session, shared ones with their full name. The view is
  /// valid during the call. REQUIRES: `visit` does not change subscriptions.
  template <class Visitor>
  void forEachSubscription(const Session& session, Visitor&& visit) const {
    std::string scratch;
    const std::uint32_t count = subscriptionCount(session);
    for (std::uint32_t i = 0; i < count; ++i) {
      SubscriptionDetails details;
      const std::string_view filter = subscriptionAt(session, i, details, scratch);
      visit(filter, details);
    }
  }
  static std::uint32_t subscriptionCount(const Session& session) noexcept;

  /// To be called when a session has been attached to a connection: groups that
  /// it is a member of go on to reckon with it.
  static void sessionConnected(Session& session) noexcept;

  /// How many times match() has stopped at WildcardTrie::kMaxVisits, and may have
  /// left some out.
  std::uint64_t matchesCut() const noexcept { return matchesCut_; }

  /// All subscriptions, shared ones included.
  std::size_t subscriptions() const noexcept { return subscriptions_; }
  std::size_t sharedSubscriptions() const noexcept { return shared_; }
  std::size_t sharedGroups() const noexcept { return groups_.size(); }
  /// Distinct filters, without `$share/{group}/`.
  std::size_t filters() const noexcept { return filters_.size(); }
  std::size_t wildcardFilters() const noexcept { return trie_.filters(); }

private:
  // The hash stands beside the pointer so that probing and rehashing leave the
  // records alone.
  struct Entry {
    std::uint64_t hash;
    TopicFilter* filter;
  };
  struct Key {
    std::uint64_t hash;
    std::string_view text;
  };
  struct EntryHash {
    using is_transparent = void;
    using is_avalanching = void;
    std::size_t operator()(const Entry& entry) const noexcept { return entry.hash; }
    std::size_t operator()(const Key& key) const noexcept { return key.hash; }
  };
  struct EntryEqual {
    using is_transparent = void;
    bool operator()(const Entry& a, const Entry& b) const noexcept { return a.filter == b.filter; }
    bool operator()(const Key& key, const Entry& entry) const noexcept {
      return key.hash == entry.hash && sameText(key.text, entry.filter->text());
    }
    bool operator()(const Entry& entry, const Key& key) const noexcept {
      return (*this)(key, entry);
    }
  };

  struct GroupEntry {
    std::uint64_t hash;
    SharedGroup* group;
  };
  struct GroupKey {
    std::uint64_t hash;
    const TopicFilter* filter;
    std::string_view name;
  };
  struct GroupHash {
    using is_transparent = void;
    using is_avalanching = void;
    std::size_t operator()(const GroupEntry& entry) const noexcept { return entry.hash; }
    std::size_t operator()(const GroupKey& key) const noexcept { return key.hash; }
  };
  struct GroupEqual {
    using is_transparent = void;
    bool operator()(const GroupEntry& a, const GroupEntry& b) const noexcept {
      return a.group == b.group;
    }
    bool operator()(const GroupKey& key, const GroupEntry& entry) const noexcept {
      return key.hash == entry.hash && key.filter == entry.group->filter &&
             sameText(key.name, entry.group->name());
    }
    bool operator()(const GroupEntry& entry, const GroupKey& key) const noexcept {
      return (*this)(key, entry);
    }
  };

  static constexpr std::uint32_t kNotFound = 0xffffffffU;

  TopicFilter* lookUp(std::string_view text) const noexcept;
  TopicFilter& lookUpOrCreate(std::string_view text);
  GroupKey keyOf(const TopicFilter& filter, std::string_view name) const noexcept;
  SharedGroup& groupOf(TopicFilter& filter, std::string_view name);
  void dropIfUnused(TopicFilter& filter) noexcept;
  void dropIfUnused(SharedGroup& group) noexcept;
  SubscriberList* listOf(std::string_view filter) const noexcept;
  static std::uint32_t slotOf(const SubscriberList& list, const Session& session) noexcept;
  void removeAt(Session& session, std::uint32_t slot) noexcept;
  /// The filters that match; valid until the next call.
  std::span<TopicFilter* const> findFilters(std::string_view topic);
  /// The member whose turn it is; null if the message would reach nobody.
  static const Subscriber* nextOf(SharedGroup& group) noexcept;
  static void awaken(SubscriberList& list, std::uint32_t position) noexcept;
  static void exchange(SubscriberList& list, std::uint32_t a, std::uint32_t b) noexcept;
  static std::string_view subscriptionAt(const Session& session, std::uint32_t i,
                                         SubscriptionDetails& details, std::string& scratch);

  TextHash hash_;
  boost::unordered_flat_set<Entry, EntryHash, EntryEqual> filters_;
  boost::unordered_flat_set<GroupEntry, GroupHash, GroupEqual> groups_;  // of all filters
  WildcardTrie trie_;
  MatchCache cache_;
  std::vector<TopicFilter*> matched_;  // scratch of findFilters()
  std::uint64_t matchesCut_ = 0;
  std::size_t subscriptions_ = 0;
  std::size_t shared_ = 0;
};

}  // namespace mqttstack::broker
