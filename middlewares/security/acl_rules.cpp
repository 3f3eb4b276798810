#include "middlewares/security/acl_rules.hpp"

#include <algorithm>
#include <cstring>
#include <fmt/format.h>
#include <utility>

#include "core/mqtt/text.hpp"
#include "core/mqtt/topic.hpp"
#include "core/mqtt/utf8.hpp"

namespace mqttstack {
namespace {

constexpr std::uint8_t kRead = 1;
constexpr std::uint8_t kWrite = 2;
constexpr std::string_view kShared = "$share/";
constexpr std::string_view kUser = "%u";
constexpr std::string_view kClient = "%c";

std::string_view trimmed(std::string_view text) {
  constexpr std::string_view kBlank = " \t\r";
  const std::size_t begin = text.find_first_not_of(kBlank);
  if (begin == std::string_view::npos) return {};
  return text.substr(begin, text.find_last_not_of(kBlank) - begin + 1);
}

/// Takes the first word off the front; `text` is left with the rest, trimmed.
std::string_view takeWord(std::string_view& text) {
  const std::size_t end = std::min(text.find_first_of(" \t"), text.size());
  const std::string_view word = text.substr(0, end);
  text = trimmed(text.substr(end));
  return word;
}

/// Calls visit(level, isFirst) for each level, until one says false.
template <class Visit>
bool forEachLevel(std::string_view filter, Visit&& visit) {
  for (bool first = true;; first = false) {
    const std::size_t end = std::min(filter.find('/'), filter.size());
    if (!visit(filter.substr(0, end), first)) return false;
    if (end == filter.size()) return true;
    filter.remove_prefix(end + 1);
  }
}

bool isPlaceholder(std::string_view level) { return level == kUser || level == kClient; }

/// The first eight bytes, or what there is of them and zeros.
std::uint64_t headOf(std::string_view text) noexcept {
  std::uint64_t head = 0;
  if (!text.empty()) std::memcpy(&head, text.data(), std::min(text.size(), sizeof head));
  return head;
}

/// What every topic and filter that is matched starts with.
std::string_view fixedPart(std::string_view filter, bool substitutes) {
  std::size_t end = 0;
  forEachLevel(filter, [&](std::string_view level, bool) {
    if (level == "+" || level == "#" || (substitutes && isPlaceholder(level))) return false;
    end = static_cast<std::size_t>(level.data() - filter.data()) + level.size();
    return true;
  });
  return filter.substr(0, end);  // without the slash behind it: "a/#" matches "a"
}

/// A value that may stand for a level: it must mean nothing but itself.
bool isLiteralLevel(std::string_view value, bool first) {
  return !value.empty() && value.find_first_of(std::string_view{"+#/\0", 4}) == std::string::npos &&
         !(first && value.front() == '$');
}

}  // namespace

/// Reads the file line by line.
class AclRules::Compiler {
public:
  Compiler(AclRules& rules, const Report& report)
      : rules_{rules},
        report_{report},
        section_{&rules.anonymous_} {}

  void line(std::size_t number, std::string_view text) {
    number_ = number;
    text = trimmed(text);
    if (text.empty() || text.front() == '#') return;
    const std::string_view keyword = takeWord(text);
    if (keyword == "user") {
      user(text);
    } else if (keyword == "topic") {
      rule(text, *section_, false);
    } else if (keyword == "pattern") {
      rule(text, rules_.patterns_, true);
    } else {
      report(fmt::format("\"{}\" is not understood", mqtt::printable(keyword)),
             "a line begins with user, topic, pattern or #");
    }
  }

private:
  void user(std::string_view name) {
    if (name.empty() || !mqtt::isValidUtf8(name))
      return report(name.empty() ? "the user name is missing" : "the user name is not UTF-8", {});
    section_ = &rules_.users_[std::string{name}];
  }

  void rule(std::string_view text, Rules& section, bool pattern) {
    Rule rule{};
    rule.line = static_cast<std::uint32_t>(number_);
    rule.access = kRead | kWrite;
    std::string_view filter = text;
    const std::string_view word = takeWord(filter);
    if (word == "deny")
      rule.deny = true;
    else if (word == "read")
      rule.access = kRead;
    else if (word == "write")
      rule.access = kWrite;
    else if (word != "readwrite")
      filter = text;

    if (!isGood(filter, pattern)) return;
    rule.substitutes = pattern && !forEachLevel(filter, [](std::string_view level, bool) {
                         return !isPlaceholder(level);
                       });
    rule.filterAt = static_cast<std::uint32_t>(rules_.text_.size());
    rule.filterSize = static_cast<std::uint16_t>(filter.size());
    rules_.text_ += filter;
    const std::string_view fixed = fixedPart(filter, rule.substitutes);
    const std::string_view tail =
        fixed.substr(fixed.size() - std::min<std::size_t>(fixed.size(), 8));
    rule.fixedSize = static_cast<std::uint16_t>(fixed.size());
    rule.key = headOf(tail);
    rule.keyMask = headOf(std::string(tail.size(), '\xff'));
    section.insert(rule.deny ? std::find_if(section.begin(), section.end(),
                                            [](const Rule& other) { return !other.deny; })
                             : section.end(),
                   rule);
  }

  bool isGood(std::string_view filter, bool pattern) {
    if (filter.empty()) {
      report("the filter is missing", "for example: topic read home/#");
    } else if (!mqtt::isValidUtf8(filter) || !mqtt::isValidTopicFilter(filter)) {
      report(fmt::format("\"{}\" is not a topic filter", mqtt::printable(filter)),
             "+ stands alone in its level, # alone in the last");
    } else if (filter.starts_with(kShared)) {
      report("shared subscriptions have no rules of their own",
             fmt::format("write the filter behind the group: \"{}\"",
                         mqtt::printable(mqtt::splitSharedFilter(filter).filter)));
    } else if (!hasGoodPlaceholders(filter, pattern)) {
      report(pattern ? "%u and %c stand alone in their level"
                     : "%u and %c mean nothing in a topic line",
             pattern ? "for example: pattern write devices/%c/state" : "write pattern instead");
    } else {
      return true;
    }
    return false;
  }

  static bool hasGoodPlaceholders(std::string_view filter, bool pattern) {
    return forEachLevel(filter, [pattern](std::string_view level, bool) {
      if (isPlaceholder(level)) return pattern;
      return !pattern || (level.find(kUser) == std::string_view::npos &&
                          level.find(kClient) == std::string_view::npos);
    });
  }

  void report(std::string problem, std::string remedy) {
    report_(number_, std::move(problem), std::move(remedy));
  }

  AclRules& rules_;
  const Report& report_;
  Rules* section_;
  std::size_t number_ = 0;
};

AclRules AclRules::compile(std::string_view text, const Report& report) {
  AclRules rules;
  Compiler compiler{rules, report};
  for (std::size_t number = 1; !text.empty(); ++number) {
    const std::size_t end = std::min(text.find('\n'), text.size());
    compiler.line(number, text.substr(0, end));
    text.remove_prefix(std::min(end + 1, text.size()));
  }
  return rules;
}

AclRules::Decision AclRules::mayWrite(const broker::Identity& who, std::string_view topic) const {
  return decide(who, kWrite, Match::topic, topic);
}
AclRules::Decision AclRules::mayRead(const broker::Identity& who, std::string_view topic) const {
  return decide(who, kRead, Match::topic, topic);
}
AclRules::Decision AclRules::maySubscribe(const broker::Identity& who,
                                          std::string_view filter) const {
  return decide(who, kRead, Match::filter, filter);
}

AclRules::Decision AclRules::decide(const broker::Identity& who, std::uint8_t access, Match how,
                                    std::string_view subject) const {
  static const Rules kNone;
  const Rules* own = &anonymous_;
  if (!who.anonymous()) {
    const auto found = users_.find(std::string_view{who.principal()});
    own = found == users_.end() ? &kNone : &found->second;
  }
  for (const bool deny : {true, false})
    for (const Rules* rules : {own, &patterns_})
      if (const Rule* rule = firstMatch(*rules, deny, who, access, how, subject))
        return {deny ? Outcome::denied : Outcome::allowed, rule->line};
  return {};
}

const AclRules::Rule* AclRules::firstMatch(const Rules& rules, bool deny,
                                           const broker::Identity& who, std::uint8_t access,
                                           Match how, std::string_view subject) const {
  const std::uint64_t head = headOf(subject);
  for (const Rule& rule : rules) {
    if (rule.deny != deny) {
      if (deny) break;  // deny rules stand first
      continue;
    }
    if (mayMatch(rule, subject, head) && (rule.access & access) != 0 &&
        matches(rule, who, how, subject))
      return &rule;
  }
  return nullptr;
}

bool AclRules::mayMatch(const Rule& rule, std::string_view subject, std::uint64_t head) noexcept {
  if (rule.fixedSize < sizeof head) return (head & rule.keyMask) == rule.key;
  if (subject.size() < rule.fixedSize) return false;
  std::uint64_t tail = 0;
  std::memcpy(&tail, subject.data() + rule.fixedSize - sizeof tail, sizeof tail);
  return tail == rule.key;
}

bool AclRules::matches(const Rule& rule, const broker::Identity& who, Match how,
                       std::string_view subject) const {
  std::string_view filter = filterOf(rule);
  if (rule.substitutes) {
    if (!substitute(rule, who)) return false;
    filter = substituted_;
  }
  return how == Match::topic ? mqtt::matches(filter, subject) : mqtt::contains(filter, subject);
}

/// Puts the rule's filter with the client's own names into substituted_. False
/// if they cannot stand there.
bool AclRules::substitute(const Rule& rule, const broker::Identity& who) const {
  substituted_.clear();
  return forEachLevel(filterOf(rule), [&](std::string_view level, bool first) {
    if (isPlaceholder(level)) {
      const bool user = level == kUser;
      if (user && who.anonymous()) return false;
      level = user ? who.principal() : who.clientId();
      if (!isLiteralLevel(level, first)) return false;
    }
    if (!first) substituted_ += '/';
    substituted_ += level;
    return true;
  });
}

}  // namespace mqttstack
