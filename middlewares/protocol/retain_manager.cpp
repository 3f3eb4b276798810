#include "middlewares/protocol/retain_manager.hpp"

#include <algorithm>
#include <deque>
#include <string>
#include <utility>

#include "core/mqtt/topic.hpp"
#include "core/stack/stack.hpp"
#include "core/util/worker.hpp"

namespace mqttstack {

namespace {

/// When a client that has not taken what it was given is looked at again, should
/// nobody say that it has: soon, then less and less often.
constexpr std::chrono::milliseconds kFirstPatience{20};
constexpr std::chrono::milliseconds kLastPatience{640};
/// A replay goes on while less than this waits to be written to the client, and
/// in its session's queue.
constexpr std::size_t kMaxOutput = 64 * 1024;

}  // namespace

void RetainManager::Options::declare(OptionTable<Options>& table) {
  table
      .add("replay_slice", &Options::replaySlice,
           "How many retained messages a new subscription is given at a time, before others get "
           "their turn.")
      .range(1, 10'000);
  table.add("retain_available", &Options::retainAvailable,
            "Whether messages are retained. If not, MQTT 5 clients are told so, and what MQTT 3 "
            "clients publish with the flag is delivered without being kept.");
}

/// The retained messages for one subscription, as far as they are still to be
/// sent.
struct RetainManager::Replay {
  std::string filter;
  broker::RetainedCursor cursor;
  mqtt::Qos qos;
  bool noLocal;
  broker::SubscriptionIds identifiers;
};

/// The replays of one client, one after the other.
class RetainManager::Replays : public std::enable_shared_from_this<Replays> {
public:
  Replays(RetainManager& manager, Client& client) : manager_{manager}, client_{client} {}

  void add(Replay replay) { waiting_.push_back(std::move(replay)); }
  void remove(std::string_view filter) {
    std::erase_if(waiting_, [&](const Replay& replay) { return replay.filter == filter; });
  }

  /// Sends a slice and plans the next.
  void goOn() {
    broker::Session& session = *client_.session();
    if (!waiting_.empty() && !hasRoom(session)) {
      if (client_.outputBytes() > kMaxOutput) client_.notifyWhenDrained();
      manager_.scheduler().start(timer_, patience_);
      patience_ = std::min(patience_ * 2, kLastPatience);
      return;
    }
    patience_ = kFirstPatience;
    if (!waiting_.empty()) sendSlice(session);
    if (waiting_.empty())
      manager_.state_(client_).replays.reset();  // ends this object
    else
      wake();
  }

  /// Goes on in the next turn of the loop: the client has taken something.
  void wake() {
    if (std::exchange(awake_, true)) return;
    manager_.loop_.post([kept = weak_from_this()] {
      const std::shared_ptr<Replays> self = kept.lock();
      if (!self) return;
      self->awake_ = false;
      self->goOn();
    });
  }

private:
  bool hasRoom(const broker::Session& session) const noexcept {
    if (client_.outputBytes() > kMaxOutput) return false;
    const broker::DeliveryQueue* queue = session.queueIfAny();
    return !queue ||
           (queue->size() < manager_.options_.replaySlice && queue->bytes() <= kMaxOutput);
  }

  void sendSlice(broker::Session& session) {
    Replay& replay = waiting_.front();
    for (std::size_t i = manager_.options_.replaySlice; i > 0 && hasRoom(session); --i) {
      replay.cursor.next(1, manager_.scheduler().now(), [&](const broker::MessagePtr& message) {
        forward(session, replay, message);
      });
      if (replay.cursor.done()) return waiting_.pop_front();
    }
  }

  void forward(broker::Session& session, const Replay& replay, const broker::MessagePtr& message) {
    // [v5:3.8.3-3]
    if (replay.noLocal && message->author() && message->author()->clientId() == session.clientId())
      return;
    // [v5:3.3.1-9] [v311:3.3.1-8]
    ForwardMessage forward{session, message, mqtt::lower(replay.qos, message->qos()), true,
                           replay.identifiers};
    client_.stack().run(forward);
  }

  RetainManager& manager_;
  Client& client_;
  std::deque<Replay> waiting_;
  std::chrono::milliseconds patience_ = kFirstPatience;
  bool awake_ = false;  // about to go on
  Timer timer_ = Timer::calling<&Replays::goOn>(*this);
};

RetainManager::State::State() = default;
RetainManager::State::State(State&&) noexcept = default;
RetainManager::State::~State() = default;

RetainManager::RetainManager(Setup& setup, const Options& options)
    : Middleware{setup},
      options_{options},
      loop_{setup.loop},
      state_{setup.clientFields} {}

void RetainManager::validate(const Stack& stack, Diagnostics& diagnostics) const {
  const auto backend = stack.firstHandler<LookupRetainedMessages>();
  if (backend && *backend > stack.position(this))
    diagnostics.error(
        "\"" + name() + "\" stands before \"" + stack.middlewares()[*backend]->name() +
            "\", so retained messages would be sent before the subscription is granted",
        "move \"" + stack.middlewares()[*backend]->name() + "\" in front of \"" + name() + "\"");
}

Flow RetainManager::on(NegotiateConnection& negotiate, SyncNext next, Done) {
  negotiate.terms.retainAvailable = options_.retainAvailable;
  return next();
}

Flow RetainManager::on(RetainMessage& retain, SyncNext next, Done) {
  RelayMessage& relay = retain.relay;
  // [v5:3.3.1-8] [v311:3.3.1-12]
  if (!relay.message->retainFlag() || !options_.retainAvailable) return next();
  // [v5:3.3.1-5] [v311:3.3.1-5]
  StoreRetainedMessage store{relay.message, relay.acknowledgement};
  Stack* const stack = relay.client ? &relay.client->stack() : relay.stack;
  const std::error_code error = (stack ? *stack : home()).run(store);
  // Who can't be told that there is no room would send it again and again.
  const bool canBeTold = relay.client && relay.client->isV5() && relay.acknowledgement;
  if (error == mqtt::ReasonCode::quotaExceeded && !canBeTold) return next();
  return next(error);
}

Flow RetainManager::on(SubscribeTopic& subscribe, Next next, Done) {
  const mqtt::RetainHandling handling = subscribe.options.retainHandling;
  const bool wanted =
      handling == mqtt::RetainHandling::send ||
      (handling == mqtt::RetainHandling::sendIfNew && !subscribe.existed);  // [v5:3.3.1-10]
  // A session that is resumed has had them. [v5:3.3.1-11]
  if (!options_.retainAvailable || !wanted || subscribe.refused() || subscribe.restoring ||
      mqtt::splitSharedFilter(subscribe.filter).shared())
    return next();

  Client& client = subscribe.client;
  if (client.closing()) return next();
  // Subscribed to anew, the filter gets them anew. [v5:3.8.4-3] [v311:3.8.4-3]
  if (auto& replays = state_(client).replays) replays->remove(subscribe.filter);
  LookupRetainedMessages lookup{subscribe.filter};
  client.stack().run(lookup);
  for (broker::RetainedCursor& cursor : lookup.cursors) {
    auto& replays = state_(client).replays;
    if (!replays) replays = std::make_shared<Replays>(*this, client);
    Replay replay{std::string{subscribe.filter},
                  std::move(cursor),
                  subscribe.grantedQos(),
                  subscribe.options.noLocal,
                  {}};
    replay.identifiers.add(subscribe.identifier);
    replays->add(std::move(replay));
  }
  // A few are sent at once, so that most clients have them before the SUBACK.
  if (auto& replays = state_(client).replays) loop_.late() ? replays->wake() : replays->goOn();
  return next();
}

Flow RetainManager::on(UnsubscribeTopic& unsubscribe, Next next, Done) {
  // [v5:3.10.4-2] [v311:3.10.4-2]
  if (auto& replays = state_(unsubscribe.client).replays) replays->remove(unsubscribe.filter);
  return next();
}

Flow RetainManager::on(ClientDrained& drained, SyncNext next, Done) {
  if (auto& replays = state_(drained.client).replays) replays->wake();
  return next();
}

Flow RetainManager::on(RemoveOfflineMessages& taken, SyncNext next, Done) {
  Client* const client = taken.session.client();
  if (client && taken.session.queueEmpty())
    if (auto& replays = state_(*client).replays) replays->wake();
  return next();
}

Flow RetainManager::on(ConnectionLost& lost, SyncNext next, Done) {
  state_(lost.client).replays.reset();
  return next();
}

}  // namespace mqttstack
