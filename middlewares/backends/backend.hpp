#pragma once

#include <cstddef>
#include <cstdint>
#include <deque>
#include <optional>
#include <string_view>

#include "core/broker/retained_tree.hpp"
#include "core/broker/session_table.hpp"
#include "core/broker/topic_index.hpp"
#include "core/stack/callbacks.hpp"
#include "core/stack/client.hpp"
#include "core/stack/drops.hpp"
#include "core/stack/middleware.hpp"
#include "core/stack/options.hpp"
#include "core/util/line_limit.hpp"
#include "core/util/metrics.hpp"
#include "core/util/timer_wheel.hpp"
#include "middlewares/backends/fan_out.hpp"
#include "middlewares/backends/memory_budget.hpp"

namespace mqttstack {

/// What happens to a message for a session that has as many waiting as it may
/// have.
enum class Overflow : std::uint8_t { reject, dropOldest, dropNewest };

/// How much a backend keeps, options of every one of them.
struct BackendLimits {
  std::uint32_t maxQueuedMessages = 10'000;
  ByteCount maxQueuedBytes{16 * 1024 * 1024};
  std::uint32_t maxAllQueuedMessages = 10'000'000;
  ByteCount maxAllQueuedBytes{1024ULL * 1024 * 1024};
  Overflow overflow = Overflow::reject;
  std::uint32_t maxRetainedMessages = 1'000'000;
  ByteCount maxRetainedBytes{256 * 1024 * 1024};
  ByteCount memoryLimit{};
  std::uint32_t maxSubscriptions = 1000;

  /// `Options` is this or has this as its base.
  template <class Options>
  static void declare(OptionTable<Options>& table);
};

/// What all backends have in common, which is everything but where it is kept
/// for after the process: sessions, subscriptions, queued and retained messages
/// in memory, within their limits; and who a message is for.
///
/// A backend that keeps them elsewhere, too, derives from this and is told of
/// changes to durable sessions through the protected functions.
class Backend : public Middleware,
                public Handles<OpenSession>,
                public Handles<SuspendSession>,
                public Handles<SubscribeTopic>,
                public Handles<UnsubscribeTopic>,
                public Handles<StoreSubscription>,
                public Handles<RemoveSubscription>,
                public Handles<ClearSubscriptions>,
                public Handles<LookupSubscriptions>,
                public Handles<RelayMessage>,
                public Handles<StoreRetainedMessage>,
                public Handles<LookupRetainedMessages>,
                public Handles<StoreOfflineMessage>,
                public Handles<LookupOfflineMessages>,
                public Handles<RemoveOfflineMessages>,
                public Handles<ClearOfflineMessages> {
public:
  static constexpr std::string_view kOnlyOne = "backend";
  using Executes = Callbacks<ForwardMessage, CloseClient>;
  using MayExecute = Callbacks<RetainMessage, SessionEnded, MessageDropped>;

  ~Backend() override;

  void stop() override;

  Flow on(OpenSession& open, Next next, Done done) override;
  Flow on(SuspendSession& suspend, SyncNext next, Done done) override;
  Flow on(SubscribeTopic& subscribe, Next next, Done done) override;
  Flow on(UnsubscribeTopic& unsubscribe, Next next, Done done) override;
  Flow on(StoreSubscription& store, Next next, Done done) override;
  Flow on(RemoveSubscription& remove, Next next, Done done) override;
  Flow on(ClearSubscriptions& clear, Next next, Done done) override;
  Flow on(LookupSubscriptions& lookup, SyncNext next, Done done) override;
  Flow on(RelayMessage& relay, Next next, Done done) override;
  Flow on(StoreRetainedMessage& store, SyncNext next, Done done) override;
  Flow on(LookupRetainedMessages& lookup, SyncNext next, Done done) override;
  Flow on(StoreOfflineMessage& store, SyncNext next, Done done) override;
  Flow on(LookupOfflineMessages& lookup, SyncNext next, Done done) override;
  Flow on(RemoveOfflineMessages& remove, SyncNext next, Done done) override;
  Flow on(ClearOfflineMessages& clear, SyncNext next, Done done) override;

protected:
  Backend(Setup& setup, const BackendLimits& limits);

  /// A delivery is about to be queued for a durable session.
  virtual void queued(broker::Session&, broker::Delivery&) {}
  /// A delivery that was queued for a durable session was dropped. `soon`: others
  /// wait for its place; otherwise there may be very many, and no hurry.
  virtual void removed(broker::Session&, const broker::Delivery&, bool /*soon*/) {}
  /// A session is about to end; it has everything still.
  virtual void ending(broker::Session&) {}

  Stack& stackOf(const broker::Session& session) const noexcept {
    return session.stack() ? *session.stack() : home();
  }
  /// Has it retained, if it says so. Comes before what follows.
  std::error_code retain(RelayMessage& relay);
  /// Gives the message to all that it is for, in slices if they are very many.
  Flow relayInSlices(RelayMessage& relay, Next next) {
    return fanOut_.deliver(index_, relay, home(), next);
  }
  /// The same in one go. False if a session had no room, and the publisher was told.
  bool relayNow(RelayMessage& relay) { return fanOut_.deliverNow(index_, relay, home()); }
  void end(broker::Session& session);
  void planExpiry();
  /// Queues what a store has kept, whatever the limits.
  void restore(broker::Session& session, broker::Delivery delivery);
  /// Takes the delivery with that number in the store off the queue, if it is there.
  void dropQueued(broker::Session& session, std::uint64_t number, DropReason reason);
  void subscribed(std::int64_t change) { subscriptionCount_.add(change); }
  void countRetained();
  /// Retained messages were brought back: some may expire.
  void planSweep();

  Metric& sessionCount_;
  broker::SessionTable sessions_;
  broker::TopicIndex index_;
  broker::RetainedTree retained_;
  Drops drops_;

private:
  std::optional<DropReason> obstacle(const broker::Session& session,
                                     std::size_t bytes) const noexcept;
  bool emptyingMakesRoom(const broker::Session& session, std::size_t bytes) const noexcept;
  std::optional<DropReason> makeRoom(broker::Session& session, std::size_t bytes);
  void drop(broker::Session& session, const broker::Delivery& delivery, DropReason reason);
  void add(broker::Session& session, broker::Delivery delivery);
  void uncount(std::size_t messages, std::size_t bytes);
  void endExpired();
  void sweep();
  bool sweepQueues();
  bool mayRetain(const broker::Message& message);
  void matchCut(const RelayMessage& relay);
  void sweepSlice(broker::Session& session, std::size_t count);
  void discard(broker::Session& session, std::size_t count);
  void discardRemains();

  BackendLimits limits_;
  Metric& sessionsRefused_;
  Metric& subscriptionCount_;
  Metric& subscriptionsRefused_;
  Metric& retainedCount_;
  Metric& retainedRefused_;
  Metric& queuedCount_;
  Metric& queuedBytes_;
  MemoryBudget memory_;
  Metric& matchesCut_;
  LineLimit cutLines_{"messages with too many wildcards to look through"};
  bool retainedFullTold_ = false;

  FanOut fanOut_;
  std::deque<broker::SessionPtr> swept_;    // may have messages that expire
  std::size_t sweptUpTo_ = 0;               // of the queue of the first of them
  bool sweptSome_ = false;                  // there is one that expires later
  std::deque<broker::SessionPtr> remains_;  // ended, with a queue too long for one go
  Timer expiryTimer_ = Timer::calling<&Backend::endExpired>(*this);
  Timer sweepTimer_ = Timer::calling<&Backend::sweep>(*this);
  Timer remainsTimer_ = Timer::calling<&Backend::discardRemains>(*this);
};

template <class Options>
void BackendLimits::declare(OptionTable<Options>& table) {
  const auto add = [&table](std::string name, auto BackendLimits::*member, std::string text) {
    using Member = std::remove_reference_t<decltype(std::declval<BackendLimits&>().*member)>;
    table.add(std::move(name), static_cast<Member Options::*>(member), std::move(text));
  };
  add("max_subscriptions", &BackendLimits::maxSubscriptions,
      "How many subscriptions a session may have. Further ones are refused (MQTT 5: reason 0x97).");
  add("max_queued_messages", &BackendLimits::maxQueuedMessages,
      "How many messages wait for a session at most.");
  add("max_queued_bytes", &BackendLimits::maxQueuedBytes,
      "How much memory the messages that wait for a session take at most, with those that its "
      "client has been sent and has not acknowledged.");
  add("max_all_queued_messages", &BackendLimits::maxAllQueuedMessages,
      "How many messages wait for all sessions together at most.");
  add("max_all_queued_bytes", &BackendLimits::maxAllQueuedBytes,
      "How much memory the messages that wait for all sessions take at most, each counted once "
      "for every session.");
  table.addChoice("overflow", static_cast<Overflow Options::*>(&BackendLimits::overflow),
                  {{"reject", Overflow::reject},
                   {"drop_oldest", Overflow::dropOldest},
                   {"drop_newest", Overflow::dropNewest}},
                  "What happens to a message for a session that has as many waiting as it may "
                  "have. \"reject\" drops it for that session and tells an MQTT 5 publisher so "
                  "(reason 0x97); \"drop_newest\" drops it and tells nobody; \"drop_oldest\" drops "
                  "those that have waited longest. All are counted.");
  add("max_retained_messages", &BackendLimits::maxRetainedMessages,
      "How many retained messages there are at most; more are refused.");
  add("max_retained_bytes", &BackendLimits::maxRetainedBytes,
      "How much memory retained messages take at most.");
  add("memory_limit", &BackendLimits::memoryLimit,
      "How much memory messages take together at most that are queued, sent and not yet "
      "acknowledged, or retained, counted as for max_all_queued_bytes and max_retained_bytes. "
      "Beyond it messages are refused as beyond those, and so are clients that want a session to "
      "be kept and have none yet (MQTT 5: reason "
      "0x97). 0: half of the machine's memory, or half of what its cgroup allows the broker if "
      "that is less.");
}

}  // namespace mqttstack
