#include "middlewares/backends/memory_backend.hpp"

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
constexpr std::chrono::seconds kSweepInterval{1};

}  // namespace

void MemoryBackend::Options::declare(OptionTable<Options>& table) {
  table.add("max_queued_messages", &Options::maxQueuedMessages,
            "How many messages wait for a session at most; what comes then is dropped.");
  table.add("max_queued_bytes", &Options::maxQueuedBytes,
            "How much memory the messages that wait for a session take at most.");
  table.add("max_retained_messages", &Options::maxRetainedMessages,
            "How many retained messages there are at most; more are refused.");
  table.add("max_retained_bytes", &Options::maxRetainedBytes,
            "How much memory retained messages take at most.");
}

MemoryBackend::MemoryBackend(Setup& setup, const Options& options)
    : Middleware{setup},
      options_{options},
      sessionCount_{setup.metrics.counter("sessions", "sessions kept, connected or not")},
      subscriptionCount_{setup.metrics.counter("subscriptions", "subscriptions of all sessions")},
      retainedCount_{setup.metrics.counter("retained_messages", "retained messages")},
      queuedCount_{setup.metrics.counter("queued_messages", "messages that wait for sessions")},
      fanOut_{setup.scheduler, setup.loop} {}

MemoryBackend::~MemoryBackend() { stop(); }

void MemoryBackend::stop() {
  fanOut_.clear();
  sessions_.forEach([this](broker::Session& session) { index_.removeSession(session); });
  retained_.clear();
}

// Sessions.

Flow MemoryBackend::on(OpenSession& open, Next next, Done) {
  Client& client = open.client;
  broker::SessionPtr session = sessions_.find(open.clientId);
  if (session && !session->belongsTo(*client.identity())) {
    log().warning("{} asked for the session of user \"{}\", and was refused", client.describe(),
                  mqtt::printable(session->owner()->principal()));
    return next(ReasonCode::clientIdentifierNotValid);
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
  sessions_.attach(*session, client, client.stack(), client.identity());
  broker::TopicIndex::sessionConnected(*session);
  open.session = std::move(session);
  return next();
}

Flow MemoryBackend::on(SuspendSession& suspend, SyncNext next, Done) {
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

void MemoryBackend::end(broker::Session& session) {
  const broker::SessionPtr pin{&session};
  SessionEnded ended{session};
  stackOf(session).run(ended);
  subscriptionCount_.add(-static_cast<std::int64_t>(index_.removeSession(session)));
  if (sessions_.remove(session)) sessionCount_.add(-1);
  if (const auto* queue = session.queueIfAny(); queue && !queue->empty()) {
    queuedCount_.add(-static_cast<std::int64_t>(queue->size()));
    session.queue().clear();
  }
}

void MemoryBackend::planExpiry() {
  const TimePoint next = sessions_.nextExpiry();
  if (next == TimePoint::max()) return expiryTimer_.cancel();
  if (expiryTimer_.running() && expiryTimer_.deadline() <= next) return;
  scheduler().start(expiryTimer_, std::max(next - scheduler().now(), Duration::zero()));
}

void MemoryBackend::endExpired() {
  sessions_.expired(
      scheduler().now(),
      [this](const broker::SessionPtr& session) {
        log().info("the session of \"{}\" has expired", mqtt::printable(session->clientId()));
        end(*session);
      },
      kSweepSlice);
  planExpiry();
}

// Subscriptions.

Flow MemoryBackend::on(SubscribeTopic& subscribe, Next next, Done) {
  if (subscribe.refused()) return next();
  // It waited so long that the session has gone to another connection, or is over.
  if (subscribe.session.client() != &subscribe.client) return next(ReasonCode::sessionTakenOver);
  mqtt::SubscriptionOptions options = subscribe.options;
  options.qos = subscribe.grantedQos();  // [v5:3.8.4-8]
  subscribe.existed =
      index_.subscribe(subscribe.filter, subscribe.session, options, subscribe.identifier);
  if (!subscribe.existed) subscriptionCount_.add();
  return next();
}

Flow MemoryBackend::on(UnsubscribeTopic& unsubscribe, Next next, Done) {
  if (unsubscribe.session.client() != &unsubscribe.client)
    return next(ReasonCode::sessionTakenOver);
  if (index_.unsubscribe(unsubscribe.filter, unsubscribe.session)) {
    unsubscribe.code = ReasonCode::success;
    subscriptionCount_.add(-1);
  }
  return next();
}

// What is stored of a session is what it has: both are the same table here.

Flow MemoryBackend::on(StoreSubscription& store, Next next, Done) {
  if (store.session.ended()) return next(ReasonCode::sessionTakenOver);
  if (!index_.subscribe(store.filter, store.session, store.options, store.identifier))
    subscriptionCount_.add();
  return next();
}

Flow MemoryBackend::on(RemoveSubscription& remove, Next next, Done) {
  if (index_.unsubscribe(remove.filter, remove.session)) subscriptionCount_.add(-1);
  return next();
}

Flow MemoryBackend::on(ClearSubscriptions& clear, Next next, Done) {
  subscriptionCount_.add(-static_cast<std::int64_t>(index_.removeSession(clear.session)));
  return next();
}

Flow MemoryBackend::on(LookupSubscriptions& lookup, SyncNext next, Done) {
  index_.forEachSubscription(
      lookup.session, [&](std::string_view filter, const broker::SubscriptionDetails& details) {
        lookup.subscriptions.push_back({std::string{filter}, details.options, details.identifier});
      });
  return next();
}

// Messages.

Flow MemoryBackend::on(RelayMessage& relay, Next next, Done) {
  return fanOut_.deliver(index_, relay, home(), next);
}

Flow MemoryBackend::on(StoreOfflineMessage& store, SyncNext next, Done) {
  broker::DeliveryQueue& queue = store.session.queue();
  if (queue.size() >= options_.maxQueuedMessages ||
      queue.bytes() + store.delivery.bytes() > options_.maxQueuedBytes.count) {
    store.reason = DropReason::queueFull;
    return next();
  }
  queue.push(std::move(store.delivery));
  queuedCount_.add();
  store.stored = true;
  return next();
}

Flow MemoryBackend::on(LookupOfflineMessages& lookup, SyncNext next, Done) {
  if (!lookup.session.queueEmpty()) lookup.next = &lookup.session.queue().front();
  return next();
}

Flow MemoryBackend::on(RemoveOfflineMessages& remove, SyncNext next, Done) {
  for (std::size_t i = 0; i < remove.count && !remove.session.queueEmpty(); ++i) {
    remove.session.queue().popFront();
    queuedCount_.add(-1);
  }
  return next();
}

Flow MemoryBackend::on(ClearOfflineMessages& clear, SyncNext next, Done) {
  if (!clear.session.queueEmpty()) {
    queuedCount_.add(-static_cast<std::int64_t>(clear.session.queue().size()));
    clear.session.queue().clear();
  }
  return next();
}

// Retained.

Flow MemoryBackend::on(StoreRetainedMessage& store, SyncNext next, Done) {
  const broker::Message& message = *store.message;
  if (!mayRetain(message)) {
    if (!std::exchange(retainedFullTold_, true))
      log().warning(
          "a retained message for \"{}\" was refused, and others may be: there are {} of {} bytes "
          "already; raise max_retained_messages or max_retained_bytes",
          mqtt::printable(message.topic()), retained_.size(), retained_.bytes());
    return next(ReasonCode::quotaExceeded);
  }
  retained_.store(store.message);
  countRetained();
  if (message.expires() && !sweepTimer_.running()) scheduler().start(sweepTimer_, kSweepInterval);
  return next();
}

/// Whether the limits allow it. What takes the place of another message counts
/// for what it is larger.
bool MemoryBackend::mayRetain(const broker::Message& message) const {
  if (message.payload().empty()) return true;
  const broker::MessagePtr former = retained_.find(message.topic(), scheduler().now());
  if (!former && retained_.size() >= options_.maxRetainedMessages) return false;
  const std::size_t freed = former ? former->footprint() : 0;
  return message.footprint() <= freed ||
         retained_.bytes() - freed + message.footprint() <= options_.maxRetainedBytes.count;
}

Flow MemoryBackend::on(LookupRetainedMessages& lookup, SyncNext next, Done) {
  if (!retained_.empty()) lookup.cursors.emplace_back(retained_, lookup.filter);
  return next();
}

void MemoryBackend::sweepRetained() {
  retained_.removeExpired(scheduler().now(), kSweepSlice);
  countRetained();
  if (!retained_.empty()) scheduler().start(sweepTimer_, kSweepInterval);
}

void MemoryBackend::countRetained() noexcept {
  retainedCount_.value = static_cast<std::int64_t>(retained_.size());
}

}  // namespace mqttstack
