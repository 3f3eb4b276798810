#pragma once

#include <string>
#include <string_view>
#include <system_error>
#include <vector>

#include "core/stack/callbacks.hpp"
#include "core/stack/middleware.hpp"
#include "core/stack/options.hpp"

namespace mqttstack {

struct Metric;

/// Decides who a client is, before anything else is done for it: asks
/// authenticateConnection about the credentials of each CONNECT and gives the
/// client the identity that comes out.
///
/// - No user name and no password: the client comes in as "anonymous" where its
///   listener allows that, and is refused as not authorized where it doesn't.
/// - Allowed: its principal is what the authenticator says, or the user name.
/// - Denied, or nobody knows the user: refused with the authenticator's reason,
///   "bad user name or password" by default.
/// - The authenticators failed: refused, with their reason or "server
///   unavailable". There is no failing open.
///
/// Who is refused gets a CONNACK that says so and is cut off; nothing that it
/// sends behind its CONNECT is looked at. [v311:3.1.4-5] [v5:3.1.4-6]
class Authentication final : public Middleware, public HandlesPackets {
public:
  static constexpr std::string_view kName = "authentication";
  static constexpr std::string_view kSummary =
      "Lets clients in by their user name and password, or anonymously where allowed.";
  using Options = NoOptions;
  using Executes = Callbacks<AuthenticateConnection>;

  Authentication(Setup& setup, const Options& options);

  mqtt::PacketTypes packets() const noexcept override { return mqtt::PacketType::connect; }
  Flow handle(Client& client, Packet& packet, Next next, Done done) override;

  /// It has to stand before all that works with the identity of clients.
  void validate(const Stack& stack, Diagnostics& diagnostics) const override;

private:
  Flow decide(Client& client, const mqtt::Connect& connect, AuthenticateConnection& login,
              std::error_code error, Next next);
  Flow admit(Client& client, std::string principal, std::vector<std::string> groups, bool anonymous,
             Next next);
  Flow refuse(Client& client, const mqtt::Connect& connect, mqtt::ReasonCode reason,
              std::string_view by, Next next);

  Metric& accepted_;
  Metric& refused_;
};

}  // namespace mqttstack
