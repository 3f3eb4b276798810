#include "core/stack/acknowledgement.hpp"

#include <utility>

#include "core/stack/client.hpp"

namespace mqttstack {
namespace {

constexpr std::size_t kCompactAt = 256;

}  // namespace

Acknowledgement::Acknowledgement(Client& client, std::uint32_t number) noexcept
    : client_{&client},
      number_{number} {
  client.retain();
}

Acknowledgement Acknowledgement::share() const {
  if (!client_) return {};
  ++client_->acknowledgements().at(number_).holders;
  return Acknowledgement{*client_, number_};
}

void Acknowledgement::settle(mqtt::ReasonCode code) {
  Client* const client = std::exchange(client_, nullptr);
  client->acknowledgements().settle(*client, number_, code);
  client->release();
}

Acknowledgement AckQueue::open(Client& client, std::uint16_t packetId, mqtt::Qos qos) {
  if (head_ == entries_.size() || head_ >= kCompactAt) {
    entries_.erase(entries_.begin(), entries_.begin() + static_cast<std::ptrdiff_t>(head_));
    head_ = 0;
  }
  const auto number = first_ + static_cast<std::uint32_t>(entries_.size() - head_);
  entries_.push_back({packetId, qos, mqtt::ReasonCode::success, 1});
  if (qos == mqtt::Qos::atLeastOnce) ++pendingQos1_;
  return Acknowledgement{client, number};
}

void AckQueue::settle(Client& client, std::uint32_t number, mqtt::ReasonCode code) {
  Entry& entry = at(number);
  if (!mqtt::isFailure(entry.code) && code != mqtt::ReasonCode::success) entry.code = code;
  if (--entry.holders == 0 && number == first_) sendSettled(client);
}

void AckQueue::sendSettled(Client& client) {
  while (head_ < entries_.size() && entries_[head_].holders == 0) {
    const Entry entry = entries_[head_++];
    ++first_;
    if (entry.qos == mqtt::Qos::atLeastOnce) --pendingQos1_;
    client.acknowledge(entry.packetId, entry.qos, entry.code);
  }
  if (head_ == entries_.size() && entries_.capacity() > 64) {
    entries_ = {};
    head_ = 0;
  }
}

}  // namespace mqttstack
