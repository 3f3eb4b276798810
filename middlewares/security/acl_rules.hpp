#pragma once

#include <cstddef>
#include <cstdint>
#include <functional>
#include <string>
#include <string_view>
#include <unordered_map>
#include <vector>

#include "core/broker/identity.hpp"

namespace mqttstack {

/// The rules of an access control file, compiled: a decision looks at the rules
/// of one user only, one after another in one piece of memory, and allocates
/// nothing.
///
/// The file is the text format that mosquitto made common, line by line:
///
///     # Everybody who is not named below by the listener's leave: anonymous clients.
///     topic read public/#
///
///     user alice
///     topic readwrite home/+/light
///     topic deny      home/cellar/light
///     topic read      $SYS/#
///
///     # For all clients; %u is the user, %c the client identifier.
///     pattern write   devices/%c/state
///
/// - `user NAME` begins the rules of a user; `topic` lines before any are those
///   of anonymous clients. A user may be begun more than once.
/// - `topic [ACCESS] FILTER` is a rule of that user. ACCESS is `read` (receive
///   and subscribe), `write` (publish, also as a will), `readwrite`, which it is
///   if left out, or `deny`: neither.
/// - `pattern [ACCESS] FILTER` is a rule for everybody, wherever it stands. A
///   level that is `%u` or `%c` stands for the client's own, taken literally. A
///   name with `+`, `#`, `/` or NUL in it, or an empty one, makes the rule match
///   nothing, and so does one with a leading `$` in the first level; anonymous
///   clients have no `%u`.
/// - Empty lines and lines that start with `#` say nothing. Spaces around a line
///   don't count; a name or filter may have spaces in it.
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

  /// May it publish to, or receive from, this topic?
  Decision mayWrite(const broker::Identity& who, std::string_view topic) const;
  Decision mayRead(const broker::Identity& who, std::string_view topic) const;
  /// May it subscribe with this filter? REQUIRES: valid and not shared.
  Decision maySubscribe(const broker::Identity& who, std::string_view filter) const;

private:
  struct Rule {
    // All that it can match begins with the same bytes, up to the first wildcard.
    // The last eight of them pass over most rules with one comparison.
    std::uint64_t key;
    std::uint64_t keyMask;  // fewer than eight have zeros behind them
    std::uint16_t fixedSize;
    std::uint16_t filterSize;
    std::uint32_t filterAt;  // in text_
    std::uint8_t access;
    bool deny;
    std::uint32_t line;
    bool substitutes;
  };
  using Rules = std::vector<Rule>;  // deny rules first
  class Compiler;
  struct Hash {
    using is_transparent = void;
    std::size_t operator()(std::string_view text) const noexcept {
      return std::hash<std::string_view>{}(text);
    }
  };
  enum class Match : std::uint8_t { topic, filter };

  Decision decide(const broker::Identity& who, std::uint8_t access, Match how,
                  std::string_view subject) const;
  const Rule* firstMatch(const Rules& rules, bool deny, const broker::Identity& who,
                         std::uint8_t access, Match how, std::string_view subject) const;
  static bool mayMatch(const Rule& rule, std::string_view subject, std::uint64_t head) noexcept;
  bool matches(const Rule& rule, const broker::Identity& who, Match how,
               std::string_view subject) const;
  bool substitute(const Rule& rule, const broker::Identity& who) const;
  std::string_view filterOf(const Rule& rule) const {
    return std::string_view{text_}.substr(rule.filterAt, rule.filterSize);
  }

  std::string text_;  // the filters, one behind the other
  Rules anonymous_;
  Rules patterns_;
  std::unordered_map<std::string, Rules, Hash, std::equal_to<>> users_;
  mutable std::string substituted_;  // keeps its memory from decision to decision
};

}  // namespace mqttstack
