#pragma once

#include <string>
#include <string_view>
#include <vector>

namespace mqttstack {

/// The lines of a password file, for who edits it: what is not about the user
/// in question (comments, empty lines, others, the order) stays as it is.
class PasswordLines {
public:
  explicit PasswordLines(std::string_view text);

  bool has(std::string_view user) const;
  /// Gives a user that hash, in the place of the one before or at the end.
  void set(std::string_view user, std::string_view hash);
  /// False if there is no such user.
  bool remove(std::string_view user);

  std::string text() const;

private:
  static bool isOf(std::string_view line, std::string_view user);

  std::vector<std::string> lines_;
};

/// What is wrong with a user name; empty if it may stand in the file.
std::string problemOfUserName(std::string_view user);

}  // namespace mqttstack
