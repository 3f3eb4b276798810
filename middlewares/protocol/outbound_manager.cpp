#include "middlewares/protocol/outbound_manager.hpp"

#include <algorithm>
#include <utility>

#include "core/stack/stack.hpp"
#include "core/util/timer_wheel.hpp"

namespace mqttstack {

using broker::AckResult;
using broker::Delivery;
using broker::DeliveryState;
using mqtt::Qos;
using mqtt::ReasonCode;

namespace {

/// Up to so many bytes under way to a client nobody asks about. Beyond, messages go by
/// the limits of queues: who never acknowledges would have the memory of a window full
/// of large ones.
constexpr std::size_t kLittle = 64 * 1024;

}  // namespace

void OutboundManager::Options::declare(OptionTable<Options>& table) {
  table
      .add("max_inflight", &Options::maxInflight,
           "How many QoS 1 and 2 messages may be under way to a client; less if an MQTT 5 "
           "client's receive maximum is less.")
      .range(1, 65'535);
  table.add("topic_alias_maximum", &Options::topicAliasMaximum,
            "How many topic aliases are used towards an MQTT 5 client that allows them; 0 for "
            "none.");
  table
      .add("max_output", &Options::maxOutput,
           "How much may wait to be written to a client that reads slowly. Beyond that QoS 0 "
           "messages for it are dropped, and others wait in its session's queue.")
      .range(ByteCount{4096}, ByteCount{1024ULL * 1024 * 1024});
}

OutboundManager::OutboundManager(Setup& setup, const Options& options)
    : Middleware{setup},
      options_{options},
      drops_{setup.metrics} {}

mqtt::PacketTypes OutboundManager::packets() const noexcept {
  return mqtt::PacketType::puback | mqtt::PacketType::pubrec | mqtt::PacketType::pubcomp;
}

Flow OutboundManager::on(ForwardMessage& message, SyncNext next, Done) {
  message.result = forward(message);
  return next();
}

ForwardResult OutboundManager::forward(ForwardMessage& message) {
  broker::Session& session = message.session;
  Client* client = session.client();
  if (client && !client->connected()) client = nullptr;
  if (message.message->expires() && message.message->expired(scheduler().now()))  // [v5:3.3.2-5]
    return drop(session, *message.message, DropReason::expired);
  if (message.qos == Qos::atMostOnce) return forwardUnacknowledged(message, client);

  Delivery delivery{.message = message.message,
                    .subscriptionIds = message.subscriptionIds,
                    .qos = message.qos,
                    .retain = message.retain};
  const bool maySend =
      client && session.queueEmpty() && hasRoom(*client) && session.window().canSend();
  if (maySend && session.window().bytes() <= kLittle) {
    sendNew(*client, session, std::move(delivery));
    return ForwardResult::sent;
  }
  if (session.ended()) return drop(session, *message.message, DropReason::sessionEnded);
  // [v5:4.5.0-1] [v311:4.5.0-1]
  StoreOfflineMessage store{session, std::move(delivery)};
  stackOf(session).run(store);
  if (!store.stored) return drop(session, *message.message, store.reason);
  if (maySend)
    sendMore(*client);  // queued only for the limits of queues to be looked at
  else if (client && !hasRoom(*client))
    client->notifyWhenDrained();
  return ForwardResult::queued;
}

ForwardResult OutboundManager::forwardUnacknowledged(ForwardMessage& message, Client* client) {
  if (!client) return drop(message.session, *message.message, DropReason::notConnected);
  if (!hasRoom(*client)) return drop(message.session, *message.message, DropReason::slowConsumer);
  const Client::Sent sent = client->send({.message = message.message,
                                          .subscriptionIds = message.subscriptionIds,
                                          .retain = message.retain});
  if (sent == Client::Sent::tooLarge)
    return drop(message.session, *message.message, DropReason::packetTooLarge);
  return ForwardResult::sent;
}

ForwardResult OutboundManager::drop(const broker::Session& session, const broker::Message& message,
                                    DropReason reason) {
  drops_.drop(stackOf(session), session, message, reason);
  return ForwardResult::dropped;
}

/// Has a durable session's delivery stored as it is now. False if its next packet
/// has to wait for that; deliveryStored comes then.
bool OutboundManager::store(broker::Session& session, Delivery& delivery) const {
  if (!session.durable()) return true;
  StoreDelivery store{session, delivery};
  stackOf(session).run(store);
  delivery.staged = store.wait;
  return !store.wait;
}

/// A delivery is over: nobody has to keep it.
void OutboundManager::remove(broker::Session& session, std::uint64_t number) const {
  if (number == 0) return;
  RemoveDelivery remove{session, number};
  stackOf(session).run(remove);
}

/// Puts a delivery into the window and sends its PUBLISH.
void OutboundManager::sendNew(Client& client, broker::Session& session, Delivery delivery) {
  Delivery& sent = session.window().send(std::move(delivery));  // [v5:2.2.1-4] [v5:4.3.2-1]
  if (store(session, sent)) send(client, session, sent);
}

/// Sends the PUBLISH of a delivery in the window for the first time. False if it is
/// larger than the client accepts: then its place in the window is free.
bool OutboundManager::send(Client& client, broker::Session& session, Delivery& sent) {
  sent.dup = true;  // from now on: this is the first time [v5:4.3.2-2] [v5:3.3.1-3]
  const Client::Sent result = client.send({.message = sent.message,
                                           .subscriptionIds = sent.subscriptionIds,
                                           .packetId = sent.packetId,
                                           .qos = sent.qos,
                                           .retain = sent.retain});
  if (result != Client::Sent::tooLarge) return true;
  forget(session, sent, DropReason::packetTooLarge);
  return false;
}

/// What waited until it was stored goes out. A delivery that is to be sent again
/// on a connection that has just begun goes with the others. [v5:4.4.0-1]
Flow OutboundManager::on(DeliveryStored& stored, SyncNext next, Done) {
  broker::Session& session = stored.session;
  Delivery* const delivery = session.window().find(stored.packetId);
  if (!delivery || delivery->number != stored.number || !delivery->staged) return next();
  delivery->staged = false;
  Client* const client = session.client();
  if (!client || !client->connected() || delivery->resendDue) return next();
  if (delivery->state == DeliveryState::awaitingPubcomp)
    client->send(mqtt::Pubrel{stored.packetId, ReasonCode::success, {}});
  else if (!send(*client, session, *delivery))
    client->notifyWhenDrained();  // what waited for its place
  return next();
}

/// A delivery that is not sent, being larger than the client accepts: as if it had
/// been sent and acknowledged. [v5:3.1.2-25]
void OutboundManager::forget(broker::Session& session, const Delivery& delivery,
                             DropReason reason) {
  const std::uint16_t packetId = delivery.packetId;
  const broker::Acknowledged freed = delivery.qos == Qos::atLeastOnce
                                         ? session.window().puback(packetId)
                                         : session.window().pubrec(packetId, true);
  remove(session, freed.number);
  if (freed.message) drop(session, *freed.message, reason);
}

/// Why a message that has waited must not be sent any more, if it must not.
std::optional<DropReason> OutboundManager::obstacle(Client& client, const broker::Session& session,
                                                    const Delivery& delivery) const {
  if (!client.stack().handled<ForwardWaiting>()) return std::nullopt;
  ForwardWaiting waiting{session, *delivery.message, delivery.retain};
  client.stack().run(waiting);
  return waiting.obstacle;
}

/// A delivery of an earlier connection that must not be sent again. A QoS 2
/// message may have arrived, so its handshake goes on as if it had.
void OutboundManager::withhold(Client& client, broker::Session& session, Delivery& delivery,
                               DropReason reason) {
  if (delivery.qos == Qos::atLeastOnce) return forget(session, delivery, reason);
  const std::uint16_t packetId = delivery.packetId;
  const broker::Acknowledged recorded = session.window().pubrec(packetId, false);
  if (store(session, delivery)) client.send(mqtt::Pubrel{packetId, ReasonCode::success, {}});
  if (recorded.message) drop(session, *recorded.message, reason);
}

Flow OutboundManager::on(SessionEstablished& established, SyncNext next, Done) {
  Client& client = established.client;
  const mqtt::Properties& asked = established.connect.properties;
  const auto receiveMaximum =
      asked.number(mqtt::PropertyId::receiveMaximum).value_or(options_.maxInflight);
  const auto limit = std::min<std::uint32_t>(receiveMaximum, options_.maxInflight);
  established.session.beginConnection(static_cast<std::uint16_t>(limit));  // [v5:4.9.0-1]
  if (client.isV5()) {
    // [v5:3.1.2-26] [v5:3.1.2-27]
    const auto aliases = asked.number(mqtt::PropertyId::topicAliasMaximum).value_or(0);
    client.sendTopicAliases(
        static_cast<std::uint16_t>(std::min<std::uint32_t>(aliases, options_.topicAliasMaximum)));
  }
  sendMore(client);
  return next();
}

Flow OutboundManager::on(ClientDrained& drained, SyncNext next, Done) {
  if (drained.client.connected() && drained.client.session()) sendMore(drained.client);
  return next();
}

/// Sends as much of what waits as the window and the client's output have room
/// for.
void OutboundManager::sendMore(Client& client) {
  broker::Session& session = *client.session();
  if (!session.windowIfAny()) return;  // nothing was ever sent that could wait
  broker::InflightWindow& window = session.window();
  while (client.connected() && (window.resuming() || !session.queueEmpty())) {
    if (!hasRoom(client)) return client.notifyWhenDrained();
    if (window.resuming()) {
      if (!resend(client, session)) return;
      continue;
    }
    LookupOfflineMessages lookup{session};
    client.stack().run(lookup);
    if (!lookup.next) return;
    const bool acknowledged = lookup.next->qos != Qos::atMostOnce;
    std::optional<DropReason> reason;
    if (lookup.next->message->expired(scheduler().now()))  // [v5:3.3.2-5]
      reason = DropReason::expired;
    else if (acknowledged && !window.canSend())
      return;
    else
      reason = obstacle(client, session, *lookup.next);
    Delivery delivery = *lookup.next;
    RemoveOfflineMessages take{session};
    client.stack().run(take);
    if (reason) {
      remove(session, delivery.number);
      drop(session, *delivery.message, *reason);
    } else if (acknowledged) {
      sendNew(client, session, std::move(delivery));
    } else {
      const Client::Sent sent = client.send({.message = delivery.message,
                                             .subscriptionIds = std::move(delivery.subscriptionIds),
                                             .retain = delivery.retain});
      if (sent == Client::Sent::tooLarge)
        drop(session, *delivery.message, DropReason::packetTooLarge);
    }
  }
}

/// Sends the next of what was under way on an earlier connection. False if that
/// has to wait for an acknowledgement.
bool OutboundManager::resend(Client& client, broker::Session& session) {
  broker::InflightWindow& window = session.window();
  Delivery* const delivery = window.nextToResend();
  if (!delivery) return false;
  const std::uint16_t packetId = delivery->packetId;
  if (delivery->state == DeliveryState::awaitingPubcomp) {
    client.send(mqtt::Pubrel{packetId, ReasonCode::success, {}});
    window.resent(*delivery);
    return true;
  }
  if (const auto reason = obstacle(client, session, *delivery)) {
    withhold(client, session, *delivery, *reason);
    return true;
  }
  OutgoingPublish publish{.message = delivery->message,
                          .subscriptionIds = delivery->subscriptionIds,
                          .packetId = packetId,
                          .qos = delivery->qos,
                          .retain = delivery->retain,
                          .dup = delivery->dup};  // [v5:3.3.1-1] [v311:3.3.1-1]
  window.resent(*delivery);
  // This connection of the client may accept less than the one before did.
  if (client.send(std::move(publish)) == Client::Sent::tooLarge)
    forget(session, *delivery, DropReason::packetTooLarge);
  return true;
}

Flow OutboundManager::handle(Client& client, Packet& packet, Next next, Done done) {
  broker::InflightWindow& window = client.session()->window();
  switch (packet.type()) {
    case mqtt::PacketType::puback:
      return answered(client, window.puback(packet.as<mqtt::Puback>().packetId), next, done);
    case mqtt::PacketType::pubrec:
      return recorded(client, packet.as<mqtt::Pubrec>(), next, done);
    default:
      return answered(client, window.pubcomp(packet.as<mqtt::Pubcomp>().packetId), next, done);
  }
}

/// A PUBREC is answered with PUBREL, as soon as a durable session has stored that
/// it came: the receiver forgets the message by it. [v5:4.3.3-4]
Flow OutboundManager::recorded(Client& client, const mqtt::Pubrec& pubrec, Next next, Done done) {
  broker::Session& session = *client.session();
  broker::InflightWindow& window = session.window();
  Delivery* const delivery = window.find(pubrec.packetId);
  if (delivery && delivery->staged) {
    if (delivery->state == DeliveryState::awaitingPubcomp) return done();  // PUBREL is on its way
    return next(ReasonCode::protocolError);  // answers what was not sent yet
  }
  const bool failed = mqtt::isFailure(pubrec.code);  // [v5:4.4.0-2]
  const broker::Acknowledged acknowledged = window.pubrec(pubrec.packetId, failed);
  if (!failed && acknowledged.result == AckResult::unknownId)
    client.send(mqtt::Pubrel{pubrec.packetId, ReasonCode::packetIdentifierNotFound, {}});
  else if (!failed && (acknowledged.result == AckResult::repeated ||
                       (acknowledged.result == AckResult::accepted && store(session, *delivery))))
    client.send(mqtt::Pubrel{pubrec.packetId, ReasonCode::success, {}});
  return answered(client, acknowledged, next, done);
}

Flow OutboundManager::answered(Client& client, const broker::Acknowledged& acknowledged, Next next,
                               Done done) {
  if (acknowledged.result == AckResult::wrongState) return next(ReasonCode::protocolError);
  remove(*client.session(), acknowledged.number);
  if (acknowledged.result != AckResult::unknownId) sendMore(client);
  return done();
}

}  // namespace mqttstack
