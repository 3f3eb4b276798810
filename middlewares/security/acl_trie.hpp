#pragma once

#include <cstddef>
#include <cstdint>
#include <string>
#include <string_view>
#include <vector>

#include "core/broker/identity.hpp"

namespace mqttstack {

/// What a rule of an access control file is about; a rule has one or more.
enum class AclAccess : std::uint8_t { publish = 1, subscribe = 2, receive = 4 };

/// The rules of an access control file, found by the levels of a topic: any
/// number of trees, one for each section of the file, in common memory. Looking
/// at one tree takes a look into a table per level, however many rules it has,
/// and allocates nothing.
class AclTrie {
public:
  struct Rule {
    std::uint32_t line = 0;
    std::uint8_t access = 0;  ///< bits of AclAccess
    bool deny = false;
  };
  /// The first rules that deny and allow, by their lines; 0 for none.
  struct Found {
    std::uint32_t denied = 0;
    std::uint32_t allowed = 0;
  };
  using Tree = std::uint32_t;

  /// More levels than this are no rule: trees are walked recursively.
  static constexpr std::size_t kMostLevels = 200;

  Tree addTree();
  /// True if no rule was added to it.
  bool isEmpty(Tree tree) const noexcept;
  /// Adds a rule to a tree. In a filter that `substitutes`, the levels `%u` and
  /// `%c` stand for the user and the client identifier of whoever it is about.
  /// REQUIRES: a valid filter of at most kMostLevels levels.
  void add(Tree tree, std::string_view filter, bool substitutes, Rule rule);

  /// What is asked about: a topic, or the filter of a subscription, which a rule
  /// has to cover as a whole. Taken apart once for all trees that are looked at.
  class Subject {
  public:
    /// Becomes another one; keeps its memory.
    void becomeTopic(std::string_view topic) { become(topic, false); }
    void becomeFilter(std::string_view filter) { become(filter, true); }

  private:
    friend class AclTrie;
    struct Level {
      std::string_view text;
      mutable std::uint64_t hash = 0;  // when somebody has asked for it
    };
    void become(std::string_view text, bool filter);

    std::vector<Level> levels_;
    bool filter_ = false;
    bool dollar_ = false;        // a leading wildcard does not match it
    bool nothingAbove_ = false;  // "#" and "/#", which match one level at least
  };

  /// Looks for the rules of one tree that are about this, and adds them to what
  /// was found before.
  void find(Tree tree, const Subject& subject, const broker::Identity& who, AclAccess access,
            Found& found) const;

  /// True if a rule of the tree may deny something that the filter matches.
  bool mayDeny(Tree tree, std::string_view filter, AclAccess access) const noexcept;

private:
  struct Denial {
    Tree tree;
    std::string filter;  ///< with "+" where it substitutes
    std::uint8_t access;
  };
  struct Edge {
    std::uint64_t key = 0;
    std::uint32_t textAt = 0;
    std::uint32_t textSize = 0;
    std::uint32_t child = 0;  // 0: an empty place
  };
  struct Node {
    std::uint32_t plus = 0;    // the child for "+"; 0 for none, since nobody's child is a root
    std::uint32_t user = 0;    // for "%u"
    std::uint32_t client = 0;  // for "%c"
    std::uint32_t children = 0;
    Edge only;                // the first child, which many nodes have no other than
    std::vector<Rule> here;   // filters that end at this node
    std::vector<Rule> below;  // that go on with "#"
  };
  struct Search;

  std::uint32_t newNode();
  std::uint32_t childOf(std::uint32_t node, std::string_view level);
  std::uint32_t lookup(std::uint32_t node, const Subject::Level& level) const noexcept;
  bool leadsTo(const Edge& edge, std::string_view level) const noexcept;
  void grow();
  void visit(std::uint32_t node, std::size_t depth, Search& search) const;
  static void take(const std::vector<Rule>& rules, Search& search) noexcept;

  std::vector<Node> nodes_;
  std::vector<Edge> edges_;  // a table with open addressing
  std::size_t edgeCount_ = 0;
  std::vector<Denial> denials_;
  std::string texts_;
};

}  // namespace mqttstack
