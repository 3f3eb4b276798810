#include "core/mqtt/packet_rules.hpp"

#include <array>
#include <cstddef>

namespace mqttstack::mqtt {
namespace {

/// Indexed by reason code: the packets in which it is legal.
using LegalIn = std::array<PacketTypes, 0x100>;

struct LegalReasons {
  LegalIn fromClient{};
  LegalIn fromServer{};
};

constexpr LegalReasons makeLegalReasons() {
  using Code = ReasonCode;
  LegalReasons legal{};
  const auto client = [&legal](PacketTypes types, auto... codes) {
    ((legal.fromClient[static_cast<std::size_t>(codes)] =
          legal.fromClient[static_cast<std::size_t>(codes)] | types),
     ...);
  };
  const auto server = [&legal](PacketTypes types, auto... codes) {
    ((legal.fromServer[static_cast<std::size_t>(codes)] =
          legal.fromServer[static_cast<std::size_t>(codes)] | types),
     ...);
  };
  const auto both = [&client, &server](PacketTypes types, auto... codes) {
    client(types, codes...);
    server(types, codes...);
  };

  // [v5:3.2.2-8]
  server(PacketType::connack, Code::success, Code::unspecifiedError, Code::malformedPacket,
         Code::protocolError, Code::implementationSpecificError, Code::unsupportedProtocolVersion,
         Code::clientIdentifierNotValid, Code::badUserNameOrPassword, Code::notAuthorized,
         Code::serverUnavailable, Code::serverBusy, Code::banned, Code::badAuthenticationMethod,
         Code::topicNameInvalid, Code::packetTooLarge, Code::quotaExceeded,
         Code::payloadFormatInvalid, Code::retainNotSupported, Code::qosNotSupported,
         Code::useAnotherServer, Code::serverMoved, Code::connectionRateExceeded);
  // [v5:3.4.2-1] [v5:3.5.2-1]
  both(PacketType::puback | PacketType::pubrec, Code::success, Code::noMatchingSubscribers,
       Code::unspecifiedError, Code::implementationSpecificError, Code::notAuthorized,
       Code::topicNameInvalid, Code::packetIdentifierInUse, Code::quotaExceeded,
       Code::payloadFormatInvalid);
  // [v5:3.6.2-1] [v5:3.7.2-1]
  both(PacketType::pubrel | PacketType::pubcomp, Code::success, Code::packetIdentifierNotFound);
  // [v5:3.9.3-2]
  server(PacketType::suback, Code::success, Code::grantedQos1, Code::grantedQos2,
         Code::unspecifiedError, Code::implementationSpecificError, Code::notAuthorized,
         Code::topicFilterInvalid, Code::packetIdentifierInUse, Code::quotaExceeded,
         Code::sharedSubscriptionsNotSupported, Code::subscriptionIdentifiersNotSupported,
         Code::wildcardSubscriptionsNotSupported);
  // [v5:3.11.3-2]
  server(PacketType::unsuback, Code::success, Code::noSubscriptionExisted, Code::unspecifiedError,
         Code::implementationSpecificError, Code::notAuthorized, Code::topicFilterInvalid,
         Code::packetIdentifierInUse);
  // [v5:3.14.2-1]
  client(PacketType::disconnect, Code::disconnectWithWill);
  both(PacketType::disconnect, Code::success, Code::unspecifiedError, Code::malformedPacket,
       Code::protocolError, Code::implementationSpecificError, Code::topicNameInvalid,
       Code::receiveMaximumExceeded, Code::topicAliasInvalid, Code::packetTooLarge,
       Code::messageRateTooHigh, Code::quotaExceeded, Code::administrativeAction,
       Code::payloadFormatInvalid);
  server(PacketType::disconnect, Code::notAuthorized, Code::serverBusy, Code::serverShuttingDown,
         Code::keepAliveTimeout, Code::sessionTakenOver, Code::topicFilterInvalid,
         Code::retainNotSupported, Code::qosNotSupported, Code::useAnotherServer, Code::serverMoved,
         Code::sharedSubscriptionsNotSupported, Code::connectionRateExceeded,
         Code::maximumConnectTime, Code::subscriptionIdentifiersNotSupported,
         Code::wildcardSubscriptionsNotSupported);
  // [v5:3.15.2-1] [v5:4.12.0-2] [v5:4.12.0-3] [v5:4.12.1-1]
  client(PacketType::auth, Code::continueAuthentication, Code::reAuthenticate);
  server(PacketType::auth, Code::success, Code::continueAuthentication);
  return legal;
}

constexpr LegalReasons kLegalReasons = makeLegalReasons();

constexpr PacketTypes kFromBoth = PacketType::publish | PacketType::puback | PacketType::pubrec |
                                  PacketType::pubrel | PacketType::pubcomp;
constexpr PacketTypes kFromClient = kFromBoth | PacketType::connect | PacketType::subscribe |
                                    PacketType::unsubscribe | PacketType::pingreq |
                                    PacketType::disconnect;
constexpr PacketTypes kFromServer = kFromBoth | PacketType::connack | PacketType::suback |
                                    PacketType::unsuback | PacketType::pingresp;

}  // namespace

bool isLegalReason(PacketType type, ReasonCode code, Sender sender) noexcept {
  const LegalIn& legal =
      sender == Sender::client ? kLegalReasons.fromClient : kLegalReasons.fromServer;
  return legal[static_cast<std::size_t>(code)].contains(type);
}

PacketTypes packetsFrom(Sender sender, ProtocolVersion version) noexcept {
  const PacketTypes base = sender == Sender::client ? kFromClient : kFromServer;
  return version == ProtocolVersion::v5 ? base | PacketType::disconnect | PacketType::auth : base;
}

}  // namespace mqttstack::mqtt
