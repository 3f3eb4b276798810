#pragma once

#include <cstdint>
#include <filesystem>
#include <memory>
#include <optional>
#include <string>
#include <string_view>
#include <vector>

#include "core/stack/callbacks.hpp"
#include "core/stack/middleware.hpp"
#include "core/stack/options.hpp"
#include "core/stack/reloadable.hpp"
#include "core/util/line_limit.hpp"
#include "core/util/worker.hpp"
#include "middlewares/security/jwt.hpp"

namespace mqttstack {

/// Answers authenticateConnection for clients whose password is a JSON web
/// token, signed with HS256, RS256 or ES256. The user is who a claim of the
/// token says, whatever the CONNECT says. A token that is no good is denied;
/// about a password that is no token it has no opinion.
///
/// A token may carry rights, `"acl": {"publish": […], "subscribe": […]}` with
/// topic filters: authorizePacket and authorizeDelivery are answered by these.
/// What they don't allow is left to the authorizers behind.
///
/// Signatures are verified by a thread of its own, since one takes 100 µs.
class JwtAuth final : public Middleware,
                      public Reloadable,
                      public Handles<AuthenticateConnection>,
                      public Handles<AuthorizePacket>,
                      public Handles<AuthorizeDelivery>,
                      public Handles<AuthorizeReception> {
public:
  static constexpr std::string_view kName = "jwt_auth";
  static constexpr std::string_view kSummary =
      "Lets clients in whose password is a JSON web token, with the rights that it carries.";

  struct Options {
    std::filesystem::path publicKey;
    std::filesystem::path secret;
    std::filesystem::path jwks;
    std::string issuer;
    std::string audience;
    std::string userClaim = "sub";
    std::string groupsClaim = "groups";
    std::string aclClaim = "acl";
    TimeSpan leeway = std::chrono::seconds{30};
    bool requireExpiry = true;
    bool disconnectAtExpiry = true;
    std::uint32_t queue = 1000;

    static void declare(OptionTable<Options>& table);
  };

  JwtAuth(Setup& setup, const Options& options, Diagnostics& diagnostics);

  void start(Diagnostics& diagnostics) override;
  void stop() override;

  /// Reads the key files again. They take the place of what was known if all of
  /// them are good; otherwise that is reported, nothing changes, and it returns
  /// false.
  bool reload(Diagnostics& diagnostics) override;

  /// Tokens need not carry rights.
  std::optional<Severity> unasked(std::string_view callback) const override;
  Flow on(AuthenticateConnection& login, Next next, Done done) override;
  Flow on(AuthorizePacket& question, Next next, Done done) override;
  Flow on(AuthorizeDelivery& question, SyncNext next, Done done) override;
  Flow on(AuthorizeReception& question, SyncNext next, Done done) override;

private:
  class Verification;
  using Keys = std::shared_ptr<const std::vector<JwtKey>>;

  void decide(AuthenticateConnection& login, Expected<JwtClaims, std::string> claims);

  Options options_;
  JwtRules rules_;
  LineLimit lines_{"refused tokens"};
  Keys keys_;  // with each token that is being verified
  Worker worker_;
};

}  // namespace mqttstack
