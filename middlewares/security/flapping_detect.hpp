#pragma once

#include <cstdint>
#include <string>
#include <string_view>

#include "core/stack/callbacks.hpp"
#include "core/stack/middleware.hpp"
#include "core/stack/options.hpp"
#include "core/stack/per_client.hpp"
#include "core/util/bounded_table.hpp"

namespace mqttstack {

struct Metric;

/// Keeps out for a while who comes and goes all the time: a device in a loop of
/// restarts, or two that fight for one client identifier. Each time that a client
/// which was accepted is gone counts; after `disconnects` of them in `window` its
/// CONNECT is refused as banned (MQTT 5: 0x8A) for `ban`.
///
/// Counted by client identifier and address, so that nobody gets somebody
/// elsewhere banned by using the same identifier. A goodbye counts like a loss.
///
/// Stands behind connection.
class FlappingDetect final : public Middleware,
                             public HandlesPackets,
                             public Handles<SessionEstablished>,
                             public Handles<ConnectionLost> {
public:
  static constexpr std::string_view kName = "flapping_detect";
  static constexpr std::string_view kSummary =
      "Keeps out for a while who connects and disconnects all the time.";

  struct Options {
    std::uint32_t disconnects = 15;
    TimeSpan window = std::chrono::minutes{1};
    TimeSpan ban = std::chrono::minutes{5};
    std::uint32_t maxClients = 10'000;

    static void declare(OptionTable<Options>& table);
  };

  FlappingDetect(Setup& setup, const Options& options);

  mqtt::PacketTypes packets() const noexcept override { return mqtt::PacketType::connect; }
  Flow handle(Client& client, Packet& packet, Next next, Done done) override;
  Flow on(SessionEstablished& established, SyncNext next, Done done) override;
  Flow on(ConnectionLost& lost, SyncNext next, Done done) override;

private:
  struct Record {
    TimePoint windowBegan{};
    TimePoint bannedUntil{};
    std::uint32_t disconnects = 0;
  };

  struct State {
    bool established = false;
  };

  static std::string keyOf(const Client& client);

  Options options_;
  BoundedTable<std::string, Record> records_;
  PerClient<State> state_;
  Metric& banned_;
  Metric& refused_;
};

}  // namespace mqttstack
