#include "core/broker/delivery.hpp"

#include <algorithm>
#include <bitset>
#include <cassert>
#include <utility>

namespace mqttstack::broker {

void DeliveryQueue::push(Delivery delivery) {
  bytes_ += delivery.bytes();
  if (delivery.qos == mqtt::Qos::atMostOnce) ++qos0_;
  ring_.pushBack(std::move(delivery));
}

void DeliveryQueue::uncount(const Delivery& delivery) noexcept {
  bytes_ -= delivery.bytes();
  if (delivery.qos == mqtt::Qos::atMostOnce) --qos0_;
}

Delivery DeliveryQueue::popFront() noexcept {
  uncount(ring_.front());
  return ring_.popFront();
}

std::optional<Delivery> DeliveryQueue::dropOldestQos0() noexcept {
  if (qos0_ == 0) return std::nullopt;
  std::size_t i = 0;
  while (ring_[i].qos != mqtt::Qos::atMostOnce) ++i;
  uncount(ring_[i]);
  return ring_.remove(i);
}

std::optional<Delivery> DeliveryQueue::dropNewestQos0() noexcept {
  if (qos0_ == 0) return std::nullopt;
  std::size_t i = ring_.size() - 1;
  while (ring_[i].qos != mqtt::Qos::atMostOnce) --i;
  uncount(ring_[i]);
  return ring_.remove(i);
}

void DeliveryQueue::clear() noexcept {
  ring_.clear();
  bytes_ = 0;
  qos0_ = 0;
}

void InflightWindow::beginConnection(std::uint16_t limit) noexcept {
  limit_ = limit;
  slotsUsed_ = 0;
  resendAt_ = 0;
  resendsDue_ = count_;
  forEach([](Delivery& delivery) {
    delivery.resendDue = true;
    delivery.holdsSlot = false;
    // What was being stored has not been sent. [v5:4.3.3-2]
    delivery.dup = delivery.state != DeliveryState::awaitingPubcomp && !delivery.staged;
  });
}

Delivery& InflightWindow::send(Delivery delivery) {
  assert(canSend());
  assert(delivery.qos != mqtt::Qos::atMostOnce);
  delivery.packetId = freeId();
  delivery.state = delivery.qos == mqtt::Qos::atLeastOnce ? DeliveryState::awaitingPuback
                                                          : DeliveryState::awaitingPubrec;
  delivery.dup = false;
  delivery.resendDue = false;
  delivery.holdsSlot = true;
  ++slotsUsed_;
  return append(std::move(delivery));
}

bool InflightWindow::restore(Delivery delivery) {
  assert(delivery.state != DeliveryState::queued);
  if (delivery.packetId == 0 || find(delivery.packetId)) return false;
  delivery.dup = delivery.state != DeliveryState::awaitingPubcomp;
  delivery.resendDue = true;
  delivery.holdsSlot = false;
  ++resendsDue_;
  append(std::move(delivery));
  return true;
}

Delivery* InflightWindow::nextToResend() noexcept {
  if (resendsDue_ == 0) return nullptr;
  while (!ring_[resendAt_].resendDue) ++resendAt_;
  Delivery& delivery = ring_[resendAt_];
  if (delivery.state != DeliveryState::awaitingPubcomp && slotsUsed_ >= limit_) return nullptr;
  return &delivery;
}

void InflightWindow::resent(Delivery& delivery) noexcept {
  assert(delivery.resendDue);
  delivery.resendDue = false;
  --resendsDue_;
  if (delivery.state == DeliveryState::awaitingPubcomp) return;
  delivery.holdsSlot = true;
  ++slotsUsed_;
}

Acknowledged InflightWindow::puback(std::uint16_t packetId) noexcept {
  Delivery* const delivery = find(packetId);
  if (delivery == nullptr) return {AckResult::unknownId};
  if (delivery->state != DeliveryState::awaitingPuback) return {AckResult::wrongState};
  return finish(*delivery);
}

Acknowledged InflightWindow::pubrec(std::uint16_t packetId, bool failed) noexcept {
  Delivery* const delivery = find(packetId);
  if (delivery == nullptr) return {AckResult::unknownId};
  if (delivery->state == DeliveryState::awaitingPuback) return {AckResult::wrongState};
  if (failed) return finish(*delivery);
  // The caller's PUBREL is what would be sent again.
  if (delivery->resendDue) {
    delivery->resendDue = false;
    --resendsDue_;
  }
  if (delivery->state == DeliveryState::awaitingPubcomp) return {AckResult::repeated};
  delivery->state = DeliveryState::awaitingPubcomp;
  delivery->dup = false;
  uncount(*delivery);
  Acknowledged acknowledged{AckResult::accepted, std::exchange(delivery->message, {})};
  count(*delivery);
  return acknowledged;
}

Acknowledged InflightWindow::pubcomp(std::uint16_t packetId) noexcept {
  Delivery* const delivery = find(packetId);
  if (delivery == nullptr) return {AckResult::unknownId};
  if (delivery->state != DeliveryState::awaitingPubcomp) return {AckResult::wrongState};
  return finish(*delivery);
}

std::uint16_t InflightWindow::freeId() const noexcept {
  if (ring_.empty() || (ascending_ && distance(nextId_) > distance(ring_.back().packetId)))
    return nextId_;
  // They have come round to ids of which some may still be in use.
  std::bitset<kAllIds + 1> used{1};
  for (std::size_t i = 0; i < ring_.size(); ++i)
    if (ring_[i].state != DeliveryState::queued) used.set(ring_[i].packetId);
  std::uint16_t id = nextId_;
  while (used[id]) id = following(id);
  return id;
}

Delivery* InflightWindow::find(std::uint16_t packetId) noexcept {
  if (ring_.empty() || packetId == 0) return nullptr;
  if (!ascending_) {
    for (std::size_t i = 0; i < ring_.size(); ++i)
      if (ring_[i].packetId == packetId && ring_[i].state != DeliveryState::queued)
        return &ring_[i];
    return nullptr;
  }
  // Ids are given out in turn, so without gaps the distance is the position, and
  // with gaps the position comes before.
  const std::uint16_t wanted = distance(packetId);
  std::size_t low = std::min<std::size_t>(wanted, ring_.size() - 1);
  if (ring_[low].packetId != packetId) {
    std::size_t high = std::exchange(low, 0);
    while (low < high) {
      const std::size_t middle = (low + high) / 2;
      if (distance(ring_[middle].packetId) < wanted)
        low = middle + 1;
      else
        high = middle;
    }
    if (ring_[low].packetId != packetId) return nullptr;
  }
  return ring_[low].state != DeliveryState::queued ? &ring_[low] : nullptr;
}

std::uint16_t InflightWindow::distance(std::uint16_t packetId) const noexcept {
  const std::uint16_t base = ring_.front().packetId;
  return static_cast<std::uint16_t>(packetId >= base ? packetId - base : packetId + kAllIds - base);
}

Delivery& InflightWindow::append(Delivery&& delivery) {
  // An early delivery that is never acknowledged must not keep the places of all
  // that came after it.
  constexpr std::size_t kKept = 16;
  if (ring_.size() >= kKept && ring_.size() == ring_.capacity() && ring_.size() >= 2 * count_)
    compact();
  count(delivery);
  ++count_;
  nextId_ = following(delivery.packetId);
  if (ring_.empty())
    ascending_ = true;
  else if (distance(delivery.packetId) <= distance(ring_.back().packetId))
    ascending_ = false;
  return ring_.pushBack(std::move(delivery));
}

void InflightWindow::compact() noexcept {
  ring_.removeIf([](const Delivery& delivery) { return delivery.state == DeliveryState::queued; });
  resendAt_ = 0;
  ascending_ = true;
  for (std::size_t i = 1; i < ring_.size() && ascending_; ++i)
    ascending_ = distance(ring_[i].packetId) > distance(ring_[i - 1].packetId);
}

Acknowledged InflightWindow::finish(Delivery& delivery) noexcept {
  uncount(delivery);
  if (delivery.holdsSlot) --slotsUsed_;
  if (delivery.resendDue) --resendsDue_;
  delivery.holdsSlot = false;
  delivery.resendDue = false;
  --count_;
  delivery.state = DeliveryState::queued;
  delivery.subscriptionIds = {};
  Acknowledged acknowledged{AckResult::accepted, std::exchange(delivery.message, {}),
                            delivery.number};
  while (!ring_.empty() && ring_.front().state == DeliveryState::queued) {
    ring_.popFront();
    if (resendAt_ > 0) --resendAt_;
  }
  return acknowledged;
}

}  // namespace mqttstack::broker
