#include "middlewares/protocol/inbound_manager.hpp"

#include <algorithm>
#include <utility>

#include "core/mqtt/topic.hpp"
#include "core/stack/stack.hpp"

namespace mqttstack {

using broker::IncomingState;
using mqtt::Qos;
using mqtt::ReasonCode;

void InboundManager::Options::declare(OptionTable<Options>& table) {
  table
      .add("receive_maximum", &Options::receiveMaximum,
           "How many QoS 1 and 2 messages an MQTT 5 client may have under way to us.")
      .range(1, 65'535);
  table.add("topic_alias_maximum", &Options::topicAliasMaximum,
            "How many topic aliases an MQTT 5 client may use; 0 for none.");
  table.add("maximum_qos", &Options::maximumQos, "The highest QoS that clients may publish with.")
      .range(0, 2);
  table.add("report_no_subscribers", &Options::reportNoSubscribers,
            "Tells MQTT 5 publishers (reason code 0x10) that nobody was subscribed.");
}

InboundManager::InboundManager(Setup& setup, const Options& options)
    : Middleware{setup},
      options_{options},
      state_{setup.clientFields} {}

mqtt::PacketTypes InboundManager::packets() const noexcept {
  return mqtt::PacketType::publish | mqtt::PacketType::pubrel;
}

Flow InboundManager::on(NegotiateConnection& negotiate, SyncNext next, Done) {
  negotiate.terms.receiveMaximum = options_.receiveMaximum;
  negotiate.terms.topicAliasMaximum = options_.topicAliasMaximum;
  negotiate.terms.maximumQos = static_cast<Qos>(options_.maximumQos);
  return next();
}

Flow InboundManager::on(SessionEstablished& established, SyncNext next, Done) {
  if (established.client.isV5()) established.client.acceptTopicAliases(options_.topicAliasMaximum);
  State& state = state_(established.client);
  state.retainAvailable = established.terms.retainAvailable;
  if (const auto* incoming = established.session.incomingIfAny();
      incoming && incoming->size() != 0) {
    state.carriedOver = std::make_unique<broker::IdSet>();
    incoming->forEach([&](std::uint16_t id, IncomingState) { state.carriedOver->insert(id); });
  }
  return next();
}

Flow InboundManager::handle(Client& client, Packet& packet, Next next, Done done) {
  if (packet.type() == mqtt::PacketType::publish) return publish(client, packet, next, done);
  return release(client, packet.as<mqtt::Pubrel>(), next, done);
}

/// Whether this connection has as many messages under way as it may have: those
/// for which neither PUBACK nor PUBCOMP nor a failed PUBREC was sent.
bool InboundManager::receiveMaximumReached(Client& client) {
  const auto* incoming = client.session()->incomingIfAny();
  const auto& carriedOver = state_(client).carriedOver;
  const std::size_t received = incoming ? incoming->size() : 0;
  const std::size_t earlier = carriedOver ? carriedOver->size() : 0;
  return client.acknowledgements().pendingQos1() + received - std::min(received, earlier) >=
         options_.receiveMaximum;
}

/// The client goes on with a message of an earlier connection.
void InboundManager::countFromNowOn(Client& client, std::uint16_t packetId) {
  auto& carriedOver = state_(client).carriedOver;
  if (carriedOver && carriedOver->erase(packetId) && carriedOver->empty()) carriedOver.reset();
}

Flow InboundManager::publish(Client& client, const Packet& packet, Next next, Done done) {
  const auto& publish = packet.as<mqtt::Publish>();
  if (publish.retain && !state_(client).retainAvailable && client.isV5())
    return next(ReasonCode::retainNotSupported);  // [v5:3.2.2-14]
  if (publish.qos != Qos::atMostOnce) return publishAcknowledged(client, packet, next, done);
  if (mqtt::isServerTopic(publish.topic)) return done();  // [v5:4.7.2]
  // Refused or not: there is nobody to tell. [v311:3.3.5-2]
  return client.stack().call(
      RelayMessage{packet.message, {}, &client}, next,
      [](std::error_code, RelayMessage&, Next, Done finish) { return finish(); });
}

Flow InboundManager::publishAcknowledged(Client& client, const Packet& packet, Next next,
                                         Done done) {
  const auto& publish = packet.as<mqtt::Publish>();
  if (static_cast<std::uint16_t>(publish.qos) > options_.maximumQos)
    return next(ReasonCode::qosNotSupported);  // [v5:3.2.2-11]
  if (publish.qos == Qos::exactlyOnce) {
    countFromNowOn(client, publish.packetId);
    switch (client.session()->incoming().state(publish.packetId)) {
      case IncomingState::received:  // [v5:4.3.3-10] [v311:4.3.3-2]
        client.send(mqtt::Pubrec{publish.packetId, ReasonCode::success, {}});
        return done();
      case IncomingState::pending:  // the answer is on its way
        return done();
      case IncomingState::absent:
        break;
    }
  }
  // [v5:3.3.4-7] MQTT 3 knows no such limit; there, not reading is the answer.
  if (client.isV5() && receiveMaximumReached(client))
    return next(ReasonCode::receiveMaximumExceeded);
  if (publish.qos == Qos::exactlyOnce) client.session()->incoming().addPending(publish.packetId);
  Acknowledgement acknowledgement =
      client.acknowledgements().open(client, publish.packetId, publish.qos);

  // Whoever takes the acknowledgement takes it from the context; ours is the one
  // that knows how the walk ended.
  Acknowledgement ours = acknowledgement.share();
  // [v5:4.7.2] Answered like any message that its author may not publish.
  if (mqtt::isServerTopic(publish.topic)) {
    acknowledgement.fail(ReasonCode::notAuthorized);
    return done();
  }
  RelayMessage message{packet.message, std::move(acknowledgement), &client};
  if (publish.qos == Qos::exactlyOnce) message.packetId = publish.packetId;
  return client.stack().call(
      std::move(message), next,
      [this, ours = std::move(ours)](std::error_code error, RelayMessage& relay, Next,
                                     Done finish) mutable {
        // A message that is refused is answered, not the connection closed.
        // [v311:3.3.5-2]
        if (error) {
          ours.fail(mqtt::reasonOf(error));
          forgetRefused(relay);
        } else if (relay.matched == 0 && options_.reportNoSubscribers && relay.client->isV5()) {
          ours.release(ReasonCode::noMatchingSubscribers);
        }
        return finish();
      });
}

/// A QoS 2 message that is refused is over: no PUBREL comes. [v5:4.3.3-9]
void InboundManager::forgetRefused(const RelayMessage& relay) {
  if (relay.packetId == 0) return;
  broker::Session& session = *relay.client->session();
  if (!session.incoming().stored(relay.packetId)) return;
  ReleaseIncoming release{session, relay.packetId, {}};
  relay.client->stack().run(release);
}

Flow InboundManager::release(Client& client, const mqtt::Pubrel& pubrel, Next next, Done done) {
  broker::IncomingIds& incoming = client.session()->incoming();
  const IncomingState state = incoming.state(pubrel.packetId);
  // Released before it was acknowledged as received: no order of packets of a
  // client that keeps the rules leads here.
  if (state == IncomingState::pending) return next(ReasonCode::protocolError);
  const bool stored = incoming.stored(pubrel.packetId);
  incoming.remove(pubrel.packetId);
  countFromNowOn(client, pubrel.packetId);
  // [v5:4.3.3-11] [v311:4.3.3-2]
  if (stored) {
    ReleaseIncoming release{
        *client.session(), pubrel.packetId,
        client.acknowledgements().open(client, pubrel.packetId, AckKind::pubcomp)};
    client.stack().run(release);
    return done();
  }
  client.send(mqtt::Pubcomp{
      pubrel.packetId,
      state == IncomingState::absent ? ReasonCode::packetIdentifierNotFound : ReasonCode::success,
      {}});
  return done();
}

}  // namespace mqttstack
