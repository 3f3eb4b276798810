#include "middlewares/security/password_table.hpp"

#include <algorithm>
#include <utility>

#include "core/mqtt/text.hpp"
#include "core/mqtt/utf8.hpp"

namespace mqttstack {
namespace {

std::string_view withoutCarriageReturn(std::string_view line) {
  return line.ends_with('\r') ? line.substr(0, line.size() - 1) : line;
}

}  // namespace

PasswordTable PasswordTable::parse(std::string_view text, const Report& report) {
  PasswordTable table;
  for (std::size_t number = 1; !text.empty(); ++number) {
    const std::size_t end = std::min(text.find('\n'), text.size());
    const std::string_view line = withoutCarriageReturn(text.substr(0, end));
    text.remove_prefix(std::min(end + 1, text.size()));
    if (line.empty() || line.front() == '#') continue;

    const std::size_t colon = line.find(':');
    if (colon == std::string_view::npos) {
      report(number, "there is no \":\" between user name and hash",
             "a line is \"name:hash\"; make one with: mqtt-stackd passwd FILE USER");
      continue;
    }
    const std::string_view user = line.substr(0, colon);
    std::string hash{line.substr(colon + 1)};
    if (user.empty() || !mqtt::isValidUtf8(user)) {
      report(number, user.empty() ? "the user name is missing" : "the user name is not UTF-8", {});
    } else if (const HashProblem found = problemOfHash(hash); found.any()) {
      report(number, found.problem + " (user \"" + mqtt::printable(user) + "\")", found.remedy);
    } else {
      // The first by name: it stays the same when lines are added behind or in front.
      if (hash.starts_with(ScramKeys::kMethod) &&
          (table.scramUser_.empty() || user < table.scramUser_))
        table.scramUser_ = user;
      const auto [place, isNew] = table.users_.try_emplace(std::string{user}, std::move(hash));
      if (isNew)
        table.hashes_.push_back(&place->second);
      else
        report(number, "user \"" + mqtt::printable(user) + "\" has a line already",
               "remove one of the two");
    }
  }
  return table;
}

const std::string* PasswordTable::find(std::string_view user) const {
  const auto found = users_.find(user);
  return found == users_.end() ? nullptr : &found->second;
}

const std::string& PasswordTable::anyHash(std::size_t number) const {
  // Of no password that anybody could know: for a table without users.
  static const std::string kNobody =
      "$6$nobody$................................................................................"
      "......";
  return hashes_.empty() ? kNobody : *hashes_[number % hashes_.size()];
}

ScramKeys PasswordTable::scramKeysOf(std::string_view user) const {
  if (const std::string* hash = find(user))
    if (const auto keys = ScramKeys::parse(*hash)) return *keys;
  return ScramKeys::parse(*find(scramUser_))->madeUpFor(user);
}

}  // namespace mqttstack
