#include "middlewares/security/scram.hpp"

#include <algorithm>
#include <charconv>
#include <cstdlib>
#include <utility>

#include <openssl/crypto.h>
#include <openssl/evp.h>
#include <openssl/hmac.h>
#include <openssl/rand.h>
#include <openssl/sha.h>

#include "core/mqtt/utf8.hpp"
#include "middlewares/security/base64.hpp"

namespace mqttstack {
namespace {

using Digest = ScramKeys::Digest;

std::string_view bytesOf(const Digest& digest) {
  return {reinterpret_cast<const char*>(digest.data()), digest.size()};
}
const unsigned char* dataOf(std::string_view text) {
  return reinterpret_cast<const unsigned char*>(text.data());
}

Digest hmac(std::string_view key, std::string_view text) {
  Digest digest{};
  HMAC(EVP_sha256(), key.data(), static_cast<int>(key.size()), dataOf(text), text.size(),
       digest.data(), nullptr);
  return digest;
}

Digest sha256(std::string_view text) {
  Digest digest{};
  SHA256(dataOf(text), text.size(), digest.data());
  return digest;
}

Digest exclusiveOr(Digest left, const Digest& right) {
  for (std::size_t i = 0; i < left.size(); ++i) left[i] ^= right[i];
  return left;
}

std::optional<Digest> digestOf(std::string_view base64) {
  const auto bytes = decodeBase64(base64);
  Digest digest{};
  if (!bytes || bytes->size() != digest.size()) return std::nullopt;
  std::copy(bytes->begin(), bytes->end(), digest.begin());
  return digest;
}

/// Takes what is in front of `end` off the text, and `end` with it.
std::optional<std::string_view> takeUntil(std::string_view& text, char end) {
  const std::size_t at = text.find(end);
  if (at == std::string_view::npos) return std::nullopt;
  const std::string_view taken = text.substr(0, at);
  text.remove_prefix(at + 1);
  return taken;
}

/// The value of an attribute such as "r=…", which has to be the named one.
std::optional<std::string_view> valueOf(std::string_view attribute, char name) {
  if (attribute.size() < 2 || attribute[0] != name || attribute[1] != '=') return std::nullopt;
  return attribute.substr(2);
}

/// A name with "=2C" and "=3D" made "," and "="; nothing if it isn't one.
std::optional<std::string> nameOf(std::string_view saslName) {
  std::string name;
  for (std::size_t at = 0; at < saslName.size(); ++at) {
    if (saslName[at] != '=') {
      name += saslName[at];
      continue;
    }
    const std::string_view code = saslName.substr(at, 3);
    if (code != "=2C" && code != "=3D") return std::nullopt;
    name += code == "=2C" ? ',' : '=';
    at += 2;
  }
  if (name.empty() || !mqtt::isValidUtf8(name)) return std::nullopt;
  return name;
}

/// Who had it could compute the salts that are made up, and tell real users from others.
const Digest& secretOfProcess() {
  static const Digest kSecret = [] {
    Digest random{};
    if (RAND_bytes(random.data(), static_cast<int>(random.size())) != 1) std::abort();
    return random;
  }();
  return kSecret;
}

bool isPrintable(std::string_view nonce) {
  return !nonce.empty() && std::all_of(nonce.begin(), nonce.end(),
                                       [](char c) { return c >= 0x21 && c <= 0x7E && c != ','; });
}

}  // namespace

ScramKeys ScramKeys::derive(std::string_view password, std::string salt, std::uint32_t iterations) {
  Digest salted{};
  PKCS5_PBKDF2_HMAC(password.data(), static_cast<int>(password.size()), dataOf(salt),
                    static_cast<int>(salt.size()), static_cast<int>(iterations), EVP_sha256(),
                    static_cast<int>(salted.size()), salted.data());
  Digest clientKey = hmac(bytesOf(salted), "Client Key");
  ScramKeys keys{iterations, std::move(salt), sha256(bytesOf(clientKey)),
                 hmac(bytesOf(salted), "Server Key")};
  OPENSSL_cleanse(salted.data(), salted.size());
  OPENSSL_cleanse(clientKey.data(), clientKey.size());
  return keys;
}

std::optional<ScramKeys> ScramKeys::parse(std::string_view text) {
  const auto method = takeUntil(text, '$');
  const auto iterations = takeUntil(text, ':');
  const auto salt = takeUntil(text, '$');
  const auto storedKey = takeUntil(text, ':');
  if (!method || *method != kMethod || !iterations || !salt || !storedKey) return std::nullopt;

  ScramKeys keys;
  const char* const end = iterations->data() + iterations->size();
  const auto [stop, error] = std::from_chars(iterations->data(), end, keys.iterations);
  if (error != std::errc{} || stop != end || keys.iterations < kLeastIterations ||
      keys.iterations > kMostIterations)
    return std::nullopt;
  const auto saltBytes = decodeBase64(*salt);
  const auto stored = digestOf(*storedKey);
  const auto server = digestOf(text);
  if (!saltBytes || saltBytes->empty() || !stored || !server) return std::nullopt;
  keys.salt = *saltBytes;
  keys.storedKey = *stored;
  keys.serverKey = *server;
  return keys;
}

std::string ScramKeys::text() const {
  return std::string{kMethod} + '$' + std::to_string(iterations) + ':' + encodeBase64(salt) + '$' +
         encodeBase64(bytesOf(storedKey)) + ':' + encodeBase64(bytesOf(serverKey));
}

ScramKeys ScramKeys::madeUpFor(std::string_view user) const {
  const auto digest = [&](std::string_view what) {
    return hmac(bytesOf(secretOfProcess()), std::string{what}.append(user));
  };
  const Digest madeUpSalt = digest("salt of ");
  return {iterations, std::string{bytesOf(madeUpSalt).substr(0, salt.size())},
          digest("stored key of "), digest("server key of ")};
}

std::optional<std::string> ScramServer::begin(std::string_view clientFirst) {
  // gs2-cbind-flag "," [ authzid ] "," client-first-message-bare
  std::string_view rest = clientFirst;
  const auto binding = takeUntil(rest, ',');
  const auto authorized = takeUntil(rest, ',');
  if (!binding || !authorized || (*binding != "n" && *binding != "y")) return std::nullopt;
  gs2Header_ = clientFirst.substr(0, clientFirst.size() - rest.size());
  clientFirstBare_ = rest;

  // username "," nonce ["," extensions]; a mandatory extension, "m=", is unknown.
  const auto userAttribute = takeUntil(rest, ',');
  if (!userAttribute) return std::nullopt;
  const auto saslName = valueOf(*userAttribute, 'n');
  const auto nonce = valueOf(rest.substr(0, rest.find(',')), 'r');
  if (!saslName || !nonce || !isPrintable(*nonce)) return std::nullopt;
  nonce_ = *nonce;
  auto user = nameOf(*saslName);
  if (!user) return std::nullopt;
  // Nobody acts for somebody else here.
  if (!authorized->empty()) {
    const auto other = valueOf(*authorized, 'a');
    if (!other || nameOf(*other) != user) return std::nullopt;
  }
  return user;
}

std::string ScramServer::challenge(ScramKeys keys, std::string_view nonce) {
  keys_ = std::move(keys);
  nonce_ += nonce;
  serverFirst_ =
      "r=" + nonce_ + ",s=" + encodeBase64(keys_.salt) + ",i=" + std::to_string(keys_.iterations);
  return serverFirst_;
}

std::optional<std::string> ScramServer::finish(std::string_view clientFinal) const {
  // channel-binding "," nonce ["," extensions] "," proof
  const std::size_t proofAt = clientFinal.rfind(",p=");
  if (proofAt == std::string_view::npos) return std::nullopt;
  const std::string_view withoutProof = clientFinal.substr(0, proofAt);
  const auto proof = digestOf(clientFinal.substr(proofAt + 3));
  std::string_view rest = withoutProof;
  const auto bindingAttribute = takeUntil(rest, ',');
  if (!proof || !bindingAttribute) return std::nullopt;
  const auto binding = valueOf(*bindingAttribute, 'c');
  const auto nonce = valueOf(rest.substr(0, rest.find(',')), 'r');
  if (!binding || *binding != encodeBase64(gs2Header_) || !nonce || *nonce != nonce_)
    return std::nullopt;

  const std::string signedText =
      clientFirstBare_ + ',' + serverFirst_ + ',' + std::string{withoutProof};
  const Digest signature = hmac(bytesOf(keys_.storedKey), signedText);
  Digest clientKey = exclusiveOr(*proof, signature);
  const Digest storedKey = sha256(bytesOf(clientKey));
  OPENSSL_cleanse(clientKey.data(), clientKey.size());
  if (CRYPTO_memcmp(storedKey.data(), keys_.storedKey.data(), storedKey.size()) != 0)
    return std::nullopt;
  return "v=" + encodeBase64(bytesOf(hmac(bytesOf(keys_.serverKey), signedText)));
}

}  // namespace mqttstack
