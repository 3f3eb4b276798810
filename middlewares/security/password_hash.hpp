#pragma once

#include <cstdint>
#include <optional>
#include <string>
#include <string_view>

/// Password hashes: the text behind the colon in a password file. These kinds
/// are understood:
///
/// | begins with            | what it is                                            |
/// |------------------------|-------------------------------------------------------|
/// | `$y$`                  | yescrypt of crypt(3): what `passwd` makes               |
/// | `SCRAM-SHA-256$`       | keys for SCRAM, which verify a plain password as well   |
/// | `$2b$`, `$6$`, `$5$`   | bcrypt, SHA-512 and SHA-256 of crypt(3)                 |
/// | `$argon2id$`           | argon2id                                              |
/// | `mosquitto-pbkdf2$`    | mosquitto's `$7$`, which crypt(3) takes for scrypt      |
/// | `mosquitto-sha512$`    | mosquitto's `$6$`, which crypt(3) takes for its own     |
namespace mqttstack {

/// What is wrong with a hash, and what to do; both empty if nothing is.
struct HashProblem {
  std::string problem;
  std::string remedy;
  bool any() const noexcept { return !problem.empty(); }
};
HashProblem problemOfHash(const std::string& hash);

/// True if `hash` was made of `password`. Takes as long as the hash wants, 33 ms
/// for yescrypt; the comparison takes the same time wherever they differ. For
/// any thread. REQUIRES: problemOfHash() found nothing.
bool verifyPassword(std::string_view password, const std::string& hash) noexcept;

/// How a new hash is made.
enum class HashMethod : std::uint8_t { yescrypt, scramSha256, bcrypt, sha512 };

/// The cost that `method` has if nobody says otherwise, and the range of it:
/// what it means is the method's business.
struct HashCost {
  unsigned usual;
  unsigned least;
  unsigned most;
};
HashCost costOf(HashMethod method) noexcept;

/// Hashes a new password with a random salt; nothing if the method cannot take
/// it (a NUL in it; longer than crypt(3) reads, 512 bytes, or than bcrypt's 72).
/// REQUIRES: `cost` is in the method's range.
std::optional<std::string> makeHash(std::string_view password, HashMethod method, unsigned cost);

/// A hash out of a password file of mosquitto, as it is to stand in one of ours;
/// nothing if it is none of the kinds that mosquitto writes.
std::optional<std::string> importMosquittoHash(std::string_view hash);

}  // namespace mqttstack
