#pragma once

#include <cstddef>
#include <cstdint>
#include <optional>

#include "core/broker/message.hpp"
#include "core/broker/ring.hpp"
#include "core/broker/subscription_ids.hpp"
#include "core/mqtt/protocol.hpp"

namespace mqttstack::broker {

/// How far the handshake of a delivery has come. [v5:4.3]
enum class DeliveryState : std::uint8_t { queued, awaitingPuback, awaitingPubrec, awaitingPubcomp };

/// One message on its way to one session. Made from a Recipient (or a retained
/// message), kept in the session's queue, then in its window.
struct Delivery {
  /// Null once a PUBREC has come: what follows needs the packet id only.
  MessagePtr message;
  SubscriptionIds subscriptionIds;
  std::uint64_t number = 0;               ///< its name in a durable store; 0: it is in none
  std::uint16_t packetId = 0;             ///< 0 until it is in the window
  mqtt::Qos qos = mqtt::Qos::atMostOnce;  ///< what it is sent at
  DeliveryState state = DeliveryState::queued;
  bool retain : 1 = false;     ///< the RETAIN flag to be sent
  bool dup : 1 = false;        ///< a PUBLISH of it was sent before: the DUP flag to be sent
  bool staged : 1 = false;     ///< its next packet waits for a durable store to commit
  bool resendDue : 1 = false;  ///< in the window, not sent again on this connection yet
  bool holdsSlot : 1 = false;  ///< counts against the send quota of this connection

  /// What it counts for in queue limits: the message as if it were not shared,
  /// and itself.
  std::size_t bytes() const noexcept {
    return sizeof(Delivery) + (message ? message->footprint() : 0);
  }
};

static_assert(sizeof(Delivery) == 32);

/// The deliveries of a session that wait to be sent, first in first out.
/// Bounded by its user, by means of size() and bytes(). [v5:4.6.0-6]
class DeliveryQueue {
public:
  std::size_t size() const noexcept { return ring_.size(); }
  bool empty() const noexcept { return ring_.empty(); }
  /// Sum of Delivery::bytes().
  std::size_t bytes() const noexcept { return bytes_; }
  /// How many of them are QoS 0.
  std::size_t qos0() const noexcept { return qos0_; }

  void push(Delivery delivery);
  Delivery& front() noexcept { return ring_.front(); }
  const Delivery& front() const noexcept { return ring_.front(); }
  /// REQUIRES: !empty().
  Delivery popFront() noexcept;

  /// Takes the oldest, or the newest, QoS 0 delivery out to make room; none if
  /// there is none. The newest is what a full queue drops first.
  std::optional<Delivery> dropOldestQos0() noexcept;
  std::optional<Delivery> dropNewestQos0() noexcept;
  /// Takes the newest out for which `condition(const Delivery&)` holds.
  template <class Condition>
  std::optional<Delivery> dropNewest(Condition&& condition) {
    for (std::size_t i = ring_.size(); i-- > 0;) {
      if (!condition(static_cast<const Delivery&>(ring_[i]))) continue;
      uncount(ring_[i]);
      return ring_.remove(i);
    }
    return std::nullopt;
  }

  /// In order from the front; `i` < size(). The fields that count in bytes()
  /// and qos0() must not be changed.
  Delivery& operator[](std::size_t i) noexcept { return ring_[i]; }
  const Delivery& operator[](std::size_t i) const noexcept { return ring_[i]; }

  /// Removes those of the `count` deliveries from `first` on for which
  /// `condition(const Delivery&)` holds (expired ones); returns how many. REQUIRES:
  /// there are so many.
  template <class Condition>
  std::size_t removeIf(std::size_t first, std::size_t count, Condition&& condition) {
    return ring_.removeIf(first, count, [&](Delivery& delivery) {
      if (!condition(static_cast<const Delivery&>(delivery))) return false;
      uncount(delivery);
      return true;
    });
  }
  /// Drops everything and frees the memory.
  void clear() noexcept;

private:
  void uncount(const Delivery& delivery) noexcept;

  Ring<Delivery> ring_;
  std::size_t bytes_ = 0;
  std::size_t qos0_ = 0;
};

/// What an acknowledgement from the peer amounts to.
enum class AckResult : std::uint8_t {
  accepted,
  repeated,    ///< a PUBREC for which PUBREL is under way: answer with PUBREL again
  unknownId,   ///< nothing with this packet id is in flight (v5: 0x92)
  wrongState,  ///< the id belongs to a handshake that does not expect this packet
};

/// What came of an acknowledgement. `message` is what the window has let go of
/// by it, the message of an accepted PUBACK or PUBREC; null otherwise. `number`
/// is that of a delivery whose handshake is over by it, for the store to forget;
/// 0 otherwise.
struct Acknowledged {
  AckResult result = AckResult::unknownId;
  MessagePtr message{};
  std::uint64_t number = 0;
};

/// The QoS 1 and 2 deliveries of a session that were sent and whose handshake is
/// not over, in the order in which they were first sent, with their packet
/// ids, and the send quota of the connection. [v5:4.9]
///
/// Packet ids are given out in turn, from 1 to 65 535, never one in use; so they
/// ascend along the window, and which are in use needs no book of its own.
/// [v311:2.3.1-2] [v5:2.2.1-3]
///
/// Part of the session: it survives the connection, except for the quota.
/// Acknowledgements may come in any order; one costs O(1) as long as they come
/// about in order, O(log n) otherwise. A reference to a delivery is valid until
/// the next non-const call.
class InflightWindow {
public:
  InflightWindow() = default;
  InflightWindow(const InflightWindow&) = delete;
  InflightWindow& operator=(const InflightWindow&) = delete;
  ~InflightWindow() { allBytes_ -= bytes_; }

  /// Deliveries whose handshake is not over.
  std::size_t size() const noexcept { return count_; }
  bool empty() const noexcept { return count_ == 0; }
  std::size_t bytes() const noexcept { return bytes_; }
  /// Those of all windows that there are: a limit of memory has to know.
  static std::size_t allBytes() noexcept { return allBytes_; }

  /// A connection begins, with min(client's Receive Maximum, own limit) slots.
  /// All slots are free, and all deliveries have to be sent again.
  /// [v5:4.4.0-1] [v311:4.4.0-1]
  void beginConnection(std::uint16_t limit) noexcept;

  std::uint16_t limit() const noexcept { return limit_; }
  /// Slots taken by PUBLISHes of this connection: freed by PUBACK, PUBCOMP and a
  /// failed PUBREC.
  std::uint16_t slotsUsed() const noexcept { return slotsUsed_; }

  /// True if a new delivery may be sent: nothing is left to be sent again, and a
  /// slot and a packet id are free. [v5:3.3.4-9]
  bool canSend() const noexcept {
    return resendsDue_ == 0 && slotsUsed_ < limit_ && count_ < kAllIds;
  }
  /// Takes a delivery over: gives it a packet id, the state that follows from
  /// its QoS, and a slot. The caller sends the result as a PUBLISH.
  /// REQUIRES: canSend(), QoS 1 or 2.
  Delivery& send(Delivery delivery);

  /// The oldest delivery to be sent again on this connection, as a PUBLISH with
  /// DUP or, in state awaitingPubcomp, as a PUBREL. Null if there is none, or if
  /// it is a PUBLISH and no slot is free: ask again after an acknowledgement.
  Delivery* nextToResend() noexcept;
  /// The delivery that nextToResend() gave is being sent again. A PUBLISH takes
  /// a slot, a PUBREL does not.
  void resent(Delivery& delivery) noexcept;
  bool resuming() const noexcept { return resendsDue_ != 0; }

  /// A PUBACK came, with whatever reason code.
  Acknowledged puback(std::uint16_t packetId) noexcept;
  /// A PUBREC came; if `failed` (reason code 0x80 or more) the handshake is over,
  /// otherwise the caller sends a PUBREL. [v5:4.3.3-4]
  Acknowledged pubrec(std::uint16_t packetId, bool failed) noexcept;
  /// A PUBCOMP came, with whatever reason code.
  Acknowledged pubcomp(std::uint16_t packetId) noexcept;

  /// Puts a delivery with its packet id and state back, as a store kept it;
  /// in the order in which they were sent first. False, and nothing done, if the
  /// id is 0 or in use. REQUIRES: state is not `queued`.
  bool restore(Delivery delivery);

  /// The delivery with this id, or null.
  Delivery* find(std::uint16_t packetId) noexcept;
  /// Calls `visit(Delivery&)` for each in the order in which they were first sent.
  template <class Visitor>
  void forEach(Visitor&& visit) {
    for (std::size_t i = 0; i < ring_.size(); ++i)
      if (ring_[i].state != DeliveryState::queued) visit(ring_[i]);
  }

private:
  static constexpr std::uint32_t kAllIds = 65'535;

  static std::uint16_t following(std::uint16_t packetId) noexcept {
    return packetId == kAllIds ? std::uint16_t{1} : static_cast<std::uint16_t>(packetId + 1);
  }
  std::uint16_t freeId() const noexcept;
  Delivery& append(Delivery&& delivery);
  Acknowledged finish(Delivery& delivery) noexcept;
  void compact() noexcept;
  void count(const Delivery& delivery) noexcept {
    const std::size_t bytes = delivery.bytes();
    bytes_ += bytes;
    allBytes_ += bytes;
  }
  void uncount(const Delivery& delivery) noexcept {
    const std::size_t bytes = delivery.bytes();
    bytes_ -= bytes;
    allBytes_ -= bytes;
  }
  std::uint16_t distance(std::uint16_t packetId) const noexcept;

  inline static std::size_t allBytes_ = 0;  // the loop's, as all sessions are

  Ring<Delivery> ring_;  // one that is over has state `queued` and stays until it is in front
  std::size_t bytes_ = 0;
  std::uint32_t count_ = 0;     // of those that are not over
  std::uint32_t resendAt_ = 0;  // no delivery before this position is to be sent again
  std::uint32_t resendsDue_ = 0;
  std::uint16_t limit_ = 65'535;
  std::uint16_t slotsUsed_ = 0;
  std::uint16_t nextId_ = 1;  // to be given out, if it is free
  bool ascending_ = true;     // ids ascend along the ring, counted from the front's
};

}  // namespace mqttstack::broker
