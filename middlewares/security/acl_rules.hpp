#pragma once

#include <cstddef>
#include <cstdint>
#include <functional>
#include <optional>
#include <string>
#include <string_view>
#include <unordered_map>
#include <vector>

#include "core/broker/identity.hpp"
#include "middlewares/security/acl_trie.hpp"
#include "middlewares/security/address_range.hpp"

namespace mqttstack {

/// The rules of an access control file, compiled. Immutable.
///
/// The file has one rule a line, in the text format that mosquitto made common,
/// with more to say. A file of mosquitto means here what it means there.
///
///     # Anonymous clients: everything above the first section.
///     topic read public/#
///
///     user alice
///     topic readwrite home/#
///     topic deny      home/cellar/#
///     topic read      $SYS/#
///
///     group operators
///     topic publish   commands/%u/#
///
///     when listener=internet address=203.0.113.0/24
///     topic deny publish #
///
///     # For all clients; %u is the user, %c the client identifier.
///     pattern write   devices/%c/state
///
/// A line without `topic` or `pattern` begins a section, whose rules hold for
/// those whom it names:
///
/// - `user NAME`, `group NAME`, `client ID`, `listener NAME`, `address RANGE`
///   (see AddressRange), `anonymous`, `everybody`;
/// - `when KEY=VALUE…`: for whom all of these hold; a key is one of the first
///   five, a value has no blanks in it.
///
/// A section may be begun more than once. Its rules are
///
/// - `topic [deny] [ACCESS] FILTER`. ACCESS is `publish` (also a will; or
///   `write`), `subscribe`, `receive`, `read` (these two), or `readwrite`: all
///   three, which it is if left out. A filter with a space in it needs one.
///   `deny subscribe` denies to receive as well, or a wider subscription would
///   bring it.
/// - `pattern [deny] [ACCESS] FILTER`: the same, but for everybody, wherever it
///   stands.
///
/// In a pattern, and in a topic line of a section that is not about one user, a
/// level that is `%u` or `%c` stands for the client's own, taken literally. A
/// name with `+`, `#`, `/` or NUL in it, or an empty one, makes the rule match
/// nothing, and so does one with a leading `$` in the first level; anonymous
/// clients have no `%u`.
///
/// Empty lines and lines that start with `#` say nothing. Spaces around a line
/// don't count, nor does a byte order mark; a name or filter may have spaces in it.
///
/// What no rule allows is not allowed, so an empty file allows nothing. A deny
/// wins over all that allow. A filter that starts with a wildcard does not match
/// topics that start with `$`: they need a rule that names them.
///
/// A subscription is allowed if one rule covers all that its filter can match
/// (`home/#` covers `home/+/light`, `+/+` does not cover `#`), and denied if a
/// deny rule does. Where a deny rule covers a part only, the subscription is
/// allowed and that part is not delivered.
class AclRules {
public:
  using Report = std::function<void(std::size_t line, std::string problem, std::string remedy)>;

  /// Compiles the text of a file, and reports every line that is not right. The
  /// rules must not be used if any was reported.
  static AclRules compile(std::string_view text, const Report& report);

  enum class Outcome : std::uint8_t { unmatched, allowed, denied };
  struct Decision {
    Outcome outcome = Outcome::unmatched;
    std::uint32_t line = 0;  ///< of the rule that decided
  };

  /// The sections that are about somebody.
  using Sections = std::vector<AclTrie::Tree>;
  Sections sectionsFor(const broker::Identity& who) const;

  /// May it do that with this topic (with this filter, for `subscribe`)?
  /// REQUIRES: `sections` are those for `who`; a filter is valid and not shared.
  Decision decide(const Sections& sections, const broker::Identity& who, AclAccess access,
                  std::string_view subject) const;
  Decision decide(const broker::Identity& who, AclAccess access, std::string_view subject) const {
    return decide(sectionsFor(who), who, access, subject);
  }

  /// The listeners that sections are about, in the order of their names.
  std::vector<std::string> listenersNamed() const;

  /// True if nobody may do anything.
  bool empty() const noexcept { return count_ == 0; }

  /// What the rules say of all topics together that a filter matches.
  enum class Reception : std::uint8_t {
    undecided,   ///< they deny none of them
    everything,  ///< they allow all of them
    mixed,       ///< they may deny one
  };
  /// May it receive whatever this filter matches? REQUIRES: the filter is valid
  /// and not shared.
  Reception reception(const broker::Identity& who, std::string_view filter) const;

private:
  friend class AclCompiler;

  /// Whom a section with more than one condition, or with addresses, is about.
  struct Condition {
    std::optional<std::string> user;
    std::optional<std::string> group;
    std::optional<std::string> client;
    std::optional<std::string> listener;
    std::vector<AddressRange> addresses;
    bool holdsFor(const broker::Identity& who) const;
  };
  struct Conditional {
    std::string text;  ///< as it stands in the file, for one that is begun again
    Condition condition;
    AclTrie::Tree tree;
  };
  struct Hash {
    using is_transparent = void;
    std::size_t operator()(std::string_view text) const noexcept {
      return std::hash<std::string_view>{}(text);
    }
  };
  using Trees = std::unordered_map<std::string, AclTrie::Tree, Hash, std::equal_to<>>;

  std::size_t count_ = 0;
  AclTrie trie_;
  AclTrie::Tree anonymous_ = trie_.addTree();
  AclTrie::Tree everybody_ = trie_.addTree();
  Trees users_;
  Trees groups_;
  Trees clients_;
  Trees listeners_;
  std::vector<Conditional> conditional_;
  mutable AclTrie::Subject subject_;  // keeps its memory from decision to decision
};

}  // namespace mqttstack
