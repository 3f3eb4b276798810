#include "tests/support/packet_parts.hpp"

#include <algorithm>
#include <deque>

#include "tests/support/packets.hpp"

namespace mqttstack::test {

using mqtt::PacketType;
using mqtt::PropertyId;
using mqtt::ReasonCode;
using mqtt::Sender;
using In = mqtt::PropertyPlace;

std::string_view keep(std::string bytes) {
  static std::deque<std::string> kept;
  return kept.emplace_back(std::move(bytes));
}

const std::vector<PropertySample>& propertySamples() {
  static const std::vector<In> everywhere{
      In::connect,  In::connack,    In::publish,   In::puback, In::pubrec,
      In::pubrel,   In::pubcomp,    In::subscribe, In::suback, In::unsubscribe,
      In::unsuback, In::disconnect, In::auth,      In::will};
  static const std::vector<In> reasonString{In::connack,  In::puback,     In::pubrec,
                                            In::pubrel,   In::pubcomp,    In::suback,
                                            In::unsuback, In::disconnect, In::auth};
  static const std::vector<PropertySample> samples{
      {"Payload Format Indicator",
       PropertyId::payloadFormatIndicator,
       hex("01 01"),
       {In::publish, In::will},
       {},
       {hex("01 02"), hex("01 FF")}},
      {"Message Expiry Interval",
       PropertyId::messageExpiryInterval,
       hex("02 00 01 02 03"),
       {In::publish, In::will},
       {},
       {}},
      {"Content Type",
       PropertyId::contentType,
       hex("03 00 03 'a/b'"),
       {In::publish, In::will},
       {},
       {}},
      {"Response Topic",
       PropertyId::responseTopic,
       hex("08 00 03 'r/t'"),
       {In::publish, In::will},
       {},
       {hex("08 00 03 'r/+'"), hex("08 00 03 'r/#'"), hex("08 00 01 '#'"), hex("08 00 00")}},
      {"Correlation Data",
       PropertyId::correlationData,
       hex("09 00 03 00 FF C0"),
       {In::publish, In::will},
       {},
       {}},
      {"Subscription Identifier",
       PropertyId::subscriptionIdentifier,
       hex("0B 80 80 80 01"),
       {In::publish, In::subscribe},
       {In::publish},
       {hex("0B 00")}},
      {"Session Expiry Interval",
       PropertyId::sessionExpiryInterval,
       hex("11 FF FF FF FF"),
       {In::connect, In::connack, In::disconnect},
       {},
       {}},
      {"Assigned Client Identifier",
       PropertyId::assignedClientIdentifier,
       hex("12 00 02 'id'"),
       {In::connack},
       {},
       {}},
      {"Server Keep Alive", PropertyId::serverKeepAlive, hex("13 00 00"), {In::connack}, {}, {}},
      {"Authentication Method",
       PropertyId::authenticationMethod,
       hex("15 00 01 'm'"),
       {In::connect, In::connack, In::auth},
       {},
       {}},
      {"Authentication Data",
       PropertyId::authenticationData,
       hex("16 00 02 00 80"),
       {In::connect, In::connack, In::auth},
       {},
       {}},
      {"Request Problem Information",
       PropertyId::requestProblemInformation,
       hex("17 00"),
       {In::connect},
       {},
       {hex("17 02")}},
      {"Will Delay Interval",
       PropertyId::willDelayInterval,
       hex("18 00 00 00 01"),
       {In::will},
       {},
       {}},
      {"Request Response Information",
       PropertyId::requestResponseInformation,
       hex("19 01"),
       {In::connect},
       {},
       {hex("19 02")}},
      {"Response Information",
       PropertyId::responseInformation,
       hex("1A 00 01 'r'"),
       {In::connack},
       {},
       {}},
      {"Server Reference",
       PropertyId::serverReference,
       hex("1C 00 04 'host'"),
       {In::connack, In::disconnect},
       {},
       {}},
      {"Reason String", PropertyId::reasonString, hex("1F 00 03 'why'"), reasonString, {}, {}},
      {"Receive Maximum",
       PropertyId::receiveMaximum,
       hex("21 FF FF"),
       {In::connect, In::connack},
       {},
       {hex("21 00 00")}},
      {"Topic Alias Maximum",
       PropertyId::topicAliasMaximum,
       hex("22 00 00"),
       {In::connect, In::connack},
       {},
       {}},
      {"Topic Alias",
       PropertyId::topicAlias,
       hex("23 00 01"),
       {In::publish},
       {},
       {hex("23 00 00")},
       ReasonCode::topicAliasInvalid},
      {"Maximum QoS", PropertyId::maximumQos, hex("24 01"), {In::connack}, {}, {hex("24 02")}},
      {"Retain Available",
       PropertyId::retainAvailable,
       hex("25 00"),
       {In::connack},
       {},
       {hex("25 02")}},
      {"User Property",
       PropertyId::userProperty,
       hex("26 00 01 'k' 00 02 'vv'"),
       everywhere,
       everywhere,
       {}},
      {"Maximum Packet Size",
       PropertyId::maximumPacketSize,
       hex("27 00 00 00 01"),
       {In::connect, In::connack},
       {},
       {hex("27 00 00 00 00")}},
      {"Wildcard Subscription Available",
       PropertyId::wildcardSubscriptionAvailable,
       hex("28 01"),
       {In::connack},
       {},
       {hex("28 02")}},
      {"Subscription Identifier Available",
       PropertyId::subscriptionIdentifierAvailable,
       hex("29 01"),
       {In::connack},
       {},
       {hex("29 02")}},
      {"Shared Subscription Available",
       PropertyId::sharedSubscriptionAvailable,
       hex("2A 01"),
       {In::connack},
       {},
       {hex("2A 02")}},
  };
  return samples;
}

bool isLegalIn(const PropertySample& sample, In place) {
  return std::find(sample.legalIn.begin(), sample.legalIn.end(), place) != sample.legalIn.end();
}

const std::vector<Surroundings>& surroundings() {
  static const std::vector<Surroundings> all{
      {"CONNECT", In::connect, Sender::client, 0x10, hex("00 04 'MQTT' 05 02 00 3C"),
       hex("00 01 'a'")},
      {"CONNECT, will", In::will, Sender::client, 0x10,
       hex("00 04 'MQTT' 05 06 00 3C 00 00 01 'a'"), hex("00 01 'w' 00 00")},
      {"CONNACK", In::connack, Sender::server, 0x20, hex("00 00"), ""},
      {"PUBLISH from a client", In::publish, Sender::client, 0x32, hex("00 03 'a/b' 00 0A"),
       hex("'x'")},
      {"PUBLISH from the server", In::publish, Sender::server, 0x30, hex("00 03 'a/b'"),
       hex("'x'")},
      {"PUBACK", In::puback, Sender::client, 0x40, hex("00 0A 10"), ""},
      {"PUBREC", In::pubrec, Sender::client, 0x50, hex("00 0A 00"), ""},
      {"PUBREL", In::pubrel, Sender::client, 0x62, hex("00 0A 92"), ""},
      {"PUBCOMP", In::pubcomp, Sender::client, 0x70, hex("00 0A 92"), ""},
      {"SUBSCRIBE", In::subscribe, Sender::client, 0x82, hex("00 0A"), hex("00 03 'a/b' 01")},
      {"SUBACK", In::suback, Sender::server, 0x90, hex("00 0A"), hex("01")},
      {"UNSUBSCRIBE", In::unsubscribe, Sender::client, 0xA2, hex("00 0A"), hex("00 03 'a/b'")},
      {"UNSUBACK", In::unsuback, Sender::server, 0xB0, hex("00 0A"), hex("00")},
      {"DISCONNECT from a client", In::disconnect, Sender::client, 0xE0, hex("04"), ""},
      {"DISCONNECT from the server", In::disconnect, Sender::server, 0xE0, hex("8E"), ""},
      {"AUTH", In::auth, Sender::client, 0xF0, hex("18"), "", hex("15 00 01 'm'")},
  };
  return all;
}

std::string packetWith(const Surroundings& around, std::string_view properties) {
  std::string section = around.section;
  section += properties;
  return frame(around.firstByte,
               around.before + variable(section.size()) + section + around.behind);
}

bool isFromThisSide(const PropertySample& sample, const Surroundings& around) {
  switch (sample.id) {
    case PropertyId::subscriptionIdentifier:
      return around.place != In::publish || around.sender == Sender::server;
    case PropertyId::sessionExpiryInterval:
      return around.place != In::disconnect || around.sender == Sender::client;
    case PropertyId::serverReference:
      return around.sender == Sender::server;
    default:
      return true;
  }
}

const std::vector<LegalCodes>& legalCodes() {
  static const std::string published = hex("00 10 80 83 87 90 91 97 99");
  static const std::vector<LegalCodes> all{
      {PacketType::connack, Sender::server,
       hex("00 80 81 82 83 84 85 86 87 88 89 8A 8C 90 95 97 99 9A 9B 9C 9D 9F")},
      {PacketType::puback, Sender::client, published},
      {PacketType::puback, Sender::server, published},
      {PacketType::pubrec, Sender::client, published},
      {PacketType::pubrec, Sender::server, published},
      {PacketType::pubrel, Sender::client, hex("00 92")},
      {PacketType::pubrel, Sender::server, hex("00 92")},
      {PacketType::pubcomp, Sender::client, hex("00 92")},
      {PacketType::pubcomp, Sender::server, hex("00 92")},
      {PacketType::suback, Sender::server, hex("00 01 02 80 83 87 8F 91 97 9E A1 A2")},
      {PacketType::unsuback, Sender::server, hex("00 11 80 83 87 8F 91")},
      {PacketType::disconnect, Sender::client, hex("00 04 80 81 82 83 90 93 94 95 96 97 98 99")},
      {PacketType::disconnect, Sender::server,
       hex("00 80 81 82 83 87 89 8B 8D 8E 8F 90 93 94 95 96 97 98 99 9A 9B 9C 9D 9E 9F A0 A1 A2")},
      {PacketType::auth, Sender::client, hex("18 19")},
      {PacketType::auth, Sender::server, hex("00 18")},
  };
  return all;
}

std::string packetWithCode(PacketType type, std::uint8_t code) {
  const std::string byte(1, static_cast<char>(code));
  switch (type) {
    case PacketType::connack:
      return frame(0x20, hex("00") + byte + hex("00"));
    case PacketType::pubrel:
      return frame(0x62, hex("00 0A") + byte + hex("00"));
    case PacketType::suback:
    case PacketType::unsuback:
      return frame(static_cast<unsigned>(type) << 4U, hex("00 0A 00") + byte);
    case PacketType::disconnect:
      return frame(0xE0, byte + hex("00"));
    case PacketType::auth:
      return frame(0xF0, byte + hex("04 15 00 01 'm'"));
    default:
      return frame(static_cast<unsigned>(type) << 4U, hex("00 0A") + byte + hex("00"));
  }
}

}  // namespace mqttstack::test
