#include <algorithm>
#include <fmt/format.h>
#include <utility>

#include "core/mqtt/text.hpp"
#include "core/mqtt/topic.hpp"
#include "core/mqtt/utf8.hpp"
#include "middlewares/security/acl_rules.hpp"

// Reads access control files; acl_rules.cpp decides by what they say.
namespace mqttstack {
namespace {

constexpr std::string_view kShared = "$share/";

constexpr std::uint8_t bit(AclAccess access) { return static_cast<std::uint8_t>(access); }
constexpr std::uint8_t kRead = bit(AclAccess::subscribe) | bit(AclAccess::receive);
constexpr std::uint8_t kWrite = bit(AclAccess::publish);

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

/// What an access word means; 0 if it is none.
std::uint8_t accessOf(std::string_view word) {
  if (word == "publish" || word == "write") return kWrite;
  if (word == "subscribe") return bit(AclAccess::subscribe);
  if (word == "receive") return bit(AclAccess::receive);
  if (word == "read") return kRead;
  if (word == "readwrite") return kRead | kWrite;
  return 0;
}

bool isPlaceholder(std::string_view level) { return level == "%u" || level == "%c"; }

/// Whether `%u` and `%c` stand only where they mean something.
bool hasGoodPlaceholders(std::string_view filter, bool substitutes) {
  while (true) {
    const std::size_t end = std::min(filter.find('/'), filter.size());
    const std::string_view level = filter.substr(0, end);
    const bool within =
        level.find("%u") != std::string_view::npos || level.find("%c") != std::string_view::npos;
    if (isPlaceholder(level) ? !substitutes : substitutes && within) return false;
    if (end == filter.size()) return true;
    filter.remove_prefix(end + 1);
  }
}

}  // namespace

/// Reads a file line by line.
class AclCompiler {
public:
  AclCompiler(AclRules& rules, const AclRules::Report& report)
      : rules_{rules},
        report_{report},
        section_{rules.anonymous_} {}

  void line(std::size_t number, std::string_view text) {
    number_ = number;
    text = trimmed(text);
    if (text.empty() || text.front() == '#') return;
    const std::string_view whole = text;
    const std::string_view keyword = takeWord(text);
    if (keyword == "topic")
      rule(text, section_, substitutes_);
    else if (keyword == "pattern")
      rule(text, rules_.everybody_, true);
    else if (keyword == "user")
      named(rules_.users_, text, false);
    else if (keyword == "group")
      named(rules_.groups_, text, true);
    else if (keyword == "client")
      named(rules_.clients_, text, true);
    else if (keyword == "listener")
      named(rules_.listeners_, text, true);
    else if (keyword == "address" || keyword == "when")
      conditional(whole, keyword, text);
    else if ((keyword == "anonymous" || keyword == "everybody") && text.empty())
      begin(keyword == "anonymous" ? rules_.anonymous_ : rules_.everybody_, keyword == "everybody");
    else
      report(fmt::format("\"{}\" is not understood", mqtt::printable(keyword)),
             "a line begins with topic, pattern, user, group, client, listener, address, when, "
             "anonymous, everybody or #");
  }

private:
  void begin(AclTrie::Tree section, bool substitutes) {
    section_ = section;
    substitutes_ = substitutes;
  }

  bool isGoodName(std::string_view name) {
    if (!name.empty() && mqtt::isValidUtf8(name)) return true;
    report(name.empty() ? "the name is missing" : "the name is not UTF-8", {});
    return false;
  }

  void named(AclRules::Trees& trees, std::string_view name, bool substitutes) {
    if (!isGoodName(name)) return;
    const auto [place, isNew] = trees.try_emplace(std::string{name});
    if (isNew) place->second = rules_.trie_.addTree();
    begin(place->second, substitutes);
  }

  void conditional(std::string_view whole, std::string_view keyword, std::string_view rest) {
    AclRules::Condition condition;
    if (keyword == "address") {
      if (!narrow(condition, keyword, rest)) return;
    } else {
      if (rest.empty()) return report("the condition is missing", "for example: when listener=lan");
      while (!rest.empty()) {
        const std::string_view word = takeWord(rest);
        const std::size_t equals = std::min(word.find('='), word.size());
        const std::string_view value = word.substr(std::min(equals + 1, word.size()));
        if (!narrow(condition, word.substr(0, equals), value)) return;
      }
    }
    const auto known = std::find_if(rules_.conditional_.begin(), rules_.conditional_.end(),
                                    [&](const auto& each) { return each.text == whole; });
    if (known != rules_.conditional_.end()) return begin(known->tree, !condition.user);
    const AclTrie::Tree tree = rules_.trie_.addTree();
    begin(tree, !condition.user);
    rules_.conditional_.push_back({std::string{whole}, std::move(condition), tree});
  }

  /// Adds "KEY=VALUE" to a condition.
  bool narrow(AclRules::Condition& condition, std::string_view key, std::string_view value) {
    if (key == "address") {
      const auto range = AddressRange::parse(value);
      if (!range)
        report(fmt::format("\"{}\" is no range of addresses", mqtt::printable(value)),
               "for example: 192.0.2.0/24, 2001:db8::/32, 192.0.2.7 or local");
      else
        condition.addresses.push_back(*range);
      return range.has_value();
    }
    std::optional<std::string>* const place = key == "user"       ? &condition.user
                                              : key == "group"    ? &condition.group
                                              : key == "client"   ? &condition.client
                                              : key == "listener" ? &condition.listener
                                                                  : nullptr;
    if (!place) {
      report(fmt::format("\"{}\" is no condition", mqtt::printable(key)),
             "there are: user=, group=, client=, listener=, address=");
      return false;
    }
    if (place->has_value()) {
      report(fmt::format("\"{}\" is given twice", key), "all conditions have to hold");
      return false;
    }
    if (!isGoodName(value)) return false;
    *place = value;
    return true;
  }

  void rule(std::string_view text, AclTrie::Tree tree, bool substitutes) {
    AclTrie::Rule rule;
    rule.line = static_cast<std::uint32_t>(number_);
    std::string_view filter = text;
    std::string_view behind = text;
    std::string_view word = takeWord(behind);
    if (word == "deny") {
      rule.deny = true;
      filter = behind;
      word = takeWord(behind);
    }
    // What stands alone is the filter, as mosquitto has it.
    if (!behind.empty() || !rule.deny) {
      rule.access = accessOf(word);
      if (rule.access != 0) filter = behind;
    }
    if (rule.access == 0 && !behind.empty())
      return report(
          fmt::format("\"{}\" is no access", mqtt::printable(word)),
          "there are: deny, publish, write, subscribe, receive, read, readwrite (a filter "
          "with a space needs one of them in front)");
    if (rule.access == 0) rule.access = kRead | kWrite;
    // Or a wider subscription would bring what this one may not.
    if (rule.deny && (rule.access & bit(AclAccess::subscribe)) != 0) rule.access |= kRead;
    if (!isGood(filter, substitutes)) return;
    rules_.trie_.add(tree, filter, substitutes, rule);
    ++rules_.count_;
  }

  bool isGood(std::string_view filter, bool substitutes) {
    if (filter.empty()) {
      report("the filter is missing", "for example: topic read home/#");
    } else if (!mqtt::isValidUtf8(filter) || !mqtt::isValidTopicFilter(filter)) {
      report(fmt::format("\"{}\" is not a topic filter", mqtt::printable(filter)),
             "+ stands alone in its level, # alone in the last");
    } else if (mqtt::levelCount(filter) > AclTrie::kMostLevels) {
      report(fmt::format("a filter has {} levels at most", AclTrie::kMostLevels), {});
    } else if (filter.starts_with(kShared)) {
      report("shared subscriptions have no rules of their own",
             fmt::format("write the filter behind the group: \"{}\"",
                         mqtt::printable(mqtt::splitSharedFilter(filter).filter)));
    } else if (!hasGoodPlaceholders(filter, substitutes)) {
      report(substitutes ? "%u and %c stand alone in their level"
                         : "%u and %c mean nothing in the rules of a user",
             substitutes ? "for example: pattern write devices/%c/state" : "write pattern instead");
    } else {
      return true;
    }
    return false;
  }

  void report(std::string problem, std::string remedy) {
    report_(number_, std::move(problem), std::move(remedy));
  }

  AclRules& rules_;
  const AclRules::Report& report_;
  AclTrie::Tree section_;
  bool substitutes_ = false;
  std::size_t number_ = 0;
};

AclRules AclRules::compile(std::string_view text, const Report& report) {
  AclRules rules;
  AclCompiler compiler{rules, report};
  constexpr std::string_view kByteOrderMark = "\xEF\xBB\xBF";
  if (text.starts_with(kByteOrderMark)) text.remove_prefix(kByteOrderMark.size());
  for (std::size_t number = 1; !text.empty(); ++number) {
    const std::size_t end = std::min(text.find('\n'), text.size());
    compiler.line(number, text.substr(0, end));
    text.remove_prefix(std::min(end + 1, text.size()));
  }
  return rules;
}

}  // namespace mqttstack
