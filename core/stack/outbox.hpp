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
/// After a short write only the rest of the packet that was begun is copied;
/// the others stay references. A QoS 0 PUBLISH that expires while it waits is
/// not sent. [v5:3.3.2-5]
class Outbox {
public:
  /// What a flush came to.
  enum class Flushed : std::uint8_t { all, some, failed };

  /// Adds a packet in its encoded form.
  void add(std::string_view packet);
  void add(OutgoingPublish publish);

  bool empty() const noexcept { return entries_.empty() && unsent_.empty(); }
  /// What waits, in bytes as they would be sent, approximately.
  std::size_t bytes() const noexcept { return bytes_; }

  /// Sends topic aliases, up to `maximum` of them, from now on.
  /// [v5:3.1.2-26] [v5:3.3.2-11]
  void useTopicAliases(std::uint16_t maximum);

  /// Writes what there is. `some`: the transport will say when it has room.
  Flushed flush(net::Transport& transport, mqtt::ProtocolVersion version, TimePoint now,
                EncodeBuffer& buffer);

  /// Forgets everything that has not begun to be sent.
  void clear() noexcept;

  /// QoS 0 messages that expired here; reset by the call.
  std::size_t takeExpired() noexcept { return std::exchange(expired_, 0); }

private:
  struct Entry {
    OutgoingPublish publish;              // of a PUBLISH; message is null otherwise
    std::unique_ptr<std::string> packet;  // of a long control packet
    std::array<char, 12> inlinePacket{};  // of a short one
    std::uint8_t inlineSize = 0;
    TopicAliases::Use alias{};  // settled when the entry is encoded first
    bool settled = false;       // encoded before: it has to be sent
  };

  static constexpr std::size_t kKeptEntries = 16;

  bool expired(const Entry& entry, TimePoint now) const noexcept;
  void encodeSome(mqtt::ProtocolVersion version, TimePoint now, EncodeBuffer& buffer);
  bool encodePublish(Entry& entry, mqtt::ProtocolVersion version, TimePoint now,
                     EncodeBuffer& buffer);
  void taken(std::size_t bytes, TimePoint now, EncodeBuffer& buffer);
  static std::size_t approximateSize(const Entry& entry) noexcept;
  static std::size_t approximateSize(const OutgoingPublish& publish) noexcept;

  std::vector<Entry> entries_;
  std::size_t first_ = 0;  // entries_[first_, end) wait
  std::string unsent_;     // the rest of a packet that was begun
  std::size_t bytes_ = 0;
  std::size_t expired_ = 0;
  std::unique_ptr<TopicAliases> aliases_;
};

/// The size of the PUBLISH on the wire, topic aliases not used.
std::size_t encodedSize(const OutgoingPublish& publish, mqtt::ProtocolVersion version,
                        TimePoint now) noexcept;

}  // namespace mqttstack
