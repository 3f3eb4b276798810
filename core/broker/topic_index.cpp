#include "core/broker/topic_index.hpp"

#include <algorithm>
#include <bit>
#include <cassert>
#include <utility>

#include "core/broker/flat_table.hpp"
#include "core/broker/session.hpp"
#include "core/mqtt/topic.hpp"

namespace mqttstack::broker {

namespace {

// With fewer wildcard filters the trie is as quick as the cache in front of it.
constexpr std::size_t kCacheFromFilters = 16;

}  // namespace

TopicIndex::TopicIndex(std::uint64_t seed, std::size_t cacheEntries)
    : hash_{seed},
      trie_{seed},
      cache_{cacheEntries} {}

TopicIndex::~TopicIndex() {
  for (const Entry& entry : filters_) {
    for (const Subscriber& subscriber : *entry.filter) subscriber.session().slots_.clear();
    while (SharedGroup* const group = entry.filter->groups) {
      for (const Subscriber& member : *group) member.session().slots_.clear();
      entry.filter->groups = group->next;
      SharedGroup::destroy(group);
    }
    TopicFilter::destroy(entry.filter);
  }
}

bool TopicIndex::subscribe(std::string_view filter, Session& session,
                           const mqtt::SubscriptionOptions& options, std::uint32_t identifier) {
  assert(mqtt::isValidTopicFilter(filter));
  const mqtt::SharedFilter parts = mqtt::splitSharedFilter(filter);
  TopicFilter& record = lookUpOrCreate(parts.shared() ? parts.filter : filter);
  SubscriberList& list =
      parts.shared() ? static_cast<SubscriberList&>(groupOf(record, parts.group)) : record;
  if (const std::uint32_t slot = slotOf(list, session); slot != kNotFound) {
    list[session.slots_[slot].position].setDetails(identifier, options);
    if (session.connected()) awaken(list, session.slots_[slot].position);
    return true;
  }
  assert(session.slots_.size() < Subscriber::kMaxSlots);
  list.push_back(Subscriber{session, identifier, options, session.slots_.size()});
  session.slots_.push_back({&list, list.size() - 1});
  session.clearance_ = Clearance::unknown;
  ++subscriptions_;
  if (list.group) ++shared_;
  awaken(list, list.size() - 1);
  return false;
}

bool TopicIndex::unsubscribe(std::string_view filter, Session& session) noexcept {
  SubscriberList* const list = listOf(filter);
  if (list == nullptr) return false;
  const std::uint32_t slot = slotOf(*list, session);
  if (slot == kNotFound) return false;
  removeAt(session, slot);
  return true;
}

std::size_t TopicIndex::removeSession(Session& session) noexcept {
  const std::size_t count = session.slots_.size();
  while (!session.slots_.empty()) removeAt(session, session.slots_.size() - 1);
  return count;
}

std::optional<SubscriptionDetails> TopicIndex::find(std::string_view filter,
                                                    const Session& session) const noexcept {
  const SubscriberList* const list = listOf(filter);
  if (list == nullptr) return std::nullopt;
  const std::uint32_t slot = slotOf(*list, session);
  if (slot == kNotFound) return std::nullopt;
  const Subscriber& subscriber = (*list)[session.slots_[slot].position];
  return SubscriptionDetails{subscriber.options(), subscriber.identifier()};
}

std::span<TopicFilter* const> TopicIndex::findFilters(std::string_view topic) {
  assert(mqtt::isValidTopicName(topic));
  matched_.clear();
  const std::uint64_t hash = hash_(topic);
  if (trie_.filters() != 0) {
    const bool cached = trie_.filters() >= kCacheFromFilters;
    if (!cached || !cache_.find(topic, hash, hash_, matched_)) {
      if (!trie_.match(topic, matched_)) [[unlikely]]
        ++matchesCut_;
      else if (cached)
        cache_.offer(topic, hash, hash_, matched_);
    }
  }
  if (const auto place = filters_.find(Key{hash, topic}); place != filters_.end())
    matched_.push_back(place->filter);
  return matched_;
}

const Subscriber* TopicIndex::nextOf(SharedGroup& group) noexcept {
  while (group.awake != 0) {
    const std::uint32_t at = group.turn % group.awake;
    if (group[at].session().connected()) {
      group.turn = at + 1;
      return &group[at];
    }
    exchange(group, at, --group.awake);
  }
  // Sessions that end with their connection are taken out when it goes, so this
  // finds one that lasts at once, or as good as.
  const std::uint32_t members = group.size();
  for (std::uint32_t i = 0, at = group.turn % members; i < members; ++i) {
    if (group[at].session().persistent()) {
      group.turn = at + 1;
      return &group[at];
    }
    if (++at == members) at = 0;
  }
  return nullptr;
}

std::optional<Match> TopicIndex::another(std::string_view topic, const Match& instead,
                                         std::uint32_t& place) {
  SharedGroup* group = nullptr;
  for (TopicFilter* const filter : findFilters(topic))
    for (SharedGroup* each = filter->groups; each != nullptr; each = each->next)
      if (each == instead.group) group = each;
  while (group && place < group->size()) {
    const std::uint32_t awake = group->awake;
    const std::uint32_t at = place < awake
                                 ? (group->turn + place) % awake
                                 : awake + (group->turn + place) % (group->size() - awake);
    ++place;
    const Subscriber& member = (*group)[at];
    Session& session = member.session();
    if (&session != instead.session && (session.connected() || session.persistent()))
      return Match{&session, member.identifier(), member.options(), group};
  }
  return std::nullopt;
}

void TopicIndex::sessionConnected(Session& session) noexcept {
  for (const SubscriptionSlot& slot : session.slots_) awaken(*slot.list, slot.position);
}

/// Puts a member of a group among those that may be connected.
void TopicIndex::awaken(SubscriberList& list, std::uint32_t position) noexcept {
  if (!list.group) return;
  auto& group = static_cast<SharedGroup&>(list);
  if (position >= group.awake) exchange(group, position, group.awake++);
}

void TopicIndex::exchange(SubscriberList& list, std::uint32_t a, std::uint32_t b) noexcept {
  if (a == b) return;
  std::swap(list[a], list[b]);
  for (const std::uint32_t at : {a, b}) list[at].session().slots_[list[at].slot()].position = at;
}

std::uint32_t TopicIndex::subscriptionCount(const Session& session) noexcept {
  return session.slots_.size();
}

std::string_view TopicIndex::subscriptionAt(const Session& session, std::uint32_t i,
                                            SubscriptionDetails& details, std::string& scratch) {
  const SubscriptionSlot& slot = session.slots_[i];
  const Subscriber& subscriber = (*slot.list)[slot.position];
  details = {subscriber.options(), subscriber.identifier()};
  if (!slot.list->group) return static_cast<const TopicFilter*>(slot.list)->text();
  const auto& group = static_cast<const SharedGroup&>(*slot.list);
  scratch.assign("$share/").append(group.name()).append("/").append(group.filter->text());
  return scratch;
}

TopicFilter* TopicIndex::lookUp(std::string_view text) const noexcept {
  const auto place = filters_.find(Key{hash_(text), text});
  return place == filters_.end() ? nullptr : place->filter;
}

TopicFilter& TopicIndex::lookUpOrCreate(std::string_view text) {
  const std::uint64_t hash = hash_(text);
  if (const auto place = filters_.find(Key{hash, text}); place != filters_.end())
    return *place->filter;
  TopicFilter* const filter = TopicFilter::create(text, hash);
  filters_.insert(Entry{hash, filter});
  if (mqtt::hasWildcard(text)) {
    trie_.insert(*filter);
    cache_.outdate(text, hash_);
  }
  return *filter;
}

TopicIndex::GroupKey TopicIndex::keyOf(const TopicFilter& filter,
                                       std::string_view name) const noexcept {
  return {hash_(name) ^ std::rotl(filter.hash, 32), &filter, name};
}

SharedGroup& TopicIndex::groupOf(TopicFilter& filter, std::string_view name) {
  const GroupKey key = keyOf(filter, name);
  if (const auto place = groups_.find(key); place != groups_.end()) return *place->group;
  SharedGroup* const group = SharedGroup::create(filter, name, key.hash);
  groups_.insert(GroupEntry{key.hash, group});
  group->next = filter.groups;
  if (group->next != nullptr) group->next->previous = group;
  filter.groups = group;
  return *group;
}

void TopicIndex::dropIfUnused(TopicFilter& filter) noexcept {
  if (!filter.empty() || filter.groups != nullptr) return;
  if (filter.node != TopicFilter::kNoNode) {
    cache_.outdate(filter.text(), hash_);
    trie_.erase(filter);
    if (trie_.filters() == 0) cache_.clear();
  }
  filters_.erase(filters_.find(Key{filter.hash, filter.text()}));
  shrinkIfSparse(filters_);
  TopicFilter::destroy(&filter);
}

void TopicIndex::dropIfUnused(SharedGroup& group) noexcept {
  if (!group.empty()) return;
  TopicFilter& filter = *group.filter;
  (group.previous != nullptr ? group.previous->next : filter.groups) = group.next;
  if (group.next != nullptr) group.next->previous = group.previous;
  groups_.erase(groups_.find(GroupKey{group.hash, &filter, group.name()}));
  shrinkIfSparse(groups_);
  SharedGroup::destroy(&group);
  dropIfUnused(filter);
}

SubscriberList* TopicIndex::listOf(std::string_view filter) const noexcept {
  const mqtt::SharedFilter parts = mqtt::splitSharedFilter(filter);
  if (!parts.shared()) return lookUp(filter);
  TopicFilter* const record = lookUp(parts.filter);
  if (record == nullptr) return nullptr;
  const auto place = groups_.find(keyOf(*record, parts.group));
  return place == groups_.end() ? nullptr : place->group;
}

// Each list knows the other's position, so the shorter one is searched.
std::uint32_t TopicIndex::slotOf(const SubscriberList& list, const Session& session) noexcept {
  if (list.size() < session.slots_.size()) {
    for (const Subscriber& subscriber : list)
      if (&subscriber.session() == &session) return subscriber.slot();
    return kNotFound;
  }
  for (std::uint32_t i = 0; i < session.slots_.size(); ++i)
    if (session.slots_[i].list == &list) return i;
  return kNotFound;
}

void TopicIndex::removeAt(Session& session, std::uint32_t slot) noexcept {
  auto [list, position] = session.slots_[slot];
  if (list->group) {
    auto& group = static_cast<SharedGroup&>(*list);
    if (position < group.awake) {
      exchange(group, position, --group.awake);
      position = group.awake;
    }
  }
  const Subscriber lastSubscriber = list->back();
  if (position + 1 != list->size()) {
    (*list)[position] = lastSubscriber;
    lastSubscriber.session().slots_[lastSubscriber.slot()].position = position;
  }
  list->pop_back();

  const SubscriptionSlot lastSlot = session.slots_.back();
  if (slot + 1 != session.slots_.size()) {
    session.slots_[slot] = lastSlot;
    (*lastSlot.list)[lastSlot.position].setSlot(slot);
  }
  session.slots_.pop_back();

  --subscriptions_;
  if (list->group) {
    --shared_;
    dropIfUnused(static_cast<SharedGroup&>(*list));
  } else {
    dropIfUnused(static_cast<TopicFilter&>(*list));
  }
}

}  // namespace mqttstack::broker
