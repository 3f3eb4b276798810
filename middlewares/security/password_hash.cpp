#include "middlewares/security/password_hash.hpp"

#include <algorithm>
#include <argon2.h>
#include <array>
#include <charconv>
#include <crypt.h>
#include <cstring>
#include <memory>
#include <vector>

#include <openssl/crypto.h>
#include <openssl/evp.h>
#include <openssl/rand.h>
#include <openssl/sha.h>

#include "middlewares/security/base64.hpp"
#include "middlewares/security/scram.hpp"

namespace mqttstack {
namespace {

constexpr std::string_view kHowToHash = "make one with: mqtt-stackd passwd FILE USER";
constexpr std::string_view kHowToImport =
    "bring the file of mosquitto in with: mqtt-stackd passwd FILE --import THAT_FILE";
constexpr std::string_view kArgon2 = "$argon2id$";
constexpr std::string_view kMosquittoPbkdf2 = "mosquitto-pbkdf2$";
constexpr std::string_view kMosquittoSha512 = "mosquitto-sha512$";
constexpr std::string_view kScram = "SCRAM-SHA-256$";
constexpr std::size_t kSha512Bytes = SHA512_DIGEST_LENGTH;

using Parts = std::vector<std::string_view>;

Parts splitAtDollars(std::string_view text) {
  Parts parts;
  while (true) {
    const std::size_t end = text.find('$');
    parts.push_back(text.substr(0, end));
    if (end == std::string_view::npos) return parts;
    text.remove_prefix(end + 1);
  }
}

std::optional<std::uint32_t> numberOf(std::string_view text) {
  std::uint32_t number = 0;
  const auto [stop, error] = std::from_chars(text.data(), text.data() + text.size(), number);
  if (error != std::errc{} || stop != text.data() + text.size()) return std::nullopt;
  return number;
}

bool sameBytes(std::string_view left, std::string_view right) noexcept {
  return left.size() == right.size() && CRYPTO_memcmp(left.data(), right.data(), left.size()) == 0;
}

// crypt(3).

/// A hash method and how many characters its digest has, behind the last `$`.
struct CryptMethod {
  std::string_view prefix;
  std::size_t digestSize;
};
constexpr std::array<CryptMethod, 4> kCryptMethods = {
    {{"$y$", 43}, {"$2b$", 22 + 31}, {"$6$", 86}, {"$5$", 43}}};

bool isDigestCharacter(char c) noexcept {
  return (c >= 'a' && c <= 'z') || (c >= 'A' && c <= 'Z') || (c >= '0' && c <= '9') || c == '.' ||
         c == '/';
}

bool isGoodCryptHash(const std::string& hash, std::size_t digestSize) {
  const std::string_view digest = std::string_view{hash}.substr(hash.rfind('$') + 1);
  return digest.size() == digestSize &&
         std::all_of(digest.begin(), digest.end(), isDigestCharacter) &&
         crypt_checksalt(hash.c_str()) != CRYPT_SALT_INVALID;
}

/// 32 KiB of secrets: not for the stack, and wiped at the end.
struct CryptScratch {
  crypt_data data{};
  ~CryptScratch() { OPENSSL_cleanse(&data, sizeof data); }
};

/// What crypt(3) reads of a password: no more than its buffer, and up to a NUL.
bool fitsCrypt(std::string_view password) noexcept {
  return password.size() < sizeof crypt_data{}.input &&
         password.find('\0') == std::string_view::npos;
}

bool verifyCrypt(std::string_view password, const std::string& hash) noexcept {
  const auto scratch = std::make_unique<CryptScratch>();
  crypt_data& data = scratch->data;
  const bool usable = fitsCrypt(password);
  // An unusable one costs the same as a wrong one.
  if (usable) std::copy(password.begin(), password.end(), data.input);
  const char* made = crypt_r(data.input, hash.c_str(), &data);
  return usable && made && sameBytes({made, std::strlen(made)}, hash);
}

// mosquitto: one round of SHA-512 over password and salt, or PBKDF2.

struct MosquittoHash {
  std::uint32_t iterations = 0;  // 0 for a single round
  std::string salt;
  std::string digest;
};

std::optional<MosquittoHash> parseMosquitto(std::string_view salt, std::string_view digest,
                                            std::uint32_t iterations) {
  const auto saltBytes = decodeBase64(salt);
  const auto digestBytes = decodeBase64(digest);
  if (!saltBytes || saltBytes->empty() || !digestBytes || digestBytes->size() != kSha512Bytes)
    return std::nullopt;
  return MosquittoHash{iterations, *saltBytes, *digestBytes};
}

/// An entry as it stands in our file, behind the prefix.
std::optional<MosquittoHash> parseMosquitto(std::string_view hash) {
  const Parts parts = splitAtDollars(hash);
  if (hash.starts_with(kMosquittoSha512))
    return parts.size() == 3 ? parseMosquitto(parts[1], parts[2], 0) : std::nullopt;
  if (parts.size() != 4) return std::nullopt;
  const auto iterations = numberOf(parts[1]);
  if (!iterations || *iterations == 0 || *iterations > ScramKeys::kMostIterations)
    return std::nullopt;
  return parseMosquitto(parts[2], parts[3], *iterations);
}

bool verifyMosquitto(std::string_view password, std::string_view hash) {
  const auto known = parseMosquitto(hash);
  if (!known) return false;
  std::array<unsigned char, kSha512Bytes> made{};
  if (known->iterations == 0) {
    std::string text;
    text.reserve(password.size() + known->salt.size());  // one block to wipe
    text.append(password).append(known->salt);
    SHA512(reinterpret_cast<const unsigned char*>(text.data()), text.size(), made.data());
    OPENSSL_cleanse(text.data(), text.size());
  } else {
    PKCS5_PBKDF2_HMAC(password.data(), static_cast<int>(password.size()),
                      reinterpret_cast<const unsigned char*>(known->salt.data()),
                      static_cast<int>(known->salt.size()), static_cast<int>(known->iterations),
                      EVP_sha512(), static_cast<int>(made.size()), made.data());
  }
  return CRYPTO_memcmp(made.data(), known->digest.data(), made.size()) == 0;
}

// SCRAM.

bool verifyScram(std::string_view password, std::string_view hash) {
  const auto known = ScramKeys::parse(hash);
  if (!known) return false;
  const auto made = ScramKeys::derive(password, known->salt, known->iterations);
  return CRYPTO_memcmp(made.storedKey.data(), known->storedKey.data(), made.storedKey.size()) == 0;
}

// argon2id.

/// "$argon2id$v=19$m=47104,t=1,p=1$salt$digest" with costs that a broker can bear.
bool isGoodArgon2(std::string_view hash) {
  constexpr std::uint32_t kMostKibibytes = 1024 * 1024;
  constexpr std::uint32_t kMostPasses = 100;
  constexpr std::uint32_t kMostLanes = 64;
  const Parts parts = splitAtDollars(hash);
  if (parts.size() != 6 || parts[2] != "v=19") return false;
  std::string_view costs = parts[3];
  for (const auto& [name, most] : {std::pair{"m=", kMostKibibytes}, std::pair{"t=", kMostPasses},
                                   std::pair{"p=", kMostLanes}}) {
    const std::size_t end = std::min(costs.find(','), costs.size());
    const std::string_view cost = costs.substr(0, end);
    if (!cost.starts_with(name)) return false;
    const auto number = numberOf(cost.substr(2));
    if (!number || *number == 0 || *number > most) return false;
    costs.remove_prefix(std::min(end + 1, costs.size()));
  }
  const auto isBase64 = [](std::string_view text) {
    std::string padded{text};
    while (padded.size() % 4 != 0) padded += '=';
    const auto bytes = decodeBase64(padded);
    return bytes && bytes->size() >= 8;
  };
  return costs.empty() && isBase64(parts[4]) && isBase64(parts[5]);
}

std::string randomBytes(std::size_t count) {
  std::string bytes(count, '\0');
  if (RAND_bytes(reinterpret_cast<unsigned char*>(bytes.data()), static_cast<int>(count)) != 1)
    std::abort();
  return bytes;
}

}  // namespace

HashProblem problemOfHash(const std::string& hash) {
  const HashProblem damaged{"the hash is damaged", std::string{kHowToHash}};
  if (hash.empty()) return {"the hash is missing", std::string{kHowToHash}};
  if (hash.starts_with(kScram)) return ScramKeys::parse(hash) ? HashProblem{} : damaged;
  if (hash.starts_with(kArgon2)) return isGoodArgon2(hash) ? HashProblem{} : damaged;
  if (hash.starts_with(kMosquittoPbkdf2) || hash.starts_with(kMosquittoSha512))
    return parseMosquitto(hash) ? HashProblem{} : damaged;
  for (const CryptMethod& method : kCryptMethods) {
    if (!hash.starts_with(method.prefix)) continue;
    if (isGoodCryptHash(hash, method.digestSize)) return {};
    if (importMosquittoHash(hash)) break;
    return damaged;
  }
  if (importMosquittoHash(hash))
    return {"the hash is as mosquitto writes it, which means something else here",
            std::string{kHowToImport}};
  if (hash.front() != '$')
    return {"this is no hash that crypt(3) makes, or an insecure one", std::string{kHowToHash}};
  return {"this kind of hash is not accepted", std::string{kHowToHash}};
}

bool verifyPassword(std::string_view password, const std::string& hash) noexcept {
  // HMAC takes a password and the same one with NULs behind it for one.
  const bool usable = password.find('\0') == std::string_view::npos;
  bool right = false;
  if (hash.starts_with(kScram))
    right = verifyScram(password, hash);
  else if (hash.starts_with(kArgon2))
    right = argon2id_verify(hash.c_str(), password.data(), password.size()) == ARGON2_OK;
  else if (hash.starts_with(kMosquittoPbkdf2) || hash.starts_with(kMosquittoSha512))
    right = verifyMosquitto(password, hash);
  else
    right = verifyCrypt(password, hash);
  return right && usable;
}

HashCost costOf(HashMethod method) noexcept {
  switch (method) {
    case HashMethod::yescrypt:
      return {5, 1, 11};
    case HashMethod::scramSha256:
      return {100'000, ScramKeys::kLeastIterations, ScramKeys::kMostIterations};
    case HashMethod::bcrypt:
      return {11, 5, 18};
    case HashMethod::sha512:
      return {500'000, 5'000, 10'000'000};
  }
  return {};
}

std::optional<std::string> makeHash(std::string_view password, HashMethod method, unsigned cost) {
  constexpr std::size_t kSaltBytes = 16;
  constexpr std::size_t kBcryptReads = 72;
  if (!fitsCrypt(password)) return std::nullopt;
  if (method == HashMethod::scramSha256)
    return ScramKeys::derive(password, randomBytes(kSaltBytes), cost).text();
  if (method == HashMethod::bcrypt && password.size() > kBcryptReads) return std::nullopt;

  const char* const prefix = method == HashMethod::yescrypt ? "$y$"
                             : method == HashMethod::bcrypt ? "$2b$"
                                                            : "$6$";
  const std::string random = randomBytes(kSaltBytes);
  std::array<char, CRYPT_GENSALT_OUTPUT_SIZE> setting{};
  if (!crypt_gensalt_rn(prefix, cost, random.data(), static_cast<int>(random.size()),
                        setting.data(), static_cast<int>(setting.size())))
    return std::nullopt;
  const auto scratch = std::make_unique<CryptScratch>();
  std::copy(password.begin(), password.end(), scratch->data.input);
  const char* const made = crypt_r(scratch->data.input, setting.data(), &scratch->data);
  if (!made || *made == '*') return std::nullopt;
  return made;
}

std::optional<std::string> importMosquittoHash(std::string_view hash) {
  if (hash.starts_with(kArgon2))
    return isGoodArgon2(hash) ? std::optional{std::string{hash}} : std::nullopt;
  const Parts parts = splitAtDollars(hash);
  std::string ours;
  if (hash.starts_with("$6$") && parts.size() == 4)
    ours = std::string{kMosquittoSha512}.append(parts[2]).append("$").append(parts[3]);
  else if (hash.starts_with("$7$") && parts.size() == 5)
    ours = std::string{kMosquittoPbkdf2}
               .append(parts[2])
               .append("$")
               .append(parts[3])
               .append("$")
               .append(parts[4]);
  if (ours.empty() || !parseMosquitto(ours)) return std::nullopt;
  return ours;
}

}  // namespace mqttstack
