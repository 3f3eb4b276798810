#pragma once

#include <string>
#include <utility>

#include "tests/middlewares/protocol_broker.hpp"

/// The known defects of the broker whose idea this one takes up, none of which is
/// to come back. Each has a test under its number, in one scene; the rules behind
/// them have tests of their own beside the middlewares.
namespace mqttstack::test {

/// Version 3.1.1 but where another is the point.
struct Scene : ProtocolBroker {
  explicit Scene(const Parts& parts = {}) : ProtocolBroker{parts} {}
  Peer with(std::string clientId) { return join(*this, Version::v311, std::move(clientId)); }
  Peer resume(std::string clientId) {
    return join(*this, Version::v311, persistent(Version::v311, std::move(clientId)));
  }
};

}  // namespace mqttstack::test
