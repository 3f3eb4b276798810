#include "middlewares/backends/durable_backend.hpp"

#include <algorithm>
#include <utility>

#include "core/mqtt/text.hpp"
#include "core/stack/stack.hpp"
#include "core/util/worker.hpp"

namespace mqttstack {

using broker::DeliveryState;
using mqtt::Qos;
using mqtt::ReasonCode;

namespace {

/// How often the operator is told that there is no room.
constexpr std::chrono::minutes kTellInterval{1};

}  // namespace

DurableBackend::DurableBackend(Setup& setup, const BackendLimits& limits)
    : Backend{setup, limits},
      loop_{setup.loop},
      giveUp_{setup.giveUp},
      commits_{setup.metrics.counter("store_commits", "batches that were stored")},
      operations_{setup.metrics.counter("store_operations", "changes that were stored")},
      waitingBytes_{
          setup.metrics.counter("store_waiting_bytes", "memory of what waits to be stored")},
      refusals_{setup.metrics.counter("store_refusals", "batches that the store had no room for")},
      self_{std::make_shared<DurableBackend*>(this)} {
  retained_.onExpired([this](const broker::Message& message) {
    if (journal_) journal_->add(DropRetained{broker::MessagePtr{&message}});
  });
}

DurableBackend::~DurableBackend() {
  *self_ = nullptr;
  DurableBackend::stop();
}

void DurableBackend::stop() {
  if (journal_) journal_->stop();
  stalled_.clear();
  leftWills_.clear();
  Backend::stop();
}

// Sessions.

Flow DurableBackend::on(OpenSession& open, Next next, Done done) {
  // What has failed to be stored is not known to the next connection.
  if (!journal_ || broken_) return next(ReasonCode::serverUnavailable);
  journal_->begin();
  const Flow flow = Backend::on(open, next, done);
  if (flow.continues()) keep(open);
  const bool waits = journal_->added() || leaving_.contains(open.clientId);
  if (!flow.continues() || !waits) {
    journal_->end();
    return flow;
  }
  return next.defer([&](Deferred later) {
    journal_->wait(std::move(later));
    journal_->end();
  });
}

/// The session that is opened is stored if it is to outlive the connection.
void DurableBackend::keep(const OpenSession& open) {
  broker::Session& session = *open.session;
  if (!session.persistent()) {
    if (session.durable()) {
      journal_->add(DropWill{session.storeKey()});  // [v5:3.1.3-9]
      forget(session);
      forgetQueue(session);
      session.setStoreKey(0);
    }
    return;
  }
  const bool created = !session.durable();
  if (created) {
    session.setStoreKey(++lastKey_);
    byKey_.emplace(lastKey_, &session);
  }
  putSession(session, created);
  if (open.will && open.client.stack().handled<RestoreWill>()) {
    auto put = std::make_unique<PutWill>();
    put->session = session.storeKey();
    put->will = StoredWill::of(*open.will, open.client.identity());
    const std::size_t bytes = put->will.payload.size();
    journal_->add(std::move(put), bytes);
  } else if (!created) {
    journal_->add(DropWill{session.storeKey()});
  }
}

void DurableBackend::putSession(broker::Session& session, bool created) {
  auto put = std::make_unique<PutSession>();
  put->key = session.storeKey();
  put->clientId = session.clientId();
  put->owner = session.owner();
  put->identity = session.identity();
  put->pipeline = stackOf(session).name();
  put->expiryInterval = session.expiryInterval();
  put->disconnectedAt = session.connected() ? 0 : clock_->toStored(session.disconnectedAt());
  put->created = created;
  put->generation = session.generation();
  journal_->add(std::move(put), sizeof(PutSession));
}

Flow DurableBackend::on(SuspendSession& suspend, SyncNext next, Done done) {
  broker::Session& session = suspend.session;
  const bool leaves = session.client() == &suspend.client && !session.ended();
  if (!journal_) return next();
  journal_->begin();
  const Flow flow = Backend::on(suspend, next, done);
  if (leaves && !session.ended() && session.durable()) putSession(session, false);
  journal_->end();
  return flow;
}

void DurableBackend::ending(broker::Session& session) {
  if (session.durable()) forget(session);
}

/// Takes a session out of the store, but for its will, which has a life of its own,
/// and what waits for it: that belongs to nobody from then on, and goes when there
/// is time.
void DurableBackend::forget(broker::Session& session) {
  byKey_.erase(session.storeKey());
  journal_->begin();
  if (session.windowIfAny())
    session.window().forEach([this](broker::Delivery& delivery) {
      if (delivery.number != 0) journal_->dropLater(std::exchange(delivery.number, 0));
    });
  journal_->add(DropSession{session.storeKey()});
  leaving_.insert(session.clientId());
  journal_->wait(ForgottenWaiter{session.clientId()});
  journal_->end();
}

void DurableBackend::forgetQueue(broker::Session& session) {
  if (session.queueEmpty()) return;
  broker::DeliveryQueue& queue = session.queue();
  for (std::size_t i = 0; i < queue.size(); ++i)
    if (queue[i].number != 0) journal_->dropLater(std::exchange(queue[i].number, 0));
}

broker::Session* DurableBackend::sessionOf(std::uint64_t key) const noexcept {
  const auto found = byKey_.find(key);
  return found == byKey_.end() ? nullptr : found->second;
}

// Subscriptions.

Flow DurableBackend::on(StoreSubscription& store, Next next, Done done) {
  const Flow flow = Backend::on(store, next, done);
  if (!flow.continues() || !store.session.durable()) return flow;
  auto put = std::make_unique<PutSubscription>();
  put->session = store.session.storeKey();
  put->filter = store.filter;
  put->options = store.options;
  put->identifier = store.identifier;
  put->existed = store.existed;
  journal_->add(std::move(put), sizeof(PutSubscription) + store.filter.size());
  return flow;
}

Flow DurableBackend::on(RemoveSubscription& remove, Next next, Done done) {
  if (remove.session.durable())
    journal_->add(std::make_unique<DropSubscription>(
        DropSubscription{remove.session.storeKey(), std::string{remove.filter}}));
  return Backend::on(remove, next, done);
}

Flow DurableBackend::on(ClearSubscriptions& clear, Next next, Done done) {
  if (clear.session.durable() && clear.session.subscriptions() != 0)
    journal_->add(
        std::make_unique<DropSubscription>(DropSubscription{clear.session.storeKey(), {}}));
  return Backend::on(clear, next, done);
}

Flow DurableBackend::on(AwaitStored& await, Next next, Done) {
  return next.defer([&](Deferred later) {
    journal_->wait(SessionWaiter{std::move(later), await.session.storeKey()});
  });
}

// Messages.

Flow DurableBackend::on(RelayMessage& relay, Next next, Done) {
  const bool mayBeStored = relay.message->qos() != Qos::atMostOnce || relay.message->retainFlag();
  if (!mayBeStored) return relayInSlices(relay, next);
  // The publisher is not read from until the store has caught up.
  if (relay.client && journal_->full())
    return next.defer([&](Deferred later) {
      stalled_.push_back({&relay, next, std::move(later)});
    });
  return next(relayStored(relay));
}

std::error_code DurableBackend::relayStored(RelayMessage& relay) {
  journal_->begin();
  if (const std::error_code error = retain(relay)) {
    journal_->end();
    return error;
  }
  const bool accepted = relayNow(relay);
  if (journal_->added()) {
    if (accepted && relay.packetId != 0 && relay.client && relay.client->session()->durable()) {
      broker::Session& publisher = *relay.client->session();
      journal_->add(PutIncoming{publisher.storeKey(), relay.packetId});
      publisher.incoming().markStored(relay.packetId);
    }
    if (relay.acknowledgement) journal_->wait(relay.acknowledgement.share());
  }
  journal_->end();
  return {};
}

void DurableBackend::roomAgain() {
  auto stalled = std::exchange(stalled_, {});
  for (Stalled& each : stalled)
    each.later.settleWith([&] { return each.next(relayStored(*each.relay)); });
}

std::uint64_t DurableBackend::put(broker::Session& session, const broker::Delivery& delivery) {
  return journal_->put({0, session.storeKey(), delivery.message, delivery.subscriptionIds,
                        delivery.packetId, delivery.qos, delivery.state, delivery.retain});
}

void DurableBackend::queued(broker::Session& session, broker::Delivery& delivery) {
  if (delivery.qos != Qos::atMostOnce) delivery.number = put(session, delivery);
}

void DurableBackend::removed(broker::Session&, const broker::Delivery& delivery, bool soon) {
  if (delivery.number == 0 || undoing_) return;
  soon ? journal_->drop(delivery.number) : journal_->dropLater(delivery.number);
}

Flow DurableBackend::on(StoreDelivery& store, SyncNext next, Done) {
  broker::Delivery& delivery = store.delivery;
  if (!store.session.durable()) return next();
  journal_->begin();
  if (delivery.number != 0)
    journal_->move({delivery.number, delivery.packetId, delivery.state});
  else if (delivery.message)
    delivery.number = put(store.session, delivery);
  // The receiver of a QoS 2 message knows it by its packet identifier: what comes
  // next must not be sent with one that might be forgotten.
  if (delivery.qos == Qos::exactlyOnce && delivery.number != 0) {
    store.wait = true;
    journal_->wait(
        DeliveryWaiter{broker::SessionPtr{&store.session}, delivery.number, delivery.packetId});
  }
  journal_->end();
  return next();
}

Flow DurableBackend::on(RemoveDelivery& remove, SyncNext next, Done) {
  journal_->drop(remove.number);
  return next();
}

Flow DurableBackend::on(ReleaseIncoming& release, SyncNext next, Done) {
  if (!release.session.durable()) return next();
  journal_->begin();
  journal_->add(DropIncoming{release.session.storeKey(), release.packetId});
  journal_->wait(std::move(release.acknowledgement));
  journal_->end();
  return next();
}

Flow DurableBackend::on(StoreRetainedMessage& store, SyncNext next, Done done) {
  const broker::MessagePtr& message = store.message;
  broker::MessagePtr former = retained_.find(message->topic(), scheduler().now());
  const Flow flow = Backend::on(store, next, done);
  if (!flow.continues()) return flow;
  journal_->begin();
  if (message->payload().empty())
    journal_->add(DropRetained{message}, message->footprint());
  else
    journal_->add(PutRetained{message, std::move(former)}, message->footprint());
  if (store.acknowledgement) journal_->wait(store.acknowledgement.share());
  journal_->end();
  return flow;
}

// Wills.

Flow DurableBackend::on(PostponeWill& postpone, SyncNext next, Done) {
  if (postpone.session.durable())
    journal_->add(MoveWill{postpone.session.storeKey(), clock_->toStored(postpone.due)});
  return next();
}

Flow DurableBackend::on(RemoveWill& remove, SyncNext next, Done) {
  if (remove.session.durable()) journal_->add(DropWill{remove.session.storeKey()});
  return next();
}

// What the journal has to say.

void DurableBackend::settle(Waiter waiter, bool stored) {
  const ReasonCode reason = broken_ ? ReasonCode::unspecifiedError : ReasonCode::quotaExceeded;
  if (auto* acknowledgement = std::get_if<Acknowledgement>(&waiter)) {
    stored ? acknowledgement->release() : acknowledgement->fail(reason);
  } else if (auto* later = std::get_if<Deferred>(&waiter)) {
    stored ? later->next() : later->fail(reason);
  } else if (auto* await = std::get_if<SessionWaiter>(&waiter)) {
    const bool undone = notSubscribed_.erase(await->session) != 0;
    stored && !undone ? await->later.next() : await->later.fail(reason);
  } else if (const auto* forgotten = std::get_if<ForgottenWaiter>(&waiter)) {
    leaving_.erase(leaving_.find(forgotten->clientId));
  } else if (const auto* delivery = std::get_if<DeliveryWaiter>(&waiter); stored) {
    DeliveryStored callback{*delivery->session, delivery->number, delivery->packetId};
    stackOf(*delivery->session).run(callback);
  }
  updateMetrics();
}

void DurableBackend::updateMetrics() noexcept {
  if (!journal_) return;
  commits_.value = static_cast<std::int64_t>(journal_->commits());
  operations_.value = static_cast<std::int64_t>(journal_->storedOperations());
  waitingBytes_.value = static_cast<std::int64_t>(journal_->bytes());
}

void DurableBackend::refused(const std::string& message) {
  refusals_.add();
  const TimePoint now = scheduler().now();
  if (refusalTold_ && now < *refusalTold_ + kTellInterval) return;
  refusalTold_ = now;
  log().error("{}; what cannot be stored is refused until that is over", message);
}

void DurableBackend::broken(const std::string& message) {
  broken_ = true;
  log().error("{}; nothing is acknowledged any more, and the broker ends", message);
  if (giveUp_) giveUp_();
}

// Undoing.

void DurableBackend::undo(Operation& operation) {
  if (const auto* delivery = std::get_if<PutDelivery>(&operation)) return undo(*delivery);
  if (const auto* retained = std::get_if<PutRetained>(&operation)) return undo(*retained);
  if (const auto* session = std::get_if<std::unique_ptr<PutSession>>(&operation))
    return undo(**session);
  if (const auto* subscription = std::get_if<std::unique_ptr<PutSubscription>>(&operation))
    return undo(**subscription);
  // PutIncoming: the refused PUBREC takes the identifier back.
}

/// A message that was queued or waits in the window is taken back; one that was
/// sent already goes on without the store.
void DurableBackend::undo(const PutDelivery& put) {
  broker::Session* const session = sessionOf(put.session);
  if (!session) return;
  broker::Delivery* sent = nullptr;
  if (session->windowIfAny())
    session->window().forEach([&](broker::Delivery& delivery) {
      if (delivery.number == put.number) sent = &delivery;
    });
  if (!sent) {
    undoing_ = true;
    dropQueued(*session, put.number, DropReason::notStored);
    undoing_ = false;
    return;
  }
  const bool unsent = sent->staged && sent->state == DeliveryState::awaitingPubrec;
  sent->number = 0;
  sent->staged = false;
  if (!unsent) return;
  session->window().pubrec(sent->packetId, true);
  drops_.drop(stackOf(*session), *session, *put.message, DropReason::notStored);
  if (session->client()) session->client()->notifyWhenDrained();  // its slot is free
}

void DurableBackend::undo(const PutRetained& put) {
  const TimePoint now = scheduler().now();
  if (retained_.find(put.message->topic(), now) != put.message) return;  // not any more
  if (put.former)
    retained_.store(put.former);
  else
    retained_.remove(put.message->topic());
  countRetained();
}

void DurableBackend::undo(const PutSession& put) {
  broker::Session* const session = sessionOf(put.key);
  // Another connection that has taken it over meanwhile has put it anew.
  if (!session || session->generation() != put.generation) return;
  byKey_.erase(put.key);
  session->setStoreKey(0);
  end(*session);
}

void DurableBackend::undo(const PutSubscription& put) {
  broker::Session* const session = sessionOf(put.session);
  if (!session) return;
  notSubscribed_.insert(put.session);
  if (!put.existed && index_.unsubscribe(put.filter, *session)) subscribed(-1);
}

}  // namespace mqttstack
