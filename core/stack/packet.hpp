#pragma once

#include <cassert>
#include <variant>

#include "core/broker/message.hpp"
#include "core/mqtt/packet.hpp"

namespace mqttstack {

/// A packet on its way through a stack. Its views stay valid while the walk
/// lasts, also while a middleware defers: a PUBLISH refers to its `message`,
/// any other packet that has views to bytes that belong to the walk.
struct Packet {
  mqtt::Packet content;
  /// Of a PUBLISH: the message as it will be stored and forwarded, with topic
  /// aliases resolved and hop-by-hop properties taken out. Null otherwise.
  broker::MessagePtr message;

  mqtt::PacketType type() const noexcept { return mqtt::typeOf(content); }

  /// The packet as its own type. REQUIRES: type() is P's.
  template <class P>
  const P& as() const noexcept {
    assert(std::holds_alternative<P>(content));
    return *std::get_if<P>(&content);
  }
  template <class P>
  P& as() noexcept {
    assert(std::holds_alternative<P>(content));
    return *std::get_if<P>(&content);
  }
};

}  // namespace mqttstack
