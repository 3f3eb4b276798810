#pragma once

#include <boost/unordered/unordered_flat_map.hpp>
#include <boost/unordered/unordered_flat_set.hpp>
#include <cstddef>
#include <cstdint>
#include <string_view>
#include <vector>

#include "core/broker/text_hash.hpp"

namespace mqttstack::broker {

struct TopicFilter;

/// The filters with wildcards, level by level. A part of TopicIndex.
///
/// Nodes are 32 bytes in one array. The texts of levels are interned; the child
/// of a node under a level is found in one table for the whole trie, `+` and `#`
/// are fields of the node. A node lives as long as a filter passes through it.
class WildcardTrie {
public:
  explicit WildcardTrie(std::uint64_t seed);
  WildcardTrie(const WildcardTrie&) = delete;
  WildcardTrie& operator=(const WildcardTrie&) = delete;
  ~WildcardTrie();

  /// Hangs the filter in under its text and notes the node in it.
  /// REQUIRES: no filter with this text is in the trie.
  void insert(TopicFilter& filter);
  /// Takes it out again.
  void erase(TopicFilter& filter) noexcept;

  /// Nodes that match() looks at for one topic.
  static constexpr std::uint32_t kMaxVisits = 100'000;

  /// Appends the filters that match the topic. Visits each node at most once,
  /// whatever the topic, and no more than kMaxVisits of them: false if it had to
  /// stop there, and what is appended may not be all.
  [[nodiscard]] bool match(std::string_view topic, std::vector<TopicFilter*>& matched);

  std::size_t filters() const noexcept { return filters_; }
  /// Nodes in use, the root not counted; 0 when no filter is left.
  std::size_t nodes() const noexcept { return edges_.size() + plusNodes_; }
  std::size_t levels() const noexcept { return levels_.size(); }

private:
  static constexpr std::uint32_t kNone = 0xffffffffU;
  static constexpr std::uint32_t kPlus = 0xfffffffeU;
  static constexpr std::uint32_t kUnresolved = 0xfffffffdU;

  struct Node {
    std::uint32_t parent;    // the next free node, if it is free
    std::uint32_t level;     // id of its level's text, or kPlus
    std::uint32_t plus;      // child
    std::uint32_t children;  // children other than `plus`
    TopicFilter* filter;     // the filter that ends here
    TopicFilter* hash;       // the filter that ends with `#` below
  };
  static_assert(sizeof(Node) == 32);

  /// An interned text, which stands behind the object.
  struct Level {
    std::uint64_t hash;
    std::uint32_t id;
    std::uint32_t uses;
    std::uint16_t size;
    std::string_view text() const noexcept {
      return {reinterpret_cast<const char*>(this + 1), size};
    }
  };
  struct LevelKey {
    std::uint64_t hash;
    std::string_view text;
  };
  struct LevelHash {
    using is_transparent = void;
    using is_avalanching = void;
    std::size_t operator()(const Level* level) const noexcept { return level->hash; }
    std::size_t operator()(const LevelKey& key) const noexcept { return key.hash; }
  };
  struct LevelEqual {
    using is_transparent = void;
    bool operator()(const Level* a, const Level* b) const noexcept { return a == b; }
    bool operator()(const LevelKey& key, const Level* level) const noexcept {
      return key.hash == level->hash && key.text == level->text();
    }
    bool operator()(const Level* level, const LevelKey& key) const noexcept {
      return (*this)(key, level);
    }
  };

  struct Edge {
    std::uint32_t parent;
    std::uint32_t level;
    friend bool operator==(const Edge&, const Edge&) = default;
  };
  struct EdgeHash {
    using is_avalanching = void;
    TextHash hash;
    std::size_t operator()(const Edge& edge) const noexcept {
      return hash(edge.parent, edge.level);
    }
  };

  struct TopicLevel {
    std::string_view text;
    std::uint32_t id;
  };
  struct Branch {
    std::uint32_t node;
    std::uint32_t depth;
  };

  std::uint32_t levelId(std::string_view text) const noexcept;
  std::uint32_t acquireLevel(std::string_view text);
  void releaseLevel(std::uint32_t id) noexcept;
  std::uint32_t addNode(std::uint32_t parent, std::uint32_t level);
  std::uint32_t child(std::uint32_t parent, std::uint32_t level) const noexcept;
  void pruneFrom(std::uint32_t node) noexcept;
  void reset() noexcept;

  TextHash hash_;
  std::vector<Node> nodes_;  // [0] is the root
  std::uint32_t freeNode_ = kNone;
  boost::unordered_flat_map<Edge, std::uint32_t, EdgeHash> edges_;
  boost::unordered_flat_set<Level*, LevelHash, LevelEqual> levels_;
  std::vector<Level*> levelById_;
  std::vector<std::uint32_t> freeLevels_;
  std::size_t plusNodes_ = 0;
  std::size_t filters_ = 0;
  std::vector<TopicLevel> topicLevels_;  // scratch of match()
  std::vector<Branch> branches_;         // scratch of match()
};

}  // namespace mqttstack::broker
