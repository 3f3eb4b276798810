#pragma once

#include <cstdint>
#include <optional>
#include <string>
#include <string_view>

#include "core/broker/delivery.hpp"
#include "core/broker/identity.hpp"
#include "core/broker/session.hpp"
#include "core/mqtt/packet.hpp"
#include "core/stack/acknowledgement.hpp"
#include "core/stack/middleware.hpp"
#include "core/util/clock.hpp"

/// The callbacks by which what is promised to a client waits until it is stored.
/// Part of callbacks.hpp. Whoever executes them does so for durable sessions
/// only (broker::Session::durable()); backends that store nothing don't handle
/// them, and then they cost nothing.
namespace mqttstack {

/// A delivery in the window of a durable session has begun, or has come further:
/// `delivery` has its packet identifier and its state. Executed by
/// outbound_manager before it sends the next packet of the handshake. A handler
/// that wants this packet to wait says so, and executes deliveryStored when it
/// may be sent.
struct StoreDelivery {
  static constexpr std::string_view kName = "storeDelivery";
  static constexpr CallbackKind kKind = CallbackKind::sync;

  broker::Session& session;
  broker::Delivery& delivery;

  bool wait = false;  ///< out
};

/// A delivery to a durable session is over: answered, expired, or given up.
/// Executed by outbound_manager.
struct RemoveDelivery {
  static constexpr std::string_view kName = "removeDelivery";
  static constexpr CallbackKind kKind = CallbackKind::sync;

  broker::Session& session;
  std::uint64_t number;  ///< broker::Delivery::number
};

/// What storeDelivery made wait is stored. Executed by backends from the loop;
/// outbound_manager sends the next packet, if the delivery is still there and
/// its client as well.
struct DeliveryStored {
  static constexpr std::string_view kName = "deliveryStored";
  static constexpr CallbackKind kKind = CallbackKind::sync;

  broker::Session& session;
  std::uint64_t number;
  std::uint16_t packetId;
};

/// A PUBREL has come, and the QoS 2 message that it names is forgotten. Executed
/// by inbound_manager. A handler that stored the packet identifier takes the
/// acknowledgement, which is sent as PUBCOMP, and lets it go when the identifier
/// is stored no more.
struct ReleaseIncoming {
  static constexpr std::string_view kName = "releaseIncoming";
  static constexpr CallbackKind kKind = CallbackKind::sync;

  broker::Session& session;
  std::uint16_t packetId;
  Acknowledgement acknowledgement;
};

/// Waits until all that was to be stored for a durable session so far is stored;
/// the error says that it could not be, and has been undone. Executed by
/// subscription_manager before it sends SUBACK or UNSUBACK.
struct AwaitStored {
  static constexpr std::string_view kName = "awaitStored";
  static constexpr CallbackKind kKind = CallbackKind::deferred;

  Client& client;
  broker::Session& session;
};

/// The will that openSession gave to a durable session is due at that time, if
/// nobody connects before. Executed by last_will.
struct PostponeWill {
  static constexpr std::string_view kName = "postponeWill";
  static constexpr CallbackKind kKind = CallbackKind::sync;

  broker::Session& session;
  TimePoint due;
};

/// The will of a durable session was published, or will never be. Executed by
/// last_will.
struct RemoveWill {
  static constexpr std::string_view kName = "removeWill";
  static constexpr CallbackKind kKind = CallbackKind::sync;

  broker::Session& session;
};

/// A will as a backend keeps it.
struct StoredWill {
  std::string topic{};
  std::string payload{};
  std::string properties{};  ///< those of the message, encoded
  broker::IdentityPtr author{};
  std::optional<std::uint32_t> expiryInterval{};
  std::uint32_t delay = 0;  ///< in seconds
  mqtt::Qos qos = mqtt::Qos::atMostOnce;
  bool retain = false;

  /// What a CONNECT says; everything is copied.
  static StoredWill of(const mqtt::Will& will, broker::IdentityPtr author);
};

/// A will that was not published when the broker ended. Executed by backends
/// when they have read what is stored; last_will publishes it when it is due.
struct RestoreWill {
  static constexpr std::string_view kName = "restoreWill";
  static constexpr CallbackKind kKind = CallbackKind::sync;

  broker::Session& session;
  StoredWill& will;  ///< moved from
  TimePoint due;
};

}  // namespace mqttstack
