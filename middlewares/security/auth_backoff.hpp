#pragma once

#include <cstdint>
#include <memory>
#include <optional>
#include <string_view>

#include "core/net/network_key.hpp"
#include "core/stack/callbacks.hpp"
#include "core/stack/middleware.hpp"
#include "core/stack/options.hpp"
#include "core/stack/per_client.hpp"
#include "core/util/bounded_table.hpp"
#include "core/util/timer_wheel.hpp"

namespace mqttstack {

struct Metric;

/// Slows down who guesses passwords: counts the CONNECTs of each address that were
/// refused for their credentials, and makes further ones from there wait before
/// anybody looks at them. So many refusals are free; they are forgiven one after
/// the other over `window`, and an accepted CONNECT forgives none, since one good
/// password must not pay for guessing others.
///
/// Others at the same address wait, too, but are let in: nobody is locked out.
/// `max_addresses` are remembered, those that failed last.
///
/// Stands behind connection and in front of authentication.
class AuthBackoff final : public Middleware,
                          public HandlesPackets,
                          public Handles<SessionEstablished>,
                          public Handles<ConnectionLost> {
public:
  static constexpr std::string_view kName = "auth_backoff";
  static constexpr std::string_view kSummary =
      "Makes addresses wait whose logins were refused too often.";

  struct Options {
    std::uint32_t failures = 10;
    TimeSpan window = std::chrono::minutes{1};
    TimeSpan delay = std::chrono::seconds{1};
    std::uint32_t maxAddresses = 10'000;

    static void declare(OptionTable<Options>& table);
  };

  AuthBackoff(Setup& setup, const Options& options);

  mqtt::PacketTypes packets() const noexcept override { return mqtt::PacketType::connect; }
  Flow handle(Client& client, Packet& packet, Next next, Done done) override;
  Flow on(SessionEstablished& established, SyncNext next, Done done) override;
  Flow on(ConnectionLost& lost, SyncNext next, Done done) override;

  /// There has to be who judges credentials, and it has to stand before all that
  /// judges a CONNECT.
  void validate(const Stack& stack, Diagnostics& diagnostics) const override;

private:
  /// What an address has to its account; becomes less by itself.
  struct Account {
    double failures = 0;
    TimePoint countedAt{};
  };
  /// A CONNECT that has to wait.
  struct Waiting {
    explicit Waiting(Deferred theConnect) : connect{std::move(theConnect)} {}
    void letGo();
    std::optional<Deferred> connect;
    Timer timer = Timer::calling<&Waiting::letGo>(*this);
  };
  struct State {
    std::unique_ptr<Waiting> waiting;
    bool established = false;
  };

  double failuresOf(Account& account) const noexcept;

  Options options_;
  BoundedTable<net::NetworkKey, Account, net::NetworkKeyHash> accounts_;
  PerClient<State> state_;
  Metric& failed_;
  Metric& delayed_;
};

}  // namespace mqttstack
