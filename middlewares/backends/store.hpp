#pragma once

#include <cstddef>
#include <cstdint>
#include <memory>
#include <optional>
#include <span>
#include <string>
#include <string_view>
#include <variant>
#include <vector>

#include "core/broker/delivery.hpp"
#include "core/broker/identity.hpp"
#include "core/broker/message.hpp"
#include "core/broker/session.hpp"
#include "core/mqtt/protocol.hpp"
#include "core/stack/durability_callbacks.hpp"
#include "middlewares/backends/store_clock.hpp"

/// What a durable backend writes down, and the interface of what it writes to.
namespace mqttstack {

// Operations. Each changes one row, or a row and those that hang on it, and can
// be repeated without harm.

/// Keeps a session, or replaces what is kept about it.
struct PutSession {
  std::uint64_t key = 0;
  std::string clientId{};
  broker::IdentityPtr owner{};
  broker::IdentityPtr identity{};  ///< of the present or last connection
  std::string pipeline{};          ///< the name of its stack
  std::uint32_t expiryInterval = 0;
  StoreTime disconnectedAt = 0;  ///< 0 while connected
  bool created = false;          ///< just now, for a client that waits for it
  std::uint32_t generation = 0;  ///< of the session then
};

/// Forgets a session, its subscriptions and its received identifiers; deliveries
/// and the will go one by one.
struct DropSession {
  std::uint64_t session;
};

/// The broker that kept the connections has gone: sessions that were connected are
/// not any more since `at`, and their wills run from then on.
struct LeaveAll {
  StoreTime at;
};

struct PutSubscription {
  std::uint64_t session = 0;
  std::string filter{};
  mqtt::SubscriptionOptions options{};
  std::uint32_t identifier = 0;
  bool existed = false;  ///< takes the place of one with the same filter
};

struct DropSubscription {
  std::uint64_t session;
  std::string filter;  ///< empty: all of them
};

/// Keeps a delivery, and its message if that is not kept yet.
struct PutDelivery {
  std::uint64_t number;
  std::uint64_t session;
  broker::MessagePtr message;
  broker::SubscriptionIds subscriptionIds;
  std::uint16_t packetId;
  mqtt::Qos qos;
  broker::DeliveryState state;
  bool retain;
};

/// A delivery has got a packet identifier or has come further.
struct MoveDelivery {
  std::uint64_t number;
  std::uint16_t packetId;
  broker::DeliveryState state;
};

/// Forgets a delivery, and its message if nothing else refers to it.
struct DropDelivery {
  std::uint64_t number;
};

/// The same for many: what a session leaves behind.
struct DropDeliveries {
  std::vector<std::uint64_t> numbers;
};

/// The QoS 2 message with that packet identifier was received.
struct PutIncoming {
  std::uint64_t session;
  std::uint16_t packetId;
};
struct DropIncoming {
  std::uint64_t session;
  std::uint16_t packetId;
};

/// Keeps a message as the retained one of its topic.
struct PutRetained {
  broker::MessagePtr message;
  broker::MessagePtr former;  ///< whose place it takes; may be null
};
/// Forgets the retained message of this one's topic.
struct DropRetained {
  broker::MessagePtr topicOf;
};

struct PutWill {
  std::uint64_t session = 0;
  StoreTime due = 0;  ///< 0: its client is connected
  StoredWill will{};
};
struct MoveWill {
  std::uint64_t session;
  StoreTime due;
};
struct DropWill {
  std::uint64_t session;
};

/// Large and rare operations stand elsewhere, so that the frequent ones are small.
using Operation =
    std::variant<std::monostate, PutDelivery, MoveDelivery, DropDelivery, PutIncoming, DropIncoming,
                 PutRetained, DropRetained, DropSession, LeaveAll, DropWill, MoveWill,
                 DropDeliveries, std::unique_ptr<PutSession>, std::unique_ptr<PutSubscription>,
                 std::unique_ptr<DropSubscription>, std::unique_ptr<PutWill>>;

/// The rows that go together: all of them are stored, or none.
struct StoreUnit {
  std::uint32_t end = 0;  ///< one behind its last operation; it begins where the one before ends
  bool failed = false;    ///< out: there was no room for it
};

/// What a commit came to.
struct CommitResult {
  enum class Kind : std::uint8_t {
    stored,
    partly,  ///< there was no room for all: the units say for which
    broken,  ///< nothing can be relied on any more
  };
  Kind kind = Kind::stored;
  std::string message{};  ///< if not stored: what happened, and what to do
  std::size_t bytes = 0;  ///< written, if the store knows
};

/// What a store has kept, row by row. Messages come before what refers to them,
/// sessions before theirs, deliveries in the order of their numbers.
class StoreReader {
public:
  /// First of all. `latest`: of the times that are stored, 0 if there are none.
  virtual void clock(const StoreClock::Setting& stored, StoreTime latest) = 0;
  virtual void session(PutSession row) = 0;
  virtual void subscription(PutSubscription row) = 0;
  virtual void incoming(PutIncoming row) = 0;
  virtual void delivery(PutDelivery row) = 0;
  virtual void retained(broker::MessagePtr message) = 0;
  virtual void will(PutWill row) = 0;

  /// The times of this process, from then on; the store keeps its setting.
  virtual const StoreClock& clock() const = 0;

protected:
  ~StoreReader() = default;
};

/// Where a durable backend keeps its rows. open() is called on the loop's thread
/// before there is a journal; then everything else by the journal's thread, and
/// the destructor on the loop's thread when that has ended.
class Store {
public:
  virtual ~Store() = default;

  /// Takes the store for this process, and tells everything in it. Returns what is
  /// wrong, for the operator; empty if nothing is. What can be mended without loss
  /// is mended; `warnings` tells of what could not, and was left out.
  virtual std::string open(StoreReader& reader, std::vector<std::string>& warnings) = 0;

  /// Stores all units, as one. If there is no room, as many as there is room for,
  /// each as one. Marks the others. Called with what is in the caller's hands
  /// until it returns; touches no count of what the operations refer to.
  virtual CommitResult commit(std::span<const Operation> operations,
                              std::span<StoreUnit> units) = 0;
  /// Called when the outcome of a commit is on its way to those who wait for it:
  /// for work that they need not wait for. What goes wrong there is told by the
  /// next commit, as what goes wrong in tidyUp().
  virtual void committed() {}
  /// Called when there is nothing else to do, about once a second. Returns true if
  /// it would like to be called again at once.
  virtual bool tidyUp() { return false; }
};

}  // namespace mqttstack
