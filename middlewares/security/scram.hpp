#pragma once

#include <array>
#include <cstdint>
#include <optional>
#include <string>
#include <string_view>

namespace mqttstack {

/// What a server keeps of a password for SCRAM-SHA-256 (RFC 5802, RFC 7677):
/// enough to recognise who knows it, not enough to be taken for them. A plain
/// password can be verified against it as well.
///
/// As text, the way PostgreSQL writes it:
/// `SCRAM-SHA-256$<iterations>:<salt>$<StoredKey>:<ServerKey>`, in Base64.
struct ScramKeys {
  using Digest = std::array<unsigned char, 32>;

  std::uint32_t iterations = 0;
  std::string salt;
  Digest storedKey{};
  Digest serverKey{};

  static constexpr std::string_view kMethod = "SCRAM-SHA-256";
  /// Fewer are refused, as RFC 7677 wants it; more would only hold up clients.
  static constexpr std::uint32_t kLeastIterations = 4096;
  static constexpr std::uint32_t kMostIterations = 10'000'000;

  /// Computes the keys, which takes as long as the iterations make it.
  static ScramKeys derive(std::string_view password, std::string salt, std::uint32_t iterations);
  static std::optional<ScramKeys> parse(std::string_view text);
  std::string text() const;

  /// Keys for a user who has none, with somebody else's iterations and a salt of the
  /// same size: they look as real as these, and nobody can prove to know the password.
  /// They are the same each time until the broker is restarted, being made with a
  /// secret of the process.
  ScramKeys madeUpFor(std::string_view user) const;
};

/// The server's half of one SCRAM-SHA-256 authentication, without input and
/// output. What the client says first names the user:
///
///     const auto user = scram.begin(clientFirst);
///     reply = scram.challenge(keysOf(*user), nonce);
///     const auto last = scram.finish(clientFinal);     // its presence is the proof
///
/// Each step fails, and the authentication with it, on anything that RFC 5802
/// does not allow. Channel binding is not offered.
class ScramServer {
public:
  /// The user name in the client's first message; nothing if that is no good.
  std::optional<std::string> begin(std::string_view clientFirst);

  /// The server's first message. `nonce` is what nobody can guess, printable and
  /// without a comma. REQUIRES: begin() gave a name.
  std::string challenge(ScramKeys keys, std::string_view nonce);

  /// The server's last message, if the client's proves that it knows the
  /// password. REQUIRES: challenge() was called.
  std::optional<std::string> finish(std::string_view clientFinal) const;

private:
  ScramKeys keys_;
  std::string gs2Header_;
  std::string clientFirstBare_;
  std::string serverFirst_;
  std::string nonce_;  // of both
};

}  // namespace mqttstack
