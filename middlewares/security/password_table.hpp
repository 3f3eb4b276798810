#pragma once

#include <cstddef>
#include <functional>
#include <string>
#include <string_view>
#include <unordered_map>

namespace mqttstack {

/// The users of a password file and their hashes, in memory. Immutable once
/// read.
///
/// The file has one user a line, `name:hash`, with a hash as crypt(3) makes it;
/// empty lines and lines that start with `#` are skipped. Accepted are yescrypt
/// (`$y$`), bcrypt (`$2b$`), SHA-512 (`$6$`) and SHA-256 (`$5$`). A name may
/// have anything but a colon in it, and no more than one line.
class PasswordTable {
public:
  using Report = std::function<void(std::size_t line, std::string problem, std::string remedy)>;

  /// Reads the text of a file, and reports every line that is not right. The
  /// table must not be used if any was reported: half a file is no file.
  static PasswordTable parse(std::string_view text, const Report& report);

  /// The hash of a user, or null.
  const std::string* find(std::string_view user) const;

  /// The hash of somebody: which one is decided by `number`. Verifying against
  /// it costs what a real user costs, so an unknown name is not told by the
  /// time that its refusal takes.
  const std::string& anyHash(std::size_t number) const;

  std::size_t size() const noexcept { return users_.size(); }

private:
  struct Hash {
    using is_transparent = void;
    std::size_t operator()(std::string_view text) const noexcept {
      return std::hash<std::string_view>{}(text);
    }
  };
  std::unordered_map<std::string, std::string, Hash, std::equal_to<>> users_;
};

/// True if crypt(3) makes `hash` of `password`. Takes as long as the hash wants,
/// 33 ms for yescrypt; the comparison takes the same time wherever they differ.
/// For any thread. A password with a NUL in it, which crypt would cut off there,
/// is never right.
bool verifyPassword(std::string_view password, const std::string& hash) noexcept;

}  // namespace mqttstack
