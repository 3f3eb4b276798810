#pragma once

#include <chrono>
#include <cstdint>
#include <functional>
#include <memory>
#include <optional>
#include <string>
#include <string_view>
#include <vector>

#include "core/broker/identity.hpp"
#include "core/util/expected.hpp"

struct evp_pkey_st;

namespace mqttstack {

/// How a JSON web token can be signed. The key says which; a token only has to
/// agree, so that nobody passes a public key off as a secret.
enum class JwtAlgorithm : std::uint8_t { hs256, rs256, es256 };

/// A key that tokens are verified with. Immutable; for any thread.
class JwtKey {
public:
  /// Nothing if the text is no PEM public key (or certificate) of RSA with 2048
  /// bits or more, or of the curve P-256.
  static std::optional<JwtKey> fromPem(const std::string& pem);
  /// Nothing if the secret is shorter than 32 bytes, as RFC 7518 has it.
  static std::optional<JwtKey> fromSecret(std::string secret);
  /// The keys of a JSON web key set (RFC 7517) that are good for signatures;
  /// others in it are skipped. An error says what is wrong with the set.
  static Expected<std::vector<JwtKey>, std::string> fromJwks(std::string_view json);

  JwtAlgorithm algorithm() const noexcept { return algorithm_; }
  /// Its name in a set; empty if it has none.
  const std::string& id() const noexcept { return id_; }

  bool verifies(std::string_view text, std::string_view signature) const;

private:
  using PublicKey = std::shared_ptr<evp_pkey_st>;
  static std::optional<JwtKey> fromPublicKey(PublicKey key);

  JwtAlgorithm algorithm_ = JwtAlgorithm::hs256;
  std::string id_;
  std::string secret_;
  PublicKey public_;
};

/// What a token has to say.
struct JwtRules {
  std::string issuer;    ///< "iss" has to be this; empty for any
  std::string audience;  ///< "aud" has to name this; empty for any
  std::chrono::seconds leeway{0};
  bool needsExpiry = true;
  std::string userClaim = "sub";
  std::string groupsClaim = "groups";
  std::string aclClaim = "acl";
};

/// What a token does say.
struct JwtClaims {
  std::string user;
  std::vector<std::string> groups;
  broker::Grants grants;  ///< null if there is no such claim
  std::optional<std::chrono::system_clock::time_point> expiry;
};

/// True if the text has the form of a signed token: three parts, the first of
/// them the Base64 of a JSON object that names an algorithm.
bool looksLikeJwt(std::string_view text);

/// Verifies a token by any of the keys that fit it, and reads it. The error says
/// why it is no good, in words that quote nothing of it. For any thread.
Expected<JwtClaims, std::string> verifyJwt(std::string_view token, const std::vector<JwtKey>& keys,
                                           const JwtRules& rules,
                                           std::chrono::system_clock::time_point now);

}  // namespace mqttstack
