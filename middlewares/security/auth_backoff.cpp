#include "middlewares/security/auth_backoff.hpp"

#include <algorithm>
#include <chrono>
#include <utility>

#include "core/stack/client.hpp"
#include "core/stack/stack.hpp"
#include "core/util/metrics.hpp"

namespace mqttstack {

using mqtt::ReasonCode;

namespace {

bool isAboutCredentials(ReasonCode reason) noexcept {
  return reason == ReasonCode::badUserNameOrPassword || reason == ReasonCode::notAuthorized ||
         reason == ReasonCode::badAuthenticationMethod;
}

}  // namespace

void AuthBackoff::Options::declare(OptionTable<Options>& table) {
  table
      .add("failures", &Options::failures,
           "How many refused logins an address may have in `window` before further ones wait.")
      .range(1, 1'000'000);
  table.add("window", &Options::window, "How long it takes until so many are forgiven.")
      .range(std::chrono::seconds{1}, std::chrono::hours{24});
  table
      .add("delay", &Options::delay,
           "How long a CONNECT from such an address waits. Where connect_timeout is not the "
           "usual 10 seconds, it has to be longer than this: a login that takes more is cut off.")
      .range(std::chrono::milliseconds{10}, std::chrono::seconds{5});
  table
      .add("max_addresses", &Options::maxAddresses,
           "How many addresses are remembered; of IPv6, /64 networks.")
      .range(1, 10'000'000);
}

AuthBackoff::AuthBackoff(Setup& setup, const Options& options)
    : Middleware{setup},
      options_{options},
      accounts_{options.maxAddresses},
      state_{setup.clientFields},
      failed_{setup.metrics.counter("auth_backoff_failures", "logins refused for credentials")},
      delayed_{setup.metrics.counter("auth_backoff_delayed", "logins that had to wait")} {}

Flow AuthBackoff::handle(Client& client, Packet&, Next next, Done) {
  Account* account = accounts_.find(net::NetworkKey::of(client.peer().address()));
  // One has to be forgiven as a whole.
  if (!account || failuresOf(*account) <= options_.failures - 1.0) return next();
  delayed_.add();
  return next.defer([&](Deferred connect) {
    auto& waiting = state_(client).waiting;
    waiting = std::make_unique<Waiting>(std::move(connect));
    scheduler().start(waiting->timer, options_.delay);
  });
}

/// Going on may end the client, and this with it, so the Deferred is taken out.
void AuthBackoff::Waiting::letGo() {
  std::optional<Deferred> deferred = std::exchange(connect, std::nullopt);
  deferred->next();
}

double AuthBackoff::failuresOf(Account& account) const noexcept {
  using Seconds = std::chrono::duration<double>;
  const TimePoint now = scheduler().now();
  const double forgiven =
      options_.failures * (Seconds{now - account.countedAt} / Seconds{options_.window});
  account.failures = std::max(0.0, account.failures - forgiven);
  account.countedAt = now;
  return account.failures;
}

Flow AuthBackoff::on(SessionEstablished& established, SyncNext next, Done) {
  state_(established.client).established = true;
  return next();
}

Flow AuthBackoff::on(ConnectionLost& lost, SyncNext next, Done) {
  State& state = state_(lost.client);
  // The CONNECT of a connection that is gone need not wait; dropping it ends it.
  if (state.waiting) {
    state.waiting->timer.cancel();
    const std::optional<Deferred> dropped = std::exchange(state.waiting->connect, std::nullopt);
  }
  if (state.established || !isAboutCredentials(lost.client.closeReason())) return next();
  failed_.add();
  Account& account =
      accounts_.use(net::NetworkKey::of(lost.client.peer().address()), {0, scheduler().now()})
          .value;
  // No more than can be forgiven in one window, so that an end comes in sight.
  account.failures = std::min(failuresOf(account) + 1, 2.0 * options_.failures);
  return next();
}

void AuthBackoff::validate(const Stack& stack, Diagnostics& diagnostics) const {
  if (!stack.handled<AuthenticateConnection>())
    diagnostics.error("\"" + name() + "\" has no effect: no middleware judges credentials",
                      "take it out, or add \"authentication\" and for example \"password_file\"");
  const auto own = stack.position(this);
  const auto first = stack.firstHandler<NegotiateConnection>();
  if (!first || !own || *own < *first) return;
  const std::string& other = stack.middlewares()[*first]->name();
  diagnostics.error(
      "\"" + name() + "\" stands behind \"" + other + "\", which has judged a CONNECT by then",
      "move \"" + name() + "\" right behind \"connection\"");
}

}  // namespace mqttstack
