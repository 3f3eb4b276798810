#pragma once

#include <cstddef>
#include <cstdint>
#include <system_error>
#include <utility>

#include "core/broker/ring.hpp"
#include "core/mqtt/protocol.hpp"
#include "core/mqtt/reason_code.hpp"
#include "core/util/intrusive_ptr.hpp"

namespace mqttstack {

class Client;

/// The right to acknowledge one PUBLISH or PUBREL, as a thing that somebody
/// holds. When the last holder lets go, the PUBACK, PUBREC or PUBCOMP is sent;
/// nobody can forget it, and nobody can send it too early.
///
/// Move-only; share() makes another holder. An empty one (a will, a message of
/// the broker's own) is let go without effect. May outlive the connection: then
/// letting go records a QoS 2 message as received and sends nothing.
class Acknowledgement {
public:
  Acknowledgement() = default;
  Acknowledgement(Acknowledgement&& other) noexcept
      : client_{std::exchange(other.client_, nullptr)},
        number_{other.number_} {}
  Acknowledgement& operator=(Acknowledgement&& other) noexcept {
    if (this != &other) {
      letGo({});
      client_ = std::exchange(other.client_, nullptr);
      number_ = other.number_;
    }
    return *this;
  }
  ~Acknowledgement() { letGo({}); }

  /// Another holder of the same right; empty if this is empty.
  Acknowledgement share() const { return client_ ? another() : Acknowledgement{}; }

  /// Lets go: this holder has nothing against it.
  void release() { letGo({}); }
  /// Lets go and refuses: the peer hears the reason instead. The first refusal
  /// counts, and cannot be undone by other holders.
  void fail(mqtt::ReasonCode reason) { letGo(reason); }
  /// Lets go with a code below 0x80 for the peer (no matching subscribers).
  void release(mqtt::ReasonCode code) { letGo(code); }

  explicit operator bool() const noexcept { return client_ != nullptr; }

private:
  friend class AckQueue;
  Acknowledgement(Client& client, std::uint32_t number) noexcept;
  Acknowledgement another() const;
  void letGo(mqtt::ReasonCode code) {
    if (client_) settle(code);
  }
  void settle(mqtt::ReasonCode code);

  Client* client_ = nullptr;  // counted
  std::uint32_t number_ = 0;
};

/// What an acknowledgement is sent as.
enum class AckKind : std::uint8_t { puback, pubrec, pubcomp };

/// The acknowledgements that a client is owed, in the order of its packets:
/// they leave in that order, however the messages were settled.
/// [v5:4.6.0-2] [v5:4.6.0-3] [v311:4.6.0-2] [v311:4.6.0-3]
///
/// A member of Client; inbound_manager opens entries.
class AckQueue {
public:
  /// An acknowledgement for a PUBLISH that was just received.
  Acknowledgement open(Client& client, std::uint16_t packetId, mqtt::Qos qos) {
    return open(client, packetId,
                qos == mqtt::Qos::atLeastOnce ? AckKind::puback : AckKind::pubrec);
  }
  /// The same for any packet.
  Acknowledgement open(Client& client, std::uint16_t packetId, AckKind kind);

  /// QoS 1 PUBLISHes whose PUBACK is not sent yet.
  std::size_t pendingQos1() const noexcept { return pendingQos1_; }
  bool empty() const noexcept { return entries_.empty(); }
  /// Acknowledgements that are not sent yet, and memory for how many.
  std::size_t size() const noexcept { return entries_.size(); }
  std::size_t capacity() const noexcept { return entries_.capacity(); }

private:
  friend class Acknowledgement;
  struct Entry {
    std::uint16_t packetId;
    AckKind kind;
    mqtt::ReasonCode code;
    std::uint16_t holders;
  };

  void settle(Client& client, std::uint32_t number, mqtt::ReasonCode code);
  void sendSettled(Client& client);
  Entry& at(std::uint32_t number) noexcept { return entries_[number - first_]; }

  broker::Ring<Entry> entries_;  // numbered from first_
  std::uint32_t first_ = 0;
  std::uint32_t pendingQos1_ = 0;
};

}  // namespace mqttstack
