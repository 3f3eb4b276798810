#include "core/broker/retained_tree.hpp"

#include <algorithm>
#include <iterator>
#include <utility>

#include "core/broker/flat_table.hpp"
#include "core/mqtt/topic.hpp"

namespace mqttstack::broker {

int compareTopics(std::string_view a, std::string_view b) noexcept {
  const std::size_t common = std::min(a.size(), b.size());
  const auto place =
      std::mismatch(a.begin(), a.begin() + static_cast<std::ptrdiff_t>(common), b.begin());
  const auto at = static_cast<std::size_t>(place.first - a.begin());
  if (at == common) return a.size() < b.size() ? -1 : a.size() > b.size() ? 1 : 0;
  if (a[at] == '/') return -1;
  if (b[at] == '/') return 1;
  return static_cast<unsigned char>(a[at]) < static_cast<unsigned char>(b[at]) ? -1 : 1;
}

RetainedTree::Stored RetainedTree::store(MessagePtr message) {
  if (message->payload().empty())
    return remove(message->topic()) ? Stored::removed : Stored::nothing;
  ++stores_;
  bytes_ += message->footprint();
  const std::uint64_t hash = hash_(message->topic());
  const auto entry = table_.find(Key{hash, message->topic()});
  if (entry != table_.end()) {
    bytes_ -= entry->place->message->footprint();
    entry->place->message = std::move(message);
    entry->place->storedAs = stores_;
    return Stored::replaced;
  }
  const auto place = topics_.insert(Retained{std::move(message), stores_}).first;
  table_.insert(Entry{hash, place});
  return Stored::added;
}

bool RetainedTree::remove(std::string_view topic) noexcept {
  const auto entry = table_.find(Key{hash_(topic), topic});
  if (entry == table_.end()) return false;
  erase(entry->place);
  return true;
}

void RetainedTree::clear() noexcept {
  table_ = {};
  topics_.clear();
  sweptUpTo_.reset();
  bytes_ = 0;
  ++removals_;
}

RetainedTree::Set::const_iterator RetainedTree::erase(Set::const_iterator place) noexcept {
  const std::string_view topic = place->message->topic();
  bytes_ -= place->message->footprint();
  table_.erase(table_.find(Key{hash_(topic), topic}));
  shrinkIfSparse(table_);
  ++removals_;
  return topics_.erase(place);
}

RetainedTree::Set::const_iterator RetainedTree::expire(Set::const_iterator place) {
  if (expired_) expired_(*place->message);
  return erase(place);
}

MessagePtr RetainedTree::find(std::string_view topic, TimePoint now) const noexcept {
  const auto entry = table_.find(Key{hash_(topic), topic});
  if (entry == table_.end() || entry->place->message->expired(now)) return {};
  return entry->place->message;
}

std::size_t RetainedTree::removeExpired(TimePoint now, std::size_t limit) {
  std::size_t removed = 0;
  auto place = sweptUpTo_ ? topics_.upper_bound(sweptUpTo_->topic()) : topics_.begin();
  sweptUpTo_.reset();
  for (; limit > 0 && place != topics_.end(); --limit) {
    if (limit == 1) sweptUpTo_ = place->message;
    if (place->message->expired(now)) {
      place = expire(place);
      ++removed;
    } else {
      ++place;
    }
  }
  return removed;
}

RetainedCursor::RetainedCursor(RetainedTree& tree, std::string_view filter)
    : tree_{&tree},
      filter_{filter},
      storedUpTo_{tree.stores_},
      wildcards_{mqtt::hasWildcard(filter)} {
  if (!wildcards_) return;
  // The first match can't come before the levels in front of the first wildcard.
  target_ = filter_.substr(0, filter_.find_first_of("+#"));
  if (target_.size() > 1 && filter_[target_.size()] == '#') target_.pop_back();
}

MessagePtr RetainedCursor::advance(TimePoint now, std::size_t& budget) {
  if (done_) return {};
  if (!wildcards_) return findExact(now, budget);
  auto at = resume();
  for (; at != tree_->topics_.end(); --budget) {
    if (budget == 0) return {};
    at_ = at;
    last_ = at->message;
    removals_ = tree_->removals_;
    const Step step = judge(last_->topic());
    if (step == Step::end) break;
    if (step == Step::seek) {
      at = seek(at);
    } else if (step == Step::next) {
      ++at;
    } else if (last_->expired(now)) {
      at = tree_->expire(at);
    } else if (at->storedAs <= storedUpTo_) {
      return last_;
    } else {
      ++at;
    }
  }
  done_ = true;
  last_.reset();
  return {};
}

MessagePtr RetainedCursor::findExact(TimePoint now, std::size_t& budget) {
  done_ = true;
  --budget;
  const auto entry = tree_->table_.find(RetainedTree::Key{tree_->hash_(filter_), filter_});
  if (entry == tree_->table_.end()) return {};
  const RetainedTree::Retained& retained = *entry->place;
  if (retained.message->expired(now)) {
    tree_->expire(entry->place);
    return {};
  }
  return retained.storedAs <= storedUpTo_ ? retained.message : MessagePtr{};
}

RetainedTree::Set::const_iterator RetainedCursor::resume() {
  if (!target_.empty() || !last_) {
    const auto at = tree_->topics_.lower_bound(target_);
    target_.clear();
    return at;
  }
  if (removals_ == tree_->removals_) return std::next(at_);
  return tree_->topics_.upper_bound(last_->topic());
}

// The target is often near, and steps are cheaper than a search from the root.
RetainedTree::Set::const_iterator RetainedCursor::seek(RetainedTree::Set::const_iterator at) {
  constexpr int kSteps = 3;
  for (int i = 0; i < kSteps; ++i) {
    ++at;
    if (at == tree_->topics_.end() || compareTopics(at->message->topic(), target_) >= 0) break;
    if (i + 1 == kSteps) at = tree_->topics_.lower_bound(target_);
  }
  target_.clear();
  return at;
}

RetainedCursor::Step RetainedCursor::judge(std::string_view topic) {
  // `$`-topics stand together. [v5:4.7.2-1] [v311:4.7.2-1]
  if (topic.front() == '$' && (filter_.front() == '+' || filter_.front() == '#')) {
    target_ = static_cast<char>('$' + 1);
    return Step::seek;
  }
  const std::string_view filter = filter_;
  constexpr auto npos = std::string_view::npos;
  std::size_t plusEnd = npos;  // where the topic's part under the last `+` ends
  std::size_t f = 0;
  std::size_t t = 0;
  while (true) {
    const std::size_t filterEnd = std::min(filter.find('/', f), filter.size());
    const std::size_t topicEnd = std::min(topic.find('/', t), topic.size());
    const std::string_view wanted = filter.substr(f, filterEnd - f);
    const std::string_view level = topic.substr(t, topicEnd - t);
    if (wanted == "#") return Step::match;
    if (wanted == "+") {
      plusEnd = topicEnd;
    } else if (const int order = compareTopics(level, wanted); order < 0) {
      target_.assign(topic.substr(0, t)).append(wanted);
      return Step::seek;
    } else if (order > 0) {
      if (plusEnd == npos) return Step::end;
      return seekBehind(topic.substr(0, plusEnd));
    }
    const bool filterEnds = filterEnd == filter.size();
    const bool topicEnds = topicEnd == topic.size();
    if (filterEnds) return topicEnds ? Step::match : seekBehind(topic.substr(0, topicEnd));
    f = filterEnd + 1;
    if (topicEnds) return filter.substr(f) == "#" ? Step::match : Step::next;
    t = topicEnd + 1;
  }
}

// U+0000 stands in no topic and right behind `/`, so this is behind everything
// below `topic`.
RetainedCursor::Step RetainedCursor::seekBehind(std::string_view topic) {
  target_.assign(topic).push_back('\0');
  return Step::seek;
}

}  // namespace mqttstack::broker
