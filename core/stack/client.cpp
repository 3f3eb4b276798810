#include "core/stack/client.hpp"

#include <algorithm>
#include <utility>

#include "core/mqtt/decoder.hpp"
#include "core/mqtt/frame_reader.hpp"
#include "core/mqtt/packet_rules.hpp"
#include "core/mqtt/text.hpp"
#include "core/stack/callbacks.hpp"
#include "core/stack/stack.hpp"
#include "core/util/metrics.hpp"
#include "core/util/timer_wheel.hpp"

namespace mqttstack {

using mqtt::PacketType;
using mqtt::ReasonCode;

namespace {

/// How many packets of a client are worked off between two looks at the clock.
constexpr unsigned kLookEvery = 16;

}  // namespace

void retainClient(Client& client) noexcept { client.retain(); }
void releaseClient(Client& client) noexcept { client.release(); }

// ClientContext.

/// A packet and, unless it is a PUBLISH, the bytes that its views refer to.
struct ClientContext::PacketSlot {
  Packet packet;
  std::string bytes;
  /// The CONNECT that waits while this one, an AUTH, is dealt with.
  std::unique_ptr<PacketSlot> below;
};

ClientContext::ClientContext(Scheduler& theScheduler, net::FlushList& theFlushList,
                             Metrics& metrics, const LogSink& sink)
    : scheduler{theScheduler},
      flushList{theFlushList},
      log{sink, "client"},
      connections{metrics.counter("connections", "connections open now")},
      packetsReceived{metrics.counter("packets_received", "packets received from clients")},
      packetsSent{metrics.counter("packets_sent", "packets sent to clients")},
      publishReceived{metrics.counter("publish_received", "PUBLISH packets received from clients")},
      publishSent{metrics.counter("publish_sent", "PUBLISH packets sent to clients")},
      bytesReceived{metrics.counter("bytes_received", "bytes received from clients")},
      bytesSent{metrics.counter("bytes_sent", "bytes sent to clients")},
      publishExpired{metrics.counter("publish_expired",
                                     "PUBLISH packets that expired while they waited to be sent")},
      badPackets{metrics.counter("bad_packets", "packets that were malformed or not allowed")},
      packetsBeyondLimits{metrics.counter(
          "packets_beyond_limits",
          "packets whose size, topics or user properties were more than the listener allows")},
      connectionsStalled{metrics.counter(
          "connections_stalled",
          "connections that took nothing, or whose peer was not there any more, for too long")},
      metrics_{metrics} {}

ClientContext::~ClientContext() = default;

void ClientContext::countClosed(ReasonCode reason) {
  Metric*& metric = closed_[static_cast<std::size_t>(reason)];
  if (!metric)
    metric =
        &metrics_.counter("clients_closed{reason=\"" + std::string{mqtt::toString(reason)} + "\"}",
                          "connections that the broker has refused or ended");
  metric->add();
}

std::unique_ptr<ClientContext::PacketSlot> ClientContext::acquireSlot() {
  if (freeSlots_.empty()) return std::make_unique<PacketSlot>();
  auto slot = std::move(freeSlots_.back());
  freeSlots_.pop_back();
  return slot;
}

void ClientContext::releaseSlot(std::unique_ptr<PacketSlot> slot) noexcept {
  constexpr std::size_t kKeptBytes = 4096;
  constexpr std::size_t kKeptSlots = 64;
  if (slot->bytes.capacity() > kKeptBytes) slot->bytes = {};
  if (freeSlots_.size() < kKeptSlots) freeSlots_.push_back(std::move(slot));
}

// Client.

ClientPtr Client::accept(ClientContext& context, Stack& stack, const ListenerPolicy& listener,
                         std::unique_ptr<net::Transport> transport) {
  ClientPtr client{new Client{context, stack, listener, std::move(transport)}};
  client->retain();  // for as long as the connection lasts; leaveIfOver() gives it back
  client->index_ = context.clients_.size();
  context.clients_.push_back(client.get());
  context.connections.add();
  if (stack.install(*client)) client->closeSilently();
  client->transport_->setHandler(*client);
  return client;
}

Client::Client(ClientContext& context, Stack& stack, const ListenerPolicy& listener,
               std::unique_ptr<net::Transport> transport)
    : context_{context},
      stack_{&stack},
      listener_{listener},
      transport_{std::move(transport)},
      state_{stack.clientLayout()},
      lastPacketAt_{context.scheduler.now()} {
  broker::IdentityFields fields;
  fields.address = transport_->peer().address().host();
  fields.listener = listener.name;
  fields.anonymous = true;
  identity_ = broker::makeIdentity(std::move(fields));
}

Client::~Client() = default;

// Inlined, it makes the compiler warn of a use after an end that can't have come.
[[gnu::noinline]] void Client::destroy(Client* client) noexcept { delete client; }

std::string Client::describe() const {
  const std::string address = peer().address().text();
  if (identity_->clientId().empty()) return address;
  std::string text = '"' + mqtt::printable(identity_->clientId()) + '"';
  if (!identity_->anonymous() && !identity_->principal().empty())
    text += " (user \"" + mqtt::printable(identity_->principal()) + "\")";
  return text + " at " + address;
}

// Input.

std::size_t Client::maximumPacketSize() const noexcept {
  return phase_ < Phase::connected
             ? std::min(listener_.maximumConnectSize, listener_.maximumPacketSize)
             : listener_.maximumPacketSize;
}

void Client::onData(std::string_view bytes) {
  if (closing()) return;
  const ClientPtr pin{this};
  context_.bytesReceived.add(static_cast<std::int64_t>(bytes.size()));
  if (inputWaits()) return keepUnfinished(bytes);
  bytes = completeUnfinished(bytes);
  if (unfinished_.empty()) bytes = consume(bytes);
  keepUnfinished(bytes);
}

/// Fills up the packet whose beginning came earlier, and no more: what follows
/// it is read where it lies.
std::string_view Client::completeUnfinished(std::string_view bytes) {
  while (!unfinished_.empty() && !bytes.empty() && readsPackets()) {
    const mqtt::Frame frame = mqtt::nextFrame(unfinished_, maximumPacketSize());
    // Without a known size one byte more will tell, four at the most.
    const std::size_t wanted =
        frame.size > unfinished_.size() ? frame.size - unfinished_.size() : 1;
    const std::size_t taken = std::min(wanted, bytes.size());
    unfinished_.append(bytes.substr(0, taken));
    bytes.remove_prefix(taken);
    // It stays where it is until it is whole: moved about with every few bytes that
    // arrive, a large packet would cost the square of its size.
    if (mqtt::nextFrame(unfinished_, maximumPacketSize()).state == mqtt::Frame::State::incomplete)
      continue;

    const std::string packet = std::exchange(unfinished_, {});
    const std::string_view rest = consume(packet);
    if (!rest.empty()) unfinished_ = rest;
  }
  return bytes;
}

void Client::keepUnfinished(std::string_view bytes) {
  if (!bytes.empty() && !closing()) unfinished_.append(bytes);
}

/// Works off whole packets from the front, and returns what is left: the
/// beginning of a packet, or everything behind one that was deferred.
std::string_view Client::consume(std::string_view bytes) {
  std::unique_ptr<PacketSlot> slot;  // one for all packets of this read
  bool received = false;
  for (unsigned packets = 1; !bytes.empty() && readsPackets(); ++packets) {
    // [v5:3.1.0-1] [v311:3.1.0-1] Nothing but a CONNECT, and not a byte of it more.
    if (phase_ == Phase::awaitingConnect && bytes.front() != '\x10') {
      context_.badPackets.add();
      explainEnd(bytes.front() == '\x16' ? "it began with TLS, which this listener does not speak"
                                         : "what it sent does not begin with a CONNECT of MQTT");
      closeSilently();
      break;
    }
    const mqtt::Frame frame = mqtt::nextFrame(bytes, maximumPacketSize());
    if (frame.state == mqtt::Frame::State::incomplete) break;
    if (frame.state != mqtt::Frame::State::complete) {
      const bool tooLarge = frame.state == mqtt::Frame::State::tooLarge;
      (tooLarge ? context_.packetsBeyondLimits : context_.badPackets).add();
      if (tooLarge) explainSize();
      // [v5:3.2.2-15]
      close(tooLarge ? ReasonCode::packetTooLarge : ReasonCode::malformedPacket);
      break;
    }
    if (!slot) slot = context_.acquireSlot();
    received = true;
    receive(slot, bytes.substr(0, frame.size));
    bytes.remove_prefix(frame.size);
    if (packets % kLookEvery == 0 && context_.flushList.late() && readsPackets()) {
      resumeDue_ = true;  // others get their turn
      context_.flushList.add(*this);
      pauseInput();
    }
  }
  if (received) lastPacketAt_ = context_.scheduler.now();
  if (slot) context_.releaseSlot(std::move(slot));
  return closing() ? std::string_view{} : bytes;
}

namespace {

bool belongsToExchange(std::string_view frame) noexcept {
  const auto type = static_cast<PacketType>(static_cast<unsigned char>(frame.front()) >> 4U);
  return type == PacketType::auth || type == PacketType::disconnect;
}

}  // namespace

/// The slot is empty afterwards if the packet waits in it.
void Client::receive(std::unique_ptr<PacketSlot>& slot, std::string_view frame) {
  context_.packetsReceived.add();
  if (phase_ == Phase::awaitingConnect) {
    phase_ = Phase::connecting;
  } else if (phase_ == Phase::connecting && !belongsToExchange(frame)) {  // [v5:3.1.2-30]
    context_.badPackets.add();
    return close(ReasonCode::protocolError);
  }
  if (const std::error_code error = decode(*slot, frame)) return refuse(error, frame);
  process(slot);
}

std::error_code Client::decode(PacketSlot& slot, std::string_view frame) {
  // No view into the shared read buffer may survive a deferral: a PUBLISH becomes
  // a message, and a packet this short has no views at all.
  constexpr std::size_t kWithoutViews = 4;
  const bool publish =
      static_cast<unsigned char>(frame.front()) >> 4U == static_cast<unsigned>(PacketType::publish);
  if (!publish && frame.size() > kWithoutViews) {
    slot.bytes.assign(frame);
    frame = slot.bytes;
  }
  if (const std::error_code error = mqtt::decodeInto(slot.packet.content, frame, version_))
    return error;
  if (listener_.packets.canBreak(frame.size())) {
    if (const std::error_code error = checkLimits(slot.packet.content, listener_.packets)) {
      context_.packetsBeyondLimits.add();
      explainLimit(mqtt::reasonOf(error));
      return error;
    }
  }
  if (publish) return makeMessage(slot.packet);
  if (slot.packet.type() == PacketType::connect && phase_ == Phase::connecting)
    adopt(slot.packet.as<mqtt::Connect>());
  return {};
}

/// What a CONNECT lays down for whatever we send, a refusal included.
void Client::adopt(const mqtt::Connect& connect) noexcept {
  version_ = connect.version;
  peerMaximumPacketSize_ =
      connect.properties.number(mqtt::PropertyId::maximumPacketSize).value_or(UINT32_MAX);
  outbox_.limitPackets(peerMaximumPacketSize_);
  problemInformation_ =
      connect.properties.number(mqtt::PropertyId::requestProblemInformation).value_or(1) != 0;
}

std::error_code Client::makeMessage(Packet& packet) {
  context_.publishReceived.add();
  auto& publish = packet.as<mqtt::Publish>();
  broker::MessageFields fields{.topic = publish.topic,
                               .payload = publish.payload,
                               .qos = publish.qos,
                               .retain = publish.retain,
                               .author = identity_};
  if (!publish.properties.empty()) {
    if (const std::error_code error = resolveProperties(publish, fields)) return error;
    fields.topic = publish.topic;
  }
  packet.message = broker::Message::create(std::move(fields));
  publish.topic = packet.message->topic();
  publish.payload = packet.message->payload();
  publish.properties = packet.message->properties();
  return {};
}

/// Finds the topic of an alias, and takes out of the properties what ends here.
std::error_code Client::resolveProperties(mqtt::Publish& publish, broker::MessageFields& fields) {
  fields.properties = publish.properties;
  fields.received = context_.scheduler.now();
  fields.expiryInterval = publish.properties.number(mqtt::PropertyId::messageExpiryInterval);
  const auto alias = publish.properties.number(mqtt::PropertyId::topicAlias);
  if (alias) {
    // [v5:3.2.2-17] [v5:3.2.2-18] [v5:3.3.2-8] [v5:3.3.2-9]
    if (!receivedAliases_ || !receivedAliases_->isValid(*alias))
      return ReasonCode::topicAliasInvalid;
    const auto number = static_cast<std::uint16_t>(*alias);
    if (!publish.topic.empty())
      receivedAliases_->set(number, publish.topic);
    else if (publish.topic = receivedAliases_->topic(number); publish.topic.empty())
      return ReasonCode::protocolError;
  }
  if (alias || fields.expiryInterval) {
    context_.propertyScratch_.clear();
    mqtt::copyPropertiesExcept(
        publish.properties, {mqtt::PropertyId::topicAlias, mqtt::PropertyId::messageExpiryInterval},
        context_.propertyScratch_);
    fields.properties = mqtt::Properties{context_.propertyScratch_};
  }
  return {};
}

/// Answers a packet that could not be decoded. A CONNECT is answered in the
/// layout of the version that it named, as far as it named one.
void Client::refuse(std::error_code error, std::string_view frame) {
  context_.badPackets.add();
  if (phase_ == Phase::connecting && !exchanging_) {
    const auto version = mqtt::versionForRefusal(frame);
    if (!version) {
      explainEnd("its CONNECT names no version of MQTT");
      return closeSilently();
    }
    version_ = *version;
  }
  close(mqtt::reasonOf(error));
}

namespace {

/// Whether the client waits for an answer, so that there has to be somebody who
/// consumes the packet.
bool mustBeAnswered(const Packet& packet) noexcept {
  switch (packet.type()) {
    case PacketType::subscribe:
    case PacketType::unsubscribe:
    case PacketType::pingreq:
    case PacketType::pubrel:
      return true;
    case PacketType::publish:
      return packet.as<mqtt::Publish>().qos != mqtt::Qos::atMostOnce;
    default:
      return false;
  }
}

}  // namespace

void Client::process(std::unique_ptr<PacketSlot>& slot) {
  Packet& packet = slot->packet;
  const PacketType type = packet.type();
  const bool answerDue = mustBeAnswered(packet);
  const bool finished = stack_->process(
      *this, packet, type, [this, type, answerDue](std::error_code error, bool consumed) {
        const bool unanswered = answerDue && !consumed;
        if (error || unanswered || parked_ || type == PacketType::connect)
          settled(error, unanswered, type);
      });
  if (finished) return packet.message.reset();

  slot->below = std::move(parked_);
  parked_ = std::move(slot);
  if (inputWaits()) pauseInput();
  if (closing()) linger();
}

void Client::pauseInput() {
  if (lost_ || paused_) return;
  paused_ = true;
  transport_->pauseReading();
}

/// A packet has been worked off, and something is to be done about it.
void Client::settled(std::error_code error, bool unanswered, PacketType type) {
  if (!closing()) {
    if (error) {
      close(mqtt::reasonOf(error));
    } else if (type == PacketType::connect && phase_ == Phase::connecting) {
      context_.log.error(
          "{}: no middleware of pipeline \"{}\" answered its CONNECT; the connection is closed",
          describe(), stack_->name());
      close(ReasonCode::implementationSpecificError);
    } else if (unanswered) {
      context_.log.warning("{}: no middleware of pipeline \"{}\" answers {}; the client is closed",
                           describe(), stack_->name(), toString(type));
      close(ReasonCode::implementationSpecificError);
    }
  }
  if (type == PacketType::connect) exchanging_ = false;
  // One that never waited is released by who has it.
  auto slot = unpark(type);
  if (!slot) return;
  slot->packet.message.reset();
  context_.releaseSlot(std::move(slot));
  // Whoever settled is in the middle of something: the rest is done from the loop.
  resumeDue_ = true;
  context_.flushList.add(*this);
  if (lingering_ && !parked_) letSuccessorsGoOn();
}

/// Takes the packet of that type out of those that wait; null if it doesn't.
/// There is one, or there are an AUTH and below it the CONNECT.
std::unique_ptr<ClientContext::PacketSlot> Client::unpark(PacketType type) noexcept {
  for (auto* place = &parked_; *place; place = &(*place)->below) {
    if ((*place)->packet.type() != type) continue;
    auto slot = std::move(*place);
    *place = std::move(slot->below);
    return slot;
  }
  return nullptr;
}

bool Client::awaitsAuth() const noexcept {
  return exchanging_ && parked_->packet.type() == PacketType::connect;
}

void Client::expectAuthentication() {
  exchanging_ = true;
  if (!parked_) return;  // still inside the handler: reading simply goes on
  resumeDue_ = true;
  context_.flushList.add(*this);
}

void Client::resumeInput() {
  const std::string bytes = std::exchange(unfinished_, {});
  keepUnfinished(consume(bytes));
  if (inputWaits() || closing()) return;
  if (ended_) return closeSilently();
  if (!paused_) return;
  paused_ = false;
  lastPacketAt_ = context_.scheduler.now();  // its silence was our doing
  transport_->resumeReading();
}

void Client::onEnd() {
  const ClientPtr pin{this};
  ended_ = true;
  if (!inputWaits() && !closing()) closeSilently();
}

void Client::onWritable() {
  const ClientPtr pin{this};
  blocked_ = false;
  context_.flushList.add(*this);
}

void Client::onClosed(std::error_code why) {
  const ClientPtr pin{this};
  if (why == std::errc::timed_out) context_.connectionsStalled.add();
  if (why && !closing()) explainLoss(why);
  lost_ = true;
  outbox_.clear();
  if (!closing()) beginClosing();
  workOffClosing();
  leaveIfOver();
}

void Client::acceptTopicAliases(std::uint16_t maximum) {
  receivedAliases_ = maximum != 0 ? std::make_unique<ReceivedAliases>(maximum) : nullptr;
}

// Ending.

void Client::close(ReasonCode reason, std::string_view reasonString) {
  if (closing()) return;
  if (!reasonString.empty()) explainEnd(std::string{reasonString});
  closeReason_ = reason;
  context_.countClosed(reason);
  queueFarewell(reason, reasonString);
  beginClosing();
}

void Client::closeSilently() {
  if (!closing()) beginClosing();
}

void Client::beginClosing() {
  phase_ = Phase::closing;
  unfinished_ = {};
  context_.flushList.add(*this);
  if (parked_) linger();
  if (predecessors_ != 0) forgetPredecessors();
}

/// Called from the loop, never inside a walk, until everything is done.
void Client::workOffClosing() {
  if (!leftDone_) {
    leftDone_ = true;
    ConnectionLost left{*this};
    stack_->run(left);
  }
  if (!transportClosed_ && !lost_) {
    transportClosed_ = true;
    transport_->close(net::CloseMode::graceful);
  }
  // A packet that is still deferred settles first; its result is discarded.
  if (parked_ || closedDone_) return;
  closedDone_ = true;
  stack_->execute(ConnectionClosed{*this}, [](std::error_code, ConnectionClosed&) {});
}

void Client::leaveIfOver() {
  if (!lost_ || !closedDone_ || phase_ == Phase::closed) return;
  phase_ = Phase::closed;
  context_.connections.add(-1);
  context_.clients_.back()->index_ = index_;
  std::swap(context_.clients_[index_], context_.clients_.back());
  context_.clients_.pop_back();
  release();
}

}  // namespace mqttstack
