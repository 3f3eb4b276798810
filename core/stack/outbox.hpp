#pragma once

#include <array>
#include <cstddef>
#include <cstdint>
#include <memory>
#include <optional>
#include <string>
#include <string_view>
#include <sys/uio.h>
#include <utility>
#include <vector>

#include "core/broker/message.hpp"
#include "core/broker/ring.hpp"
#include "core/broker/subscription_ids.hpp"
#include "core/mqtt/protocol.hpp"
#include "core/net/transport.hpp"
#include "core/stack/topic_aliases.hpp"
#include "core/util/clock.hpp"

namespace mqttstack {

/// A PUBLISH that is to be sent.
struct OutgoingPublish {
  broker::MessagePtr message;
  broker::SubscriptionIds subscriptionIds;
  std::uint16_t packetId = 0;
  mqtt::Qos qos = mqtt::Qos::atMostOnce;
  bool retain = false;
  bool dup = false;
};

/// The memory in which outboxes are encoded when they are flushed. One for all
/// clients of a loop.
class EncodeBuffer {
public:
  EncodeBuffer();

private:
  friend class Outbox;
  static constexpr std::size_t kBytes = 64 * 1024;
  static constexpr std::size_t kMaxPackets = 1024;

  void reset() noexcept;
  /// False if what is there has to be written first.
  bool makeRoom(std::size_t bytes);
  char* position() noexcept { return bytes_.get() + used_; }
  /// Bytes were written at position(), up to `end`.
  void advanceTo(const char* end) { appendWritten(static_cast<std::size_t>(end - position())); }
  void appendWritten(std::size_t bytes);
  /// Copies a small piece, refers to a large one.
  void append(std::string_view piece);

  std::unique_ptr<char[]> bytes_;
  std::size_t capacity_;
  std::size_t used_ = 0;
  std::size_t total_ = 0;  // bytes in slices_
  std::vector<iovec> slices_;
  std::vector<std::size_t> ends_;  // of each packet, counted from the first byte
};

/// What a client is to be sent, packet by packet. A PUBLISH waits as a
/// reference to its message and is encoded when it is flushed: small packets
/// into one buffer, large payloads gathered from where they are. One flush makes
/// one write, if the peer keeps up.
///
/// After a short write only the rest of the packet that was begun is copied,
/// and of that not a large payload; the others stay references. A QoS 0 PUBLISH that expires while
/// it waits is not sent. [v5:3.3.2-5]
class Outbox {
public:
  /// What a flush came to.
  enum class Flushed : std::uint8_t { all, some, failed };

  /// Adds a packet in its encoded form.
  void add(std::string_view packet);
  void add(OutgoingPublish publish);

  bool empty() const noexcept { return entries_.empty() && begun_.empty(); }
  /// What waits, in bytes as they would be sent, approximately.
  std::size_t bytes() const noexcept { return bytes_; }
  /// How many packets wait that are no PUBLISH.
  std::size_t answers() const noexcept { return answers_; }

  /// Sends topic aliases, up to `maximum` of them, from now on.
  /// [v5:3.1.2-26] [v5:3.3.2-11]
  void useTopicAliases(std::uint16_t maximum);

  /// No packet may be larger. An alias is not introduced where its first use,
  /// which takes topic and alias, would be.
  void limitPackets(std::size_t maximum) noexcept { maximumPacket_ = maximum; }

  /// Writes what there is. `some`: the transport will say when it has room.
  Flushed flush(net::Transport& transport, mqtt::ProtocolVersion version, TimePoint now,
                EncodeBuffer& buffer);

  /// Forgets everything.
  void clear() noexcept;

  /// What was done since the last call.
  struct Progress {
    std::size_t written = 0;  ///< bytes
    std::size_t expired = 0;  ///< QoS 0 messages that expired here and were dropped
  };
  Progress takeProgress() noexcept { return std::exchange(progress_, {}); }

  /// Memory for how many packets there is.
  std::size_t capacity() const noexcept { return entries_.capacity(); }

private:
  struct Entry {
    OutgoingPublish publish;              // of a PUBLISH; message is null otherwise
    std::unique_ptr<std::string> packet;  // of a long control packet
    std::array<char, 12> inlinePacket{};  // of a short one
    std::uint8_t inlineSize = 0;
    TopicAliases::Use alias{};  // kept once it introduces an alias
    bool mustBeSent = false;    // later packets rely on the alias that it introduces
  };
  /// The rest of a packet of which the beginning was written. A large payload
  /// stays where it is.
  struct Begun {
    std::string head;
    std::size_t headWritten = 0;
    broker::MessagePtr message;
    std::string_view payload{};  // what is left of it

    bool empty() const noexcept { return size() == 0; }
    std::size_t size() const noexcept { return head.size() - headWritten + payload.size(); }
  };

  bool expired(const Entry& entry, TimePoint now) const noexcept;
  void encodeSome(mqtt::ProtocolVersion version, TimePoint now, EncodeBuffer& buffer);
  bool encodePublish(Entry& entry, mqtt::ProtocolVersion version, TimePoint now,
                     EncodeBuffer& buffer);
  /// False if the transport failed.
  bool finishBegun(net::Transport& transport);
  void taken(std::size_t bytes, TimePoint now, const EncodeBuffer& buffer);
  void keepRest(std::size_t from, std::size_t to, const EncodeBuffer& buffer);
  static std::size_t approximateSize(const Entry& entry) noexcept;
  static std::size_t approximateSize(const OutgoingPublish& publish) noexcept;

  broker::Ring<Entry> entries_;
  Begun begun_;
  std::size_t bytes_ = 0;
  std::size_t answers_ = 0;
  std::size_t maximumPacket_ = mqtt::kMaxPacketBytes;
  Progress progress_;
  std::unique_ptr<TopicAliases> aliases_;
};

/// The size of the PUBLISH on the wire, topic aliases not used.
std::size_t encodedSize(const OutgoingPublish& publish, mqtt::ProtocolVersion version,
                        TimePoint now) noexcept;

}  // namespace mqttstack
