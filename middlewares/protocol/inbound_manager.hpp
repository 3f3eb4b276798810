#pragma once

#include <memory>
#include <string_view>

#include "core/stack/callbacks.hpp"
#include "core/stack/client.hpp"
#include "core/stack/middleware.hpp"
#include "core/stack/options.hpp"
#include "core/stack/per_client.hpp"

namespace mqttstack {

/// Receives messages: the receiver's side of QoS 0, 1 and 2. Checks what the
/// CONNACK laid down (QoS, receive maximum, topic aliases), executes
/// relayMessage once per message, and answers PUBREL. Acknowledgements leave
/// when their last holder lets go, in the order of the messages.
///
/// A QoS 2 message is passed on when its PUBLISH comes; the packet identifier
/// is remembered until PUBREL, so that it is passed on once. [v5:4.3.3-10]
class InboundManager final : public Middleware,
                             public HandlesPackets,
                             public Handles<NegotiateConnection>,
                             public Handles<SessionEstablished> {
public:
  static constexpr std::string_view kName = "inbound_manager";
  static constexpr std::string_view kSummary =
      "Receives messages at QoS 0, 1 and 2 and passes them on.";
  static constexpr std::string_view kOnlyOne = kName;
  static constexpr mqtt::PacketTypes kAnswers =
      mqtt::PacketType::publish | mqtt::PacketType::pubrel;

  struct Options {
    std::uint16_t receiveMaximum = 100;
    std::uint16_t topicAliasMaximum = 16;
    std::uint16_t maximumQos = 2;
    bool reportNoSubscribers = true;
    static void declare(OptionTable<Options>& table);
  };

  using Executes = Callbacks<RelayMessage>;
  using MayExecute = Callbacks<ReleaseIncoming>;

  InboundManager(Setup& setup, const Options& options);

  mqtt::PacketTypes packets() const noexcept override;
  Flow handle(Client& client, Packet& packet, Next next, Done done) override;
  Flow on(NegotiateConnection& negotiate, SyncNext next, Done done) override;
  Flow on(SessionEstablished& established, SyncNext next, Done done) override;

private:
  struct State {
    /// QoS 2 messages that an earlier connection left unreleased: they don't
    /// count against what this one may have under way. None for most.
    std::unique_ptr<broker::IdSet> carriedOver;
    bool retainAvailable = false;
  };

  bool receiveMaximumReached(Client& client);
  static void forgetRefused(const RelayMessage& relay);
  void countFromNowOn(Client& client, std::uint16_t packetId);
  Flow publish(Client& client, const Packet& packet, Next next, Done done);
  Flow publishAcknowledged(Client& client, const Packet& packet, Next next, Done done);
  Flow release(Client& client, const mqtt::Pubrel& pubrel, Next next, Done done);

  Options options_;
  PerClient<State> state_;
};

}  // namespace mqttstack
