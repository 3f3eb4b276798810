#include "core/mqtt/topic.hpp"

#include <algorithm>

#include "core/mqtt/protocol.hpp"

namespace mqttstack::mqtt {
namespace {

constexpr std::string_view kSharePrefix = "$share/";
constexpr std::string_view kAnythingBelow = "/#";

constexpr bool isWildcard(char c) { return c == '+' || c == '#'; }

/// The levels of a topic or filter, one after the other. There is always a
/// first one.
class Levels {
public:
  explicit Levels(std::string_view text) noexcept : rest_{text} { cut(); }

  std::string_view current() const noexcept { return rest_.substr(0, size_); }
  bool isLast() const noexcept { return size_ == rest_.size(); }
  /// What follows the current level, its slash included.
  std::string_view behind() const noexcept { return rest_.substr(size_); }
  /// REQUIRES: !isLast().
  void advance() noexcept {
    rest_.remove_prefix(size_ + 1);
    cut();
  }

private:
  void cut() noexcept { size_ = std::min(rest_.find('/'), rest_.size()); }

  std::string_view rest_;
  std::size_t size_ = 0;
};

/// A filter that is not shared, or the part of a shared one behind the group.
bool isValidPlainFilter(std::string_view filter) noexcept {
  if (filter.empty()) return false;  // [v311:4.7.3-1] [v5:4.7.3-1]
  char previous = '/';
  for (std::size_t i = 0; i < filter.size(); ++i) {
    const char c = filter[i];
    const bool last = i + 1 == filter.size();
    if (isWildcard(c)) {
      if (previous != '/') return false;
      if (c == '#' && !last) return false;                          // [v311:4.7.1-2] [v5:4.7.1-1]
      if (c == '+' && !last && filter[i + 1] != '/') return false;  // [v311:4.7.1-3] [v5:4.7.1-2]
    }
    previous = c;
  }
  return true;
}

}  // namespace

bool overlap(std::string_view a, std::string_view b) noexcept {
  Levels left{a};
  Levels right{b};
  // [v5:4.7.2-1] [v311:4.7.2-1]
  if ((isWildcard(a.front()) && b.front() == '$') || (isWildcard(b.front()) && a.front() == '$'))
    return false;
  while (true) {
    const std::string_view one = left.current();
    const std::string_view other = right.current();
    if (one == "#" || other == "#") return true;
    if (one != other && one != "+" && other != "+") return false;
    if (left.isLast() || right.isLast()) {
      if (left.behind() == a || right.behind() == b) return false;  // above "/#" there is no topic
      return left.behind() == right.behind() || left.behind() == kAnythingBelow ||
             right.behind() == kAnythingBelow;
    }
    left.advance();
    right.advance();
  }
}

bool hasWildcard(std::string_view filter) noexcept {
  return std::any_of(filter.begin(), filter.end(), isWildcard);
}

bool isValidTopicName(std::string_view topic) noexcept {
  return !topic.empty() && topic.size() <= kMaxStringBytes && !hasWildcard(topic);
}

bool isValidTopicFilter(std::string_view filter) noexcept {
  if (filter.size() > kMaxStringBytes) return false;
  if (!filter.starts_with(kSharePrefix)) return isValidPlainFilter(filter);

  filter.remove_prefix(kSharePrefix.size());
  const std::size_t slash = filter.find('/');
  if (slash == 0 || slash == std::string_view::npos) return false;
  return !hasWildcard(filter.substr(0, slash)) &&  // [v5:4.8.2-1] [v5:4.8.2-2]
         isValidPlainFilter(filter.substr(slash + 1));
}

bool matches(std::string_view filter, std::string_view topic) noexcept {
  if (!topic.empty() && topic.front() == '$' && !filter.empty() && isWildcard(filter.front())) {
    return false;  // [v311:4.7.2-1] [v5:4.7.2-1]
  }
  std::size_t f = 0;
  std::size_t t = 0;
  // Each turn starts at the beginning of a level in both.
  while (true) {
    if (f < filter.size() && filter[f] == '#') return true;
    if (f < filter.size() && filter[f] == '+') {
      ++f;
      while (t < topic.size() && topic[t] != '/') ++t;
    } else {
      while (f < filter.size() && t < topic.size() && filter[f] == topic[t] && topic[t] != '/') {
        ++f;
        ++t;
      }
    }
    const bool topicEnds = t == topic.size();
    if (f == filter.size()) return topicEnds;
    if (topicEnds) return filter.substr(f) == kAnythingBelow;  // "a/#" matches "a"
    if (filter[f] != '/' || topic[t] != '/') return false;
    ++f;
    ++t;
  }
}

bool contains(std::string_view outer, std::string_view inner) noexcept {
  Levels in{inner};
  Levels out{outer};
  if (!in.current().empty() && in.current().front() == '$' && isWildcard(outer.front())) {
    return false;  // [v311:4.7.2-1] [v5:4.7.2-1]
  }
  while (true) {
    if (out.current() == "#") return true;
    if (in.current() == "#") {
      // "a/#" matches "a", which "a/+/#" does not. But there is no topic above "#" and none above
      // "/#", since a topic is not empty: these two match one level more at least.
      const bool nothingAbove = inner == "#" || inner == kAnythingBelow;
      return nothingAbove && out.current() == "+" && out.behind() == kAnythingBelow;
    }
    if (out.current() != "+" && out.current() != in.current()) return false;
    if (in.isLast()) return out.isLast() || out.behind() == kAnythingBelow;
    if (out.isLast()) return false;
    in.advance();
    out.advance();
  }
}

bool isServerTopic(std::string_view topic) noexcept {
  if (!topic.starts_with('$')) return false;
  const std::string_view first = topic.substr(0, topic.find('/'));
  return first == "$SYS" || first == "$CONTROL";
}

std::size_t levelCount(std::string_view topicOrFilter) noexcept {
  return 1 + static_cast<std::size_t>(std::count(topicOrFilter.begin(), topicOrFilter.end(), '/'));
}

SharedFilter splitSharedFilter(std::string_view filter) noexcept {
  if (!filter.starts_with(kSharePrefix)) return {{}, filter};
  const std::string_view rest = filter.substr(kSharePrefix.size());
  const std::size_t slash = rest.find('/');
  if (slash == std::string_view::npos) return {{}, filter};
  return {rest.substr(0, slash), rest.substr(slash + 1)};
}

}  // namespace mqttstack::mqtt
