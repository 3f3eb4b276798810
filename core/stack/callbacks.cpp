#include "core/stack/callbacks.hpp"

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
  }
  return "unknown";
}

}  // namespace mqttstack
