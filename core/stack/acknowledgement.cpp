#include "core/stack/acknowledgement.hpp"

#include <utility>

#include "core/stack/client.hpp"

namespace mqttstack {

Acknowledgement::Acknowledgement(Client& client, std::uint32_t number) noexcept
    : client_{&client},
      number_{number} {
  client.retain();
}

Acknowledgement Acknowledgement::another() const {
  ++client_->acknowledgements().at(number_).holders;
  return Acknowledgement{*client_, number_};
}

void Acknowledgement::settle(mqtt::ReasonCode code) {
  Client* const client = std::exchange(client_, nullptr);
  client->acknowledgements().settle(*client, number_, code);
  client->release();
}

Acknowledgement AckQueue::open(Client& client, std::uint16_t packetId, AckKind kind) {
  const std::uint32_t number = first_ + static_cast<std::uint32_t>(entries_.size());
  entries_.pushBack({packetId, kind, mqtt::ReasonCode::success, 1});
  if (kind == AckKind::puback) ++pendingQos1_;
  return Acknowledgement{client, number};
}

void AckQueue::settle(Client& client, std::uint32_t number, mqtt::ReasonCode code) {
  Entry& entry = at(number);
  if (!mqtt::isFailure(entry.code) && code != mqtt::ReasonCode::success) entry.code = code;
  if (--entry.holders == 0 && number == first_) sendSettled(client);
}

void AckQueue::sendSettled(Client& client) {
  while (!entries_.empty() && entries_.front().holders == 0) {
    const Entry entry = entries_.popFront();
    ++first_;
    if (entry.kind == AckKind::puback) --pendingQos1_;
    client.acknowledge(entry.packetId, entry.kind, entry.code);
  }
}

}  // namespace mqttstack
