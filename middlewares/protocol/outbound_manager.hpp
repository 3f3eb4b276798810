#pragma once

#include <optional>
#include <string_view>

#include "core/stack/callbacks.hpp"
#include "core/stack/client.hpp"
#include "core/stack/drops.hpp"
#include "core/stack/middleware.hpp"
#include "core/stack/options.hpp"

namespace mqttstack {

/// Sends messages: the sender's side of QoS 0, 1 and 2, with packet identifiers,
/// the window of messages that are under way, and the queue behind it. A
/// message goes straight to the window only while nothing waits, so first
/// deliveries keep their order whatever the window. [v5:4.6.0-5]
///
/// When a session is resumed, what was under way is sent again first, in the
/// original order, then what waited. [v5:4.4.0-1] [v311:4.4.0-1]
class OutboundManager final : public Middleware,
                              public HandlesPackets,
                              public Handles<ForwardMessage>,
                              public Handles<DeliveryStored>,
                              public Handles<SessionEstablished>,
                              public Handles<ClientDrained> {
public:
  static constexpr std::string_view kName = "outbound_manager";
  static constexpr std::string_view kSummary =
      "Sends messages at QoS 0, 1 and 2, within the client's window.";
  static constexpr std::string_view kOnlyOne = kName;
  static constexpr mqtt::PacketTypes kAnswers =
      mqtt::PacketType::puback | mqtt::PacketType::pubrec | mqtt::PacketType::pubcomp;

  struct Options {
    std::uint16_t maxInflight = 100;
    std::uint16_t topicAliasMaximum = 16;
    ByteCount maxOutput{1024 * 1024};
    static void declare(OptionTable<Options>& table);
  };

  using Executes = Callbacks<StoreOfflineMessage, LookupOfflineMessages, RemoveOfflineMessages>;
  using MayExecute = Callbacks<ForwardWaiting, MessageDropped, StoreDelivery, RemoveDelivery>;

  OutboundManager(Setup& setup, const Options& options);

  mqtt::PacketTypes packets() const noexcept override;
  Flow handle(Client& client, Packet& packet, Next next, Done done) override;
  Flow on(ForwardMessage& forward, SyncNext next, Done done) override;
  Flow on(DeliveryStored& stored, SyncNext next, Done done) override;
  Flow on(SessionEstablished& established, SyncNext next, Done done) override;
  Flow on(ClientDrained& drained, SyncNext next, Done done) override;

private:
  ForwardResult forward(ForwardMessage& forward);
  ForwardResult forwardUnacknowledged(ForwardMessage& forward, Client* client);
  ForwardResult drop(const broker::Session& session, const broker::Message& message,
                     DropReason reason);
  Stack& stackOf(const broker::Session& session) const noexcept {
    return session.stack() ? *session.stack() : home();
  }
  void sendNew(Client& client, broker::Session& session, broker::Delivery delivery);
  bool send(Client& client, broker::Session& session, broker::Delivery& delivery);
  void sendMore(Client& client);
  bool store(broker::Session& session, broker::Delivery& delivery) const;
  void remove(broker::Session& session, std::uint64_t number) const;
  void forget(broker::Session& session, const broker::Delivery& delivery, DropReason reason);
  std::optional<DropReason> obstacle(Client& client, const broker::Session& session,
                                     const broker::Delivery& delivery) const;
  void withhold(Client& client, broker::Session& session, broker::Delivery& delivery,
                DropReason reason);
  Flow recorded(Client& client, const mqtt::Pubrec& pubrec, Next next, Done done);
  bool resend(Client& client, broker::Session& session);
  bool hasRoom(const Client& client) const noexcept {
    return client.outputBytes() < options_.maxOutput.count;
  }
  Flow answered(Client& client, const broker::Acknowledged& acknowledged, Next next, Done done);

  Options options_;
  Drops drops_;
};

}  // namespace mqttstack
