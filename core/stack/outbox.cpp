#include "core/stack/outbox.hpp"

#include <algorithm>
#include <cstring>

#include "core/mqtt/properties.hpp"
#include "core/mqtt/wire.hpp"

namespace mqttstack {
namespace {

/// From this size on a piece is sent from where it is instead of being copied.
constexpr std::size_t kGatherBytes = 512;
/// Fixed header, packet id, property length, message expiry and topic alias.
constexpr std::size_t kMaxSmallParts = 5 + 2 + 2 + 4 + 5 + 3;
constexpr std::size_t kMaxSlices = 256;
/// What a topic alias adds: the property, and maybe a byte each to the lengths of
/// the properties and of the packet.
constexpr std::size_t kAliasBytes = 3 + 2;

std::size_t identifiersSize(const broker::SubscriptionIds& ids) noexcept {
  std::size_t size = 0;
  ids.forEach([&](std::uint32_t id) { size += 1 + mqtt::variableSize(id); });
  return size;
}

/// The variable header of a PUBLISH, worked out before it is written.
struct PublishLayout {
  PublishLayout(const OutgoingPublish& publish, mqtt::ProtocolVersion version,
                TopicAliases::Use aliasUse, TimePoint now) noexcept
      : alias{aliasUse} {
    const broker::Message& message = *publish.message;
    remaining = 2 + (alias.omitTopic ? 0 : message.topic().size()) + message.payload().size();
    if (publish.qos != mqtt::Qos::atMostOnce) remaining += 2;
    if (version != mqtt::ProtocolVersion::v5) return;
    expiry = message.remainingExpiry(now);
    properties = message.properties().encoded().size() + identifiersSize(publish.subscriptionIds) +
                 (expiry ? 5U : 0U) + (alias.alias != 0 ? 3U : 0U);
    remaining += mqtt::variableSize(properties) + properties;
  }
  std::size_t total() const noexcept { return 1 + mqtt::variableSize(remaining) + remaining; }

  TopicAliases::Use alias;
  std::size_t remaining = 0;
  std::size_t properties = 0;
  std::optional<std::uint32_t> expiry;
};

}  // namespace

EncodeBuffer::EncodeBuffer() : bytes_{std::make_unique<char[]>(kBytes)}, capacity_{kBytes} {
  slices_.reserve(kMaxSlices + 8);
  ends_.reserve(kMaxPackets);
}

void EncodeBuffer::reset() noexcept {
  used_ = 0;
  total_ = 0;
  slices_.clear();
  ends_.clear();
}

bool EncodeBuffer::makeRoom(std::size_t bytes) {
  if (capacity_ - used_ >= bytes) return true;
  if (!slices_.empty()) return false;
  capacity_ = bytes;  // one packet with an enormous number of identifiers
  bytes_ = std::make_unique<char[]>(capacity_);
  return true;
}

void EncodeBuffer::appendWritten(std::size_t bytes) {
  if (bytes == 0) return;
  char* const at = bytes_.get() + used_;
  used_ += bytes;
  total_ += bytes;
  if (!slices_.empty()) {
    iovec& last = slices_.back();
    if (static_cast<char*>(last.iov_base) + last.iov_len == at) {
      last.iov_len += bytes;
      return;
    }
  }
  slices_.push_back({at, bytes});
}

void EncodeBuffer::append(std::string_view piece) {
  if (piece.empty()) return;
  if (piece.size() < kGatherBytes) {
    std::memcpy(position(), piece.data(), piece.size());
    return appendWritten(piece.size());
  }
  slices_.push_back({const_cast<char*>(piece.data()), piece.size()});
  total_ += piece.size();
}

void Outbox::add(std::string_view packet) {
  Entry entry;
  if (packet.size() <= entry.inlinePacket.size()) {
    std::copy(packet.begin(), packet.end(), entry.inlinePacket.begin());
    entry.inlineSize = static_cast<std::uint8_t>(packet.size());
  } else {
    entry.packet = std::make_unique<std::string>(packet);
  }
  entries_.pushBack(std::move(entry));
  bytes_ += packet.size();
  ++answers_;
}

void Outbox::add(OutgoingPublish publish) {
  bytes_ += approximateSize(publish);
  Entry entry;
  entry.publish = std::move(publish);
  entries_.pushBack(std::move(entry));
}

void Outbox::useTopicAliases(std::uint16_t maximum) {
  aliases_ = maximum != 0 ? std::make_unique<TopicAliases>(maximum) : nullptr;
}

void Outbox::clear() noexcept {
  entries_.clear();
  begun_ = {};
  bytes_ = 0;
  answers_ = 0;
}

bool Outbox::expired(const Entry& entry, TimePoint now) const noexcept {
  return entry.publish.message && !entry.mustBeSent && entry.publish.qos == mqtt::Qos::atMostOnce &&
         entry.publish.message->expired(now);
}

void Outbox::encodeSome(mqtt::ProtocolVersion version, TimePoint now, EncodeBuffer& buffer) {
  buffer.reset();
  for (std::size_t i = 0; i < entries_.size(); ++i) {
    if (buffer.ends_.size() == EncodeBuffer::kMaxPackets || buffer.slices_.size() >= kMaxSlices)
      return;
    Entry& entry = entries_[i];
    if (entry.publish.message) {
      if (!encodePublish(entry, version, now, buffer)) return;
    } else {
      const std::string_view packet =
          entry.packet ? std::string_view{*entry.packet}
                       : std::string_view{entry.inlinePacket.data(), entry.inlineSize};
      if (!buffer.makeRoom(std::min(packet.size(), kGatherBytes))) return;
      buffer.append(packet);
    }
    buffer.ends_.push_back(buffer.total_);
  }
}

bool Outbox::encodePublish(Entry& entry, mqtt::ProtocolVersion version, TimePoint now,
                           EncodeBuffer& buffer) {
  if (expired(entry, now)) return true;  // takes its place with no bytes
  const OutgoingPublish& publish = entry.publish;
  const broker::Message& message = *publish.message;
  const std::size_t identifiers =
      publish.subscriptionIds.empty() ? 0 : identifiersSize(publish.subscriptionIds);
  if (!buffer.makeRoom(kMaxSmallParts + identifiers + 3 * kGatherBytes)) return false;

  if (aliases_ && !entry.mustBeSent) {
    const bool roomForNew = maximumPacket_ >= mqtt::kMaxPacketBytes ||
                            encodedSize(publish, version, now) + kAliasBytes <= maximumPacket_;
    entry.alias = aliases_->forTopic(message.topic(), roomForNew);
    entry.mustBeSent = entry.alias.alias != 0 && !entry.alias.omitTopic;
  }
  const PublishLayout layout{publish, version, entry.alias, now};

  mqtt::Writer out{buffer.position()};
  out.writeByte(static_cast<std::uint8_t>(
      static_cast<unsigned>(mqtt::PacketType::publish) << 4U | (publish.dup ? 8U : 0U) |
      static_cast<unsigned>(publish.qos) << 1U | (publish.retain ? 1U : 0U)));
  out.writeVariable(static_cast<std::uint32_t>(layout.remaining));
  if (entry.alias.omitTopic) out.writeTwoBytes(0);
  buffer.advanceTo(out.position());
  if (!entry.alias.omitTopic) buffer.append(message.encodedTopic());

  out = mqtt::Writer{buffer.position()};
  if (publish.qos != mqtt::Qos::atMostOnce) out.writeTwoBytes(publish.packetId);
  if (version == mqtt::ProtocolVersion::v5) {
    out.writeVariable(static_cast<std::uint32_t>(layout.properties));
    if (layout.expiry) {
      out.writeByte(static_cast<std::uint8_t>(mqtt::PropertyId::messageExpiryInterval));
      out.writeFourBytes(*layout.expiry);
    }
    if (entry.alias.alias != 0) {
      out.writeByte(static_cast<std::uint8_t>(mqtt::PropertyId::topicAlias));
      out.writeTwoBytes(entry.alias.alias);
    }
    publish.subscriptionIds.forEach([&](std::uint32_t id) {
      out.writeByte(static_cast<std::uint8_t>(mqtt::PropertyId::subscriptionIdentifier));
      out.writeVariable(id);
    });
  }
  buffer.advanceTo(out.position());
  if (version == mqtt::ProtocolVersion::v5) buffer.append(message.properties().encoded());
  buffer.append(message.payload());
  return true;
}

Outbox::Flushed Outbox::flush(net::Transport& transport, mqtt::ProtocolVersion version,
                              TimePoint now, EncodeBuffer& buffer) {
  if (!begun_.empty()) {
    if (!finishBegun(transport)) return Flushed::failed;
    if (!begun_.empty()) return Flushed::some;
  }
  while (!entries_.empty()) {
    encodeSome(version, now, buffer);
    std::size_t written = 0;
    if (buffer.total_ != 0) {
      const auto result = transport.write(buffer.slices_);
      if (!result) return Flushed::failed;
      written = *result;
    }
    progress_.written += written;
    taken(written, now, buffer);
    if (written < buffer.total_) return Flushed::some;
  }
  return Flushed::all;
}

bool Outbox::finishBegun(net::Transport& transport) {
  const std::array<iovec, 2> rest{
      {{begun_.head.data() + begun_.headWritten, begun_.head.size() - begun_.headWritten},
       {const_cast<char*>(begun_.payload.data()), begun_.payload.size()}}};
  const auto written = transport.write(rest);
  if (!written) return false;
  progress_.written += *written;
  bytes_ -= *written;
  const std::size_t ofHead = std::min(*written, rest[0].iov_len);
  begun_.headWritten += ofHead;
  begun_.payload.remove_prefix(*written - ofHead);
  if (begun_.empty()) begun_ = {};
  return true;
}

/// Lets go of what was written, the first `bytes` bytes in `buffer`.
void Outbox::taken(std::size_t bytes, TimePoint now, const EncodeBuffer& buffer) {
  std::size_t start = 0;
  for (const std::size_t end : buffer.ends_) {
    if (end > bytes) {
      if (start < bytes) keepRest(bytes, end, buffer);
      return;
    }
    const Entry entry = entries_.popFront();
    if (expired(entry, now)) ++progress_.expired;
    if (!entry.publish.message) --answers_;
    bytes_ -= approximateSize(entry);
    start = end;
  }
}

/// Keeps the rest of the packet that was begun, [from, to) in `buffer`, as bytes:
/// it may not look the same when it is encoded again.
void Outbox::keepRest(std::size_t from, std::size_t to, const EncodeBuffer& buffer) {
  Entry entry = entries_.popFront();
  bytes_ = bytes_ - approximateSize(entry) + (to - from);
  if (!entry.publish.message) --answers_;
  if (entry.publish.message && entry.publish.message->payload().size() >= kGatherBytes) {
    begun_.payload = entry.publish.message->payload();
    begun_.message = std::move(entry.publish.message);
    if (begun_.payload.size() > to - from)
      begun_.payload.remove_prefix(begun_.payload.size() - (to - from));
    to -= begun_.payload.size();
  }
  for (const iovec& slice : buffer.slices_) {
    if (from == to) break;
    if (from >= slice.iov_len) {
      from -= slice.iov_len;
      to -= slice.iov_len;
      continue;
    }
    const std::size_t part = std::min(slice.iov_len, to) - from;
    begun_.head.append(static_cast<const char*>(slice.iov_base) + from, part);
    to -= from + part;
    from = 0;
  }
}

std::size_t Outbox::approximateSize(const Entry& entry) noexcept {
  if (entry.publish.message) return approximateSize(entry.publish);
  return entry.packet ? entry.packet->size() : entry.inlineSize;
}

std::size_t Outbox::approximateSize(const OutgoingPublish& publish) noexcept {
  const broker::Message& message = *publish.message;
  return 8 + message.encodedTopicAndPayload().size() + message.properties().encoded().size();
}

std::size_t encodedSize(const OutgoingPublish& publish, mqtt::ProtocolVersion version,
                        TimePoint now) noexcept {
  return PublishLayout{publish, version, {}, now}.total();
}

}  // namespace mqttstack
