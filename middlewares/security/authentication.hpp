#pragma once

#include <memory>
#include <optional>
#include <string>
#include <string_view>
#include <system_error>
#include <vector>

#include "core/stack/callbacks.hpp"
#include "core/stack/middleware.hpp"
#include "core/stack/options.hpp"
#include "core/stack/per_client.hpp"
#include "core/util/line_limit.hpp"
#include "core/util/timer_wheel.hpp"
#include "middlewares/security/decisions.hpp"

namespace mqttstack {

/// Decides who a client is, before anything else is done for it: asks
/// authenticateConnection about the credentials of each CONNECT and gives the
/// client the identity that comes out.
///
/// - No user name, no password, and no certificate that anybody has an opinion
///   about: the client comes in as "anonymous" where its listener allows that,
///   and is refused as not authorized where it doesn't.
/// - Allowed: its principal is what the authenticator says, or the user name.
///   Credentials that end at some time take the client with them.
/// - Denied, or nobody knows the user: refused with the authenticator's reason,
///   "bad user name or password" by default.
/// - The authenticators failed: refused, with their reason or "server
///   unavailable". There is no failing open.
///
/// A CONNECT that names an authentication method is decided by that method
/// alone: continueAuthentication is asked about it and about each AUTH that
/// follows, until it has a verdict; the CONNECT waits meanwhile. Such a client
/// may authenticate itself again later, by the same method and as the same
/// principal; failing in that ends the connection.
///
/// Who is refused gets a CONNACK that says so and is cut off; nothing that it
/// sends behind its CONNECT is looked at. [v311:3.1.4-5] [v5:3.1.4-6]
class Authentication final : public Middleware,
                             public HandlesPackets,
                             public Handles<NegotiateConnection>,
                             public Handles<ConnectionLost> {
public:
  static constexpr std::string_view kName = "authentication";
  static constexpr std::string_view kSummary =
      "Lets clients in by their credentials, or anonymously where allowed.";
  static constexpr std::string_view kOnlyOne = kName;
  using Options = NoOptions;
  using Executes = Callbacks<AuthenticateConnection>;
  using MayExecute = Callbacks<ContinueAuthentication>;

  Authentication(Setup& setup, const Options& options);

  mqtt::PacketTypes packets() const noexcept override {
    return mqtt::PacketType::connect | mqtt::PacketType::auth;
  }
  Flow handle(Client& client, Packet& packet, Next next, Done done) override;
  Flow on(NegotiateConnection& negotiation, SyncNext next, Done done) override;
  Flow on(ConnectionLost& lost, SyncNext next, Done done) override;

  /// It has to stand before all that works with the identity of clients.
  void validate(const Stack& stack, Diagnostics& diagnostics) const override;

private:
  /// The enhanced authentication of one client.
  struct Exchange {
    std::string method;
    std::unique_ptr<AuthenticationState> state;
    std::optional<Deferred> connect;  ///< the CONNECT that waits for an AUTH
    std::string lastWord;             ///< what the CONNACK will bring
    bool running = true;
  };
  /// Cuts a client off when its credentials end.
  struct Expiry {
    Expiry(Authentication& theOwner, Client& theClient) : owner{theOwner}, client{theClient} {}
    void passed() { owner.expired(client); }
    Authentication& owner;
    Client& client;
    Timer timer = Timer::calling<&Expiry::passed>(*this);
  };
  struct State {
    std::unique_ptr<Exchange> exchange;  // of a client that named a method
    std::unique_ptr<Expiry> expiry;      // of one whose credentials end
  };

  Flow connect(Client& client, const mqtt::Connect& connect, Next next);
  Flow decide(Client& client, const mqtt::Connect& connect, AuthenticateConnection& login,
              std::error_code error, Next next);

  Flow beginExchange(Client& client, std::string_view method, const mqtt::Connect& connect,
                     Next next);
  Flow auth(Client& client, const mqtt::Auth& auth, Next next);
  Flow continueFirst(Client& client, ContinueAuthentication& step, Next next, Done done);
  Flow continueAgain(Client& client, ContinueAuthentication& step, Next next, Done done);
  static bool ask(Client& client, const Exchange& exchange, std::string_view data);
  static mqtt::ReasonCode failureOf(const Client& client, std::error_code error,
                                    const ContinueAuthentication& step);

  void admit(Client& client, std::string principal, std::vector<std::string> groups,
             broker::Grants grants = {});
  void admitAnonymous(Client& client);
  void cutOffAt(Client& client, TimePoint when);
  void expired(Client& client);
  void accept(const Client& client, const Verdict& verdict);
  static std::string_view whyOf(std::error_code error, const ContinueAuthentication& step);
  Flow refuse(Client& client, const std::string& login, mqtt::ReasonCode reason,
              const Verdict& verdict, std::string_view why, Next next);

  LineLimit lines_{"refusals"};
  DecisionCounter accepted_;
  DecisionCounter refused_;
  Metric& expired_;
  PerClient<State> state_;
};

}  // namespace mqttstack
