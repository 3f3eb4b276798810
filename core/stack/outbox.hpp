#pragma once

#include <array>
#include <cstddef>
#include <cstdint>
#include <memory>
#include <string>
#include <string_view>
#include <sys/uio.h>
#include <vector>

#include "core/broker/message.hpp"
#include "core/broker/subscription_ids.hpp"
#include "core/mqtt/protocol.hpp"
#include "core/mqtt/wire.hpp"
#include "core/net/transport.hpp"
#include "core/stack/topic_aliases.hpp"
#include "core/util/chunk_queue.hpp"
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
///
/// Small pieces are copied one behind the other, which makes one slice of any
/// number of packets; a large piece is a slice of its own, where it lies.
class EncodeBuffer {
public:
  EncodeBuffer();

private:
  friend class Outbox;
  static constexpr std::size_t kBytes = 64 * 1024;
  static constexpr std::size_t kMaxPackets = 1024;
  static constexpr std::size_t kMaxSlices = 256;

  void reset() noexcept;
  bool full() const noexcept { return packets_ == kMaxPackets || slices_.size() >= kMaxSlices; }
  /// Room to copy so much; false if what is there has to be written first.
  bool makeRoom(std::size_t bytes) {
    return static_cast<std::size_t>(end_ - out_.position()) >= bytes || grow(bytes);
  }
  bool grow(std::size_t bytes);
  /// Copies a small piece, refers to a large one.
  void append(std::string_view piece);
  /// Makes a slice of what was copied since the last one.
  void closeSlice();
  /// Bytes of all packets.
  std::size_t total() const noexcept {
    return static_cast<std::size_t>(out_.position() - bytes_.get()) + gathered_;
  }

  std::unique_ptr<char[]> bytes_;
  char* end_;
  mqtt::Writer out_;   // where the next byte goes
  const char* slice_;  // from here on bytes are not in slices_ yet
  std::vector<iovec> slices_;
  std::size_t gathered_ = 0;  // bytes in slices that were not copied
  std::size_t packets_ = 0;
  std::size_t emptyPackets_ = 0;               // of them, for what has expired
  std::array<std::size_t, kMaxPackets> ends_;  // of each packet, counted from the first byte
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
  void add(OutgoingPublish&& publish);

  bool empty() const noexcept { return entries_.empty() && !begun_; }
  /// What waits, in bytes as they would be sent, approximately.
  std::size_t bytes() const noexcept { return bytes_; }
  /// How many packets wait that are no PUBLISH, and the bytes of the longer of these.
  std::size_t answers() const noexcept { return answers_; }
  std::size_t longAnswerBytes() const noexcept { return longAnswerBytes_; }

  /// Sends topic aliases, up to `maximum` of them, from now on.
  /// [v5:3.1.2-26] [v5:3.3.2-11]
  void useTopicAliases(std::uint16_t maximum);

  /// No packet may be larger. An alias is not introduced where its first use,
  /// which takes topic and alias, would be.
  void limitPackets(std::uint32_t maximum) noexcept { maximumPacket_ = maximum; }

  /// What a flush came to.
  struct Flush {
    Flushed result = Flushed::all;
    std::size_t written = 0;  ///< bytes
    std::size_t expired = 0;  ///< QoS 0 messages that expired here and were dropped
  };
  /// Writes what there is. `some`: the transport will say when it has room.
  Flush flush(net::Transport& transport, mqtt::ProtocolVersion version, TimePoint now,
              EncodeBuffer& buffer);

  /// Forgets everything.
  void clear() noexcept;

  /// Memory for how many packets there is.
  std::size_t capacity() const noexcept { return entries_.capacity(); }

private:
  /// A packet that waits, or a few short ones behind one another, in 24 bytes.
  struct Entry {
    explicit Entry(OutgoingPublish&& publish) noexcept;
    explicit Entry(std::string_view packet);
    Entry(const Entry&) = delete;
    Entry& operator=(const Entry&) = delete;
    ~Entry();

    enum class Kind : std::uint8_t { publish, shortPackets, longPacket };
    bool isPublish() const noexcept { return kind == Kind::publish; }
    /// Adds a packet to short ones; false if there is no room.
    bool append(std::string_view packet) noexcept;
    /// What is no PUBLISH, in its encoded form; and how many packets that is.
    std::string_view bytes() const noexcept;
    std::size_t packets() const noexcept { return kind == Kind::publish ? 1 : packetId; }

    struct Publish {
      broker::MessagePtr message;
      broker::SubscriptionIds subscriptionIds;
    };
    union {
      Publish publish;
      std::array<char, sizeof(Publish)> shortPackets;
      std::string* longPacket;  // owned
    };
    std::uint16_t packetId = 0;  // of what is no PUBLISH: how many packets it is
    std::uint16_t alias = 0;     // kept once it introduces one
    Kind kind;
    std::uint8_t shortSize = 0;
    mqtt::Qos qos = mqtt::Qos::atMostOnce;
    bool retain : 1 = false;
    bool dup : 1 = false;
    bool omitTopic : 1 = false;   // the alias says it
    bool mustBeSent : 1 = false;  // later packets rely on the alias that it introduces
  };
  static_assert(sizeof(Entry) == 24);

  /// The rest of a packet of which the beginning was written. A large payload
  /// stays where it is.
  struct Begun {
    std::string head;
    std::size_t headWritten = 0;
    broker::MessagePtr message;
    std::string_view payload{};  // what is left of it

    std::size_t size() const noexcept { return head.size() - headWritten + payload.size(); }
  };

  static bool expired(const Entry& entry, TimePoint now) noexcept;
  void encodeSome(mqtt::ProtocolVersion version, TimePoint now, EncodeBuffer& buffer);
  bool encode(Entry& entry, mqtt::ProtocolVersion version, TimePoint now, EncodeBuffer& buffer);
  void encodeV3(const Entry& entry, EncodeBuffer& buffer);
  void encodeV5(Entry& entry, TimePoint now, EncodeBuffer& buffer);
  void chooseAlias(Entry& entry, TimePoint now);
  /// False if the transport failed.
  bool finishBegun(net::Transport& transport, Flush& flush);
  void taken(Flush& flush, std::size_t bytes, const EncodeBuffer& buffer);
  void keepRest(std::size_t from, std::size_t to, const EncodeBuffer& buffer);
  void dropFront() noexcept;
  static std::size_t approximateSize(const Entry& entry) noexcept;

  ChunkQueue<Entry> entries_;
  std::unique_ptr<Begun> begun_;
  std::size_t bytes_ = 0;
  std::size_t answers_ = 0;
  std::size_t longAnswerBytes_ = 0;
  std::unique_ptr<TopicAliases> aliases_;
  std::uint32_t maximumPacket_ = UINT32_MAX;
};

/// The size of the PUBLISH on the wire, topic aliases not used.
std::size_t encodedSize(const OutgoingPublish& publish, mqtt::ProtocolVersion version,
                        TimePoint now) noexcept;

}  // namespace mqttstack
