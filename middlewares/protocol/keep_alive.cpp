#include "middlewares/protocol/keep_alive.hpp"

#include <algorithm>

#include "core/stack/stack.hpp"

namespace mqttstack {

namespace {

/// A timer that fires this late tells that the process was stopped or the
/// machine asleep: the clients were not silent, we did not listen.
constexpr std::chrono::seconds kStopped{2};
/// What they are given to be heard then.
constexpr std::chrono::seconds kGraceRound{5};

}  // namespace

void KeepAlive::Options::declare(OptionTable<Options>& table) {
  table
      .add("grace", &Options::grace,
           "A client is closed when it has sent nothing for its keep alive interval times this.")
      .range(1.0, 10.0);
  table
      .add("max_keep_alive", &Options::maxKeepAlive,
           "MQTT 5 clients that ask for a longer interval are told to use this one. MQTT 3 "
           "clients cannot be told and keep theirs.")
      .range(std::chrono::seconds{1}, std::chrono::seconds{65'535});
}

/// Looks after one client.
struct KeepAlive::Watch {
  Watch(Client& theClient, Scheduler& theScheduler, Duration theLimit)
      : client{theClient},
        scheduler{theScheduler},
        limit{theLimit} {
    scheduler.start(timer, limit);
  }

  void look() {
    const TimePoint now = scheduler.now();
    if (now - timer.deadline() > kStopped)
      return scheduler.start(timer, std::min<Duration>(limit, kGraceRound));
    // While we ourselves don't read, its silence proves nothing.
    if (client.readingPaused()) return scheduler.start(timer, limit);
    const Duration silent = now - client.lastPacketAt();
    if (silent < limit) return scheduler.start(timer, limit - silent);
    // [v5:3.1.2-22] [v311:3.1.2-24]
    CloseClient close{client, mqtt::ReasonCode::keepAliveTimeout};
    client.stack().run(close);
  }

  Client& client;
  Scheduler& scheduler;
  Duration limit;
  Timer timer = Timer::calling<&Watch::look>(*this);
};

KeepAlive::State::State() = default;
KeepAlive::State::State(State&&) noexcept = default;
KeepAlive::State::~State() = default;

KeepAlive::KeepAlive(Setup& setup, const Options& options)
    : Middleware{setup},
      options_{options},
      state_{setup.clientFields} {}

mqtt::PacketTypes KeepAlive::packets() const noexcept { return mqtt::PacketType::pingreq; }

Flow KeepAlive::handle(Client& client, Packet&, Next, Done done) {
  client.send(mqtt::Pingresp{});  // [v5:3.12.4-1] [v311:3.12.4-1]
  return done();
}

/// The interval in force, in seconds, for a client that asked for `wanted`.
std::uint16_t KeepAlive::interval(const Client& client, std::uint16_t wanted) const noexcept {
  if (!client.isV5() || wanted == 0) return wanted;
  const auto limit = std::chrono::duration_cast<std::chrono::seconds>(options_.maxKeepAlive);
  return static_cast<std::uint16_t>(std::min<std::int64_t>(wanted, limit.count()));
}

Flow KeepAlive::on(NegotiateConnection& negotiate, SyncNext next, Done) {
  negotiate.terms.keepAlive = interval(negotiate.client, negotiate.connect.keepAlive);
  return next();
}

Flow KeepAlive::on(SessionEstablished& established, SyncNext next, Done) {
  Client& client = established.client;
  if (const std::uint16_t seconds = established.terms.keepAlive; seconds != 0) {
    const auto limit = std::chrono::duration_cast<Duration>(
        std::chrono::duration<double>{seconds * options_.grace});
    state_(client).watch = std::make_unique<Watch>(client, scheduler(), limit);
  }
  return next();
}

Flow KeepAlive::on(ConnectionLost& lost, SyncNext next, Done) {
  state_(lost.client).watch.reset();
  return next();
}

}  // namespace mqttstack
