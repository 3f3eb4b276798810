#pragma once

#include <functional>
#include <string>
#include <string_view>
#include <vector>

#include "middlewares/backends/memory_backend.hpp"
#include "middlewares/protocol/connection.hpp"
#include "middlewares/protocol/inbound_manager.hpp"
#include "middlewares/protocol/keep_alive.hpp"
#include "middlewares/protocol/last_will.hpp"
#include "middlewares/protocol/outbound_manager.hpp"
#include "middlewares/protocol/retain_manager.hpp"
#include "middlewares/protocol/session_manager.hpp"
#include "middlewares/protocol/subscription_manager.hpp"
#include "tests/support/client_fixture.hpp"
#include "tests/support/raw_packets.hpp"

/// A whole broker without sockets, and packets as one line of text each: bytes
/// go in and come out, written and read by code that is not under test.
namespace mqttstack::test {

using Lines = std::vector<std::string>;

/// Options of the built-in pipeline, and what else is to stand in it.
struct Parts {
  Connection::Options connection{};
  KeepAlive::Options keepAlive{};
  MemoryBackend::Options backend{};
  SessionManager::Options sessions{};
  SubscriptionManager::Options subscriptions{};
  RetainManager::Options retain{};
  InboundManager::Options inbound{};
  OutboundManager::Options outbound{};
  /// Each adds middlewares at its place: behind connection (where authentication
  /// and authorization stand), behind the backend, at the end.
  std::function<void(TestBroker&)> second{};
  std::function<void(TestBroker&)> behindBackend{};
  std::function<void(TestBroker&)> last{};
};

/// The built-in pipeline.
class ProtocolBroker : public TestBroker {
public:
  explicit ProtocolBroker(const Parts& parts = {}) {
    use<Connection>(parts.connection);
    if (parts.second) parts.second(*this);
    use<KeepAlive>(parts.keepAlive);
    use<LastWill>();
    use<MemoryBackend>(parts.backend);
    if (parts.behindBackend) parts.behindBackend(*this);
    use<SessionManager>(parts.sessions);
    use<SubscriptionManager>(parts.subscriptions);
    use<RetainManager>(parts.retain);
    use<InboundManager>(parts.inbound);
    use<OutboundManager>(parts.outbound);
    if (parts.last) parts.last(*this);
  }
};

inline mqtt::ProtocolVersion versionOf(Version version) {
  return static_cast<mqtt::ProtocolVersion>(version);
}
inline Version versionOf(const Peer& peer) { return static_cast<Version>(peer.version()); }

/// A CONNECT for a session that outlives its connection.
inline mqttstack::Connect persistent(Version version, std::string clientId,
                                     std::uint32_t expiry = 3600) {
  mqttstack::Connect connect;
  connect.clientId = std::move(clientId);
  connect.clean = false;
  if (version == Version::v5)
    connect.properties.push_back(property(mqttstack::PropertyId::sessionExpiry, expiry));
  return connect;
}
inline mqttstack::Connect clean(std::string clientId) {
  mqttstack::Connect connect;
  connect.clientId = std::move(clientId);
  return connect;
}

/// A connection on which that CONNECT was sent; the answer waits.
Peer dial(TestBroker& broker, Version version, const mqttstack::Connect& connect);
Peer dial(TestBroker& broker, Stack& stack, Version version, const mqttstack::Connect& connect);
/// The same, but it was accepted, and the CONNACK is gone; throws otherwise.
Peer join(TestBroker& broker, Version version, const mqttstack::Connect& connect);
Peer join(TestBroker& broker, Stack& stack, Version version, const mqttstack::Connect& connect);
inline Peer join(TestBroker& broker, Version version, std::string clientId) {
  return join(broker, version, clean(std::move(clientId)));
}

/// Subscribes and takes the SUBACK off; throws if there is none, or it refuses.
/// What else came is left out.
void subscribe(Peer& peer, const std::string& filter, unsigned options = 0,
               std::uint32_t identifier = 0);
/// Publishes, and takes the acknowledgement of QoS 1 off, or does all of QoS 2.
void publish(Peer& peer, const mqttstack::Publish& publish);

/// What the broker sent since the last look, a line for each packet:
/// "CONNACK 0 present sessionExpiry=5", "PUBLISH a/b 'x' q1 #1 dup retain id=3",
/// "PUBACK #1", "PUBREC #1 0x87", "SUBACK #1 1 0x80", "DISCONNECT 0x8E",
/// "PINGRESP". Throws on what no broker may send.
Lines said(Peer& peer);
/// The same of the PUBLISH packets only.
Lines publishes(Peer& peer);
/// The same bytes as a text of whole packets, for one that is split already.
std::string described(Version version, std::string_view packet);
/// Whole packets out of bytes.
std::vector<std::string> split(std::string_view bytes);

/// Answers everything that the broker sends to `peer` as a good client does, until
/// nothing comes any more; returns the PUBLISHes.
Lines receiveAll(Peer& peer);

}  // namespace mqttstack::test
