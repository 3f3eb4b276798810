#pragma once

#include <cstdint>
#include <string_view>

#include "core/stack/callbacks.hpp"
#include "core/stack/client.hpp"
#include "core/stack/middleware.hpp"
#include "core/stack/options.hpp"

namespace mqttstack {

struct Metric;

/// Answers SUBSCRIBE and UNSUBSCRIBE: executes subscribeTopic or
/// unsubscribeTopic for one filter after the other, then sends the SUBACK or
/// UNSUBACK with all their codes. [v5:3.8.4-5] [v311:3.8.4-4]
class SubscriptionManager final : public Middleware,
                                  public HandlesPackets,
                                  public Handles<NegotiateConnection> {
public:
  static constexpr std::string_view kName = "subscription_manager";
  static constexpr std::string_view kSummary = "Answers SUBSCRIBE and UNSUBSCRIBE.";
  static constexpr std::string_view kOnlyOne = kName;
  static constexpr mqtt::PacketTypes kAnswers =
      mqtt::PacketType::subscribe | mqtt::PacketType::unsubscribe;

  struct Options {
    bool wildcardSubscriptions = true;
    bool sharedSubscriptions = true;
    bool subscriptionIdentifiers = true;
    std::uint16_t maxFilters = 200;
    static void declare(OptionTable<Options>& table);
  };

  using Executes = Callbacks<SubscribeTopic, UnsubscribeTopic>;
  using MayExecute = Callbacks<AwaitStored>;

  SubscriptionManager(Setup& setup, const Options& options);

  mqtt::PacketTypes packets() const noexcept override;
  Flow handle(Client& client, Packet& packet, Next next, Done done) override;
  Flow on(NegotiateConnection& negotiate, SyncNext next, Done done) override;

private:
  class Subscribing;
  class Unsubscribing;
  template <class Stored>
  static void whenStored(Client& client, Stored stored);

  mqtt::ReasonCode judge(std::string_view filter) const noexcept;
  std::error_code judge(const mqtt::Subscribe& subscribe) const noexcept;

  Options options_;
  Metric& filtersRefused_;
};

}  // namespace mqttstack
