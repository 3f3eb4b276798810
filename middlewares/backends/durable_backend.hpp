#pragma once

#include <boost/unordered/unordered_flat_map.hpp>
#include <cstdint>
#include <deque>
#include <functional>
#include <memory>
#include <optional>
#include <set>
#include <string>
#include <vector>

#include "core/util/timer_wheel.hpp"
#include "middlewares/backends/backend.hpp"
#include "middlewares/backends/journal.hpp"
#include "middlewares/backends/store.hpp"
#include "middlewares/backends/store_clock.hpp"

namespace mqttstack {

/// A backend that keeps durable sessions and retained messages in a Store as
/// well: it writes what changes into a Journal, and lets go of what is promised
/// to a client when the journal says that it is stored.
///
/// In this order, whatever happens: a message and the identifier of its QoS 2
/// PUBLISH are stored before it is acknowledged; a session is stored, or no more,
/// before the CONNACK says so; a subscription before its SUBACK and the end of
/// one before its UNSUBACK; the packet identifier of a QoS 2 message before its
/// PUBLISH goes out; that PUBREC came before PUBREL is sent; that PUBREL came
/// before PUBCOMP is sent. What is only received twice if it is forgotten (a
/// PUBACK, a PUBCOMP) is stored with the next batch.
///
/// Sessions that end with their connection, and QoS 0 messages that are not
/// retained, cost nothing here.
class DurableBackend : public Backend,
                       public Handles<StoreDelivery>,
                       public Handles<RemoveDelivery>,
                       public Handles<ReleaseIncoming>,
                       public Handles<AwaitStored>,
                       public Handles<PostponeWill>,
                       public Handles<RemoveWill>,
                       private JournalOwner {
public:
  using MayExecute =
      Callbacks<RetainMessage, SessionEnded, MessageDropped, DeliveryStored, RestoreWill>;

  ~DurableBackend() override;

  void stop() override;

  using Backend::on;
  Flow on(OpenSession& open, Next next, Done done) override;
  Flow on(SuspendSession& suspend, SyncNext next, Done done) override;
  Flow on(StoreSubscription& store, Next next, Done done) override;
  Flow on(RemoveSubscription& remove, Next next, Done done) override;
  Flow on(ClearSubscriptions& clear, Next next, Done done) override;
  Flow on(RelayMessage& relay, Next next, Done done) override;
  Flow on(StoreRetainedMessage& store, SyncNext next, Done done) override;
  Flow on(StoreDelivery& store, SyncNext next, Done done) override;
  Flow on(RemoveDelivery& remove, SyncNext next, Done done) override;
  Flow on(ReleaseIncoming& release, SyncNext next, Done done) override;
  Flow on(AwaitStored& await, Next next, Done done) override;
  Flow on(PostponeWill& postpone, SyncNext next, Done done) override;
  Flow on(RemoveWill& remove, SyncNext next, Done done) override;

protected:
  DurableBackend(Setup& setup, const BackendLimits& limits);

  /// Brings back what `store` has kept, and keeps it there from now on, by way of
  /// `committer`, which commits to that store. `bootId` as StoreClock has it.
  /// Called by start(). Returns what is wrong, for the operator.
  std::string startWith(Store& store, std::unique_ptr<Committer> committer, const JournalPace& pace,
                        std::string bootId);

private:
  class Restoring;
  struct Stalled {
    RelayMessage* relay;
    Next next;
    Deferred later;
  };
  struct LeftWill {
    broker::SessionPtr session;
    StoredWill will;
    TimePoint due;
  };

  // Backend
  void queued(broker::Session& session, broker::Delivery& delivery) override;
  void removed(broker::Session& session, const broker::Delivery& delivery, bool soon) override;
  void ending(broker::Session& session) override;
  // JournalOwner
  void settle(Waiter waiter, bool stored) override;
  void undo(Operation& operation) override;
  void roomAgain() override;
  void refused(const std::string& message) override;
  void broken(const std::string& message) override;

  std::error_code relayStored(RelayMessage& relay);
  void keep(const OpenSession& open);
  void putSession(broker::Session& session, bool created);
  void forget(broker::Session& session);
  void forgetQueue(broker::Session& session);
  std::uint64_t put(broker::Session& session, const broker::Delivery& delivery);
  void undo(const PutDelivery& put);
  void undo(const PutRetained& put);
  void undo(const PutSession& put);
  void undo(const PutSubscription& put);
  broker::Session* sessionOf(std::uint64_t key) const noexcept;
  void restoreWills();
  void updateMetrics() noexcept;

  LoopExecutor& loop_;
  std::function<void()> giveUp_;
  Metric& commits_;
  Metric& operations_;
  Metric& waitingBytes_;
  Metric& refusals_;

  boost::unordered_flat_map<std::uint64_t, broker::Session*> byKey_;
  std::uint64_t lastKey_ = 0;
  std::optional<StoreClock> clock_;
  std::unique_ptr<Journal> journal_;
  std::deque<Stalled> stalled_;  // publishers that have to wait
  std::multiset<std::string, std::less<>>
      leaving_;                            // clients whose sessions are not out of the store yet
  std::set<std::uint64_t> notSubscribed_;  // sessions of whose subscriptions some were undone
  std::vector<LeftWill> leftWills_;        // brought back, until last_will has them
  std::optional<TimePoint> refusalTold_;
  bool broken_ = false;                    // nothing can be stored any more
  bool undoing_ = false;                   // what is dropped was never stored
  std::shared_ptr<DurableBackend*> self_;  // null for what is posted and comes too late
};

}  // namespace mqttstack
