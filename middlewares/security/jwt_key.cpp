#include <algorithm>
#include <array>
#include <nlohmann/json.hpp>
#include <utility>

#include <openssl/bio.h>
#include <openssl/bn.h>
#include <openssl/core_names.h>
#include <openssl/crypto.h>
#include <openssl/ec.h>
#include <openssl/err.h>
#include <openssl/evp.h>
#include <openssl/hmac.h>
#include <openssl/param_build.h>
#include <openssl/pem.h>
#include <openssl/x509.h>

#include "middlewares/security/base64.hpp"
#include "middlewares/security/jwt.hpp"

// The keys of JSON web tokens; jwt.cpp has the tokens.
namespace mqttstack {
namespace {

using nlohmann::json;

constexpr int kLeastRsaBits = 2048;
constexpr std::size_t kLeastSecretBytes = 32;
constexpr std::size_t kCoordinateBytes = 32;

/// Ends an object of OpenSSL with the function that it wants.
template <auto Free>
struct Freed {
  template <class T>
  void operator()(T* object) const noexcept {
    Free(object);
  }
};
template <class T, auto Free>
using Owned = std::unique_ptr<T, Freed<Free>>;
using Bio = Owned<BIO, BIO_free_all>;
using Number = Owned<BIGNUM, BN_free>;

const unsigned char* bytesOf(std::string_view text) {
  return reinterpret_cast<const unsigned char*>(text.data());
}

std::shared_ptr<EVP_PKEY> owned(EVP_PKEY* key) {
  return key ? std::shared_ptr<EVP_PKEY>{key, EVP_PKEY_free} : nullptr;
}

std::shared_ptr<EVP_PKEY> makeKey(const char* type, OSSL_PARAM_BLD* parameters) {
  const Owned<OSSL_PARAM, OSSL_PARAM_free> built{OSSL_PARAM_BLD_to_param(parameters)};
  const Owned<EVP_PKEY_CTX, EVP_PKEY_CTX_free> context{
      EVP_PKEY_CTX_new_from_name(nullptr, type, nullptr)};
  EVP_PKEY* key = nullptr;
  if (!built || !context || EVP_PKEY_fromdata_init(context.get()) != 1 ||
      EVP_PKEY_fromdata(context.get(), &key, EVP_PKEY_PUBLIC_KEY, built.get()) != 1) {
    ERR_clear_error();
    return nullptr;
  }
  return owned(key);
}

/// A member that is a string; empty if it is anything else.
std::string textIn(const json& object, const char* member) {
  const auto found = object.find(member);
  return found != object.end() && found->is_string() ? found->get<std::string>() : std::string{};
}

/// The bytes of a member that is Base64; empty if there is none.
std::string bytesIn(const json& object, const char* member) {
  return decodeBase64(textIn(object, member), Base64::url).value_or("");
}

std::shared_ptr<EVP_PKEY> rsaKey(const json& object) {
  const std::string n = bytesIn(object, "n");
  const std::string e = bytesIn(object, "e");
  if (n.empty() || e.empty()) return nullptr;
  const Number modulus{BN_bin2bn(bytesOf(n), static_cast<int>(n.size()), nullptr)};
  const Number exponent{BN_bin2bn(bytesOf(e), static_cast<int>(e.size()), nullptr)};
  const Owned<OSSL_PARAM_BLD, OSSL_PARAM_BLD_free> parameters{OSSL_PARAM_BLD_new()};
  OSSL_PARAM_BLD_push_BN(parameters.get(), OSSL_PKEY_PARAM_RSA_N, modulus.get());
  OSSL_PARAM_BLD_push_BN(parameters.get(), OSSL_PKEY_PARAM_RSA_E, exponent.get());
  return makeKey("RSA", parameters.get());
}

std::shared_ptr<EVP_PKEY> ecKey(const json& object) {
  const std::string x = bytesIn(object, "x");
  const std::string y = bytesIn(object, "y");
  if (textIn(object, "crv") != "P-256" || x.size() != kCoordinateBytes ||
      y.size() != kCoordinateBytes)
    return nullptr;
  const std::string point = '\x04' + x + y;
  const Owned<OSSL_PARAM_BLD, OSSL_PARAM_BLD_free> parameters{OSSL_PARAM_BLD_new()};
  OSSL_PARAM_BLD_push_utf8_string(parameters.get(), OSSL_PKEY_PARAM_GROUP_NAME, "prime256v1", 0);
  OSSL_PARAM_BLD_push_octet_string(parameters.get(), OSSL_PKEY_PARAM_PUB_KEY, point.data(),
                                   point.size());
  return makeKey("EC", parameters.get());
}

/// The two numbers of an ECDSA signature the way OpenSSL wants them.
std::string derOf(std::string_view signature) {
  Owned<ECDSA_SIG, ECDSA_SIG_free> pair{ECDSA_SIG_new()};
  const auto half = static_cast<int>(kCoordinateBytes);
  ECDSA_SIG_set0(pair.get(), BN_bin2bn(bytesOf(signature), half, nullptr),
                 BN_bin2bn(bytesOf(signature) + half, half, nullptr));
  std::string der(static_cast<std::size_t>(std::max(i2d_ECDSA_SIG(pair.get(), nullptr), 0)), '\0');
  auto* out = reinterpret_cast<unsigned char*>(der.data());
  i2d_ECDSA_SIG(pair.get(), &out);
  return der;
}

constexpr const char* nameOf(JwtAlgorithm algorithm) {
  return algorithm == JwtAlgorithm::hs256   ? "HS256"
         : algorithm == JwtAlgorithm::rs256 ? "RS256"
                                            : "ES256";
}

}  // namespace

std::optional<JwtKey> JwtKey::fromPublicKey(PublicKey key) {
  if (!key) return std::nullopt;
  JwtKey result;
  if (EVP_PKEY_is_a(key.get(), "RSA") == 1 && EVP_PKEY_get_bits(key.get()) >= kLeastRsaBits) {
    result.algorithm_ = JwtAlgorithm::rs256;
  } else {
    std::array<char, 64> curve{};
    if (EVP_PKEY_is_a(key.get(), "EC") != 1 ||
        EVP_PKEY_get_group_name(key.get(), curve.data(), curve.size(), nullptr) != 1 ||
        std::string_view{curve.data()} != "prime256v1")
      return std::nullopt;
    result.algorithm_ = JwtAlgorithm::es256;
  }
  result.public_ = std::move(key);
  return result;
}

std::optional<JwtKey> JwtKey::fromPem(const std::string& pem) {
  const auto reader = [&pem] {
    return Bio{BIO_new_mem_buf(pem.data(), static_cast<int>(pem.size()))};
  };
  PublicKey key = owned(PEM_read_bio_PUBKEY(reader().get(), nullptr, nullptr, nullptr));
  if (!key) {
    const Owned<X509, X509_free> certificate{
        PEM_read_bio_X509(reader().get(), nullptr, nullptr, nullptr)};
    if (certificate) key = owned(X509_get_pubkey(certificate.get()));
  }
  ERR_clear_error();
  return fromPublicKey(std::move(key));
}

std::optional<JwtKey> JwtKey::fromSecret(std::string secret) {
  if (secret.size() < kLeastSecretBytes) return std::nullopt;
  JwtKey key;
  key.secret_ = std::move(secret);
  return key;
}

Expected<std::vector<JwtKey>, std::string> JwtKey::fromJwks(std::string_view text) {
  const json set = json::parse(text, nullptr, false);
  if (!set.is_object() || !set.contains("keys") || !set["keys"].is_array())
    return Unexpected{std::string{"it is no JSON web key set: an object with a list \"keys\""}};
  std::vector<JwtKey> keys;
  for (const json& each : set["keys"]) {
    if (!each.is_object()) return Unexpected{std::string{"a key in it is no JSON object"}};
    if (const std::string use = textIn(each, "use"); !use.empty() && use != "sig") continue;
    const std::string type = textIn(each, "kty");
    std::optional<JwtKey> key;
    if (type == "oct")
      key = fromSecret(bytesIn(each, "k"));
    else if (type == "RSA")
      key = fromPublicKey(rsaKey(each));
    else if (type == "EC")
      key = fromPublicKey(ecKey(each));
    if (!key) continue;
    if (const std::string algorithm = textIn(each, "alg");
        !algorithm.empty() && algorithm != nameOf(key->algorithm_))
      continue;
    key->id_ = textIn(each, "kid");
    keys.push_back(std::move(*key));
  }
  if (keys.empty())
    return Unexpected{std::string{"no key in it is good for HS256, RS256 or ES256"}};
  return keys;
}

bool JwtKey::verifies(std::string_view text, std::string_view signature) const {
  if (algorithm_ == JwtAlgorithm::hs256) {
    std::array<unsigned char, 32> digest{};
    HMAC(EVP_sha256(), secret_.data(), static_cast<int>(secret_.size()), bytesOf(text), text.size(),
         digest.data(), nullptr);
    return signature.size() == digest.size() &&
           CRYPTO_memcmp(signature.data(), digest.data(), digest.size()) == 0;
  }
  std::string der{signature};
  if (algorithm_ == JwtAlgorithm::es256) {
    if (signature.size() != 2 * kCoordinateBytes) return false;
    der = derOf(signature);
  }
  const Owned<EVP_MD_CTX, EVP_MD_CTX_free> context{EVP_MD_CTX_new()};
  const bool right =
      context &&
      EVP_DigestVerifyInit(context.get(), nullptr, EVP_sha256(), nullptr, public_.get()) == 1 &&
      EVP_DigestVerify(context.get(), bytesOf(der), der.size(), bytesOf(text), text.size()) == 1;
  ERR_clear_error();
  return right;
}

}  // namespace mqttstack
