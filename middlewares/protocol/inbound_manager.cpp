#include "middlewares/protocol/inbound_manager.hpp"

#include <utility>

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
      options_{options} {}

mqtt::PacketTypes InboundManager::packets() const noexcept {
  return mqtt::PacketType::publish | mqtt::PacketType::pubrel;
}

Flow InboundManager::on(NegotiateConnection& negotiate, SyncNext next, Done) {
  negotiate.terms.receiveMaximum = options_.receiveMaximum;
  negotiate.terms.topicAliasMaximum = options_.topicAliasMaximum;
  negotiate.terms.maximumQos = static_cast<Qos>(options_.maximumQos);
  // [v5:3.2.2-12]
  if (negotiate.connect.will && negotiate.connect.will->qos > negotiate.terms.maximumQos)
    return next(ReasonCode::qosNotSupported);
  return next();
}

Flow InboundManager::on(SessionEstablished& established, SyncNext next, Done) {
  if (established.client.isV5()) established.client.acceptTopicAliases(options_.topicAliasMaximum);
  return next();
}

Flow InboundManager::handle(Client& client, Packet& packet, Next next, Done done) {
  if (packet.type() == mqtt::PacketType::publish) return publish(client, packet, next, done);
  return release(client, packet.as<mqtt::Pubrel>(), next, done);
}

Flow InboundManager::publish(Client& client, const Packet& packet, Next next, Done done) {
  const auto& publish = packet.as<mqtt::Publish>();
  Acknowledgement acknowledgement;
  if (publish.qos != Qos::atMostOnce) {
    if (static_cast<std::uint16_t>(publish.qos) > options_.maximumQos)
      return next(ReasonCode::qosNotSupported);  // [v5:3.2.2-11]
    broker::IncomingIds& incoming = client.session()->incoming();
    if (publish.qos == Qos::exactlyOnce) {
      switch (incoming.state(publish.packetId)) {
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
    if (client.isV5() &&
        client.acknowledgements().pendingQos1() + incoming.size() >= options_.receiveMaximum)
      return next(ReasonCode::receiveMaximumExceeded);
    if (publish.qos == Qos::exactlyOnce) incoming.addPending(publish.packetId);
    acknowledgement = client.acknowledgements().open(client, publish.packetId, publish.qos);
  }

  return client.stack().call(
      RelayMessage{packet.message, std::move(acknowledgement), &client}, next,
      [this](std::error_code error, RelayMessage& relay, Next, Done finish) {
        // A message that is refused is answered, not the connection closed; at
        // QoS 0 there is no answer. [v5:3.3.5-2] [v311:3.3.5-2]
        if (error)
          relay.acknowledgement.fail(mqtt::reasonOf(error));
        else if (relay.matched == 0 && options_.reportNoSubscribers && relay.client->isV5())
          relay.acknowledgement.release(ReasonCode::noMatchingSubscribers);
        return finish();
      });
}

Flow InboundManager::release(Client& client, const mqtt::Pubrel& pubrel, Next next, Done done) {
  broker::IncomingIds& incoming = client.session()->incoming();
  const IncomingState state = incoming.state(pubrel.packetId);
  // Released before it was acknowledged as received: no order of packets of a
  // client that keeps the rules leads here.
  if (state == IncomingState::pending) return next(ReasonCode::protocolError);
  incoming.remove(pubrel.packetId);
  // [v5:4.3.3-11] [v311:4.3.3-2]
  client.send(mqtt::Pubcomp{
      pubrel.packetId,
      state == IncomingState::absent ? ReasonCode::packetIdentifierNotFound : ReasonCode::success,
      {}});
  return done();
}

}  // namespace mqttstack
