#include "core/broker/wildcard_trie.hpp"

#include <cassert>
#include <cstring>
#include <new>

#include "core/broker/flat_table.hpp"
#include "core/broker/topic_filter.hpp"

namespace mqttstack::broker {

namespace {

/// Takes the first level off `rest`, and the separator behind it. Returns false
/// in `more` if it was the last.
std::string_view takeLevel(std::string_view& rest, bool& more) {
  const std::size_t end = rest.find('/');
  more = end != std::string_view::npos;
  const std::string_view level = rest.substr(0, end);
  rest.remove_prefix(more ? end + 1 : rest.size());
  return level;
}

bool endsWithHash(std::string_view filter) { return filter.back() == '#'; }

}  // namespace

WildcardTrie::WildcardTrie(std::uint64_t seed)
    : hash_{seed},
      edges_{0, EdgeHash{TextHash{seed ^ 0x5bd1e995U}}} {
  reset();
}

WildcardTrie::~WildcardTrie() {
  for (Level* level : levels_) ::operator delete(level);
}

void WildcardTrie::reset() noexcept {
  nodes_ = {Node{kNone, kNone, kNone, 0, nullptr, nullptr}};
  freeNode_ = kNone;
  levelById_ = {};
  freeLevels_ = {};
}

void WildcardTrie::insert(TopicFilter& filter) {
  std::uint32_t node = 0;
  std::string_view rest = filter.text();
  bool more = true;
  while (more) {
    const std::string_view text = takeLevel(rest, more);
    if (text == "#") break;
    if (text == "+") {
      if (nodes_[node].plus == kNone) {
        const std::uint32_t added = addNode(node, kPlus);
        nodes_[node].plus = added;
        ++plusNodes_;
      }
      node = nodes_[node].plus;
      continue;
    }
    std::uint32_t level = levelId(text);
    std::uint32_t next = level == kNone ? kNone : child(node, level);
    if (next == kNone) {
      level = acquireLevel(text);
      next = addNode(node, level);
      edges_.emplace(Edge{node, level}, next);
      ++nodes_[node].children;
    }
    node = next;
  }
  TopicFilter*& end = endsWithHash(filter.text()) ? nodes_[node].hash : nodes_[node].filter;
  assert(end == nullptr);
  end = &filter;
  filter.node = node;
  ++filters_;
}

void WildcardTrie::erase(TopicFilter& filter) noexcept {
  const std::uint32_t node = filter.node;
  TopicFilter*& end = endsWithHash(filter.text()) ? nodes_[node].hash : nodes_[node].filter;
  assert(end == &filter);
  end = nullptr;
  filter.node = TopicFilter::kNoNode;
  --filters_;
  pruneFrom(node);
  if (filters_ == 0) reset();
}

void WildcardTrie::pruneFrom(std::uint32_t node) noexcept {
  while (node != 0) {
    Node& leaf = nodes_[node];
    if (leaf.filter != nullptr || leaf.hash != nullptr || leaf.plus != kNone || leaf.children != 0)
      return;
    const std::uint32_t parent = leaf.parent;
    if (leaf.level == kPlus) {
      nodes_[parent].plus = kNone;
      --plusNodes_;
    } else {
      edges_.erase(Edge{parent, leaf.level});
      shrinkIfSparse(edges_);
      releaseLevel(leaf.level);
      --nodes_[parent].children;
    }
    leaf.parent = freeNode_;
    freeNode_ = node;
    node = parent;
  }
}

bool WildcardTrie::match(std::string_view topic, std::vector<TopicFilter*>& matched) {
  if (filters_ == 0) return true;
  topicLevels_.clear();
  std::string_view rest = topic;
  for (bool more = true; more;) topicLevels_.push_back({takeLevel(rest, more), kUnresolved});

  // [v311:4.7.2-1] [v5:4.7.2-1]
  const bool hidden = topic.front() == '$';
  const auto depths = static_cast<std::uint32_t>(topicLevels_.size());
  std::uint32_t visits = 0;
  branches_.push_back({0, 0});
  while (!branches_.empty()) {
    auto [at, depth] = branches_.back();
    branches_.pop_back();
    while (true) {
      if (++visits > kMaxVisits) [[unlikely]] {
        branches_.clear();
        return false;
      }
      const Node& node = nodes_[at];
      const bool wildcards = at != 0 || !hidden;
      if (node.hash != nullptr && wildcards) matched.push_back(node.hash);
      if (depth == depths) {
        if (node.filter != nullptr) matched.push_back(node.filter);
        break;
      }
      if (node.plus != kNone && wildcards) branches_.push_back({node.plus, depth + 1});
      if (node.children == 0) break;
      TopicLevel& level = topicLevels_[depth];
      if (level.id == kUnresolved) level.id = levelId(level.text);
      if (level.id == kNone) break;
      at = child(at, level.id);
      if (at == kNone) break;
      ++depth;
    }
  }
  return true;
}

std::uint32_t WildcardTrie::levelId(std::string_view text) const noexcept {
  const auto place = levels_.find(LevelKey{hash_(text), text});
  return place == levels_.end() ? kNone : (*place)->id;
}

std::uint32_t WildcardTrie::acquireLevel(std::string_view text) {
  const std::uint64_t hash = hash_(text);
  if (const auto place = levels_.find(LevelKey{hash, text}); place != levels_.end()) {
    ++(*place)->uses;
    return (*place)->id;
  }
  std::uint32_t id = 0;
  if (freeLevels_.empty()) {
    id = static_cast<std::uint32_t>(levelById_.size());
    levelById_.push_back(nullptr);
  } else {
    id = freeLevels_.back();
    freeLevels_.pop_back();
  }
  auto* const level = new (::operator new(sizeof(Level) + text.size()))
      Level{hash, id, 1, static_cast<std::uint16_t>(text.size())};
  if (!text.empty())
    std::memcpy(reinterpret_cast<char*>(level) + sizeof(Level), text.data(), text.size());
  levels_.insert(level);
  levelById_[id] = level;
  return id;
}

void WildcardTrie::releaseLevel(std::uint32_t id) noexcept {
  Level* const level = levelById_[id];
  if (--level->uses != 0) return;
  levels_.erase(level);
  shrinkIfSparse(levels_);
  levelById_[id] = nullptr;
  freeLevels_.push_back(id);
  ::operator delete(level);
}

std::uint32_t WildcardTrie::addNode(std::uint32_t parent, std::uint32_t level) {
  const Node node{parent, level, kNone, 0, nullptr, nullptr};
  if (freeNode_ == kNone) {
    nodes_.push_back(node);
    return static_cast<std::uint32_t>(nodes_.size() - 1);
  }
  const std::uint32_t added = freeNode_;
  freeNode_ = nodes_[added].parent;
  nodes_[added] = node;
  return added;
}

std::uint32_t WildcardTrie::child(std::uint32_t parent, std::uint32_t level) const noexcept {
  const auto place = edges_.find(Edge{parent, level});
  return place == edges_.end() ? kNone : place->second;
}

}  // namespace mqttstack::broker
