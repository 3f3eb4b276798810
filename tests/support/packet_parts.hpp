#pragma once

#include <string>
#include <string_view>
#include <vector>

#include "core/mqtt/decoder.hpp"
#include "core/mqtt/properties.hpp"

/// What the corpus is put together from. The tables repeat the standard's on
/// purpose: they are what the codec's own tables are tested against.
namespace mqttstack::test {

/// A variable byte integer, by the algorithm of the standard.
std::string variable(std::size_t value);

/// Bytes that the corpus' packets may view.
std::string_view keep(std::string bytes);

/// One property, where it may stand, and what a value of it may not be.
struct PropertySample {
  std::string name;
  mqtt::PropertyId id;
  std::string bytes;  ///< identifier and a legal value
  std::vector<mqtt::PropertyPlace> legalIn;
  std::vector<mqtt::PropertyPlace> repeatableIn;
  /// Complete properties with values that are out of range.
  std::vector<std::string> outOfRange;
  mqtt::ReasonCode outOfRangeReason = mqtt::ReasonCode::protocolError;
};
const std::vector<PropertySample>& propertySamples();

bool isLegalIn(const PropertySample& sample, mqtt::PropertyPlace place);

/// An MQTT 5 packet around a property section.
struct Surroundings {
  std::string name;
  mqtt::PropertyPlace place;
  mqtt::Sender sender;
  unsigned firstByte;
  std::string before;  ///< what stands before the section's length
  std::string behind;
  std::string section = {};  ///< properties without which the packet is not legal
};
const std::vector<Surroundings>& surroundings();

/// The packet with these properties behind the ones that it needs.
std::string packetWith(const Surroundings& around, std::string_view properties);

/// False if the other side only may send the property in this packet.
bool isFromThisSide(const PropertySample& sample, const Surroundings& around);

/// The codes that a packet may have, by its type and sender.
struct LegalCodes {
  mqtt::PacketType type;
  mqtt::Sender sender;
  std::string codes;  ///< one byte each
};
const std::vector<LegalCodes>& legalCodes();

/// An MQTT 5 packet of one of these types with that code.
std::string packetWithCode(mqtt::PacketType type, std::uint8_t code);

}  // namespace mqttstack::test
