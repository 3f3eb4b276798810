#include "middlewares/security/acl_trie.hpp"

#include <algorithm>
#include <utility>

#include "core/broker/text_hash.hpp"
#include "core/mqtt/topic.hpp"

namespace mqttstack {
namespace {

constexpr std::string_view kUser = "%u";
constexpr std::string_view kClient = "%c";

// The table is filled by the operator: nobody else can make its keys collide.
const broker::TextHash kHash{0};

std::uint64_t keyOf(std::uint32_t node, std::uint64_t levelHash) noexcept {
  return levelHash ^ (std::uint64_t{node} * 0x9e3779b97f4a7c15U);
}

/// Calls visit(level) for each.
template <class Visit>
void forEachLevel(std::string_view text, Visit&& visit) {
  while (true) {
    const std::size_t end = std::min(text.find('/'), text.size());
    visit(text.substr(0, end));
    if (end == text.size()) return;
    text.remove_prefix(end + 1);
  }
}

/// The filter that matches whatever one with `%u` and `%c` may match.
std::string withoutNames(std::string_view filter, bool substitutes) {
  std::string all;
  forEachLevel(filter, [&](std::string_view level) {
    all += substitutes && (level == kUser || level == kClient) ? "+" : level;
    all += '/';
  });
  all.pop_back();
  return all;
}

/// A value that may stand for a level: it must mean nothing but itself.
bool isLiteralLevel(std::string_view value, bool first) noexcept {
  return !value.empty() && value.find_first_of(std::string_view{"+#/\0", 4}) == std::string::npos &&
         !(first && value.front() == '$');
}

}  // namespace

/// One question on its way through a tree.
struct AclTrie::Search {
  const Subject& subject;
  const broker::Identity& who;
  std::uint8_t access;
  Found& found;
};

void AclTrie::Subject::become(std::string_view text, bool filter) {
  levels_.clear();
  filter_ = filter;
  dollar_ = text.starts_with('$');
  nothingAbove_ = filter && (text == "#" || text == "/#");
  forEachLevel(text, [this](std::string_view level) { levels_.push_back({level}); });
}

std::uint32_t AclTrie::newNode() {
  nodes_.emplace_back();
  return static_cast<std::uint32_t>(nodes_.size() - 1);
}

AclTrie::Tree AclTrie::addTree() { return newNode(); }

bool AclTrie::isEmpty(Tree tree) const noexcept {
  const Node& node = nodes_[tree];
  return node.children == 0 && node.plus == 0 && node.user == 0 && node.client == 0 &&
         node.below.empty();
}

void AclTrie::add(Tree tree, std::string_view filter, bool substitutes, Rule rule) {
  std::uint32_t node = tree;
  bool below = false;
  if (rule.deny) denials_.push_back({tree, withoutNames(filter, substitutes), rule.access});
  forEachLevel(filter, [&](std::string_view level) {
    std::uint32_t Node::*special = nullptr;
    if (level == "+")
      special = &Node::plus;
    else if (substitutes && level == kUser)
      special = &Node::user;
    else if (substitutes && level == kClient)
      special = &Node::client;

    if (level == "#") {
      below = true;
    } else if (!special) {
      node = childOf(node, level);
    } else {
      if (nodes_[node].*special == 0) {
        const std::uint32_t child = newNode();  // moves the nodes
        nodes_[node].*special = child;
      }
      node = nodes_[node].*special;
    }
  });
  (below ? nodes_[node].below : nodes_[node].here).push_back(rule);
}

/// The child for a level, made if there is none.
std::uint32_t AclTrie::childOf(std::uint32_t node, std::string_view level) {
  const std::uint64_t hash = kHash(level);
  if (const std::uint32_t child = lookup(node, {level})) return child;
  if (2 * (edgeCount_ + 1) > edges_.size()) grow();
  Edge edge;
  edge.key = keyOf(node, hash);
  edge.textAt = static_cast<std::uint32_t>(texts_.size());
  edge.textSize = static_cast<std::uint32_t>(level.size());
  edge.child = newNode();
  texts_ += level;
  if (++nodes_[node].children == 1) nodes_[node].only = edge;
  ++edgeCount_;
  std::size_t at = edge.key & (edges_.size() - 1);
  while (edges_[at].child != 0) at = (at + 1) & (edges_.size() - 1);
  edges_[at] = edge;
  return edge.child;
}

void AclTrie::grow() {
  constexpr std::size_t kFirstSize = 16;
  const std::vector<Edge> old =
      std::exchange(edges_, std::vector<Edge>(std::max(2 * edges_.size(), kFirstSize)));
  for (const Edge& edge : old) {
    if (edge.child == 0) continue;
    std::size_t at = edge.key & (edges_.size() - 1);
    while (edges_[at].child != 0) at = (at + 1) & (edges_.size() - 1);
    edges_[at] = edge;
  }
}

bool AclTrie::leadsTo(const Edge& edge, std::string_view level) const noexcept {
  return level == std::string_view{texts_.data() + edge.textAt, edge.textSize};
}

std::uint32_t AclTrie::lookup(std::uint32_t number, const Subject::Level& level) const noexcept {
  const Node& node = nodes_[number];
  if (node.children <= 1)
    return node.children == 1 && leadsTo(node.only, level.text) ? node.only.child : 0;
  if (level.hash == 0) level.hash = kHash(level.text);
  const std::uint64_t key = keyOf(number, level.hash);
  for (std::size_t at = key & (edges_.size() - 1);; at = (at + 1) & (edges_.size() - 1)) {
    const Edge& edge = edges_[at];
    if (edge.child == 0) return 0;
    // With the same text, and so the same hash, the key is that of the same parent only.
    if (edge.key == key && leadsTo(edge, level.text)) return edge.child;
  }
}

void AclTrie::find(Tree tree, const Subject& subject, const broker::Identity& who, AclAccess access,
                   Found& found) const {
  Search search{subject, who, static_cast<std::uint8_t>(access), found};
  visit(tree, 0, search);
}

bool AclTrie::mayDeny(Tree tree, std::string_view filter, AclAccess access) const noexcept {
  return std::any_of(denials_.begin(), denials_.end(), [&](const Denial& denial) {
    return denial.tree == tree && (denial.access & static_cast<std::uint8_t>(access)) != 0 &&
           mqtt::overlap(denial.filter, filter);
  });
}

void AclTrie::visit(std::uint32_t number, std::size_t depth, Search& search) const {
  const Node& node = nodes_[number];
  const Subject& subject = search.subject;
  const bool first = depth == 0;
  const bool wildcards = !(first && subject.dollar_);  // [v5:4.7.2-1] [v311:4.7.2-1]
  if (wildcards) take(node.below, search);
  if (depth == subject.levels_.size()) return take(node.here, search);

  const Subject::Level& level = subject.levels_[depth];
  if (subject.filter_ && level.text == "#") {
    // "a/#" matches "a" too, which "a/+/#" does not; but above "#" and "/#" there
    // is no topic.
    if (subject.nothingAbove_ && node.plus != 0) take(nodes_[node.plus].below, search);
    return;
  }
  if (node.plus != 0 && wildcards) visit(node.plus, depth + 1, search);
  if (subject.filter_ && level.text == "+") return;
  if (const std::uint32_t child = lookup(number, level)) visit(child, depth + 1, search);
  if (node.user != 0 && !search.who.anonymous() && level.text == search.who.principal() &&
      isLiteralLevel(level.text, first))
    visit(node.user, depth + 1, search);
  if (node.client != 0 && level.text == search.who.clientId() && isLiteralLevel(level.text, first))
    visit(node.client, depth + 1, search);
}

void AclTrie::take(const std::vector<Rule>& rules, Search& search) noexcept {
  for (const Rule& rule : rules) {
    if ((rule.access & search.access) == 0) continue;
    std::uint32_t& line = rule.deny ? search.found.denied : search.found.allowed;
    if (line == 0 || rule.line < line) line = rule.line;
  }
}

}  // namespace mqttstack
