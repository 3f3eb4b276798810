#pragma once

#include <array>
#include <chrono>
#include <cstddef>
#include <cstdint>
#include <memory>
#include <optional>
#include <string>
#include <string_view>
#include <unordered_map>
#include <vector>

#include "core/broker/identity.hpp"
#include "core/broker/session.hpp"
#include "core/mqtt/encoder.hpp"
#include "core/mqtt/packet.hpp"
#include "core/net/flush_list.hpp"
#include "core/net/transport.hpp"
#include "core/stack/acknowledgement.hpp"
#include "core/stack/outbox.hpp"
#include "core/stack/packet.hpp"
#include "core/stack/packet_limits.hpp"
#include "core/stack/per_client.hpp"
#include "core/stack/topic_aliases.hpp"
#include "core/util/intrusive_ptr.hpp"
#include "core/util/log.hpp"
#include "core/util/ring.hpp"

namespace mqttstack {

class Metrics;
struct Metric;
class Scheduler;
class Stack;

/// What a listener lays down for the connections that it accepts.
struct ListenerPolicy {
  std::string name;
  /// Clients that give no credentials come in as "anonymous".
  bool allowAnonymous = false;
  std::size_t maximumPacketSize = 1024 * 1024;
  /// Of a CONNECT: nobody is known yet who could be trusted with more.
  std::size_t maximumConnectSize = 128 * 1024;
  PacketLimits packets{};
  /// How long a client may take nothing of what is sent to it. The transport sees to that.
  std::chrono::milliseconds writeTimeout{60'000};
};

class Client;
using ClientPtr = IntrusivePtr<Client>;

/// What all clients of a loop share. Outlives them.
class ClientContext {
public:
  ClientContext(Scheduler& scheduler, net::FlushList& flushList, Metrics& metrics,
                const LogSink& log);
  ClientContext(const ClientContext&) = delete;
  ClientContext& operator=(const ClientContext&) = delete;
  ~ClientContext();

  Scheduler& scheduler;
  net::FlushList& flushList;
  Logger log;

  Metric& connections;  ///< open now
  Metric& packetsReceived;
  Metric& packetsSent;
  Metric& publishReceived;
  Metric& publishSent;
  Metric& bytesReceived;
  Metric& bytesSent;
  Metric& publishExpired;  ///< while it waited to be written
  Metric& badPackets;
  Metric& packetsBeyondLimits;
  Metric& connectionsStalled;

  /// Counts a connection that we end, by why.
  void countClosed(mqtt::ReasonCode reason);

  /// Calls `visit(Client&)` for each open connection, which may close it.
  template <class Visitor>
  void forEachClient(Visitor&& visit);
  std::size_t clients() const noexcept { return clients_.size(); }

private:
  friend class Client;
  struct PacketSlot;
  /// A connection that has ended while a packet of it is deferred.
  struct Lingering {
    Client* client;
    std::vector<ClientPtr> successors;  ///< the connections that wait for that packet
  };

  std::unique_ptr<PacketSlot> acquireSlot();
  void releaseSlot(std::unique_ptr<PacketSlot> slot) noexcept;

  Metrics& metrics_;
  std::array<Metric*, 256> closed_{};  // by reason, made when there is one
  EncodeBuffer encodeBuffer_;
  std::string propertyScratch_;
  std::vector<std::unique_ptr<PacketSlot>> freeSlots_;
  std::vector<Client*> clients_;
  std::unordered_multimap<std::string, Lingering> lingering_;  // by client id; mostly empty
};

/// One connection: reads packets from its transport and sends them through its
/// stack, collects what middlewares send and writes it once per turn of the
/// loop.
///
/// Counted. It owns itself while the connection lasts; walks that wait pin it.
/// Everybody else refers to it and forgets it when connectionClosed comes.
///
/// A peer that asks and does not read the answers is not read any more once many
/// of them wait.
///
/// Order is kept: while a middleware defers a packet, later packets wait, and
/// the peer feels it; also those of the client's next connection, should this
/// one end meanwhile. close() only marks; the end is worked off from the loop.
class Client final : public RefCounted<Client>,
                     private net::TransportHandler,
                     private net::Flushable {
public:
  /// Takes over a connection that was just accepted, and installs it in the
  /// stack. The reference is for the caller's convenience; the client lives on
  /// without.
  static ClientPtr accept(ClientContext& context, Stack& stack, const ListenerPolicy& listener,
                          std::unique_ptr<net::Transport> transport);
  ~Client();
  /// Called by RefCounted when the last owner lets go.
  static void destroy(Client* client) noexcept;

  Stack& stack() const noexcept { return *stack_; }
  ClientState& state() noexcept { return state_; }
  const ListenerPolicy& listener() const noexcept { return listener_; }
  const net::PeerInfo& peer() const noexcept { return transport_->peer(); }

  // Who it is.

  /// Known from CONNECT on; 3.1.1 before.
  mqtt::ProtocolVersion version() const noexcept { return version_; }
  bool isV5() const noexcept { return version_ == mqtt::ProtocolVersion::v5; }

  /// Never null: before anybody set one, it names address and listener only.
  const broker::IdentityPtr& identity() const noexcept { return identity_; }
  void setIdentity(broker::IdentityPtr identity) noexcept { identity_ = std::move(identity); }
  const std::string& clientId() const noexcept { return identity_->clientId(); }

  /// The session, from openSession to the end of the connection; null before.
  const broker::SessionPtr& session() const noexcept { return session_; }
  /// What the client sends behind its CONNECT waits for what it sent last on a
  /// connection before this one, if that is deferred. [v5:4.6.0-5] [v311:4.6.0-6]
  void setSession(broker::SessionPtr session);

  /// Names it in a log line: client id, user and address, made safe.
  std::string describe() const;

  // What it may do.

  /// A CONNACK that accepts it was sent.
  bool connected() const noexcept { return phase_ == Phase::connected; }
  /// close() was called, or the peer has gone: packets are neither read nor sent.
  bool closing() const noexcept { return phase_ >= Phase::closing; }
  /// A packet of this client waits for a Deferred.
  bool parked() const noexcept { return parked_ != nullptr; }
  /// When the last packet came.
  TimePoint lastPacketAt() const noexcept { return lastPacketAt_; }
  /// True while we ourselves don't read: the peer's silence is our doing.
  bool readingPaused() const noexcept { return paused_; }

  /// Begins an enhanced authentication: while the CONNECT of this client waits,
  /// AUTH packets are taken and walk through the stack, and DISCONNECT; anything
  /// else is an error. [v5:3.1.2-30] Over when the CONNECT settles.
  /// REQUIRES: called by who handles the CONNECT, and is about to defer it.
  void expectAuthentication();

  /// Accepts topic aliases up to `maximum`. Without this, any alias is an error.
  void acceptTopicAliases(std::uint16_t maximum);
  /// Sends topic aliases up to `maximum`.
  void sendTopicAliases(std::uint16_t maximum) { outbox_.useTopicAliases(maximum); }

  // Sending.

  /// Sends a packet. One that is larger than the peer accepts goes without its
  /// reason string and user properties, or, if that isn't enough, not at all;
  /// false then, or if the client is not connected.
  ///
  /// P is Puback, Pubrec, Pubrel, Pubcomp, Suback, Unsuback, Pingresp, or Auth,
  /// which may go before CONNACK as well.
  template <class P>
  bool send(const P& packet);

  /// Sends the CONNACK that accepts the client. REQUIRES: not connected.
  bool sendAccepting(const mqtt::Connack& connack);

  /// What became of a PUBLISH that was to be sent.
  enum class Sent : std::uint8_t { yes, tooLarge, closed };
  Sent send(OutgoingPublish&& publish);

  /// Bytes that wait to be written.
  std::size_t outputBytes() const noexcept { return outbox_.bytes(); }
  /// Has clientDrained executed, from the loop, when all that waits has been
  /// written. Nothing comes of it if the client is closed before.
  void notifyWhenDrained() {
    drainAwaited_ = true;
    context_.flushList.add(*this);
  }

  /// What this client is owed for its PUBLISHes.
  AckQueue& acknowledgements() noexcept { return acknowledgements_; }
  /// Sends the PUBACK or PUBREC for a PUBLISH that was taken, or refused with a
  /// failure `code`, or the PUBCOMP for a PUBREL; called by the queue above. An
  /// MQTT 3 client cannot be told
  /// of a failure: what it may not publish is acknowledged and dropped
  /// [v311:3.3.5-2], any other failure closes the connection, so that what was
  /// not taken is never acknowledged. [v5:4.3.2-4] [v5:4.3.3-8]
  void acknowledge(std::uint16_t packetId, AckKind kind, mqtt::ReasonCode code);

  // Ending.

  /// Ends the connection and says why: in a CONNACK if the client was not
  /// accepted yet, in a DISCONNECT to an MQTT 5 client, by closing otherwise.
  /// Without a reason string mqtt::explain() has one where it helps.
  /// Only marks; may be called from anywhere, and more than once.
  /// [v5:3.14.4-1] [v5:4.13.1-1] [v311:4.8.0-1]
  void close(mqtt::ReasonCode reason, std::string_view reasonString = {});
  /// Ends the connection without a word: the peer said goodbye, or is not to be
  /// answered.
  void closeSilently();

  /// Why it ended: what close() was told first, or `success`.
  mqtt::ReasonCode closeReason() const noexcept { return closeReason_; }
  /// Says for the log what there is to know beside that reason: the limit, by the
  /// name of its option, or what the peer did. REQUIRES: called before the end
  /// begins; the first word holds.
  void explainEnd(std::string why);
  /// That, or the reason string that close() was given, or what became of the
  /// transport; empty if nobody knew more.
  std::string_view endExplanation() const noexcept {
    return endExplanation_ ? std::string_view{*endExplanation_} : std::string_view{};
  }
  /// The peer took nothing of what was sent to it, and was cut off.
  bool stalled() const noexcept { return stalled_; }

private:
  friend class ClientContext;
  enum class Phase : std::uint8_t { awaitingConnect, connecting, connected, closing, closed };
  using PacketSlot = ClientContext::PacketSlot;

  Client(ClientContext& context, Stack& stack, const ListenerPolicy& listener,
         std::unique_ptr<net::Transport> transport);

  // net::TransportHandler
  void onData(std::string_view bytes) override;
  void onEnd() override;
  void onWritable() override;
  void onClosed(std::error_code why) override;
  // net::Flushable
  void flush() override;

  std::size_t maximumPacketSize() const noexcept;
  /// A packet waits, or has only just settled: what comes now goes behind it.
  /// A CONNECT that waits for an AUTH does not hold that up.
  bool inputWaits() const noexcept {
    return resumeDue_ || predecessors_ != 0 || answersWait_ || (parked_ && !awaitsAuth());
  }
  bool awaitsAuth() const noexcept;
  bool readsPackets() const noexcept { return phase_ < Phase::closing && !inputWaits(); }
  std::string_view consume(std::string_view bytes);
  std::string_view completeUnfinished(std::string_view bytes);
  void receive(std::unique_ptr<PacketSlot>& slot, std::string_view frame);
  std::error_code decode(PacketSlot& slot, std::string_view frame);
  std::error_code makeMessage(Packet& packet);
  std::error_code resolveProperties(mqtt::Publish& publish, broker::MessageFields& fields);
  void adopt(const mqtt::Connect& connect) noexcept;
  void process(std::unique_ptr<PacketSlot>& slot);
  void settled(std::error_code error, bool unanswered, mqtt::PacketType type);
  std::unique_ptr<PacketSlot> unpark(mqtt::PacketType type) noexcept;
  void resumeInput();
  void keepUnfinished(std::string_view bytes);
  void pauseInput();
  void linger();
  void waitForPredecessors();
  void forgetPredecessors();
  void letSuccessorsGoOn();

  void refuse(std::error_code error, std::string_view frame);
  void writeOutput();
  template <class P>
  bool enqueue(const P& packet);
  bool enqueueBytes(std::string_view packet);
  void queueFarewell(mqtt::ReasonCode reason, std::string_view reasonString);
  void beginClosing();
  void workOffClosing();
  void leaveIfOver();
  void explainLoss(std::error_code why);
  void explainSize();
  void explainLimit(mqtt::ReasonCode reason);

  ClientContext& context_;
  Stack* stack_;
  const ListenerPolicy& listener_;
  std::unique_ptr<net::Transport> transport_;
  ClientState state_;
  broker::IdentityPtr identity_;
  broker::SessionPtr session_;
  TimePoint lastPacketAt_;

  std::string unfinished_;              // the packet that has not arrived completely
  std::unique_ptr<PacketSlot> parked_;  // the packet that a middleware deferred last
  std::unique_ptr<ReceivedAliases> receivedAliases_;
  std::unique_ptr<std::string> endExplanation_;
  AckQueue acknowledgements_;
  Outbox outbox_;

  std::size_t index_ = 0;  // in context_.clients_
  std::uint32_t peerMaximumPacketSize_ = UINT32_MAX;
  std::uint16_t predecessors_ = 0;  // lingering connections that this one waits for
  mqtt::ProtocolVersion version_ = mqtt::ProtocolVersion::v311;
  Phase phase_ = Phase::awaitingConnect;
  mqtt::ReasonCode closeReason_ = mqtt::ReasonCode::success;
  bool problemInformation_ : 1 = true;
  bool exchanging_ : 1 = false;  // the CONNECT that is parked waits for AUTH packets
  bool paused_ : 1 = false;      // we asked the transport to stop reading
  bool resumeDue_ : 1 = false;   // a deferred packet has settled
  bool lingering_ : 1 = false;   // in context_.lingering_
  bool ended_ : 1 = false;       // the peer sends no more
  bool drainAwaited_ : 1 = false;
  bool blocked_ : 1 = false;      // waiting for onWritable
  bool answersWait_ : 1 = false;  // too many to read more questions
  bool lost_ : 1 = false;         // the transport is gone
  bool leftDone_ : 1 = false;     // connectionLost was run
  bool closedDone_ : 1 = false;   // connectionClosed was executed
  bool transportClosed_ : 1 = false;
  bool stalled_ : 1 = false;  // cut off by write_timeout
};

template <class Visitor>
void ClientContext::forEachClient(Visitor&& visit) {
  const std::vector<Client*> all = clients_;
  std::vector<ClientPtr> pinned;
  pinned.reserve(all.size());
  for (Client* client : all) pinned.emplace_back(client);
  for (const ClientPtr& client : pinned) visit(*client);
}

}  // namespace mqttstack
