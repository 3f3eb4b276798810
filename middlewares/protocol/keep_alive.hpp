#pragma once

#include <memory>
#include <string_view>

#include "core/stack/callbacks.hpp"
#include "core/stack/client.hpp"
#include "core/stack/middleware.hpp"
#include "core/stack/options.hpp"
#include "core/stack/per_client.hpp"
#include "core/util/timer_wheel.hpp"

namespace mqttstack {

/// Answers PINGREQ, and closes clients that have been silent for longer than
/// their keep alive interval allows. Costs nothing per packet: the client
/// remembers when it was last heard, and the timer looks when it fires.
class KeepAlive final : public Middleware,
                        public HandlesPackets,
                        public Handles<NegotiateConnection>,
                        public Handles<SessionEstablished>,
                        public Handles<ConnectionLost> {
public:
  static constexpr std::string_view kName = "keep_alive";
  static constexpr std::string_view kSummary =
      "Answers PINGREQ and closes clients that are silent for too long.";
  static constexpr std::string_view kOnlyOne = kName;
  static constexpr mqtt::PacketTypes kAnswers = mqtt::PacketType::pingreq;

  struct Options {
    double grace = 1.5;
    TimeSpan maxKeepAlive = std::chrono::hours{1};
    static void declare(OptionTable<Options>& table);
  };

  using Executes = Callbacks<CloseClient>;

  KeepAlive(Setup& setup, const Options& options);

  mqtt::PacketTypes packets() const noexcept override;
  Flow handle(Client& client, Packet& packet, Next next, Done done) override;
  Flow on(NegotiateConnection& negotiate, SyncNext next, Done done) override;
  Flow on(SessionEstablished& established, SyncNext next, Done done) override;
  Flow on(ConnectionLost& lost, SyncNext next, Done done) override;

private:
  struct Watch;
  struct State {
    State();
    State(State&&) noexcept;
    ~State();
    std::unique_ptr<Watch> watch;  // none if the client asked for no keep alive
  };

  std::uint16_t interval(const Client& client, std::uint16_t wanted) const noexcept;

  Options options_;
  PerClient<State> state_;
};

}  // namespace mqttstack
