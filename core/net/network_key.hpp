#pragma once

#include <cstdint>
#include <cstring>
#include <functional>

#include "core/net/peer_info.hpp"

namespace mqttstack::net {

/// Whom limits "per address" mean by an address: one of IPv4, and the /64 network
/// of one of IPv6, since that is what one customer has at least and can choose
/// addresses from at will.
struct NetworkKey {
  std::uint64_t network = 0;
  PeerAddress::Family family = PeerAddress::Family::local;

  static NetworkKey of(const PeerAddress& address) noexcept {
    NetworkKey key;
    key.family = address.family();
    std::memcpy(&key.network, address.bytes().data(), sizeof key.network);
    return key;
  }
  friend bool operator==(const NetworkKey&, const NetworkKey&) noexcept = default;
};

struct NetworkKeyHash {
  std::size_t operator()(const NetworkKey& key) const noexcept {
    // The bits that differ between neighbours are the last ones on the wire.
    constexpr std::uint64_t kGolden = 0x9E3779B97F4A7C15U;
    const std::uint64_t mixed = (key.network ^ static_cast<std::uint64_t>(key.family)) * kGolden;
    return static_cast<std::size_t>(mixed ^ (mixed >> 32U));
  }
};

}  // namespace mqttstack::net
