#pragma once

#include <memory>
#include <string_view>
#include <unordered_map>

#include "core/stack/callbacks.hpp"
#include "core/stack/client.hpp"
#include "core/stack/middleware.hpp"
#include "core/stack/options.hpp"
#include "core/stack/per_client.hpp"
#include "core/util/timer_wheel.hpp"

namespace mqttstack {

/// Keeps what clients ask to be published when they vanish, and publishes it
/// through relayMessage, as the client's own message: when the connection ended
/// other than by DISCONNECT, after the Will Delay Interval or when the session
/// ends, whichever comes first, and not at all if the client comes back before.
/// [v5:3.1.2-8] [v5:3.1.3-9] [v311:3.1.2-8]
class LastWill final : public Middleware,
                       public HandlesPackets,
                       public Handles<SessionEstablished>,
                       public Handles<CleanDisconnect>,
                       public Handles<UncleanDisconnect>,
                       public Handles<SessionEnded>,
                       public Handles<RestoreWill> {
public:
  static constexpr std::string_view kName = "last_will";
  static constexpr std::string_view kSummary =
      "Publishes the will of clients that vanish, after its delay.";
  static constexpr std::string_view kOnlyOne = kName;
  using Options = NoOptions;
  using Executes = Callbacks<RelayMessage>;
  using MayExecute = Callbacks<PostponeWill, RemoveWill>;

  LastWill(Setup& setup, const Options& options);
  ~LastWill() override;

  mqtt::PacketTypes packets() const noexcept override;
  Flow handle(Client& client, Packet& packet, Next next, Done done) override;
  Flow on(SessionEstablished& established, SyncNext next, Done done) override;
  Flow on(CleanDisconnect& disconnect, Next next, Done done) override;
  Flow on(UncleanDisconnect& disconnect, Next next, Done done) override;
  Flow on(SessionEnded& ended, SyncNext next, Done done) override;
  Flow on(RestoreWill& restore, SyncNext next, Done done) override;
  void stop() override;

private:
  using Testament = StoredWill;
  struct Delayed;
  struct State {
    State();
    State(State&&) noexcept;
    ~State();
    std::unique_ptr<Testament> will;
    std::uint32_t generation = 0;  // of the session, while this client has it
  };

  Stack& stackOf(const broker::Session& session) const noexcept {
    return session.stack() ? *session.stack() : home();
  }
  void publish(Stack& stack, const Testament& will);
  void remove(broker::Session& session) const;
  void delay(broker::Session& session, std::unique_ptr<Testament> will, Duration span);
  void due(Delayed& delayed);

  PerClient<State> state_;
  std::unordered_map<const broker::Session*, std::unique_ptr<Delayed>> delayed_;
};

}  // namespace mqttstack
