#pragma once

#include <cstddef>
#include <functional>
#include <string>
#include <string_view>
#include <unordered_map>
#include <vector>

#include "middlewares/security/password_hash.hpp"
#include "middlewares/security/scram.hpp"

namespace mqttstack {

/// The users of a password file and their hashes, in memory. Immutable once
/// read.
///
/// The file has one user a line, `name:hash`, the hash of any kind that
/// password_hash.hpp names; empty lines and lines that start with `#` are
/// skipped. A name may have anything but a colon in it, and no more than one
/// line.
class PasswordTable {
public:
  using Report = std::function<void(std::size_t line, std::string problem, std::string remedy)>;

  PasswordTable() = default;
  PasswordTable(PasswordTable&&) = default;
  PasswordTable& operator=(PasswordTable&&) = default;

  /// Reads the text of a file, and reports every line that is not right. The
  /// table must not be used if any was reported: half a file is no file.
  static PasswordTable parse(std::string_view text, const Report& report);

  /// The hash of a user, or null.
  const std::string* find(std::string_view user) const;

  /// The hash of somebody: which one is decided by `number`, in the order of the
  /// file, and at the same cost however many there are. Verifying against
  /// it costs what a real user costs, so an unknown name is not told by the
  /// time that its refusal takes.
  const std::string& anyHash(std::size_t number) const;

  std::size_t size() const noexcept { return users_.size(); }
  /// True if anybody's entry is good for SCRAM.
  bool knowsScram() const noexcept { return !scramUser_.empty(); }
  /// The SCRAM keys of a user. For one who is not there, or whose entry is of
  /// another kind, they are made up: always the same ones, that nobody can prove
  /// to know. REQUIRES: knowsScram().
  ScramKeys scramKeysOf(std::string_view user) const;

private:
  struct Hash {
    using is_transparent = void;
    std::size_t operator()(std::string_view text) const noexcept {
      return std::hash<std::string_view>{}(text);
    }
  };
  std::unordered_map<std::string, std::string, Hash, std::equal_to<>> users_;
  std::vector<const std::string*> hashes_;  // all of them, which stay where they are
  std::string scramUser_;  // one of those with keys; what is made up is made of them
};

}  // namespace mqttstack
