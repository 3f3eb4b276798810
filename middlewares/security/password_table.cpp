#include "middlewares/security/password_table.hpp"

#include <algorithm>
#include <array>
#include <crypt.h>
#include <cstring>
#include <iterator>
#include <memory>
#include <utility>

#include <openssl/crypto.h>

#include "core/mqtt/text.hpp"
#include "core/mqtt/utf8.hpp"

namespace mqttstack {
namespace {

constexpr std::string_view kHowToHash =
    "make one with: openssl passwd -6   (or, better: mkpasswd -m yescrypt)";

/// A hash method and how many characters its digest has, behind the last `$`.
struct Method {
  std::string_view prefix;
  std::size_t digestSize;
};
constexpr std::array<Method, 4> kMethods = {
    {{"$y$", 43}, {"$2b$", 22 + 31}, {"$6$", 86}, {"$5$", 43}}};

bool isDigestCharacter(char c) noexcept {
  return (c >= 'a' && c <= 'z') || (c >= 'A' && c <= 'Z') || (c >= '0' && c <= '9') || c == '.' ||
         c == '/';
}

/// What is wrong with a hash; empty if nothing is.
std::string problemOf(const std::string& hash) {
  if (hash.empty()) return "the hash is missing";
  const auto method = std::find_if(kMethods.begin(), kMethods.end(), [&](const Method& known) {
    return hash.starts_with(known.prefix);
  });
  if (method == kMethods.end()) {
    if (hash.starts_with("$7$")) return "mosquitto's own kind of hash is not understood";
    if (hash.front() != '$') return "this is no hash that crypt(3) makes, or an insecure one";
    return "this kind of hash is not accepted";
  }
  const std::string_view digest = std::string_view{hash}.substr(hash.rfind('$') + 1);
  if (digest.size() != method->digestSize ||
      !std::all_of(digest.begin(), digest.end(), isDigestCharacter) ||
      crypt_checksalt(hash.c_str()) == CRYPT_SALT_INVALID)
    return "the hash is damaged";
  return {};
}

std::string_view withoutCarriageReturn(std::string_view line) {
  return line.ends_with('\r') ? line.substr(0, line.size() - 1) : line;
}

}  // namespace

PasswordTable PasswordTable::parse(std::string_view text, const Report& report) {
  PasswordTable table;
  for (std::size_t number = 1; !text.empty(); ++number) {
    const std::size_t end = std::min(text.find('\n'), text.size());
    const std::string_view line = withoutCarriageReturn(text.substr(0, end));
    text.remove_prefix(std::min(end + 1, text.size()));
    if (line.empty() || line.front() == '#') continue;

    const std::size_t colon = line.find(':');
    if (colon == std::string_view::npos) {
      report(number, "there is no \":\" between user name and hash",
             "a line is \"name:hash\"; " + std::string{kHowToHash});
      continue;
    }
    const std::string_view user = line.substr(0, colon);
    std::string hash{line.substr(colon + 1)};
    if (user.empty() || !mqtt::isValidUtf8(user)) {
      report(number, user.empty() ? "the user name is missing" : "the user name is not UTF-8", {});
    } else if (const std::string problem = problemOf(hash); !problem.empty()) {
      report(number, problem + " (user \"" + mqtt::printable(user) + "\")",
             std::string{kHowToHash});
    } else if (!table.users_.try_emplace(std::string{user}, std::move(hash)).second) {
      report(number, "user \"" + mqtt::printable(user) + "\" has a line already",
             "remove one of the two");
    }
  }
  return table;
}

const std::string* PasswordTable::find(std::string_view user) const {
  const auto found = users_.find(user);
  return found == users_.end() ? nullptr : &found->second;
}

const std::string& PasswordTable::anyHash(std::size_t number) const {
  // Of no password that anybody could know: for a table without users.
  static const std::string kNobody =
      "$6$nobody$................................................................................"
      "......";
  if (users_.empty()) return kNobody;
  return std::next(users_.begin(), static_cast<std::ptrdiff_t>(number % users_.size()))->second;
}

bool verifyPassword(std::string_view password, const std::string& hash) noexcept {
  // 32 KiB of secrets: not for the stack, and wiped at the end.
  struct Wiped {
    crypt_data data{};
    ~Wiped() { OPENSSL_cleanse(&data, sizeof data); }
  };
  const auto scratch = std::make_unique<Wiped>();
  crypt_data& data = scratch->data;

  const bool usable =
      password.size() < sizeof data.input && password.find('\0') == std::string_view::npos;
  // An unusable one costs the same as a wrong one.
  if (usable) std::copy(password.begin(), password.end(), data.input);
  const char* made = crypt_r(data.input, hash.c_str(), &data);
  return usable && made && std::strlen(made) == hash.size() &&
         CRYPTO_memcmp(made, hash.data(), hash.size()) == 0;
}

}  // namespace mqttstack
