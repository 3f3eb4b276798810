#pragma once

#include <cstddef>
#include <cstdint>
#include <memory>
#include <optional>
#include <span>
#include <string>
#include <string_view>
#include <vector>

#include "core/broker/delivery.hpp"
#include "core/broker/identity.hpp"
#include "core/broker/message.hpp"
#include "core/broker/retained_tree.hpp"
#include "core/broker/session.hpp"
#include "core/mqtt/packet.hpp"
#include "core/stack/acknowledgement.hpp"
#include "core/stack/durability_callbacks.hpp"
#include "core/stack/middleware.hpp"
#include "core/util/clock.hpp"

namespace mqttstack::net {
struct TlsInfo;
}

/// The callbacks: how middlewares talk to each other without knowing each
/// other. A callback is a struct, its inputs first, then its outputs (marked
/// `out:`); whoever needs something done executes it, and every middleware that
/// inherits Handles<ItsType> is asked in the order of the pipeline.
///
/// docs/callbacks.md has the same list as a table.
namespace mqttstack {

// Deciding.

/// What a deciding handler has to say. If nobody has an opinion, the answer is
/// deny.
enum class Opinion : std::uint8_t { none, allow, deny };

/// The answer of a deciding callback and who gave it. A handler that has an
/// opinion sets it and returns done(); one that has none returns next().
struct Verdict {
  Opinion opinion = Opinion::none;
  mqtt::ReasonCode reason = mqtt::ReasonCode::notAuthorized;  ///< told to the peer on deny
  std::string_view by;     ///< the instance's name; a view of something that lives on
  std::uint32_t rule = 0;  ///< its rule, as a line number of its file; 0 for none

  bool allowed() const noexcept { return opinion == Opinion::allow; }
  void allow(std::string_view who, std::uint32_t which = 0) {
    *this = {Opinion::allow, mqtt::ReasonCode::success, who, which};
  }
  void deny(std::string_view who, mqtt::ReasonCode why, std::uint32_t which = 0) {
    *this = {Opinion::deny, why, who, which};
  }
};

/// Are these credentials good, and who is it? Must have no side effect.
/// Executed by authentication for each CONNECT that gives credentials: a user
/// name, a password, or a client certificate.
struct AuthenticateConnection {
  static constexpr std::string_view kName = "authenticateConnection";
  static constexpr CallbackKind kKind = CallbackKind::deferred;

  const broker::Identity&
      identity;  ///< the peer as far as it is known: address, client id, certificate
  std::optional<std::string_view> userName;
  std::optional<std::string_view> password;
  /// What the peer's certificate says, if our CA vouches for it; null otherwise.
  const net::TlsInfo* certificate = nullptr;

  Verdict verdict{};                      ///< out
  std::string principal{};                ///< out: who it is; the user name if left empty;
                                          ///< one of the two is needed
  std::vector<std::string> groups{};      ///< out
  broker::Grants grants{};                ///< out: rights that the credentials bring along
  std::optional<TimePoint> validUntil{};  ///< out: when the client is to be cut off
};

/// What a method of enhanced authentication remembers between two steps of an
/// exchange. Its maker derives from it.
class AuthenticationState {
public:
  virtual ~AuthenticationState() = default;
};

/// Makes one step of an enhanced authentication (MQTT 5, section 4.12): takes
/// what the client has sent, and says whether that settles it. Executed by
/// authentication for a CONNECT that names a method, and for each AUTH. A
/// handler that does not know the method returns next(); one that does sets
/// either a verdict or `proceeds`, and returns done().
struct ContinueAuthentication {
  static constexpr std::string_view kName = "continueAuthentication";
  static constexpr CallbackKind kKind = CallbackKind::deferred;

  const broker::Identity& identity;  ///< the client as far as it is known
  std::string_view method;
  std::string_view data;  ///< what the client has sent; empty if nothing
  /// Null at the first step; what a handler puts there, it finds at the next.
  std::unique_ptr<AuthenticationState>& state;

  bool proceeds = false;    ///< out: send `reply` in an AUTH, and go on with what comes back
  Verdict verdict{};        ///< out: unless it proceeds
  std::string reply{};      ///< out: data for the client, in the AUTH or with the good news
  std::string principal{};  ///< out: who it is, if allowed
  std::vector<std::string> groups{};  ///< out
};

enum class Action : std::uint8_t { publish, subscribe, will };

/// May this identity do that? Must have no side effect. Executed by
/// authorization at CONNECT (for the will), when a message is relayed, and for
/// each filter of a SUBSCRIBE or of a session that is resumed.
struct AuthorizePacket {
  static constexpr std::string_view kName = "authorizePacket";
  static constexpr CallbackKind kKind = CallbackKind::deferred;

  const broker::Identity& identity;
  Action action;
  std::string_view topic;  ///< a topic name, or the filter (for `$share/g/f`: `f`)
  mqtt::Qos qos = mqtt::Qos::atMostOnce;
  bool retain = false;
  const broker::Session* session = nullptr;  ///< that is to be subscribed

  Verdict verdict{};  ///< out
};

/// May this identity read that message? Must have no side effect and answers
/// at once, or the order of deliveries would break. Executed by authorization
/// for each delivery, also of retained messages; for these it asks about the
/// author as well.
struct AuthorizeDelivery {
  static constexpr std::string_view kName = "authorizeDelivery";
  static constexpr CallbackKind kKind = CallbackKind::sync;

  const broker::Identity& identity;
  const broker::Message& message;
  /// The identity is the author of a retained message, and the question whether
  /// it may publish that still: a message must not outlive the right to have said
  /// it.
  bool asAuthor = false;

  Verdict verdict{};  ///< out
  /// out: if nobody has an opinion, that is since the reader's subscriptions have not
  /// been asked for again yet. A session that is away, or is being resumed, keeps the
  /// message, which is asked about again when it is sent.
  bool undecided = false;
};

/// May this identity read whatever the filter matches? Asked once by
/// authorization, instead of authorizeDelivery for each message. Who would not
/// deny any of it passes on, who allows all of it sets `everything` and is done;
/// who may have to deny some of it is done without. Who handles
/// authorizeDelivery handles this too, or deliveries are asked about one by one.
///
/// What was answered holds for as long as rightsVersion() stays the same.
struct AuthorizeReception {
  static constexpr std::string_view kName = "authorizeReception";
  static constexpr CallbackKind kKind = CallbackKind::sync;

  const broker::Identity& identity;
  std::string_view filter;  ///< for `$share/g/f`: `f`

  bool everything = false;  ///< out
};

// Connection.

/// What the server tells an accepted client about itself and the session.
/// Everything starts as "not available": whoever provides a feature says so.
struct ConnectionTerms {
  std::uint32_t sessionExpiry = 0;
  std::uint16_t keepAlive = 0;
  std::uint16_t receiveMaximum = 65'535;
  std::uint16_t topicAliasMaximum = 0;
  mqtt::Qos maximumQos = mqtt::Qos::atMostOnce;
  bool retainAvailable = false;
  bool wildcardSubscriptions = false;
  bool sharedSubscriptions = false;
  bool subscriptionIdentifiers = false;
  /// The method by which the client was authenticated, and the last word of it.
  /// Views of something that lives as long as the client.
  std::string_view authenticationMethod{};
  std::string_view authenticationData{};
};

/// Settles the terms of a connection before its session is opened. Executed by
/// session_manager; each middleware that provides or limits something writes
/// its part. An error refuses the client. Who comes to be accepted is told by
/// sessionEstablished.
struct NegotiateConnection {
  static constexpr std::string_view kName = "negotiateConnection";
  static constexpr CallbackKind kKind = CallbackKind::sync;

  Client& client;
  const mqtt::Connect& connect;

  ConnectionTerms terms{};  ///< in and out: sessionExpiry starts as what is granted
};

/// A session has begun or goes on, and the CONNACK that says so is on its way.
/// Executed by session_manager.
struct SessionEstablished {
  static constexpr std::string_view kName = "sessionEstablished";
  static constexpr CallbackKind kKind = CallbackKind::sync;

  Client& client;
  broker::Session& session;
  const mqtt::Connect& connect;
  bool present;  ///< the session existed before
  const ConnectionTerms& terms;
};

/// Ends a connection from our side. Executed by whoever wants it gone
/// (keep_alive, limits, an administrator); connection closes the client.
struct CloseClient {
  static constexpr std::string_view kName = "closeClient";
  static constexpr CallbackKind kKind = CallbackKind::sync;

  Client& client;
  mqtt::ReasonCode reason;
};

/// A connection has ended, maybe while one of its packets is still deferred:
/// whoever reaches the client by a table forgets it now. Executed by the client
/// itself, from the loop, exactly once per connection.
struct ConnectionLost {
  static constexpr std::string_view kName = "connectionLost";
  static constexpr CallbackKind kKind = CallbackKind::sync;

  Client& client;
};

/// A connection is over and its last packet has settled. Executed by the client
/// itself, from the loop, exactly once per connection whatever ended it and
/// always after connectionLost; connection turns it into cleanDisconnect or
/// uncleanDisconnect.
struct ConnectionClosed {
  static constexpr std::string_view kName = "connectionClosed";
  static constexpr CallbackKind kKind = CallbackKind::deferred;

  Client& client;
};

/// A client with a session said goodbye (DISCONNECT, reason 0x00). Executed by
/// connection, exactly once per connection at most.
struct CleanDisconnect {
  static constexpr std::string_view kName = "cleanDisconnect";
  static constexpr CallbackKind kKind = CallbackKind::deferred;

  Client& client;
  broker::Session& session;
};

/// A client with a session vanished, was cut off, or asked for its will.
/// Executed by connection, exactly once per connection at most, and never
/// together with cleanDisconnect.
struct UncleanDisconnect {
  static constexpr std::string_view kName = "uncleanDisconnect";
  static constexpr CallbackKind kKind = CallbackKind::deferred;

  Client& client;
  broker::Session& session;
};

/// A client whose output was full has room again. Executed by the client.
struct ClientDrained {
  static constexpr std::string_view kName = "clientDrained";
  static constexpr CallbackKind kKind = CallbackKind::sync;

  Client& client;
};

// Sessions.

/// Finds or makes the session of a client and attaches the client to it.
/// Executed by session_manager for each CONNECT; a backend answers: it ends a
/// connection that has the session [v5:3.1.4-3], refuses a client whose
/// principal the session does not belong to, and, if it is durable, defers until
/// a new session is stored.
struct OpenSession {
  static constexpr std::string_view kName = "openSession";
  static constexpr CallbackKind kKind = CallbackKind::deferred;

  Client& client;
  std::string_view clientId;
  bool cleanStart;                   ///< discard what there is
  std::uint32_t expiryInterval = 0;  ///< what the session gets, new or not
  const mqtt::Will* will = nullptr;  ///< of the connection that begins

  broker::SessionPtr session{};  ///< out
  bool present = false;          ///< out: it existed before
};

/// The connection of a session has gone. Executed by session_manager; a backend
/// keeps the session for its expiry interval, or ends it at once. Nothing is to
/// be done if another connection has the session by now.
struct SuspendSession {
  static constexpr std::string_view kName = "suspendSession";
  static constexpr CallbackKind kKind = CallbackKind::sync;

  broker::Session& session;
  Client& client;
};

/// A session is over: its interval has passed, or a client started anew.
/// Executed by backends while the session still exists.
struct SessionEnded {
  static constexpr std::string_view kName = "sessionEnded";
  static constexpr CallbackKind kKind = CallbackKind::sync;

  broker::Session& session;
};

// Subscriptions.

/// Adds or replaces one subscription. Executed by subscription_manager for each
/// entry of a SUBSCRIBE, and by session_manager for those of a session that is
/// resumed. A handler may lower or refuse `granted`; a backend uses what it
/// finds there.
struct SubscribeTopic {
  static constexpr std::string_view kName = "subscribeTopic";
  static constexpr CallbackKind kKind = CallbackKind::deferred;

  Client& client;
  broker::Session& session;
  std::string_view filter;
  mqtt::SubscriptionOptions options;
  std::uint32_t identifier = 0;  ///< 0 for none
  bool restoring = false;        ///< part of a resumed session: not a new subscription

  mqtt::ReasonCode granted = mqtt::ReasonCode::success;  ///< in and out: granted QoS or failure
  bool existed = false;                                  ///< out

  bool refused() const noexcept { return mqtt::isFailure(granted); }
  mqtt::Qos grantedQos() const noexcept { return static_cast<mqtt::Qos>(granted); }
};

/// Removes one subscription. Executed by subscription_manager, and by
/// session_manager for one that a resumed session may not have any more.
struct UnsubscribeTopic {
  static constexpr std::string_view kName = "unsubscribeTopic";
  static constexpr CallbackKind kKind = CallbackKind::deferred;

  Client& client;
  broker::Session& session;
  std::string_view filter;

  mqtt::ReasonCode code = mqtt::ReasonCode::noSubscriptionExisted;  ///< out
};

/// Makes a subscription part of the stored session. Executed by
/// session_manager; a backend answers.
struct StoreSubscription {
  static constexpr std::string_view kName = "storeSubscription";
  static constexpr CallbackKind kKind = CallbackKind::deferred;

  broker::Session& session;
  std::string_view clientId;
  std::string_view filter;
  mqtt::SubscriptionOptions options;
  std::uint32_t identifier = 0;
  bool existed = false;  ///< takes the place of one with the same filter
};

/// Takes a subscription out of the stored session. Executed by session_manager.
struct RemoveSubscription {
  static constexpr std::string_view kName = "removeSubscription";
  static constexpr CallbackKind kKind = CallbackKind::deferred;

  broker::Session& session;
  std::string_view clientId;
  std::string_view filter;
};

/// Removes all subscriptions of a session. Executed by session_manager.
struct ClearSubscriptions {
  static constexpr std::string_view kName = "clearSubscriptions";
  static constexpr CallbackKind kKind = CallbackKind::deferred;

  broker::Session& session;
  std::string_view clientId;
};

/// A subscription as a backend keeps it.
struct StoredSubscription {
  std::string filter;
  mqtt::SubscriptionOptions options;
  std::uint32_t identifier = 0;
};

/// Lists the subscriptions of a session. Executed by session_manager when a
/// session is resumed.
struct LookupSubscriptions {
  static constexpr std::string_view kName = "lookupSubscriptions";
  static constexpr CallbackKind kKind = CallbackKind::sync;

  const broker::Session& session;
  std::string_view clientId;

  std::vector<StoredSubscription> subscriptions{};  ///< out: handlers append
};

// Messages.

/// Publishes a message: to the subscribers, and to the retained messages if it
/// says so. Executed by inbound_manager, last_will, and whatever else brings
/// messages in; authorization judges the author, a backend delivers.
///
/// A handler that has to make the message durable takes (moves) the
/// acknowledgement, or a share of it, and lets it go when that is done.
struct RelayMessage {
  static constexpr std::string_view kName = "relayMessage";
  static constexpr CallbackKind kKind = CallbackKind::deferred;

  broker::MessagePtr message;
  Acknowledgement acknowledgement{};
  Client* client = nullptr;  ///< the publisher's connection, if there is one
  Stack* stack = nullptr;    ///< the pipeline that it runs on, if there is no client
  /// Of a QoS 2 PUBLISH; 0 otherwise. Who makes the message durable stores with it
  /// that it was received, so that it is passed on once.
  std::uint16_t packetId = 0;

  std::size_t matched = 0;  ///< out: sessions that it was for
  bool rejected = false;    ///< out: one of them had no room for it
};

/// Has a message with the RETAIN flag retained. Executed by backends before anybody
/// gets it, so that who subscribes while it is given out misses nothing; handled by
/// retain_manager. If it fails, the message is refused as a whole.
struct RetainMessage {
  static constexpr std::string_view kName = "retainMessage";
  static constexpr CallbackKind kKind = CallbackKind::sync;

  RelayMessage& relay;
};

/// What became of a message for one session.
enum class ForwardResult : std::uint8_t {
  sent,
  queued,
  dropped,
  denied,  ///< dropped, since the session may not read it
};

/// Gives one message to one session. Executed by backends for each subscriber
/// and by retain_manager, on the pipeline of the receiver; outbound_manager
/// sends or queues it.
struct ForwardMessage {
  static constexpr std::string_view kName = "forwardMessage";
  static constexpr CallbackKind kKind = CallbackKind::sync;

  broker::Session& session;
  const broker::MessagePtr& message;
  mqtt::Qos qos;  ///< the lower of the message's and the subscription's
  bool retain;    ///< the flag to be sent
  const broker::SubscriptionIds& subscriptionIds;

  ForwardResult result = ForwardResult::dropped;  ///< out
};

/// Why a message did not get where it was meant to go.
enum class DropReason : std::uint8_t {
  queueFull,
  slowConsumer,
  notConnected,  ///< QoS 0 for a session without connection
  packetTooLarge,
  notAuthorized,
  expired,
  sessionEnded,
  notStored,    ///< a durable store had no room, and the publisher was told
  memoryLimit,  ///< all that waits, and is retained, takes what it may
};

std::string_view toString(DropReason reason) noexcept;
inline constexpr std::size_t kDropReasons = 9;

/// A message that has waited for a session, in its queue or since an earlier
/// connection, is about to be sent: may it still be? Executed by
/// outbound_manager on the pipeline of the receiver.
struct ForwardWaiting {
  static constexpr std::string_view kName = "forwardWaiting";
  static constexpr CallbackKind kKind = CallbackKind::sync;

  const broker::Session& session;
  const broker::Message& message;
  bool retain;  ///< the flag to be sent

  std::optional<DropReason> obstacle{};  ///< out: why it is dropped instead
};

/// A message was dropped for one receiver. For counters and logs.
struct MessageDropped {
  static constexpr std::string_view kName = "messageDropped";
  static constexpr CallbackKind kKind = CallbackKind::sync;

  const broker::Session& session;
  const broker::Message& message;
  DropReason reason;
};

/// Replaces (or, with an empty payload, removes) the retained message of a
/// topic. Executed by retain_manager; a backend answers.
struct StoreRetainedMessage {
  static constexpr std::string_view kName = "storeRetainedMessage";
  static constexpr CallbackKind kKind = CallbackKind::sync;

  const broker::MessagePtr& message;
  Acknowledgement& acknowledgement;
};

/// Finds the retained messages that a filter matches. Executed by
/// retain_manager, which takes them from the cursor in slices.
struct LookupRetainedMessages {
  static constexpr std::string_view kName = "lookupRetainedMessages";
  static constexpr CallbackKind kKind = CallbackKind::sync;

  std::string_view filter;

  std::vector<broker::RetainedCursor> cursors{};  ///< out: one per backend that has any
};

/// Appends a delivery to what a session waits for. Executed by
/// outbound_manager for what cannot be sent now; a backend answers.
struct StoreOfflineMessage {
  static constexpr std::string_view kName = "storeOfflineMessage";
  static constexpr CallbackKind kKind = CallbackKind::sync;

  broker::Session& session;
  broker::Delivery delivery;  ///< moved from when stored

  bool stored = false;                        ///< out
  DropReason reason = DropReason::queueFull;  ///< out: if not stored
};

/// The front of what a session waits for. Executed by outbound_manager when
/// there is room in the window, one after another; a backend answers.
struct LookupOfflineMessages {
  static constexpr std::string_view kName = "lookupOfflineMessages";
  static constexpr CallbackKind kKind = CallbackKind::sync;

  broker::Session& session;

  broker::Delivery* next = nullptr;  ///< out: null if there is none; valid until the queue changes
};

/// Takes the first `count` deliveries off what a session waits for, since they
/// were sent or have expired. Executed by outbound_manager.
struct RemoveOfflineMessages {
  static constexpr std::string_view kName = "removeOfflineMessages";
  static constexpr CallbackKind kKind = CallbackKind::sync;

  broker::Session& session;
  std::size_t count = 1;
};

/// Forgets everything that waits for a session. Executed by session_manager.
struct ClearOfflineMessages {
  static constexpr std::string_view kName = "clearOfflineMessages";
  static constexpr CallbackKind kKind = CallbackKind::sync;

  broker::Session& session;
};

/// Every callback there is, for documentation and for the check at wiring.
using AllCallbacks =
    Callbacks<AuthenticateConnection, ContinueAuthentication, AuthorizePacket, AuthorizeDelivery,
              AuthorizeReception, NegotiateConnection, SessionEstablished, CloseClient,
              ConnectionLost, ConnectionClosed, CleanDisconnect, UncleanDisconnect, ClientDrained,
              OpenSession, SuspendSession, SessionEnded, SubscribeTopic, UnsubscribeTopic,
              StoreSubscription, RemoveSubscription, ClearSubscriptions, LookupSubscriptions,
              RelayMessage, RetainMessage, ForwardMessage, ForwardWaiting, MessageDropped,
              StoreRetainedMessage, LookupRetainedMessages, StoreOfflineMessage,
              LookupOfflineMessages, RemoveOfflineMessages, ClearOfflineMessages, StoreDelivery,
              RemoveDelivery, DeliveryStored, ReleaseIncoming, AwaitStored, PostponeWill,
              RemoveWill, RestoreWill>;

}  // namespace mqttstack
