#include "middlewares/security/password_file.hpp"

#include <cstdlib>
#include <cstring>
#include <utility>

#include <openssl/crypto.h>
#include <openssl/evp.h>
#include <openssl/hmac.h>
#include <openssl/rand.h>

#include "core/util/timer_wheel.hpp"
#include "middlewares/security/address_range.hpp"
#include "middlewares/security/base64.hpp"
#include "middlewares/security/option_file.hpp"

namespace mqttstack {

using mqtt::ReasonCode;

namespace {

/// What a server adds to a client's nonce: 18 random bytes, as Base64.
std::string makeNonce() {
  std::string random(18, '\0');
  if (RAND_bytes(reinterpret_cast<unsigned char*>(random.data()),
                 static_cast<int>(random.size())) != 1)
    std::abort();
  return encodeBase64(random);
}

}  // namespace

/// One login on its way through the worker. `login` is looked at only while
/// the walk waits for `answer`.
class PasswordFile::Verification final : public Job {
public:
  Verification(PasswordFile& file, AuthenticateConnection& login, const std::string& hash,
               bool known, const Digest& digest, Next next, Deferred answer)
      : file_{file},
        login_{login},
        password_{login.password.value_or("")},
        users_{file.users_},
        hash_{hash},
        digest_{digest},
        known_{known},
        given_{login.password.has_value()},
        next_{next},
        answer_{std::move(answer)} {}
  ~Verification() override { OPENSSL_cleanse(password_.data(), password_.size()); }

  void run() noexcept override { right_ = verifyPassword(password_, hash_); }

  void finish() override {
    // The file may have been read again meanwhile: what it said is over.
    if (file_.users_ != users_) right_ = right_ && file_.stillSays(*login_.userName, hash_);
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
  std::shared_ptr<const PasswordTable> users_;  // the hash is in it
  const std::string& hash_;
  Digest digest_;
  bool known_;
  bool given_;  // CVE-2016-9877: a user name alone is no proof of anything
  bool right_ = false;
  Next next_;
  Deferred answer_;
};

/// One SCRAM authentication between two steps.
class PasswordFile::ScramExchange final : public AuthenticationState {
public:
  ScramServer server;
  std::string user;
};

void PasswordFile::Options::declare(OptionTable<Options>& table) {
  table
      .add("path", &Options::path,
           "The file, one user a line as \"name:hash\". `mqtt-stackd passwd` adds users to it, and "
           "brings in files of mosquitto.")
      .required();
  table
      .add("cache", &Options::cache,
           "How long a verified login is remembered, so that a reconnect costs no hash; 0 for "
           "not at all.")
      .range(TimeSpan{0}, std::chrono::hours{1});
  table.add("threads", &Options::threads, "How many passwords are hashed at the same time.")
      .range(1, 64);
  table
      .add("queue", &Options::queue,
           "How many logins may wait for their hash, addresses in turn. Beyond that a client is "
           "told that the server is busy.")
      .range(1, 100'000);
}

PasswordFile::PasswordFile(Setup& setup, const Options& options, Diagnostics& diagnostics)
    : Middleware{setup},
      path_{options.path},
      users_{std::make_shared<PasswordTable>()},
      cacheFor_{options.cache},
      worker_{setup.loop, options.queue, options.threads} {
  if (RAND_bytes(key_.data(), static_cast<int>(key_.size())) != 1)
    diagnostics.error("OpenSSL has no random numbers");
  reload(diagnostics);
}

PasswordFile::~PasswordFile() { OPENSSL_cleanse(key_.data(), key_.size()); }

bool PasswordFile::reload(Diagnostics& diagnostics) {
  const std::size_t before = diagnostics.errorCount();
  const auto text = readOptionFile("path", path_, diagnostics);
  if (!text) return false;
  warnIfPublic("path", path_, diagnostics);
  PasswordTable read = PasswordTable::parse(
      *text, [&](std::size_t line, const std::string& problem, const std::string& remedy) {
        diagnostics.errorAt("path", path_.string() + ":" + std::to_string(line) + ": " + problem,
                            remedy, Fault::data);
      });
  if (diagnostics.errorCount() != before) return false;
  if (read.size() == 0)
    diagnostics.warningAt("path", path_.string() + " has no users: it lets nobody in",
                          "add one with: mqtt-stackd passwd " + path_.string() + " USER");
  users_ = std::make_shared<PasswordTable>(std::move(read));
  verified_.clear();  // what was right may be so no more
  return true;
}

void PasswordFile::start(Diagnostics&) { worker_.start(); }
void PasswordFile::stop() { worker_.stop(); }

Flow PasswordFile::on(AuthenticateConnection& login, Next next, Done done) {
  if (!login.userName) return next();
  const Digest digest = digestOf(*login.userName, login.password.value_or(""));
  const std::string* hash = users_->find(*login.userName);
  if (hash && login.password && isRemembered(digest)) {
    login.verdict.allow(name());
    return done();
  }
  const bool known = hash != nullptr;
  // For an unknown name it is always the same one, as if it were that user's.
  if (!known) hash = &users_->anyHash(DigestHash{}(digestOf(*login.userName, {})));
  return next.defer([&](Deferred answer) {
    worker_.submit(laneOf(login.identity.address()),
                   std::make_unique<Verification>(*this, login, *hash, known, digest, next,
                                                  std::move(answer)));
  });
}

Flow PasswordFile::on(ContinueAuthentication& step, Next next, Done done) {
  if (step.method != ScramKeys::kMethod) return next();
  auto* exchange = dynamic_cast<ScramExchange*>(step.state.get());
  if (!exchange) {
    if (!users_->knowsScram()) return next();
    auto begun = std::make_unique<ScramExchange>();
    auto user = begun->server.begin(step.data);
    if (user) {
      begun->user = std::move(*user);
      step.reply = begun->server.challenge(users_->scramKeysOf(begun->user), makeNonce());
      step.proceeds = true;
      step.state = std::move(begun);
      return done();
    }
  } else if (auto lastWord = exchange->server.finish(step.data)) {
    step.verdict.allow(name());
    step.reply = std::move(*lastWord);
    step.principal = exchange->user;
    return done();
  }
  step.verdict.deny(name(), ReasonCode::notAuthorized);
  return done();
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

/// True if the file, as it was read last, gives the user this hash.
bool PasswordFile::stillSays(std::string_view user, const std::string& hash) const {
  const std::string* now = users_->find(user);
  return now && *now == hash;
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
