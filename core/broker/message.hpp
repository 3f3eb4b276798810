#pragma once

#include <chrono>
#include <cstddef>
#include <cstdint>
#include <optional>
#include <string_view>

#include "core/broker/identity.hpp"
#include "core/mqtt/properties.hpp"
#include "core/mqtt/protocol.hpp"
#include "core/util/block_pool.hpp"
#include "core/util/intrusive_ptr.hpp"

namespace mqttstack::broker {

/// The monotonic clock that all running intervals are measured with.
using TimePoint = std::chrono::steady_clock::time_point;

class Message;
using MessagePtr = IntrusivePtr<const Message>;

/// What a Message is made of. Everything is copied by Message::create().
struct MessageFields {
  std::string_view topic;
  std::string_view payload;
  /// The properties to be forwarded as they are: all but message expiry, topic
  /// alias and subscription identifiers (see mqtt::copyPropertiesExcept()).
  mqtt::Properties properties{};
  mqtt::Qos qos = mqtt::Qos::atMostOnce;
  bool retain = false;  ///< the flag as it was received
  /// Message Expiry Interval in seconds, counted from `received`.
  std::optional<std::uint32_t> expiryInterval{};
  TimePoint received{};
  IdentityPtr author;  ///< null if the broker itself publishes
  /// Its number if a store has kept it; 0 for a new message, which gets the next.
  std::uint64_t sequence = 0;
};

/// One application message: immutable, counted, shared by everybody it goes to.
/// It is a single block of memory; text and payload stand behind the object as
/// `[topic length, 2 bytes][topic][payload][properties]`, so the body of a
/// QoS 0 PUBLISH for an MQTT 3 client is one piece.
///
/// Small blocks are recycled (block_pool): messages live and die on the loop's
/// thread.
class Message : public RefCounted<Message> {
public:
  /// REQUIRES: the topic is at most 65 535 bytes, payload and properties fit in
  /// a packet.
  static MessagePtr create(MessageFields&& fields);
  static MessagePtr create(const MessageFields& fields) { return create(MessageFields{fields}); }

  std::string_view topic() const noexcept { return {data() + 2, topicSize_}; }
  std::string_view payload() const noexcept { return {data() + 2 + topicSize_, payloadSize_}; }
  mqtt::Properties properties() const noexcept {
    return mqtt::Properties{{data() + 2 + topicSize_ + payloadSize_, propertiesSize_}};
  }
  mqtt::Qos qos() const noexcept { return qos_; }
  /// The RETAIN flag as it was received.
  bool retainFlag() const noexcept { return retain_; }
  const IdentityPtr& author() const noexcept { return author_; }

  /// The topic as it stands in a PUBLISH: length and text.
  std::string_view encodedTopic() const noexcept { return {data(), 2U + topicSize_}; }
  /// The topic as it stands in a PUBLISH and the payload: all that follows the
  /// fixed header of a QoS 0 PUBLISH in MQTT 3.
  std::string_view encodedTopicAndPayload() const noexcept {
    return {data(), 2U + topicSize_ + payloadSize_};
  }

  /// Grows by one with every message that the thread makes; 1 for the first.
  std::uint64_t sequence() const noexcept { return sequence_; }
  /// New messages get numbers above `sequence`, which a store knows already.
  static void continueBehind(std::uint64_t sequence) noexcept;

  bool expires() const noexcept { return expiresAt_ != TimePoint::max(); }
  /// When the message has to be dropped; TimePoint::max() if never.
  TimePoint expiresAt() const noexcept { return expiresAt_; }
  bool expired(TimePoint now) const noexcept { return expiresAt_ <= now; }
  /// The Message Expiry Interval to be sent now: what is left, in seconds,
  /// rounded up. None if the message does not expire; 0 if it has expired.
  /// [v5:3.3.2-6]
  std::optional<std::uint32_t> remainingExpiry(TimePoint now) const noexcept;

  /// Bytes of memory that the message takes, all included.
  std::size_t footprint() const noexcept { return block_pool::footprint(size()); }

  /// Called by RefCounted when the last owner lets go.
  static void destroy(Message* message) noexcept;

private:
  explicit Message(MessageFields& fields) noexcept;
  ~Message() = default;

  const char* data() const noexcept { return reinterpret_cast<const char*>(this + 1); }
  std::size_t size() const noexcept {
    return sizeof(Message) + 2 + topicSize_ + payloadSize_ + propertiesSize_;
  }

  std::uint16_t topicSize_;
  mqtt::Qos qos_;
  bool retain_;
  std::uint32_t payloadSize_;
  std::uint32_t propertiesSize_;
  std::uint64_t sequence_;
  TimePoint expiresAt_;
  IdentityPtr author_;
};

}  // namespace mqttstack::broker
