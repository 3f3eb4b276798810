#include <algorithm>
#include <utility>

#include "core/mqtt/text.hpp"
#include "core/mqtt/topic.hpp"
#include "core/stack/stack.hpp"
#include "core/util/worker.hpp"
#include "middlewares/backends/durable_backend.hpp"

// How a durable backend begins: with what the last one left.
namespace mqttstack {

/// Takes the rows of a store and makes sessions, queues and retained messages of
/// them. Rows that make no sense are counted, and taken out of the store.
class DurableBackend::Restoring final : public StoreReader {
public:
  Restoring(DurableBackend& backend, std::string bootId)
      : backend_{backend},
        bootId_{std::move(bootId)},
        now_{backend.scheduler().now()} {}

  void clock(const StoreClock::Setting& stored, StoreTime latest) override {
    backend_.clock_.emplace(backend_.scheduler(), bootId_, stored, latest);
  }
  const StoreClock& clock() const override { return *backend_.clock_; }

  void session(PutSession row) override {
    backend_.lastKey_ = std::max(backend_.lastKey_, row.key);
    if (row.clientId.empty() || row.key == 0 || row.expiryInterval == 0 ||
        backend_.sessions_.find(row.clientId) || !row.owner)
      return leaveOut(DropSession{row.key});
    const broker::SessionPtr session = backend_.sessions_.create(row.clientId, row.owner);
    backend_.sessionCount_.add();
    if (row.identity) session->setIdentity(std::move(row.identity));
    session->setStack(&backend_.stackNamed(row.pipeline));
    session->setStoreKey(row.key);
    session->setExpiryInterval(row.expiryInterval);
    // A session that was connected lost its connection with the last broker.
    wereConnected_ = wereConnected_ || row.disconnectedAt == 0;
    session->setDisconnectedAt(
        row.disconnectedAt == 0 ? now_ : std::min(now_, clock().fromStored(row.disconnectedAt)));
    backend_.sessions_.scheduleExpiry(*session);
    backend_.byKey_.emplace(row.key, session.get());
  }

  void subscription(PutSubscription row) override {
    broker::Session* const session = backend_.sessionOf(row.session);
    if (!session || !mqtt::isValidTopicFilter(row.filter)) {
      return leaveOut(
          std::make_unique<DropSubscription>(DropSubscription{row.session, std::move(row.filter)}));
    }
    if (!backend_.index_.subscribe(row.filter, *session, row.options, row.identifier))
      backend_.subscribed(1);
  }

  void incoming(PutIncoming row) override {
    broker::Session* const session = backend_.sessionOf(row.session);
    if (!session || row.packetId == 0) return leaveOut(DropIncoming{row.session, row.packetId});
    session->incoming().markReceived(row.packetId);
    session->incoming().markStored(row.packetId);
  }

  void delivery(PutDelivery row) override {
    using broker::DeliveryState;
    lastNumber_ = std::max(lastNumber_, row.number);
    broker::Session* const session = backend_.sessionOf(row.session);
    if (!session && row.session != 0) {  // its session has ended: see forget()
      backend_.lastKey_ = std::max(backend_.lastKey_, row.session);
      return leftovers_.push_back(row.number);
    }
    if (!session || (!row.message && row.state != DeliveryState::awaitingPubcomp))
      return leaveOut(DropDelivery{row.number});
    broker::Delivery delivery;
    delivery.message = std::move(row.message);
    delivery.subscriptionIds = std::move(row.subscriptionIds);
    delivery.number = row.number;
    delivery.packetId = row.packetId;
    delivery.qos = row.qos;
    delivery.state = row.state;
    delivery.retain = row.retain;
    if (delivery.state == DeliveryState::queued) {
      delivery.packetId = 0;
      return backend_.restore(*session, std::move(delivery));
    }
    if (delivery.state == DeliveryState::awaitingPubcomp) delivery.message.reset();
    if (!session->window().restore(std::move(delivery))) leaveOut(DropDelivery{row.number});
  }

  void retained(broker::MessagePtr message) override {
    if (message->payload().empty() || message->expired(now_)) {
      if (message->payload().empty()) ++leftOut_;
      leavings_.emplace_back(DropRetained{std::move(message)});
      return;
    }
    expiring_ = expiring_ || message->expires();
    backend_.retained_.store(std::move(message));
  }

  void will(PutWill row) override {
    broker::SessionPtr session{backend_.sessionOf(row.session)};
    if (!row.will.author || row.session == 0) return leaveOut(DropWill{row.session});
    if (!session) {  // it has ended, and the will was about to be published
      session =
          broker::SessionPtr{new broker::Session{row.will.author->clientId(), row.will.author}};
      session->setStoreKey(row.session);
      backend_.lastKey_ = std::max(backend_.lastKey_, row.session);
    }
    // A client that was connected vanished with the last broker.
    wereConnected_ = wereConnected_ || row.due == 0;
    const TimePoint due =
        row.due == 0 ? now_ + std::chrono::seconds{row.will.delay} : clock().fromStored(row.due);
    backend_.leftWills_.push_back({std::move(session), std::move(row.will), due});
  }

  /// What is to be done once there is a journal.
  void finish() {
    Journal& journal = *backend_.journal_;
    journal.continueBehind(lastNumber_);
    if (wereConnected_) journal.add(LeaveAll{clock().toStored(now_)});
    for (Operation& each : leavings_) journal.add(std::move(each));
    for (const std::uint64_t each : leftovers_) journal.dropLater(each);
    backend_.countRetained();
    if (expiring_) backend_.planSweep();
  }
  /// Messages for sessions that had ended.
  std::size_t leftovers() const noexcept { return leftovers_.size(); }
  /// Rows that made no sense.
  std::size_t leftOut() const noexcept { return leftOut_; }

private:
  void leaveOut(Operation drop) {
    ++leftOut_;
    leavings_.push_back(std::move(drop));
  }

  DurableBackend& backend_;
  std::string bootId_;
  TimePoint now_;
  std::uint64_t lastNumber_ = 0;
  std::vector<Operation> leavings_;
  std::vector<std::uint64_t> leftovers_;
  std::size_t leftOut_ = 0;
  bool expiring_ = false;
  bool wereConnected_ = false;  // somebody was
};

std::string DurableBackend::startWith(Store& store, std::unique_ptr<Committer> committer,
                                      const JournalPace& pace, std::string bootId) {
  const TimePoint begun = scheduler().now();
  Restoring restoring{*this, std::move(bootId)};
  std::vector<std::string> warnings;
  std::string wrong = store.open(restoring, warnings);
  if (!wrong.empty()) {
    Backend::stop();
    return wrong;
  }
  for (const std::string& warning : warnings) log().warning("{}", warning);
  if (restoring.leftOut() != 0)
    log().warning("{} rows of the store made no sense and were left out", restoring.leftOut());
  if (restoring.leftovers() != 0)
    log().info("{} messages are for sessions that have ended, and go", restoring.leftovers());
  JournalOwner& owner = *this;
  journal_ = std::make_unique<Journal>(owner, scheduler(), loop_, std::move(committer), pace);
  restoring.finish();
  std::size_t waiting = 0;
  sessions_.forEach([&](const broker::Session& session) {
    if (const auto* queue = session.queueIfAny()) waiting += queue->size();
    if (const auto* window = session.windowIfAny()) waiting += window->size();
  });
  const auto took =
      std::chrono::duration_cast<std::chrono::milliseconds>(scheduler().now() - begun);
  log().info(
      "brought back {} sessions, {} subscriptions, {} messages for them, {} retained ones "
      "in {} ms",
      sessions_.size(), index_.subscriptions(), waiting, retained_.size(), took.count());
  // Everybody else has started by then.
  loop_.post([self = self_] {
    if (*self) (*self)->restoreWills();
  });
  return {};
}

void DurableBackend::restoreWills() {
  for (LeftWill& left : std::exchange(leftWills_, {})) {
    RestoreWill restore{*left.session, left.will, left.due};
    Stack& stack = stackOf(*left.session);
    if (stack.handled<RestoreWill>())
      stack.run(restore);
    else
      journal_->add(DropWill{left.session->storeKey()});
  }
  planExpiry();
}

}  // namespace mqttstack
