#include "middlewares/security/password_file.hpp"

#include <cstring>
#include <utility>

#include <openssl/crypto.h>
#include <openssl/evp.h>
#include <openssl/hmac.h>
#include <openssl/rand.h>

#include "core/util/timer_wheel.hpp"
#include "middlewares/security/option_file.hpp"

namespace mqttstack {

using mqtt::ReasonCode;

/// One login on its way through the worker. `login` is looked at only while
/// the walk waits for `answer`.
class PasswordFile::Verification final : public Job {
public:
  Verification(PasswordFile& file, AuthenticateConnection& login, const std::string& hash,
               bool known, const Digest& digest, Next next, Deferred answer)
      : file_{file},
        login_{login},
        password_{login.password.value_or("")},
        hash_{hash},
        digest_{digest},
        known_{known},
        given_{login.password.has_value()},
        next_{next},
        answer_{std::move(answer)} {}
  ~Verification() override { OPENSSL_cleanse(password_.data(), password_.size()); }

  void run() noexcept override { right_ = verifyPassword(password_, hash_); }

  void finish() override {
    answer_.settleWith([this] {
      return file_.decide(login_, known_, right_ && given_ && known_, digest_, next_, Done{});
    });
  }
  void refuse() override {
    answer_.settleWith([this] {
      login_.verdict.deny(file_.name(), ReasonCode::serverBusy);
      return Done{}();
    });
  }

private:
  PasswordFile& file_;
  AuthenticateConnection& login_;
  std::string password_;
  const std::string& hash_;
  Digest digest_;
  bool known_;
  bool given_;  // CVE-2016-9877: a user name alone is no proof of anything
  bool right_ = false;
  Next next_;
  Deferred answer_;
};

void PasswordFile::Options::declare(OptionTable<Options>& table) {
  table
      .add("path", &Options::path,
           "The file, one user a line as \"name:hash\", hashes as made by mkpasswd -m yescrypt or "
           "openssl passwd -6.")
      .required();
  table
      .add("cache", &Options::cache,
           "How long a verified login is remembered, so that a reconnect costs no hash; 0 for "
           "not at all.")
      .range(TimeSpan{0}, std::chrono::hours{1});
}

PasswordFile::PasswordFile(Setup& setup, const Options& options, Diagnostics& diagnostics)
    : Middleware{setup},
      cacheFor_{options.cache},
      worker_{setup.loop, kQueue} {
  if (RAND_bytes(key_.data(), static_cast<int>(key_.size())) != 1)
    diagnostics.error("OpenSSL has no random numbers");
  read(options.path, diagnostics);
}

PasswordFile::~PasswordFile() { OPENSSL_cleanse(key_.data(), key_.size()); }

void PasswordFile::read(const std::filesystem::path& path, Diagnostics& diagnostics) {
  const auto text = readOptionFile("path", path, diagnostics);
  if (!text) return;
  warnIfPublic("path", path, diagnostics);
  users_ = PasswordTable::parse(
      *text, [&](std::size_t line, const std::string& problem, const std::string& remedy) {
        diagnostics.errorAt("path", path.string() + ":" + std::to_string(line) + ": " + problem,
                            remedy, Fault::data);
      });
}

void PasswordFile::start(Diagnostics&) { worker_.start(); }
void PasswordFile::stop() { worker_.stop(); }

Flow PasswordFile::on(AuthenticateConnection& login, Next next, Done done) {
  if (!login.userName) return next();
  const Digest digest = digestOf(*login.userName, login.password.value_or(""));
  const std::string* hash = users_.find(*login.userName);
  if (hash && login.password && isRemembered(digest)) {
    login.verdict.allow(name());
    return done();
  }
  const bool known = hash != nullptr;
  // For an unknown name it is always the same one, as if it were that user's.
  if (!known) hash = &users_.anyHash(DigestHash{}(digestOf(*login.userName, {})));
  return next.defer([&](Deferred answer) {
    worker_.submit(login.identity.address(),
                   std::make_unique<Verification>(*this, login, *hash, known, digest, next,
                                                  std::move(answer)));
  });
}

Flow PasswordFile::decide(AuthenticateConnection& login, bool known, bool right,
                          const Digest& digest, Next next, Done done) {
  if (!known) return next();
  if (right) {
    remember(digest);
    login.verdict.allow(name());
  } else {
    login.verdict.deny(name(), ReasonCode::badUserNameOrPassword);
  }
  return done();
}

PasswordFile::Digest PasswordFile::digestOf(std::string_view user,
                                            std::string_view password) const {
  // The name's length goes first: ("ab", "c") must not stand for ("a", "bc").
  std::string text = std::to_string(user.size()) + ':';
  text.reserve(text.size() + user.size() + password.size());  // one block to wipe
  text.append(user).append(password);
  Digest digest{};
  HMAC(EVP_sha256(), key_.data(), static_cast<int>(key_.size()),
       reinterpret_cast<const unsigned char*>(text.data()), text.size(), digest.data(), nullptr);
  OPENSSL_cleanse(text.data(), text.size());
  return digest;
}

std::size_t PasswordFile::DigestHash::operator()(const Digest& digest) const noexcept {
  std::size_t bytes = 0;
  std::memcpy(&bytes, digest.data(), sizeof bytes);
  return bytes;
}

bool PasswordFile::isRemembered(const Digest& digest) const {
  const auto found = verified_.find(digest);
  return found != verified_.end() && scheduler().now() < found->second;
}

void PasswordFile::remember(const Digest& digest) {
  if (cacheFor_ <= TimeSpan::zero()) return;
  const TimePoint now = scheduler().now();
  if (verified_.size() >= kRemembered)
    std::erase_if(verified_, [now](const auto& entry) { return entry.second <= now; });
  if (verified_.size() >= kRemembered) verified_.clear();
  verified_[digest] = now + cacheFor_;
}

}  // namespace mqttstack
