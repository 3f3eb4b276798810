#include <array>
#include <string>

#include "core/mqtt/encoder.hpp"
#include "core/mqtt/packet_rules.hpp"
#include "core/stack/callbacks.hpp"
#include "core/stack/client.hpp"
#include "core/stack/stack.hpp"
#include "core/util/metrics.hpp"
#include "core/util/timer_wheel.hpp"

// What a client sends; client.cpp has the rest of it.
namespace mqttstack {

using mqtt::PacketType;
using mqtt::ReasonCode;

namespace {

/// How many answers wait for a peer that does not read them before it is not read, or
/// how many bytes of long ones.
constexpr std::size_t kMaxAnswers = 1000;
constexpr std::size_t kMaxAnswerBytes = 256 * 1024;

bool isMuch(const Outbox& outbox, std::size_t share = 1) noexcept {
  return outbox.answers() > kMaxAnswers / share ||
         outbox.longAnswerBytes() > kMaxAnswerBytes / share;
}

/// The packet without what is only said for people. `kept` holds its properties.
template <class P>
P withoutExplanation(const P& packet, std::string& kept) {
  mqtt::copyPropertiesExcept(
      packet.properties, {mqtt::PropertyId::reasonString, mqtt::PropertyId::userProperty}, kept);
  P bare = packet;
  bare.properties = mqtt::Properties{kept};
  return bare;
}

}  // namespace

template <class P>
bool Client::enqueue(const P& packet) {
  std::array<char, 256> small;
  const std::size_t size = mqtt::encodedSize(packet, version_);
  if (size <= small.size()) {
    mqtt::encode(packet, version_, small.data());
    return enqueueBytes({small.data(), size});
  }
  std::string large(size, '\0');
  mqtt::encode(packet, version_, large.data());
  return enqueueBytes(large);
}

bool Client::enqueueBytes(std::string_view packet) {
  outbox_.add(packet);
  context_.packetsSent.add();
  context_.flushList.add(*this);
  if (blocked_ && !answersWait_ && isMuch(outbox_)) {
    answersWait_ = true;
    pauseInput();
  }
  return true;
}

template <class P>
bool Client::send(const P& packet) {
  const bool mayBeSent =
      phase_ == Phase::connected || (P::kType == PacketType::auth && phase_ == Phase::connecting);
  if (!mayBeSent) return false;
  if constexpr (requires { mqtt::hasShortestForm(packet); }) {
    const std::array<char, 4> shortest = mqtt::encodeShortest(packet);
    if (mqtt::hasShortestForm(packet) && shortest.size() <= peerMaximumPacketSize_)
      return enqueueBytes({shortest.data(), shortest.size()});
  }
  if constexpr (requires { packet.properties; }) {
    // [v5:3.1.2-24] [v5:3.1.2-29] [v5:3.4.2-2] [v5:3.4.2-3] [v5:3.9.2-1] [v5:3.9.2-2]
    if (!packet.properties.empty() &&
        (!problemInformation_ || mqtt::encodedSize(packet, version_) > peerMaximumPacketSize_)) {
      std::string kept;
      const P bare = withoutExplanation(packet, kept);
      return mqtt::encodedSize(bare, version_) <= peerMaximumPacketSize_ && enqueue(bare);
    }
  }
  return mqtt::encodedSize(packet, version_) <= peerMaximumPacketSize_ && enqueue(packet);
}

template bool Client::send(const mqtt::Puback&);
template bool Client::send(const mqtt::Pubrec&);
template bool Client::send(const mqtt::Pubrel&);
template bool Client::send(const mqtt::Pubcomp&);
template bool Client::send(const mqtt::Suback&);
template bool Client::send(const mqtt::Unsuback&);
template bool Client::send(const mqtt::Pingresp&);
template bool Client::send(const mqtt::Auth&);

bool Client::sendAccepting(const mqtt::Connack& connack) {
  if (phase_ != Phase::connecting) return false;
  if (mqtt::encodedSize(connack, version_) <= peerMaximumPacketSize_) {
    enqueue(connack);
  } else {
    // [v5:3.2.2-19] [v5:3.2.2-20]
    std::string kept;
    const mqtt::Connack fitting = withoutExplanation(connack, kept);
    if (mqtt::encodedSize(fitting, version_) > peerMaximumPacketSize_) {
      closeSilently();
      return false;
    }
    enqueue(fitting);
  }
  phase_ = Phase::connected;
  return true;
}

Client::Sent Client::send(OutgoingPublish&& publish) {
  if (phase_ != Phase::connected) return Sent::closed;
  // [v5:3.1.2-24] [v5:3.1.2-25]
  if (peerMaximumPacketSize_ != UINT32_MAX &&
      encodedSize(publish, version_, context_.scheduler.now()) > peerMaximumPacketSize_)
    return Sent::tooLarge;
  outbox_.add(std::move(publish));
  context_.packetsSent.add();
  context_.publishSent.add();
  context_.flushList.add(*this);
  return Sent::yes;
}

void Client::acknowledge(std::uint16_t packetId, AckKind kind, ReasonCode code) {
  if (kind == AckKind::pubcomp) {
    if (mqtt::isFailure(code)) return close(code);
    send(mqtt::Pubcomp{packetId, code, {}});
    return;
  }
  // The session may have moved on to another connection, on which the client has
  // sent this PUBLISH again and waits for the answer.
  const bool qos2 = kind == AckKind::pubrec;
  Client& receiver = qos2 && session_ && session_->client() ? *session_->client() : *this;
  const bool v5 = receiver.isV5();
  // [v5:3.4.2-1] [v5:3.5.2-1]
  if (v5 && !mqtt::isLegalReason(PacketType::puback, code, mqtt::Sender::server))
    code = ReasonCode::unspecifiedError;
  const bool deniedV3 = !v5 && code == ReasonCode::notAuthorized;
  const bool refused = mqtt::isFailure(code) && !deniedV3;
  if (deniedV3) code = ReasonCode::success;
  if (qos2 && session_) {
    if (refused)
      session_->incoming().remove(packetId);  // [v5:4.3.3-9]
    else
      session_->incoming().markReceived(packetId);
  }
  if (refused && !v5) return receiver.close(code);  // [v311:4.8.0-2]
  if (!qos2)
    receiver.send(mqtt::Puback{packetId, code, {}});
  else
    receiver.send(mqtt::Pubrec{packetId, code, {}});
}

void Client::writeOutput() {
  if (blocked_ || transportClosed_) return;
  if (!outbox_.empty()) {
    const Outbox::Flush flushed =
        outbox_.flush(*transport_, version_, context_.scheduler.now(), context_.encodeBuffer_);
    context_.bytesSent.add(static_cast<std::int64_t>(flushed.written));
    context_.publishExpired.add(static_cast<std::int64_t>(flushed.expired));
    if (flushed.result == Outbox::Flushed::failed) return outbox_.clear();  // onClosed() follows
    blocked_ = flushed.result == Outbox::Flushed::some;
    if (answersWait_ && !isMuch(outbox_, 2)) {
      answersWait_ = false;
      resumeDue_ = true;
      context_.flushList.add(*this);
    }
  }
  if (blocked_ || !drainAwaited_ || closing()) return;
  drainAwaited_ = false;
  ClientDrained drained{*this};
  stack_->run(drained);
}

void Client::flush() {
  const ClientPtr pin{this};
  if (resumeDue_) {
    resumeDue_ = false;
    if (!closing()) resumeInput();
  }
  if (!lost_) writeOutput();
  if (closing()) workOffClosing();
  leaveIfOver();
}

void Client::queueFarewell(ReasonCode reason, std::string_view reasonString) {
  if (reasonString.empty() && problemInformation_) reasonString = mqtt::explain(reason);
  mqtt::PropertyWriter properties;
  if (isV5() && !reasonString.empty()) properties.add(mqtt::PropertyId::reasonString, reasonString);

  if (phase_ == Phase::connecting) {
    if (!isV5() && mqtt::toConnackReturnCode(reason) == 0) return;  // [v311:3.2.2-6]
    if (isV5() && !mqtt::isLegalReason(PacketType::connack, reason, mqtt::Sender::server))
      reason = ReasonCode::unspecifiedError;
    mqtt::Connack connack{false, reason, properties.properties()};
    // [v5:3.1.2-24] [v5:3.2.2-19]
    if (mqtt::encodedSize(connack, version_) > peerMaximumPacketSize_) connack.properties = {};
    if (mqtt::encodedSize(connack, version_) <= peerMaximumPacketSize_) enqueue(connack);
  } else if (phase_ == Phase::connected && isV5()) {
    if (!mqtt::isLegalReason(PacketType::disconnect, reason, mqtt::Sender::server))
      reason = ReasonCode::unspecifiedError;
    mqtt::Disconnect disconnect{reason, properties.properties()};
    // [v5:3.14.2-3]
    if (mqtt::encodedSize(disconnect, version_) > peerMaximumPacketSize_)
      disconnect.properties = {};
    if (mqtt::encodedSize(disconnect, version_) <= peerMaximumPacketSize_) enqueue(disconnect);
  }
}

}  // namespace mqttstack
