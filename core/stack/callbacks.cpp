#include "core/stack/callbacks.hpp"

#include <utility>

namespace mqttstack {

std::string_view toString(DropReason reason) noexcept {
  switch (reason) {
    case DropReason::queueFull:
      return "queue full";
    case DropReason::slowConsumer:
      return "slow consumer";
    case DropReason::notConnected:
      return "not connected";
    case DropReason::packetTooLarge:
      return "packet too large";
    case DropReason::notAuthorized:
      return "not authorized";
    case DropReason::expired:
      return "expired";
    case DropReason::sessionEnded:
      return "session ended";
    case DropReason::notStored:
      return "not stored";
    case DropReason::memoryLimit:
      return "memory limit";
  }
  return "unknown";
}

StoredWill StoredWill::of(const mqtt::Will& will, broker::IdentityPtr author) {
  using mqtt::PropertyId;
  StoredWill stored;
  stored.topic = will.topic;
  stored.payload = will.payload;
  stored.author = std::move(author);
  stored.qos = will.qos;
  stored.retain = will.retain;
  stored.expiryInterval = will.properties.number(PropertyId::messageExpiryInterval);
  stored.delay = will.properties.number(PropertyId::willDelayInterval).value_or(0);
  // [v5:3.1.3-10]
  mqtt::copyPropertiesExcept(will.properties,
                             {PropertyId::willDelayInterval, PropertyId::messageExpiryInterval},
                             stored.properties);
  return stored;
}

}  // namespace mqttstack
