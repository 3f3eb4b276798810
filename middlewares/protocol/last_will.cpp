#include "middlewares/protocol/last_will.hpp"

#include <string>
#include <utility>

#include "core/mqtt/text.hpp"
#include "core/mqtt/topic.hpp"
#include "core/stack/stack.hpp"

namespace mqttstack {

/// A will and whose it is. Becomes a message only when it is published: its
/// expiry counts from then.
struct LastWill::Testament {
  std::string topic;
  std::string payload;
  std::string properties;
  broker::IdentityPtr author;
  std::optional<std::uint32_t> expiryInterval;
  std::chrono::seconds delay{0};
  mqtt::Qos qos = mqtt::Qos::atMostOnce;
  bool retain = false;
};

/// A will whose client has gone and whose delay runs. Keeps the session, whose
/// address is its name, alive.
struct LastWill::Delayed {
  LastWill& middleware;
  broker::SessionPtr session;
  std::unique_ptr<Testament> will;
  Timer timer = Timer::calling<&Delayed::due>(*this);

  void due() { middleware.due(*this); }
};

LastWill::State::State() = default;
LastWill::State::State(State&&) noexcept = default;
LastWill::State::~State() = default;

LastWill::LastWill(Setup& setup, const Options&) : Middleware{setup}, state_{setup.clientFields} {}

LastWill::~LastWill() = default;

void LastWill::stop() { delayed_.clear(); }

mqtt::PacketTypes LastWill::packets() const noexcept { return mqtt::PacketType::connect; }

Flow LastWill::handle(Client& client, Packet& packet, Next next, Done) {
  const auto& connect = packet.as<mqtt::Connect>();
  if (!connect.will || client.connected()) return next();
  const mqtt::Will& will = *connect.will;
  if (mqtt::isServerTopic(will.topic)) return next(mqtt::ReasonCode::notAuthorized);

  auto testament = std::make_unique<Testament>();  // [v5:3.1.2-7]
  testament->topic = will.topic;
  testament->payload = will.payload;
  testament->qos = will.qos;
  testament->retain = will.retain;
  testament->expiryInterval = will.properties.number(mqtt::PropertyId::messageExpiryInterval);
  testament->delay =
      std::chrono::seconds{will.properties.number(mqtt::PropertyId::willDelayInterval).value_or(0)};
  // [v5:3.1.3-10]
  mqtt::copyPropertiesExcept(
      will.properties,
      {mqtt::PropertyId::willDelayInterval, mqtt::PropertyId::messageExpiryInterval},
      testament->properties);
  state_(client).will = std::move(testament);
  return next();
}

Flow LastWill::on(SessionEstablished& established, SyncNext next, Done) {
  delayed_.erase(&established.session);  // [v5:3.1.3-9]
  state_(established.client).generation = established.session.generation();
  return next();
}

Flow LastWill::on(CleanDisconnect& disconnect, Next next, Done) {
  state_(disconnect.client).will.reset();  // [v5:3.14.4-3] [v311:3.14.4-3]
  return next();
}

Flow LastWill::on(UncleanDisconnect& disconnect, Next next, Done) {
  State& state = state_(disconnect.client);
  auto will = std::move(state.will);
  if (!will) return next();
  will->author = disconnect.client.identity();
  broker::Session& session = disconnect.session;
  if (will->delay.count() == 0) {
    publish(disconnect.client.stack(), *will);
    return next();
  }
  // A connection has taken the session over meanwhile, maybe for a short time:
  // not sent. Leaving it was one generation, whoever came next another.
  // [v5:3.1.3-9]
  if (session.generation() - state.generation > 1) return next();
  if (session.ended()) {
    publish(disconnect.client.stack(), *will);
    return next();
  }

  const std::chrono::seconds delay = will->delay;
  auto delayed =
      std::unique_ptr<Delayed>{new Delayed{*this, broker::SessionPtr{&session}, std::move(will)}};
  scheduler().start(delayed->timer, delay);
  delayed_[&session] = std::move(delayed);
  return next();
}

Flow LastWill::on(SessionEnded& ended, SyncNext next, Done) {
  // Published from the loop: whoever ends a session is in the middle of that.
  if (const auto found = delayed_.find(&ended.session); found != delayed_.end())
    scheduler().start(found->second->timer, Duration::zero());
  return next();
}

void LastWill::due(Delayed& delayed) {
  const auto node = delayed_.extract(delayed.session.get());
  Stack* const stack = delayed.session->stack();
  publish(stack ? *stack : home(), *delayed.will);
}

void LastWill::publish(Stack& stack, const Testament& will) {
  broker::MessageFields fields;
  fields.topic = will.topic;
  fields.payload = will.payload;
  fields.properties = mqtt::Properties{will.properties};
  fields.qos = will.qos;
  fields.retain = will.retain;  // [v5:3.1.2-14] [v5:3.1.2-15]
  fields.expiryInterval = will.expiryInterval;
  fields.received = scheduler().now();
  fields.author = will.author;
  RelayMessage publication{broker::Message::create(std::move(fields))};
  publication.stack = &stack;
  stack.execute(std::move(publication), [this](std::error_code error, RelayMessage& relay) {
    if (!error) return;
    log().info("will of \"{}\" for topic \"{}\" was not published: {}",
               mqtt::printable(relay.message->author()->clientId()),
               mqtt::printable(relay.message->topic()), error.message());
  });
}

}  // namespace mqttstack
