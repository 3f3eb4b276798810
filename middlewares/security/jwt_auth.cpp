#include "middlewares/security/jwt_auth.hpp"

#include <algorithm>
#include <optional>
#include <utility>

#include "core/mqtt/topic.hpp"
#include "core/util/timer_wheel.hpp"
#include "middlewares/security/address_range.hpp"
#include "middlewares/security/option_file.hpp"

namespace mqttstack {

using mqtt::ReasonCode;

namespace {

std::string withoutLineEnd(std::string text) {
  while (text.ends_with('\n') || text.ends_with('\r')) text.pop_back();
  return text;
}

}  // namespace

/// One token on its way through the worker. `login` is looked at only while the
/// walk waits for `answer`.
class JwtAuth::Verification final : public Job {
public:
  Verification(JwtAuth& middleware, AuthenticateConnection& login, Deferred answer)
      : middleware_{middleware},
        login_{login},
        token_{*login.password},
        keys_{middleware.keys_},
        rules_{middleware.rules_},
        answer_{std::move(answer)} {}

  void run() noexcept override {
    claims_ = verifyJwt(token_, *keys_, rules_, std::chrono::system_clock::now());
  }
  void finish() override {
    answer_.settleWith([this] {
      middleware_.decide(login_, std::move(*claims_));
      return Done{}();
    });
  }
  void refuse() override {
    answer_.settleWith([this] {
      login_.verdict.deny(middleware_.name(), ReasonCode::serverBusy);
      return Done{}();
    });
  }

private:
  JwtAuth& middleware_;
  AuthenticateConnection& login_;
  std::string token_;
  Keys keys_;
  JwtRules rules_;
  std::optional<Expected<JwtClaims, std::string>> claims_;
  Deferred answer_;
};

void JwtAuth::Options::declare(OptionTable<Options>& table) {
  table.add("public_key", &Options::publicKey,
            "A PEM file with the public key of the issuer (RSA of 2048 bits or more, or P-256), "
            "or a certificate with it.");
  table.add("secret", &Options::secret,
            "A file with the secret that the issuer signs with by HS256, 32 bytes or more.");
  table.add("jwks", &Options::jwks, "A file with a JSON web key set.");
  table.add("issuer", &Options::issuer, "Tokens have to be from this issuer (iss); empty: any.");
  table.add("audience", &Options::audience,
            "Tokens have to be for this audience (aud); empty: any.");
  table.add("user_claim", &Options::userClaim, "The claim that says who it is.");
  table.add("groups_claim", &Options::groupsClaim, "The claim that lists the user's groups.");
  table.add("acl_claim", &Options::aclClaim,
            "The claim with rights: {\"publish\": [\"filter\"], \"subscribe\": [\"filter\"]}; "
            "empty: rights in tokens do not count.");
  table
      .add("leeway", &Options::leeway,
           "By how much the issuer's clock may differ from ours: for exp and nbf.")
      .range(TimeSpan{0}, std::chrono::minutes{10});
  table.add("require_expiry", &Options::requireExpiry, "Whether a token has to expire (exp).");
  table.add("disconnect_at_expiry", &Options::disconnectAtExpiry,
            "Whether a client is cut off when its token expires.");
  table
      .add("queue", &Options::queue,
           "How many logins may wait to be verified, addresses in turn. Beyond that a client is "
           "told that the server is busy.")
      .range(1, 100'000);
}

JwtAuth::JwtAuth(Setup& setup, const Options& options, Diagnostics& diagnostics)
    : Middleware{setup},
      options_{options},
      rules_{options.issuer,
             options.audience,
             std::chrono::duration_cast<std::chrono::seconds>(options.leeway),
             options.requireExpiry,
             options.userClaim,
             options.groupsClaim,
             options.aclClaim},
      keys_{std::make_shared<std::vector<JwtKey>>()},
      worker_{setup.loop, options.queue} {
  if (options.publicKey.empty() && options.secret.empty() && options.jwks.empty())
    diagnostics.error("there is no key to verify tokens with", "give public_key, secret or jwks");
  else
    reload(diagnostics);
  if (options.issuer.empty() && options.audience.empty())
    diagnostics.warning(
        "tokens of every issuer and for every audience are accepted that the key "
        "verifies",
        "set issuer and audience");
}

bool JwtAuth::reload(Diagnostics& diagnostics) {
  const std::size_t before = diagnostics.errorCount();
  auto keys = std::make_shared<std::vector<JwtKey>>();
  const auto add = [&](const char* option, const std::filesystem::path& path, auto&& parse) {
    if (path.empty()) return;
    if (const auto text = readOptionFile(option, path, diagnostics)) parse(*text);
  };
  add("public_key", options_.publicKey, [&](const std::string& text) {
    if (auto key = JwtKey::fromPem(text))
      keys->push_back(std::move(*key));
    else
      diagnostics.errorAt("public_key", options_.publicKey.string() + " has no key that is good",
                          "PEM, RSA of 2048 bits or more, or the curve P-256");
  });
  add("secret", options_.secret, [&](const std::string& text) {
    warnIfPublic("secret", options_.secret, diagnostics);
    if (auto key = JwtKey::fromSecret(withoutLineEnd(text)))
      keys->push_back(std::move(*key));
    else
      diagnostics.errorAt("secret", options_.secret.string() + " is shorter than 32 bytes",
                          "make one with: openssl rand -hex 32");
  });
  add("jwks", options_.jwks, [&](const std::string& text) {
    const auto set = JwtKey::fromJwks(text);
    if (!set) return diagnostics.errorAt("jwks", options_.jwks.string() + ": " + set.error());
    keys->insert(keys->end(), set->begin(), set->end());
    if (std::any_of(set->begin(), set->end(),
                    [](const JwtKey& key) { return key.algorithm() == JwtAlgorithm::hs256; }))
      warnIfPublic("jwks", options_.jwks, diagnostics);
  });
  if (diagnostics.errorCount() != before) return false;
  keys_ = std::move(keys);
  return true;
}

std::optional<Severity> JwtAuth::unasked(std::string_view callback) const {
  if (callback == AuthenticateConnection::kName) return Severity::error;
  return options_.aclClaim.empty() ? std::nullopt : std::optional{Severity::warning};
}

void JwtAuth::start(Diagnostics&) { worker_.start(); }
void JwtAuth::stop() { worker_.stop(); }

Flow JwtAuth::on(AuthenticateConnection& login, Next next, Done) {
  if (!login.password || !looksLikeJwt(*login.password)) return next();
  return next.defer([&](Deferred answer) {
    worker_.submit(laneOf(login.identity.address()),
                   std::make_unique<Verification>(*this, login, std::move(answer)));
  });
}

void JwtAuth::decide(AuthenticateConnection& login, Expected<JwtClaims, std::string> claims) {
  if (!claims) {
    if (lines_.admits(scheduler().now(), log()))
      log().info("a token from {} is refused: {}", login.identity.address(), claims.error());
    return login.verdict.deny(name(), ReasonCode::badUserNameOrPassword);
  }
  login.verdict.allow(name());
  login.principal = std::move(claims->user);
  login.groups = std::move(claims->groups);
  login.grants = std::move(claims->grants);
  if (claims->expiry && options_.disconnectAtExpiry)
    login.validUntil = scheduler().now() + std::chrono::duration_cast<Duration>(
                                               *claims->expiry - std::chrono::system_clock::now());
}

Flow JwtAuth::on(AuthorizePacket& question, Next next, Done done) {
  const broker::Grants& grants = question.identity.grants();
  if (!grants) return next();
  const bool subscribes = question.action == Action::subscribe;
  const bool allowed = std::any_of(grants->begin(), grants->end(), [&](const broker::Grant& grant) {
    return subscribes ? grant.subscribe && mqtt::contains(grant.filter, question.topic)
                      : grant.publish && mqtt::matches(grant.filter, question.topic);
  });
  if (!allowed) return next();
  question.verdict.allow(name());
  return done();
}

Flow JwtAuth::on(AuthorizeDelivery& question, SyncNext next, Done done) {
  const broker::Grants& grants = question.identity.grants();
  if (!grants) return next();
  const std::string_view topic = question.message.topic();
  const bool allowed = std::any_of(grants->begin(), grants->end(), [&](const broker::Grant& grant) {
    return (question.asAuthor ? grant.publish : grant.subscribe) &&
           mqtt::matches(grant.filter, topic);
  });
  if (!allowed) return next();
  question.verdict.allow(name());
  return done();
}

/// Grants only allow, and belong to the identity for good.
Flow JwtAuth::on(AuthorizeReception& question, SyncNext next, Done done) {
  const broker::Grants& grants = question.identity.grants();
  if (!grants) return next();
  question.everything =
      std::any_of(grants->begin(), grants->end(), [&](const broker::Grant& grant) {
        return grant.subscribe && mqtt::contains(grant.filter, question.filter);
      });
  return question.everything ? done() : next();
}

}  // namespace mqttstack
