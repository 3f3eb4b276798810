#pragma once

#include <string>
#include <vector>

#include "app/config_report.hpp"
#include "core/net/descriptor.hpp"

namespace mqttstack {

/// A listening socket that a service manager has opened for the listener of this
/// name. Several may have one name: the addresses of one listener.
struct InheritedSocket {
  std::string name;
  net::Descriptor socket;
};

/// The sockets that were passed to this process (socket activation, see
/// sd_listen_fds(3)), each looked at: it has to be a stream socket that listens,
/// over IPv4, IPv6 or on this machine. What is wrong goes to `report`. Takes
/// LISTEN_PID, LISTEN_FDS and LISTEN_FDNAMES out of the environment and keeps the
/// descriptors from child processes.
///
/// Called once. REQUIRES: no other thread runs yet.
std::vector<InheritedSocket> takeInheritedSockets(ConfigReport& report);

}  // namespace mqttstack
