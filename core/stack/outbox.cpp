#include "core/stack/outbox.hpp"

#include <algorithm>
#include <cstring>
#include <optional>
#include <utility>

#include "core/mqtt/properties.hpp"

namespace mqttstack {
namespace {

/// From this size on a piece is sent from where it is instead of being copied.
constexpr std::size_t kGatherBytes = 512;
/// Fixed header, packet id, property length, message expiry and topic alias.
constexpr std::size_t kMaxSmallParts = 5 + 2 + 2 + 4 + 5 + 3;
/// What a topic alias adds: the property, and maybe a byte each to the lengths of
/// the properties and of the packet.
constexpr std::size_t kAliasBytes = 3 + 2;

std::size_t identifiersSize(const broker::SubscriptionIds& ids) noexcept {
  std::size_t size = 0;
  ids.forEach([&](std::uint32_t id) { size += 1 + mqtt::variableSize(id); });
  return size;
}

/// What precedes the properties of the message in a PUBLISH of MQTT 5, worked
/// out before it is written.
struct LayoutV5 {
  LayoutV5(const broker::Message& message, const broker::SubscriptionIds& ids, mqtt::Qos qos,
           TopicAliases::Use alias, TimePoint now) noexcept
      : expiry{message.remainingExpiry(now)},
        properties{message.properties().encoded().size() + identifiersSize(ids) +
                   (expiry ? 5U : 0U) + (alias.alias != 0 ? 3U : 0U)},
        remaining{2 + (alias.omitTopic ? 0 : message.topic().size()) +
                  (qos != mqtt::Qos::atMostOnce ? 2U : 0U) + mqtt::variableSize(properties) +
                  properties + message.payload().size()} {}

  std::optional<std::uint32_t> expiry;
  std::size_t properties;
  std::size_t remaining;
};

std::size_t remainingV3(const broker::Message& message, mqtt::Qos qos) noexcept {
  return message.encodedTopicAndPayload().size() + (qos != mqtt::Qos::atMostOnce ? 2U : 0U);
}

std::uint8_t firstByte(mqtt::Qos qos, bool retain, bool dup) noexcept {
  return static_cast<std::uint8_t>(static_cast<unsigned>(mqtt::PacketType::publish) << 4U |
                                   (dup ? 8U : 0U) | static_cast<unsigned>(qos) << 1U |
                                   (retain ? 1U : 0U));
}

}  // namespace

EncodeBuffer::EncodeBuffer()
    : bytes_{std::make_unique<char[]>(kBytes)},
      end_{bytes_.get() + kBytes},
      out_{bytes_.get()},
      slice_{bytes_.get()} {
  slices_.reserve(kMaxSlices + 8);
}

void EncodeBuffer::reset() noexcept {
  out_ = mqtt::Writer{bytes_.get()};
  slice_ = bytes_.get();
  slices_.clear();
  gathered_ = 0;
  packets_ = 0;
  emptyPackets_ = 0;
}

bool EncodeBuffer::grow(std::size_t bytes) {
  if (packets_ != 0) return false;
  bytes_ = std::make_unique<char[]>(bytes);  // one packet with an enormous number of identifiers
  end_ = bytes_.get() + bytes;
  reset();
  return true;
}

void EncodeBuffer::append(std::string_view piece) {
  if (piece.size() < kGatherBytes) return out_.writeBytes(piece);
  closeSlice();
  slices_.push_back({const_cast<char*>(piece.data()), piece.size()});
  gathered_ += piece.size();
}

void EncodeBuffer::closeSlice() {
  const char* const here = out_.position();
  if (here == slice_) return;
  slices_.push_back({const_cast<char*>(slice_), static_cast<std::size_t>(here - slice_)});
  slice_ = here;
}

Outbox::Entry::Entry(OutgoingPublish&& outgoing) noexcept
    : publish{std::move(outgoing.message), std::move(outgoing.subscriptionIds)},
      packetId{outgoing.packetId},
      kind{Kind::publish},
      qos{outgoing.qos},
      retain{outgoing.retain},
      dup{outgoing.dup} {}

Outbox::Entry::Entry(std::string_view packet) : shortPackets{}, packetId{1} {
  if (packet.size() <= shortPackets.size()) {
    kind = Kind::shortPackets;
    std::memcpy(shortPackets.data(), packet.data(), packet.size());
    shortSize = static_cast<std::uint8_t>(packet.size());
  } else {
    kind = Kind::longPacket;
    longPacket = new std::string{packet};
  }
}

Outbox::Entry::~Entry() {
  if (kind == Kind::publish)
    publish.~Publish();
  else if (kind == Kind::longPacket)
    delete longPacket;
}

bool Outbox::Entry::append(std::string_view packet) noexcept {
  if (kind != Kind::shortPackets || packet.size() > shortPackets.size() - shortSize) return false;
  std::memcpy(shortPackets.data() + shortSize, packet.data(), packet.size());
  shortSize = static_cast<std::uint8_t>(shortSize + packet.size());
  ++packetId;
  return true;
}

std::string_view Outbox::Entry::bytes() const noexcept {
  if (kind == Kind::longPacket) return *longPacket;
  return {shortPackets.data(), shortSize};
}

void Outbox::add(std::string_view packet) {
  if (entries_.empty() || !entries_.back().append(packet)) {
    const Entry& entry = entries_.emplaceBack(packet);
    if (entry.kind == Entry::Kind::longPacket) longAnswerBytes_ += packet.size();
  }
  bytes_ += packet.size();
  ++answers_;
}

void Outbox::add(OutgoingPublish&& publish) {
  bytes_ += approximateSize(entries_.emplaceBack(std::move(publish)));
}

void Outbox::useTopicAliases(std::uint16_t maximum) {
  aliases_ = maximum != 0 ? std::make_unique<TopicAliases>(maximum) : nullptr;
}

void Outbox::clear() noexcept {
  entries_.clear();
  begun_.reset();
  bytes_ = 0;
  answers_ = longAnswerBytes_ = 0;
}

bool Outbox::expired(const Entry& entry, TimePoint now) noexcept {
  return !entry.mustBeSent && entry.qos == mqtt::Qos::atMostOnce &&
         entry.publish.message->expired(now);
}

/// Encodes from the front as much as the buffer takes.
void Outbox::encodeSome(mqtt::ProtocolVersion version, TimePoint now, EncodeBuffer& buffer) {
  buffer.reset();
  for (Entry& entry : entries_) {
    if (buffer.full() || !encode(entry, version, now, buffer)) break;
    buffer.ends_[buffer.packets_++] = buffer.total();
  }
  buffer.closeSlice();
}

/// False if there is no room.
bool Outbox::encode(Entry& entry, mqtt::ProtocolVersion version, TimePoint now,
                    EncodeBuffer& buffer) {
  if (!entry.isPublish()) {
    const std::string_view bytes = entry.bytes();
    if (!buffer.makeRoom(std::min(bytes.size(), kGatherBytes))) return false;
    buffer.append(bytes);
    return true;
  }
  const bool v5 = version == mqtt::ProtocolVersion::v5;
  const std::size_t identifiers = v5 && !entry.publish.subscriptionIds.empty()
                                      ? identifiersSize(entry.publish.subscriptionIds)
                                      : 0;
  if (!buffer.makeRoom(kMaxSmallParts + identifiers + 3 * kGatherBytes)) return false;
  if (expired(entry, now)) {  // takes its place with no bytes
    ++buffer.emptyPackets_;
    return true;
  }
  if (v5)
    encodeV5(entry, now, buffer);
  else
    encodeV3(entry, buffer);
  return true;
}

void Outbox::encodeV3(const Entry& entry, EncodeBuffer& buffer) {
  const broker::Message& message = *entry.publish.message;
  buffer.out_.writeByte(firstByte(entry.qos, entry.retain, entry.dup));
  buffer.out_.writeVariable(remainingV3(message, entry.qos));
  if (entry.qos == mqtt::Qos::atMostOnce) return buffer.append(message.encodedTopicAndPayload());
  buffer.append(message.encodedTopic());
  buffer.out_.writeTwoBytes(entry.packetId);
  buffer.append(message.payload());
}

void Outbox::encodeV5(Entry& entry, TimePoint now, EncodeBuffer& buffer) {
  if (aliases_ && !entry.mustBeSent) chooseAlias(entry, now);
  const broker::Message& message = *entry.publish.message;
  const LayoutV5 layout{
      message, entry.publish.subscriptionIds, entry.qos, {entry.alias, entry.omitTopic}, now};
  mqtt::Writer& out = buffer.out_;
  out.writeByte(firstByte(entry.qos, entry.retain, entry.dup));
  out.writeVariable(layout.remaining);
  if (entry.omitTopic)
    out.writeTwoBytes(0);
  else
    buffer.append(message.encodedTopic());
  if (entry.qos != mqtt::Qos::atMostOnce) out.writeTwoBytes(entry.packetId);
  out.writeVariable(layout.properties);
  if (layout.expiry) {
    out.writeByte(static_cast<std::uint8_t>(mqtt::PropertyId::messageExpiryInterval));
    out.writeFourBytes(*layout.expiry);
  }
  if (entry.alias != 0) {
    out.writeByte(static_cast<std::uint8_t>(mqtt::PropertyId::topicAlias));
    out.writeTwoBytes(entry.alias);
  }
  entry.publish.subscriptionIds.forEach([&](std::uint32_t id) {
    out.writeByte(static_cast<std::uint8_t>(mqtt::PropertyId::subscriptionIdentifier));
    out.writeVariable(id);
  });
  buffer.append(message.properties().encoded());
  buffer.append(message.payload());
}

void Outbox::chooseAlias(Entry& entry, TimePoint now) {
  const broker::Message& message = *entry.publish.message;
  const LayoutV5 plain{message, entry.publish.subscriptionIds, entry.qos, {}, now};
  const bool roomForNew =
      1 + mqtt::variableSize(plain.remaining) + plain.remaining + kAliasBytes <= maximumPacket_;
  const TopicAliases::Use use = aliases_->forTopic(message.topic(), roomForNew);
  entry.alias = use.alias;
  entry.omitTopic = use.omitTopic;
  entry.mustBeSent = use.alias != 0 && !use.omitTopic;
}

Outbox::Flush Outbox::flush(net::Transport& transport, mqtt::ProtocolVersion version, TimePoint now,
                            EncodeBuffer& buffer) {
  Flush flush;
  const auto ended = [&flush](Flushed result) {
    flush.result = result;
    return flush;
  };
  if (begun_) {
    if (!finishBegun(transport, flush)) return ended(Flushed::failed);
    if (begun_) return ended(Flushed::some);
  }
  while (!entries_.empty()) {
    encodeSome(version, now, buffer);
    std::size_t written = 0;
    if (!buffer.slices_.empty()) {
      const auto result = transport.write(buffer.slices_);
      if (!result) return ended(Flushed::failed);
      written = *result;
    }
    taken(flush, written, buffer);
    if (written < buffer.total()) return ended(Flushed::some);
  }
  return ended(Flushed::all);
}

bool Outbox::finishBegun(net::Transport& transport, Flush& flush) {
  Begun& begun = *begun_;
  const std::array<iovec, 2> rest{
      {{begun.head.data() + begun.headWritten, begun.head.size() - begun.headWritten},
       {const_cast<char*>(begun.payload.data()), begun.payload.size()}}};
  const auto written = transport.write(rest);
  if (!written) return false;
  flush.written += *written;
  bytes_ -= *written;
  const std::size_t ofHead = std::min(*written, rest[0].iov_len);
  begun.headWritten += ofHead;
  begun.payload.remove_prefix(*written - ofHead);
  if (begun.size() == 0) begun_.reset();
  return true;
}

/// Lets go of what was written, the first `bytes` bytes in `buffer`.
void Outbox::taken(Flush& flush, std::size_t bytes, const EncodeBuffer& buffer) {
  flush.written += bytes;
  if (bytes == buffer.total() && buffer.packets_ == entries_.size()) {  // as mostly
    flush.expired += buffer.emptyPackets_;
    entries_.clear();
    bytes_ = 0;
    answers_ = longAnswerBytes_ = 0;
    return;
  }
  std::size_t start = 0;
  for (std::size_t i = 0; i < buffer.packets_; ++i) {
    const std::size_t end = buffer.ends_[i];
    if (end > bytes) {
      if (start < bytes) keepRest(bytes, end, buffer);
      return;
    }
    if (end == start) ++flush.expired;
    dropFront();
    start = end;
  }
}

void Outbox::dropFront() noexcept {
  const Entry& entry = entries_.front();
  bytes_ -= approximateSize(entry);
  if (!entry.isPublish()) answers_ -= entry.packets();
  if (entry.kind == Entry::Kind::longPacket) longAnswerBytes_ -= entry.bytes().size();
  entries_.dropFront();
}

/// Keeps the rest of the packet that was begun, [from, to) in `buffer`, as bytes:
/// it may not look the same when it is encoded again.
void Outbox::keepRest(std::size_t from, std::size_t to, const EncodeBuffer& buffer) {
  begun_ = std::make_unique<Begun>();
  bytes_ += to - from;
  Entry& entry = entries_.front();
  if (entry.isPublish() && entry.publish.message->payload().size() >= kGatherBytes) {
    begun_->message = entry.publish.message;
    begun_->payload = begun_->message->payload();
    if (begun_->payload.size() > to - from)
      begun_->payload.remove_prefix(begun_->payload.size() - (to - from));
    to -= begun_->payload.size();
  }
  for (const iovec& slice : buffer.slices_) {
    if (from == to) break;
    if (from >= slice.iov_len) {
      from -= slice.iov_len;
      to -= slice.iov_len;
      continue;
    }
    const std::size_t part = std::min(slice.iov_len, to) - from;
    begun_->head.append(static_cast<const char*>(slice.iov_base) + from, part);
    to -= from + part;
    from = 0;
  }
  dropFront();
}

std::size_t Outbox::approximateSize(const Entry& entry) noexcept {
  if (!entry.isPublish()) return entry.bytes().size();
  const broker::Message& message = *entry.publish.message;
  return 8 + message.encodedTopicAndPayload().size() + message.properties().encoded().size();
}

std::size_t encodedSize(const OutgoingPublish& publish, mqtt::ProtocolVersion version,
                        TimePoint now) noexcept {
  const broker::Message& message = *publish.message;
  const std::size_t remaining =
      version == mqtt::ProtocolVersion::v5
          ? LayoutV5{message, publish.subscriptionIds, publish.qos, {}, now}.remaining
          : remainingV3(message, publish.qos);
  return 1 + mqtt::variableSize(remaining) + remaining;
}

}  // namespace mqttstack
