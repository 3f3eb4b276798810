#pragma once

#include <cstdint>
#include <string_view>
#include <system_error>
#include <type_traits>

namespace mqttstack::mqtt {

/// Why something was done or refused, in the words of MQTT 5. [v5:2.4] It is a
/// std::error_code enumeration, so the code that a failing line returns is the
/// one that the peer hears; MQTT 3 peers hear what it maps to.
///
/// Values below 0x80 are not failures; as a std::error_code they still compare
/// unequal to success unless they are 0x00.
enum class ReasonCode : std::uint8_t {
  success = 0x00,  ///< also: normal disconnection, granted QoS 0
  grantedQos1 = 0x01,
  grantedQos2 = 0x02,
  disconnectWithWill = 0x04,
  noMatchingSubscribers = 0x10,
  noSubscriptionExisted = 0x11,
  continueAuthentication = 0x18,
  reAuthenticate = 0x19,
  unspecifiedError = 0x80,
  malformedPacket = 0x81,
  protocolError = 0x82,
  implementationSpecificError = 0x83,
  unsupportedProtocolVersion = 0x84,
  clientIdentifierNotValid = 0x85,
  badUserNameOrPassword = 0x86,
  notAuthorized = 0x87,
  serverUnavailable = 0x88,
  serverBusy = 0x89,
  banned = 0x8A,
  serverShuttingDown = 0x8B,
  badAuthenticationMethod = 0x8C,
  keepAliveTimeout = 0x8D,
  sessionTakenOver = 0x8E,
  topicFilterInvalid = 0x8F,
  topicNameInvalid = 0x90,
  packetIdentifierInUse = 0x91,
  packetIdentifierNotFound = 0x92,
  receiveMaximumExceeded = 0x93,
  topicAliasInvalid = 0x94,
  packetTooLarge = 0x95,
  messageRateTooHigh = 0x96,
  quotaExceeded = 0x97,
  administrativeAction = 0x98,
  payloadFormatInvalid = 0x99,
  retainNotSupported = 0x9A,
  qosNotSupported = 0x9B,
  useAnotherServer = 0x9C,
  serverMoved = 0x9D,
  sharedSubscriptionsNotSupported = 0x9E,
  connectionRateExceeded = 0x9F,
  maximumConnectTime = 0xA0,
  subscriptionIdentifiersNotSupported = 0xA1,
  wildcardSubscriptionsNotSupported = 0xA2,
};

/// The name that the standard gives it: "Packet too large".
std::string_view toString(ReasonCode code) noexcept;

/// What an MQTT 5 peer that is refused or disconnected with `code` is told in a
/// reason string, for the developer who looks for the cause: what was expected,
/// or what to do. Empty where the code says it all.
std::string_view explain(ReasonCode code) noexcept;

constexpr bool isFailure(ReasonCode code) noexcept {
  return static_cast<std::uint8_t>(code) >= 0x80;
}

const std::error_category& reasonCategory() noexcept;

inline std::error_code make_error_code(ReasonCode code) noexcept {
  return {static_cast<int>(code), reasonCategory()};
}

/// The reason code inside `ec`; anything that is not one becomes
/// `unspecifiedError`, and no error becomes `success`.
ReasonCode reasonOf(const std::error_code& ec) noexcept;

/// The CONNACK return code (1 to 5) by which a 3.1 or 3.1.1 client hears
/// `code`, or 0 if it has none and the connection is closed without a CONNACK.
/// [v311:3.2.2-6]
std::uint8_t toConnackReturnCode(ReasonCode code) noexcept;

}  // namespace mqttstack::mqtt

template <>
struct std::is_error_code_enum<mqttstack::mqtt::ReasonCode> : std::true_type {};
