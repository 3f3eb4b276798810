#include "core/mqtt/reason_code.hpp"

#include <string>

namespace mqttstack::mqtt {
namespace {

class ReasonCategory final : public std::error_category {
public:
  const char* name() const noexcept override { return "mqtt"; }
  std::string message(int code) const override {
    return std::string{toString(static_cast<ReasonCode>(code))};
  }
};

}  // namespace

std::string_view toString(ReasonCode code) noexcept {
  switch (code) {
    case ReasonCode::success:
      return "Success";
    case ReasonCode::grantedQos1:
      return "Granted QoS 1";
    case ReasonCode::grantedQos2:
      return "Granted QoS 2";
    case ReasonCode::disconnectWithWill:
      return "Disconnect with Will Message";
    case ReasonCode::noMatchingSubscribers:
      return "No matching subscribers";
    case ReasonCode::noSubscriptionExisted:
      return "No subscription existed";
    case ReasonCode::continueAuthentication:
      return "Continue authentication";
    case ReasonCode::reAuthenticate:
      return "Re-authenticate";
    case ReasonCode::unspecifiedError:
      return "Unspecified error";
    case ReasonCode::malformedPacket:
      return "Malformed Packet";
    case ReasonCode::protocolError:
      return "Protocol Error";
    case ReasonCode::implementationSpecificError:
      return "Implementation specific error";
    case ReasonCode::unsupportedProtocolVersion:
      return "Unsupported Protocol Version";
    case ReasonCode::clientIdentifierNotValid:
      return "Client Identifier not valid";
    case ReasonCode::badUserNameOrPassword:
      return "Bad User Name or Password";
    case ReasonCode::notAuthorized:
      return "Not authorized";
    case ReasonCode::serverUnavailable:
      return "Server unavailable";
    case ReasonCode::serverBusy:
      return "Server busy";
    case ReasonCode::banned:
      return "Banned";
    case ReasonCode::serverShuttingDown:
      return "Server shutting down";
    case ReasonCode::badAuthenticationMethod:
      return "Bad authentication method";
    case ReasonCode::keepAliveTimeout:
      return "Keep Alive timeout";
    case ReasonCode::sessionTakenOver:
      return "Session taken over";
    case ReasonCode::topicFilterInvalid:
      return "Topic Filter invalid";
    case ReasonCode::topicNameInvalid:
      return "Topic Name invalid";
    case ReasonCode::packetIdentifierInUse:
      return "Packet Identifier in use";
    case ReasonCode::packetIdentifierNotFound:
      return "Packet Identifier not found";
    case ReasonCode::receiveMaximumExceeded:
      return "Receive Maximum exceeded";
    case ReasonCode::topicAliasInvalid:
      return "Topic Alias invalid";
    case ReasonCode::packetTooLarge:
      return "Packet too large";
    case ReasonCode::messageRateTooHigh:
      return "Message rate too high";
    case ReasonCode::quotaExceeded:
      return "Quota exceeded";
    case ReasonCode::administrativeAction:
      return "Administrative action";
    case ReasonCode::payloadFormatInvalid:
      return "Payload format invalid";
    case ReasonCode::retainNotSupported:
      return "Retain not supported";
    case ReasonCode::qosNotSupported:
      return "QoS not supported";
    case ReasonCode::useAnotherServer:
      return "Use another server";
    case ReasonCode::serverMoved:
      return "Server moved";
    case ReasonCode::sharedSubscriptionsNotSupported:
      return "Shared Subscriptions not supported";
    case ReasonCode::connectionRateExceeded:
      return "Connection rate exceeded";
    case ReasonCode::maximumConnectTime:
      return "Maximum connect time";
    case ReasonCode::subscriptionIdentifiersNotSupported:
      return "Subscription Identifiers not supported";
    case ReasonCode::wildcardSubscriptionsNotSupported:
      return "Wildcard Subscriptions not supported";
  }
  return "Unknown reason";
}

const std::error_category& reasonCategory() noexcept {
  static const ReasonCategory category;
  return category;
}

std::string_view explain(ReasonCode code) noexcept {
  switch (code) {
    case ReasonCode::clientIdentifierNotValid:
      return "choose another client identifier, or leave it empty to be given one";
    case ReasonCode::badAuthenticationMethod:
      return "this authentication method is not offered here";
    case ReasonCode::keepAliveTimeout:
      return "nothing was received for longer than the keep alive interval allows";
    case ReasonCode::sessionTakenOver:
      return "another connection uses this client identifier";
    case ReasonCode::receiveMaximumExceeded:
      return "more messages were sent without waiting for their acknowledgement than the "
             "receive maximum in CONNACK allows";
    case ReasonCode::topicAliasInvalid:
      return "topic aliases go from 1 to the topic alias maximum in CONNACK";
    case ReasonCode::packetTooLarge:
      return "the packet is larger than the maximum packet size in CONNACK";
    case ReasonCode::qosNotSupported:
      return "the QoS is higher than the maximum QoS in CONNACK";
    default:
      return {};
  }
}

ReasonCode reasonOf(const std::error_code& ec) noexcept {
  if (!ec) return ReasonCode::success;
  if (ec.category() != reasonCategory()) return ReasonCode::unspecifiedError;
  return static_cast<ReasonCode>(ec.value());
}

std::uint8_t toConnackReturnCode(ReasonCode code) noexcept {
  switch (code) {
    case ReasonCode::unsupportedProtocolVersion:
      return 1;
    case ReasonCode::clientIdentifierNotValid:
      return 2;
    case ReasonCode::serverUnavailable:
    case ReasonCode::serverBusy:
    case ReasonCode::quotaExceeded:
    case ReasonCode::useAnotherServer:
    case ReasonCode::serverMoved:
    case ReasonCode::connectionRateExceeded:
      return 3;
    case ReasonCode::badUserNameOrPassword:
      return 4;
    case ReasonCode::notAuthorized:
    case ReasonCode::banned:
    case ReasonCode::badAuthenticationMethod:
      return 5;
    default:
      return 0;
  }
}

}  // namespace mqttstack::mqtt
