#include "core/mqtt/packet.hpp"

#include "core/mqtt/wire.hpp"

namespace mqttstack::mqtt {
namespace {

constexpr std::uint8_t kQosBits = 0x03;
constexpr std::uint8_t kNoLocalBit = 0x04;
constexpr std::uint8_t kRetainAsPublishedBit = 0x08;
constexpr unsigned kRetainHandlingShift = 4;

}  // namespace

SubscriptionOptions SubscriptionOptions::fromByte(std::uint8_t byte) noexcept {
  return {.qos = static_cast<Qos>(byte & kQosBits),
          .noLocal = (byte & kNoLocalBit) != 0,
          .retainAsPublished = (byte & kRetainAsPublishedBit) != 0,
          .retainHandling = static_cast<RetainHandling>((byte >> kRetainHandlingShift) & 0x03U)};
}

std::uint8_t SubscriptionOptions::toByte() const noexcept {
  return static_cast<std::uint8_t>(static_cast<unsigned>(qos) | (noLocal ? kNoLocalBit : 0U) |
                                   (retainAsPublished ? kRetainAsPublishedBit : 0U) |
                                   static_cast<unsigned>(retainHandling) << kRetainHandlingShift);
}

SubscribeEntry SubscribeEntries::takeFront() noexcept {
  Reader in{payload_};
  SubscribeEntry entry;
  std::uint8_t options = 0;
  if (!in.readBinary(entry.filter) || !in.readByte(options)) {
    assert(false && "a payload that was not validated");
    payload_ = {};
    return {};
  }
  entry.options = SubscriptionOptions::fromByte(options);
  payload_ = in.rest();
  return entry;
}

std::size_t SubscribeEntries::count() const noexcept {
  std::size_t count = 0;
  for (SubscribeEntries rest = *this; !rest.empty(); ++count) rest.takeFront();
  return count;
}

std::string_view UnsubscribeFilters::takeFront() noexcept {
  Reader in{payload_};
  std::string_view filter;
  if (!in.readBinary(filter)) {
    assert(false && "a payload that was not validated");
    payload_ = {};
    return {};
  }
  payload_ = in.rest();
  return filter;
}

std::size_t UnsubscribeFilters::count() const noexcept {
  std::size_t count = 0;
  for (UnsubscribeFilters rest = *this; !rest.empty(); ++count) rest.takeFront();
  return count;
}

}  // namespace mqttstack::mqtt
