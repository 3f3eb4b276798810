#include "app/password_lines.hpp"

#include <algorithm>

#include "core/mqtt/utf8.hpp"

namespace mqttstack {

PasswordLines::PasswordLines(std::string_view text) {
  while (!text.empty()) {
    const std::size_t end = std::min(text.find('\n'), text.size());
    lines_.emplace_back(text.substr(0, end));
    text.remove_prefix(std::min(end + 1, text.size()));
  }
}

bool PasswordLines::isOf(std::string_view line, std::string_view user) {
  return line.size() > user.size() && line[user.size()] == ':' && line.starts_with(user);
}

bool PasswordLines::has(std::string_view user) const {
  return std::any_of(lines_.begin(), lines_.end(),
                     [user](const std::string& line) { return isOf(line, user); });
}

void PasswordLines::set(std::string_view user, std::string_view hash) {
  const std::string line = std::string{user}.append(":").append(hash);
  const auto old = std::find_if(lines_.begin(), lines_.end(),
                                [user](const std::string& each) { return isOf(each, user); });
  if (old == lines_.end())
    lines_.push_back(line);
  else
    *old = line;
}

bool PasswordLines::remove(std::string_view user) {
  return std::erase_if(lines_, [user](const std::string& line) { return isOf(line, user); }) != 0;
}

std::string PasswordLines::text() const {
  std::string all;
  for (const std::string& line : lines_) all.append(line).append("\n");
  return all;
}

std::string problemOfUserName(std::string_view user) {
  constexpr std::size_t kLongest = 65'535;  // that a CONNECT can say
  if (user.empty()) return "a user name cannot be empty";
  if (user.size() > kLongest) return "the user name is too long";
  if (!mqtt::isValidUtf8(user)) return "the user name is not UTF-8";
  if (user.front() == '#') return "a user name cannot start with \"#\"";
  if (user.find_first_of(":\r\n") != std::string_view::npos)
    return "a user name cannot have a colon or the end of a line in it";
  return {};
}

}  // namespace mqttstack
