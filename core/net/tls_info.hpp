#pragma once

#include <memory>

#include <openssl/types.h>

#include "core/net/peer_info.hpp"

namespace mqttstack::net {

/// Gathers what a finished handshake told about the peer.
std::unique_ptr<const TlsInfo> readTlsInfo(const SSL* connection);

}  // namespace mqttstack::net
