#include "middlewares/backends/backend.hpp"

#include <algorithm>
#include <utility>

#include "core/mqtt/text.hpp"
#include "core/stack/stack.hpp"

namespace mqttstack {

using mqtt::ReasonCode;

namespace {

/// Sessions that are ended, and retained messages that are looked at, before the
/// loop gets its turn.
constexpr std::size_t kSweepSlice = 256;
/// The same for messages that wait for sessions.
constexpr std::size_t kMessageSlice = 4096;
constexpr std::chrono::seconds kSweepInterval{1};
/// The same while there is more to look through than was looked at.
constexpr std::chrono::milliseconds kBusySweepInterval{20};
/// What an ended session leaves behind goes in slices that often.
constexpr std::chrono::milliseconds kDiscardInterval{5};

}  // namespace

Backend::Backend(Setup& setup, const BackendLimits& limits)
    : Middleware{setup},
      sessionCount_{setup.metrics.counter("sessions", "sessions kept, connected or not")},
      drops_{setup.metrics},
      limits_{limits},
      sessionsRefused_{setup.metrics.counter(
          "sessions_refused", "new sessions to be kept that there was no memory for")},
      subscriptionCount_{setup.metrics.counter("subscriptions", "subscriptions of all sessions")},
      subscriptionsRefused_{setup.metrics.counter("subscriptions_refused",
                                                  "subscriptions beyond what a session may have")},
      retainedCount_{setup.metrics.counter("retained_messages", "retained messages")},
      retainedRefused_{setup.metrics.counter("retained_messages_refused",
                                             "retained messages beyond what may be kept")},
      queuedCount_{setup.metrics.counter("queued_messages", "messages that wait for sessions")},
      queuedBytes_{
          setup.metrics.counter("queued_bytes", "memory of the messages that wait for sessions")},
      memory_{setup.metrics, log(), limits.memoryLimit},
      matchesCut_{setup.metrics.counter(
          "matches_cut", "messages for which not all wildcard filters were looked through")},
      fanOut_{setup.scheduler, setup.loop, [this](const RelayMessage& relay) { matchCut(relay); }} {
}

Backend::~Backend() { Backend::stop(); }

void Backend::stop() {
  fanOut_.clear();
  sessions_.forEach([this](broker::Session& session) { index_.removeSession(session); });
  swept_.clear();
  remains_.clear();
  retained_.clear();
  countRetained();
}

// Sessions.

Flow Backend::on(OpenSession& open, Next next, Done) {
  Client& client = open.client;
  broker::SessionPtr session = sessions_.find(open.clientId);
  if (session && !session->belongsTo(*client.identity())) {
    log().warning("{} asked for the session of user \"{}\", and was refused", client.describe(),
                  mqtt::printable(session->owner()->principal()));
    return next(ReasonCode::clientIdentifierNotValid);
  }
  if (open.expiryInterval != 0 && !(session && session->persistent()) && memory_.exhausted()) {
    sessionsRefused_.add();
    return next(ReasonCode::quotaExceeded);
  }
  if (session && session->connected()) {  // [v5:3.1.4-3] [v311:3.1.4-2]
    Client& old = *session->client();
    CloseClient close{old, ReasonCode::sessionTakenOver};
    old.stack().run(close);
    SuspendSession suspend{*session, old};
    old.stack().run(suspend);
    if (session->ended()) session.reset();
  }
  if (session && open.cleanStart) {  // [v5:3.1.2-4] [v311:3.1.2-6]
    end(*session);
    session.reset();
  }
  open.present = session != nullptr;
  if (!session) {
    session = sessions_.create(open.clientId, client.identity());  // [v5:3.1.2-6]
    sessionCount_.add();
  }
  session->setExpiryInterval(open.expiryInterval);
  sessions_.attach(*session, client, client.stack(), client.identity());
  broker::TopicIndex::sessionConnected(*session);
  open.session = std::move(session);
  return next();
}

Flow Backend::on(SuspendSession& suspend, SyncNext next, Done) {
  broker::Session& session = suspend.session;
  if (session.client() != &suspend.client || session.ended()) return next();
  sessions_.detach(session, scheduler().now());
  if (session.persistent()) {
    session.releaseIdleMemory();
    planExpiry();
  } else {
    end(session);  // [v5:4.1.0-2] [v311:3.1.2-6]
  }
  return next();
}

void Backend::end(broker::Session& session) {
  const broker::SessionPtr pin{&session};
  SessionEnded ended{session};
  stackOf(session).run(ended);
  ending(session);
  subscribed(-static_cast<std::int64_t>(index_.removeSession(session)));
  if (sessions_.remove(session)) sessionCount_.add(-1);
  if (session.queueEmpty()) return;
  if (session.queue().size() <= kMessageSlice) return discard(session, kMessageSlice);
  remains_.push_back(pin);
  if (!remainsTimer_.running()) scheduler().start(remainsTimer_, kDiscardInterval);
}

/// Lets go of the first `count` messages that waited for a session that has ended.
void Backend::discard(broker::Session& session, std::size_t count) {
  broker::DeliveryQueue& queue = session.queue();
  for (; count != 0 && !queue.empty(); --count) {
    const broker::Delivery delivery = queue.popFront();
    uncount(1, delivery.bytes());
    if (session.durable()) removed(session, delivery, false);
  }
  if (queue.empty()) queue.clear();
}

void Backend::discardRemains() {
  discard(*remains_.front(), kMessageSlice);
  if (remains_.front()->queueEmpty()) remains_.pop_front();
  if (!remains_.empty()) scheduler().start(remainsTimer_, kDiscardInterval);
}

void Backend::planExpiry() {
  const TimePoint next = sessions_.nextExpiry();
  if (next == TimePoint::max()) return expiryTimer_.cancel();
  if (expiryTimer_.running() && expiryTimer_.deadline() <= next) return;
  scheduler().start(expiryTimer_, std::max(next - scheduler().now(), Duration::zero()));
}

/// Ends the sessions whose time has come, in slices, by sessions and by what waits
/// for them.
void Backend::endExpired() {
  std::size_t messages = 0;
  for (std::size_t i = 0; i < kSweepSlice && messages < kMessageSlice; ++i) {
    const auto endOne = [&](const broker::SessionPtr& session) {
      log().info("the session of \"{}\" has expired", mqtt::printable(session->clientId()));
      if (const auto* queue = session->queueIfAny()) messages += queue->size();
      end(*session);
    };
    if (sessions_.expired(scheduler().now(), endOne, 1) == 0) break;
  }
  planExpiry();
}

// Subscriptions.

Flow Backend::on(SubscribeTopic& subscribe, Next next, Done) {
  if (subscribe.refused()) return next();
  // It waited so long that the session has gone to another connection, or is over.
  if (subscribe.session.client() != &subscribe.client) return next(ReasonCode::sessionTakenOver);
  // One that it has may be changed, and those that it had come back, in any case.
  if (!subscribe.restoring && subscribe.session.subscriptions() >= limits_.maxSubscriptions &&
      !index_.find(subscribe.filter, subscribe.session)) {
    subscriptionsRefused_.add();
    subscribe.granted = ReasonCode::quotaExceeded;
    return next();
  }
  mqtt::SubscriptionOptions options = subscribe.options;
  options.qos = subscribe.grantedQos();  // [v5:3.8.4-8]
  subscribe.existed =
      index_.subscribe(subscribe.filter, subscribe.session, options, subscribe.identifier);
  if (!subscribe.existed) subscribed(1);
  return next();
}

Flow Backend::on(UnsubscribeTopic& unsubscribe, Next next, Done) {
  if (unsubscribe.session.client() != &unsubscribe.client)
    return next(ReasonCode::sessionTakenOver);
  if (index_.unsubscribe(unsubscribe.filter, unsubscribe.session)) {
    unsubscribe.code = ReasonCode::success;
    subscribed(-1);
  }
  return next();
}

// What is stored of a session is what it has: both are the same table here.

Flow Backend::on(StoreSubscription& store, Next next, Done) {
  if (store.session.ended()) return next(ReasonCode::sessionTakenOver);
  if (!index_.subscribe(store.filter, store.session, store.options, store.identifier))
    subscribed(1);
  return next();
}

Flow Backend::on(RemoveSubscription& remove, Next next, Done) {
  if (index_.unsubscribe(remove.filter, remove.session)) subscribed(-1);
  return next();
}

Flow Backend::on(ClearSubscriptions& clear, Next next, Done) {
  subscribed(-static_cast<std::int64_t>(index_.removeSession(clear.session)));
  return next();
}

Flow Backend::on(LookupSubscriptions& lookup, SyncNext next, Done) {
  index_.forEachSubscription(
      lookup.session, [&](std::string_view filter, const broker::SubscriptionDetails& details) {
        lookup.subscriptions.push_back({std::string{filter}, details.options, details.identifier});
      });
  return next();
}

// Messages.

Flow Backend::on(RelayMessage& relay, Next next, Done) {
  if (const std::error_code error = retain(relay)) return next(error);
  return relayInSlices(relay, next);
}

std::error_code Backend::retain(RelayMessage& relay) {
  if (!relay.message->retainFlag()) return {};
  Stack* const stack = relay.client ? &relay.client->stack() : relay.stack;
  RetainMessage retain{relay};
  return (stack ? *stack : home()).run(retain);
}

void Backend::matchCut(const RelayMessage& relay) {
  matchesCut_.add();
  if (!cutLines_.admits(scheduler().now(), log())) return;
  const broker::IdentityPtr& author = relay.message->author();
  log().warning(
      "a message for \"{}\" from {} may not have reached all its subscribers: more than {} levels "
      "of filters with wildcards match the topic; see who subscribes to so many of them",
      mqtt::printable(relay.message->topic()),
      relay.client ? relay.client->describe()
      : author     ? '"' + mqtt::printable(author->clientId()) + '"'
                   : std::string{"the broker"},
      broker::WildcardTrie::kMaxVisits);
}

Flow Backend::on(StoreOfflineMessage& store, SyncNext next, Done) {
  broker::Session& session = store.session;
  if (const auto reason = makeRoom(session, store.delivery.bytes())) {
    if (limits_.overflow == Overflow::reject) fanOut_.reject();
    store.reason = *reason;
    return next();
  }
  if (session.durable()) queued(session, store.delivery);
  add(session, std::move(store.delivery));
  store.stored = true;
  return next();
}

/// What is in the way of so many bytes more for the session, if anything is.
std::optional<DropReason> Backend::obstacle(const broker::Session& session,
                                            std::size_t bytes) const noexcept {
  const broker::DeliveryQueue* queue = session.queueIfAny();
  const auto all = static_cast<std::uint64_t>(queuedCount_.value);
  const auto allBytes = static_cast<std::uint64_t>(queuedBytes_.value);
  const bool mayQueue = (queue ? queue->size() : 0) < limits_.maxQueuedMessages &&
                        session.outgoingBytes() + bytes <= limits_.maxQueuedBytes.count &&
                        all < limits_.maxAllQueuedMessages &&
                        allBytes + bytes <= limits_.maxAllQueuedBytes.count;
  if (!mayQueue) return DropReason::queueFull;
  if (!memory_.fits(bytes)) return DropReason::memoryLimit;
  return std::nullopt;
}

/// Whether so many bytes could be taken if nothing waited for the session.
bool Backend::emptyingMakesRoom(const broker::Session& session, std::size_t bytes) const noexcept {
  const broker::DeliveryQueue* queue = session.queueIfAny();
  const std::size_t freed = queue ? queue->bytes() : 0;
  const auto all = static_cast<std::uint64_t>(queuedCount_.value) - (queue ? queue->size() : 0);
  const auto allBytes = static_cast<std::uint64_t>(queuedBytes_.value) - freed;
  return session.outgoingBytes() - freed + bytes <= limits_.maxQueuedBytes.count &&
         all < limits_.maxAllQueuedMessages &&
         allBytes + bytes <= limits_.maxAllQueuedBytes.count && memory_.fits(bytes, freed);
}

/// Drops what the policy allows of what waits for the session, QoS 0 first. If
/// that is not enough, returns why; then it drops none but QoS 0.
std::optional<DropReason> Backend::makeRoom(broker::Session& session, std::size_t bytes) {
  std::optional<DropReason> reason;
  while ((reason = obstacle(session, bytes))) {
    if (*reason == DropReason::memoryLimit) memory_.refused();
    if (session.queueEmpty()) break;
    broker::DeliveryQueue& queue = session.queue();
    std::optional<broker::Delivery> dropped = queue.dropNewestQos0();
    if (!dropped) {
      if (limits_.overflow != Overflow::dropOldest || !emptyingMakesRoom(session, bytes)) break;
      dropped = queue.popFront();
    }
    drop(session, *dropped, *reason);
  }
  return reason;
}

/// A delivery has been taken off the queue, and nobody gets it.
void Backend::drop(broker::Session& session, const broker::Delivery& delivery, DropReason reason) {
  uncount(1, delivery.bytes());
  if (session.durable()) removed(session, delivery, reason == DropReason::queueFull);
  drops_.drop(stackOf(session), session, *delivery.message, reason);
}

void Backend::add(broker::Session& session, broker::Delivery delivery) {
  queuedCount_.add();
  queuedBytes_.add(static_cast<std::int64_t>(delivery.bytes()));
  if (delivery.message->expires() && !session.swept()) {
    session.setSwept(true);
    swept_.emplace_back(&session);
    planSweep();
  }
  session.queue().push(std::move(delivery));
}

void Backend::uncount(std::size_t messages, std::size_t bytes) {
  queuedCount_.add(-static_cast<std::int64_t>(messages));
  queuedBytes_.add(-static_cast<std::int64_t>(bytes));
  memory_.freed();
}

void Backend::restore(broker::Session& session, broker::Delivery delivery) {
  add(session, std::move(delivery));
}

void Backend::dropQueued(broker::Session& session, std::uint64_t number, DropReason reason) {
  if (session.queueEmpty()) return;
  // It came a short time ago.
  const auto dropped = session.queue().dropNewest(
      [number](const broker::Delivery& delivery) { return delivery.number == number; });
  if (dropped) drop(session, *dropped, reason);
}

Flow Backend::on(LookupOfflineMessages& lookup, SyncNext next, Done) {
  if (!lookup.session.queueEmpty()) lookup.next = &lookup.session.queue().front();
  return next();
}

Flow Backend::on(RemoveOfflineMessages& remove, SyncNext next, Done) {
  for (std::size_t i = 0; i < remove.count && !remove.session.queueEmpty(); ++i)
    uncount(1, remove.session.queue().popFront().bytes());
  return next();
}

Flow Backend::on(ClearOfflineMessages& clear, SyncNext next, Done) {
  if (clear.session.queueEmpty()) return next();
  broker::DeliveryQueue& queue = clear.session.queue();
  if (clear.session.durable())
    for (std::size_t i = 0; i < queue.size(); ++i) removed(clear.session, queue[i], false);
  uncount(queue.size(), queue.bytes());
  queue.clear();
  return next();
}

// Retained.

Flow Backend::on(StoreRetainedMessage& store, SyncNext next, Done) {
  const broker::Message& message = *store.message;
  if (!mayRetain(message)) {
    retainedRefused_.add();
    return next(ReasonCode::quotaExceeded);
  }
  retained_.store(store.message);
  countRetained();
  if (message.expires()) planSweep();
  return next();
}

/// Whether the limits allow it; if not, the operator is told. What takes the place
/// of another message counts for what it is larger.
bool Backend::mayRetain(const broker::Message& message) {
  if (message.payload().empty()) return true;
  const broker::MessagePtr former = retained_.find(message.topic(), scheduler().now());
  const std::size_t freed = former ? former->footprint() : 0;
  if (message.footprint() <= freed) return true;
  const std::size_t growth = message.footprint() - freed;
  if ((!former && retained_.size() >= limits_.maxRetainedMessages) ||
      retained_.bytes() + growth > limits_.maxRetainedBytes.count) {
    if (!std::exchange(retainedFullTold_, true))
      log().warning(
          "a retained message for \"{}\" was refused, and others may be: there {} {} already, {} "
          "bytes; raise max_retained_messages or max_retained_bytes",
          mqtt::printable(message.topic()), retained_.size() == 1 ? "is" : "are", retained_.size(),
          retained_.bytes());
    return false;
  }
  if (memory_.fits(growth)) return true;
  memory_.refused();
  return false;
}

Flow Backend::on(LookupRetainedMessages& lookup, SyncNext next, Done) {
  if (!retained_.empty()) lookup.cursors.emplace_back(retained_, lookup.filter);
  return next();
}

// What has expired goes, also if nobody asks for it.

void Backend::planSweep() {
  if (!sweepTimer_.running()) scheduler().start(sweepTimer_, kSweepInterval);
}

void Backend::sweep() {
  retained_.removeExpired(scheduler().now(), kSweepSlice);
  countRetained();
  const bool more = sweepQueues();
  if (more)
    scheduler().start(sweepTimer_, kBusySweepInterval);
  else if (!retained_.empty() || !swept_.empty())
    planSweep();
}

/// Looks through a few thousand messages of the queues, and goes on there the next
/// time. True if it did not come round to all of them.
bool Backend::sweepQueues() {
  std::size_t budget = kMessageSlice;
  std::size_t left = swept_.size();
  while (left > 0 && budget > 0) {
    const broker::SessionPtr session = swept_.front();
    const std::size_t size = session->queueEmpty() ? 0 : session->queue().size();
    if (!session->ended() && sweptUpTo_ < size) {
      const std::size_t count = std::min(budget, size - sweptUpTo_);
      budget -= count;
      sweepSlice(*session, count);
      if (sweptUpTo_ < session->queue().size()) {
        sweptSome_ = true;  // messages that are sent meanwhile make it miss some
        continue;
      }
    }
    swept_.pop_front();
    session->setSwept(sweptSome_ && !session->ended());
    if (session->swept()) swept_.push_back(session);
    sweptUpTo_ = 0;
    sweptSome_ = false;
    --left;
  }
  return left != 0;
}

void Backend::sweepSlice(broker::Session& session, std::size_t count) {
  const TimePoint now = scheduler().now();
  std::vector<broker::Delivery> dropped;
  session.queue().removeIf(sweptUpTo_, count, [&](const broker::Delivery& delivery) {
    const bool expired = delivery.message->expired(now);
    if (expired) dropped.push_back(delivery);
    sweptSome_ = sweptSome_ || (!expired && delivery.message->expires());
    return expired;
  });
  sweptUpTo_ += count - dropped.size();
  for (const broker::Delivery& delivery : dropped) drop(session, delivery, DropReason::expired);
}

void Backend::countRetained() {
  retainedCount_.value = static_cast<std::int64_t>(retained_.size());
  memory_.setRetained(retained_.bytes());
  memory_.freed();
}

}  // namespace mqttstack
