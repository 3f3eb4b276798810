#pragma once

#include <cstddef>
#include <cstdint>
#include <functional>
#include <list>
#include <unordered_map>

namespace mqttstack {

/// What is remembered about those who come from outside and can be as many as
/// they like: addresses, client identifiers. So many are remembered and no more;
/// who was not heard of for the longest time is forgotten first. An entry may be
/// held: it is not forgotten then, and does not count.
///
/// Everything takes constant time. Entries stay where they are in memory.
template <class Key, class Value, class Hash = std::hash<Key>>
class BoundedTable {
public:
  struct Entry {
    Key key;
    Value value;
    std::uint32_t holders = 0;
  };

  /// REQUIRES: capacity > 0.
  explicit BoundedTable(std::size_t capacity) : capacity_{capacity} {}
  BoundedTable(const BoundedTable&) = delete;
  BoundedTable& operator=(const BoundedTable&) = delete;

  /// The entry of a key that was just heard of; made with `fresh` if there is
  /// none. The reference is good until another one is asked for, or while it is
  /// held.
  Entry& use(const Key& key, const Value& fresh = {}) {
    if (const auto found = index_.find(key); found != index_.end()) {
      if (found->second->holders == 0) free_.splice(free_.begin(), free_, found->second);
      return *found->second;
    }
    free_.push_front({key, fresh, 0});
    index_.emplace(key, free_.begin());
    forgetOldest();
    return free_.front();
  }

  /// Null if nothing is known of it. Does not count as hearing of it.
  Value* find(const Key& key) {
    const auto found = index_.find(key);
    return found == index_.end() ? nullptr : &found->second->value;
  }

  /// Keeps the entry from being forgotten, as often as this was called.
  void hold(Entry& entry) {
    if (entry.holders++ == 0) held_.splice(held_.begin(), free_, index_.at(entry.key));
  }
  /// Takes back one hold(). The entry may be gone afterwards.
  void release(Entry& entry) {
    if (--entry.holders != 0) return;
    free_.splice(free_.begin(), held_, index_.at(entry.key));
    forgetOldest();
  }

  void erase(const Key& key) {
    const auto found = index_.find(key);
    if (found == index_.end() || found->second->holders != 0) return;
    free_.erase(found->second);
    index_.erase(found);
  }

  std::size_t size() const noexcept { return index_.size(); }

private:
  void forgetOldest() {
    if (free_.size() <= capacity_) return;
    index_.erase(free_.back().key);
    free_.pop_back();
  }

  std::size_t capacity_;
  std::list<Entry> free_;  // heard of last in front
  std::list<Entry> held_;
  std::unordered_map<Key, typename std::list<Entry>::iterator, Hash> index_;
};

}  // namespace mqttstack
