#pragma once

#include <cstdint>
#include <memory>
#include <string_view>

#include "core/stack/callbacks.hpp"
#include "core/stack/client.hpp"
#include "core/stack/middleware.hpp"
#include "core/stack/options.hpp"
#include "core/stack/per_client.hpp"
#include "core/util/line_limit.hpp"
#include "core/util/timer_wheel.hpp"

namespace mqttstack {

/// Begins and ends connections. It gives a connection the time that it may take
/// until it is accepted, judges CONNECT as far as it concerns the connection
/// (client identifier, one CONNECT only), takes DISCONNECT, closes clients that
/// others want closed, and says exactly once how a connection ended: with
/// cleanDisconnect or uncleanDisconnect.
///
/// Stands first in a pipeline.
class Connection final : public Middleware,
                         public HandlesPackets,
                         public Handles<SessionEstablished>,
                         public Handles<CloseClient>,
                         public Handles<ConnectionLost>,
                         public Handles<ConnectionClosed> {
public:
  static constexpr std::string_view kName = "connection";
  static constexpr std::string_view kSummary =
      "Begins and ends connections: CONNECT, DISCONNECT, client identifiers, time limits.";
  static constexpr std::string_view kOnlyOne = kName;

  struct Options {
    TimeSpan connectTimeout = std::chrono::seconds{10};
    std::uint16_t maxClientIdBytes = 1024;
    std::uint16_t maxUserNameBytes = 256;
    bool longV31ClientIds = false;
    static void declare(OptionTable<Options>& table);
  };

  using MayExecute = Callbacks<CleanDisconnect, UncleanDisconnect>;

  Connection(Setup& setup, const Options& options);

  void install(Client& client) override;
  mqtt::PacketTypes packets() const noexcept override;
  Flow handle(Client& client, Packet& packet, Next next, Done done) override;
  Flow on(SessionEstablished& established, SyncNext next, Done done) override;
  Flow on(CloseClient& close, SyncNext next, Done done) override;
  Flow on(ConnectionLost& lost, SyncNext next, Done done) override;
  Flow on(ConnectionClosed& closed, Next next, Done done) override;

  /// It has to stand before whoever works with the identity that it gives.
  void validate(const Stack& stack, Diagnostics& diagnostics) const override;

private:
  struct Deadline;
  struct State {
    State();
    State(State&&) noexcept;
    ~State();
    std::unique_ptr<Deadline> deadline;  // until the client is accepted
    bool established = false;
    bool saidGoodbye = false;  // DISCONNECT that discards the will
  };

  Flow connect(Client& client, const mqtt::Connect& connect, Next next);
  bool hasGoodClientId(Client& client, const mqtt::Connect& connect) const;
  Flow disconnect(Client& client, const mqtt::Disconnect& disconnect, Next next);

  Options options_;
  PerClient<State> state_;
  Metric& timedOut_;
  LineLimit lines_{"connections that were not accepted"};
};

}  // namespace mqttstack
