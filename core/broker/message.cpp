#include "core/broker/message.hpp"

#include <algorithm>
#include <cassert>
#include <new>
#include <utility>

#include "core/mqtt/wire.hpp"
#include "core/util/block_pool.hpp"

namespace mqttstack::broker {

namespace {

constinit thread_local std::uint64_t lastSequence = 0;

}  // namespace

Message::Message(MessageFields& fields) noexcept
    : topicSize_{static_cast<std::uint16_t>(fields.topic.size())},
      qos_{fields.qos},
      retain_{fields.retain},
      payloadSize_{static_cast<std::uint32_t>(fields.payload.size())},
      propertiesSize_{static_cast<std::uint32_t>(fields.properties.encoded().size())},
      sequence_{fields.sequence != 0 ? fields.sequence : ++lastSequence},
      expiresAt_{fields.expiryInterval
                     ? fields.received + std::chrono::seconds{*fields.expiryInterval}
                     : TimePoint::max()},
      author_{std::move(fields.author)} {
  mqtt::Writer out{reinterpret_cast<char*>(this + 1)};
  out.writeTwoBytes(topicSize_);
  // In a QoS 0 PUBLISH of MQTT 3 the payload follows the topic as it does here.
  if (fields.payload.data() == fields.topic.data() + fields.topic.size()) {
    out.writeBytes({fields.topic.data(), fields.topic.size() + fields.payload.size()});
  } else {
    out.writeBytes(fields.topic);
    out.writeBytes(fields.payload);
  }
  out.writeBytes(fields.properties.encoded());
}

MessagePtr Message::create(MessageFields&& fields) {
  assert(fields.topic.size() <= mqtt::kMaxStringBytes);
  assert(fields.payload.size() <= mqtt::kMaxPacketBytes);
  const std::size_t size = sizeof(Message) + 2 + fields.topic.size() + fields.payload.size() +
                           fields.properties.encoded().size();
  return MessagePtr{new (block_pool::take(size)) Message{fields}};
}

void Message::continueBehind(std::uint64_t sequence) noexcept {
  lastSequence = std::max(lastSequence, sequence);
}

void Message::destroy(Message* message) noexcept {
  const std::size_t size = message->size();
  message->~Message();
  block_pool::give(message, size);
}

std::optional<std::uint32_t> Message::remainingExpiry(TimePoint now) const noexcept {
  if (!expires()) return std::nullopt;
  if (expired(now)) return 0;
  const auto left = std::chrono::ceil<std::chrono::seconds>(expiresAt_ - now);
  return static_cast<std::uint32_t>(left.count());
}

}  // namespace mqttstack::broker
