#include "middlewares/protocol/last_will.hpp"

#include <string>
#include <utility>

#include "core/mqtt/text.hpp"
#include "core/mqtt/topic.hpp"
#include "core/stack/stack.hpp"

namespace mqttstack {

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

  // [v5:3.1.2-7]
  state_(client).will = std::make_unique<Testament>(Testament::of(will, nullptr));
  return next();
}

Flow LastWill::on(SessionEstablished& established, SyncNext next, Done) {
  delayed_.erase(&established.session);  // [v5:3.1.3-9]
  state_(established.client).generation = established.session.generation();
  return next();
}

Flow LastWill::on(CleanDisconnect& disconnect, Next next, Done) {
  // [v5:3.14.4-3] [v311:3.14.4-3]
  State& state = state_(disconnect.client);
  const bool owns = disconnect.session.generation() - state.generation <= 1;
  if (std::exchange(state.will, nullptr) && owns) remove(disconnect.session);
  return next();
}

Flow LastWill::on(UncleanDisconnect& disconnect, Next next, Done) {
  State& state = state_(disconnect.client);
  auto will = std::move(state.will);
  if (!will) return next();
  will->author = disconnect.client.identity();
  broker::Session& session = disconnect.session;
  // A connection has taken the session over meanwhile, maybe for a short time.
  // Leaving it was one generation, whoever came next another.
  const bool takenOver = session.generation() - state.generation > 1;
  if (will->delay == 0 || (session.ended() && !takenOver)) {
    publish(disconnect.client.stack(), *will);
    if (!takenOver) remove(session);
    return next();
  }
  if (takenOver) return next();  // not sent [v5:3.1.3-9]
  const std::chrono::seconds span{will->delay};
  if (session.durable()) {
    PostponeWill postpone{session, scheduler().now() + span};
    stackOf(session).run(postpone);
  }
  delay(session, std::move(will), span);
  return next();
}

void LastWill::delay(broker::Session& session, std::unique_ptr<Testament> will, Duration span) {
  auto delayed =
      std::unique_ptr<Delayed>{new Delayed{*this, broker::SessionPtr{&session}, std::move(will)}};
  scheduler().start(delayed->timer, span);
  delayed_[&session] = std::move(delayed);
}

Flow LastWill::on(RestoreWill& restore, SyncNext next, Done) {
  delay(restore.session, std::make_unique<Testament>(std::move(restore.will)),
        restore.due - scheduler().now());
  return next();
}

/// Nobody has to keep the will of a durable session any more.
void LastWill::remove(broker::Session& session) const {
  if (!session.durable()) return;
  RemoveWill remove{session};
  stackOf(session).run(remove);
}

Flow LastWill::on(SessionEnded& ended, SyncNext next, Done) {
  // Published from the loop: whoever ends a session is in the middle of that.
  if (const auto found = delayed_.find(&ended.session); found != delayed_.end())
    scheduler().start(found->second->timer, Duration::zero());
  return next();
}

void LastWill::due(Delayed& delayed) {
  const auto node = delayed_.extract(delayed.session.get());
  publish(stackOf(*delayed.session), *delayed.will);
  remove(*delayed.session);
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
