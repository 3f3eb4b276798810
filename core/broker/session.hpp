#pragma once

#include <cstddef>
#include <cstdint>
#include <memory>
#include <string>
#include <string_view>
#include <utility>

#include "core/broker/delivery.hpp"
#include "core/broker/id_set.hpp"
#include "core/broker/identity.hpp"
#include "core/broker/message.hpp"
#include "core/broker/topic_filter.hpp"
#include "core/util/intrusive_ptr.hpp"

namespace mqttstack {

class Client;
class Stack;

}  // namespace mqttstack

namespace mqttstack::broker {

class Session;
using SessionPtr = IntrusivePtr<Session>;

/// Where the handshake of a received QoS 2 message stands. [v5:4.3.3]
enum class IncomingState : std::uint8_t {
  absent,
  pending,   ///< the PUBLISH was taken, PUBREC waits for the commit
  received,  ///< PUBREC was sent, PUBREL is to come
};

/// The packet ids of QoS 2 messages that were received and not released.
class IncomingIds {
public:
  IncomingState state(std::uint16_t id) const noexcept {
    const Word* const word = words_.find(id);
    if (!word || (word->known & Words::bitOf(id)) == 0) return IncomingState::absent;
    return (word->pending & Words::bitOf(id)) != 0 ? IncomingState::pending
                                                   : IncomingState::received;
  }
  /// A PUBLISH with an absent id was taken. False if it is not absent.
  bool addPending(std::uint16_t id);
  /// Its commit is done (or none is needed, or a store brings it back): the id,
  /// absent or pending, is now received.
  void markReceived(std::uint16_t id);
  /// PUBREL came, or the commit failed. Returns what it was.
  IncomingState remove(std::uint16_t id) noexcept;

  /// A durable store has it, and has to forget it one day.
  void markStored(std::uint16_t id) { words_.get(id).stored |= Words::bitOf(id); }
  bool stored(std::uint16_t id) const noexcept {
    const Word* const word = words_.find(id);
    return word && (word->stored & Words::bitOf(id)) != 0;
  }

  std::size_t size() const noexcept { return size_; }
  std::size_t pending() const noexcept { return pending_; }
  void clear() noexcept;
  /// Calls `visit(std::uint16_t, IncomingState)` for each.
  template <class Visitor>
  void forEach(Visitor&& visit) const {
    for (const Word& word : words_)
      forEachId(word.number, word.known, [&](std::uint16_t id) { visit(id, state(id)); });
  }

private:
  struct Word {
    explicit Word(std::uint16_t theNumber) noexcept : number{theNumber} {}
    bool empty() const noexcept { return (known | stored) == 0; }

    std::uint16_t number;
    std::uint64_t known = 0;
    std::uint64_t pending = 0;  // of the known
    std::uint64_t stored = 0;
  };
  using Words = IdWords<Word>;

  Words words_;
  std::uint32_t size_ = 0;
  std::uint32_t pending_ = 0;
};

/// What is known of the right to read what a session is subscribed to.
enum class Clearance : std::uint8_t {
  unknown,
  partial,  ///< each delivery has to be looked at
  full,     ///< all that its filters match
};

/// What the broker keeps for a client identifier, across connections.
/// [v311:4.1] [v5:4.1]
///
/// Counted: the table owns a share, as does whoever works with it. What most
/// sessions don't need most of the time (queue, window, received ids) is made on
/// first use. Pointers to client and stack are for those who know these
/// classes; nothing here looks into them.
class Session : public RefCounted<Session> {
public:
  static constexpr std::uint32_t kNeverExpires = 0xffffffffU;

  /// `owner` is who creates it; it belongs to that principal for good.
  Session(std::string_view clientId, IdentityPtr owner);
  /// REQUIRES: TopicIndex::removeSession() was called.
  ~Session();

  const std::string& clientId() const noexcept { return clientId_; }
  const IdentityPtr& owner() const noexcept { return owner_; }
  /// The identity of the present connection, or of the last.
  const IdentityPtr& identity() const noexcept { return identity_; }
  /// For a session brought back from a store.
  void setIdentity(IdentityPtr identity) noexcept {
    identity_ = std::move(identity);
    clearance_ = Clearance::unknown;
  }
  /// True if `identity` may resume or end this session.
  bool belongsTo(const Identity& identity) const noexcept {
    return owner_ && owner_->samePrincipal(identity);
  }

  /// A connection takes the session. Sessions in a SessionTable are attached
  /// and detached through the table. REQUIRES: not connected.
  void attach(Client& client, Stack& stack, IdentityPtr identity) noexcept;
  /// The connection has gone; `stack` is kept. REQUIRES: connected.
  void detach(TimePoint now) noexcept;
  bool connected() const noexcept { return client_ != nullptr; }
  Client* client() const noexcept { return client_; }
  /// The stack of the present or last connection; null for a session brought
  /// back from a store, and when the stack has gone.
  Stack* stack() const noexcept { return stack_; }
  void setStack(Stack* stack) noexcept { stack_ = stack; }
  /// Grows with each attach and detach: (session, generation) names one
  /// connection.
  std::uint32_t generation() const noexcept { return generation_; }

  /// The Session Expiry Interval in seconds: 0 ends with the connection,
  /// kNeverExpires never. In a SessionTable: call scheduleExpiry() after a
  /// change. [v5:3.1.2-23]
  std::uint32_t expiryInterval() const noexcept { return expiryInterval_; }
  void setExpiryInterval(std::uint32_t seconds) noexcept { expiryInterval_ = seconds; }
  /// True if it outlives its connection.
  bool persistent() const noexcept { return expiryInterval_ != 0; }
  /// When the connection went. Meaningless while connected.
  TimePoint disconnectedAt() const noexcept { return disconnectedAt_; }
  /// For a session brought back from a store.
  void setDisconnectedAt(TimePoint when) noexcept { disconnectedAt_ = when; }
  /// When the session ends if nobody connects; TimePoint::max() while connected
  /// or if it never does.
  TimePoint expiresAt() const noexcept;

  /// True once SessionTable has removed it: it lives on in the hands of those
  /// who are just working with it, and takes no more messages.
  bool ended() const noexcept { return ended_; }

  /// A connection begins that may have `limit` messages under way; see
  /// InflightWindow::beginConnection().
  void beginConnection(std::uint16_t limit) noexcept {
    windowLimit_ = limit;
    if (outgoing_) outgoing_->window.beginConnection(limit);
  }
  /// What waits to be sent, and what waits to be acknowledged; made on first
  /// use: a client that only listens to QoS 0 needs neither. The const forms are
  /// null if there never was anything.
  DeliveryQueue& queue() { return outgoing().queue; }
  const DeliveryQueue* queueIfAny() const noexcept {
    return outgoing_ ? &outgoing_->queue : nullptr;
  }
  InflightWindow& window() { return outgoing().window; }
  const InflightWindow* windowIfAny() const noexcept {
    return outgoing_ ? &outgoing_->window : nullptr;
  }
  /// True if nothing is queued.
  bool queueEmpty() const noexcept { return !outgoing_ || outgoing_->queue.empty(); }
  /// Memory of all that is queued and in flight.
  std::size_t outgoingBytes() const noexcept {
    return outgoing_ ? outgoing_->queue.bytes() + outgoing_->window.bytes() : 0;
  }

  /// The QoS 2 messages received and not released; made on first use.
  IncomingIds& incoming();
  const IncomingIds* incomingIfAny() const noexcept { return incoming_.get(); }

  /// Frees what is empty of the above. Called when a session has become idle.
  void releaseIdleMemory() noexcept;

  /// How many subscriptions it has.
  std::uint32_t subscriptions() const noexcept { return slots_.size(); }

  /// A number for the store that keeps the session; 0 until it is set.
  std::uint64_t storeKey() const noexcept { return storeKey_; }
  void setStoreKey(std::uint64_t key) noexcept { storeKey_ = key; }
  /// A durable store keeps it: what is promised about it has to be stored first.
  bool durable() const noexcept { return storeKey_ != 0; }

  /// Whether a backend looks through its queue for messages that have expired;
  /// kept by the backend.
  bool swept() const noexcept { return swept_; }
  void setSwept(bool swept) noexcept { swept_ = swept; }

  /// Whether its identity may read all that it is subscribed to, as long as
  /// rights have this version; kept by authorization. Unknown again with every
  /// new subscription and every new identity.
  Clearance clearance(std::uint32_t rightsVersion) const noexcept {
    return clearedFor_ == rightsVersion ? clearance_ : Clearance::unknown;
  }
  void setClearance(Clearance clearance, std::uint32_t rightsVersion) noexcept {
    clearance_ = clearance;
    clearedFor_ = rightsVersion;
  }

private:
  friend class TopicIndex;
  friend class Recipients;
  friend class SessionTable;

  static constexpr std::uint32_t kNotScheduled = 0xffffffffU;

  struct Outgoing {
    DeliveryQueue queue;
    InflightWindow window;
  };
  Outgoing& outgoing() {
    if (!outgoing_) {
      outgoing_ = std::make_unique<Outgoing>();
      outgoing_->window.beginConnection(windowLimit_);
    }
    return *outgoing_;
  }

  std::uint32_t generation_ = 0;
  std::string clientId_;
  IdentityPtr owner_;
  IdentityPtr identity_;
  Client* client_ = nullptr;
  Stack* stack_ = nullptr;
  TimePoint disconnectedAt_{};
  std::uint64_t storeKey_ = 0;
  std::unique_ptr<Outgoing> outgoing_;
  std::unique_ptr<IncomingIds> incoming_;
  SubscriptionSlots slots_;  // kept by TopicIndex
  std::uint32_t expiryInterval_ = 0;
  std::uint32_t recipientMark_ = 0;               // kept by Recipients
  std::uint32_t expiryPosition_ = kNotScheduled;  // kept by SessionTable
  std::uint32_t clearedFor_ = 0;
  std::uint16_t windowLimit_ = 65'535;
  Clearance clearance_ = Clearance::unknown;
  bool ended_ = false;  // set by SessionTable
  bool swept_ = false;
};

}  // namespace mqttstack::broker
