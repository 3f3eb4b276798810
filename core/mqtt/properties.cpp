#include "core/mqtt/properties.hpp"

#include <algorithm>
#include <array>
#include <cassert>

#include "core/mqtt/property_rules.hpp"
#include "core/mqtt/topic.hpp"
#include "core/mqtt/wire.hpp"

namespace mqttstack::mqtt {
namespace {

enum class ValueType : std::uint8_t {
  none,
  byte,
  twoBytes,
  fourBytes,
  variable,
  string,
  binary,
  stringPair
};

enum class ValueRange : std::uint8_t { any, zeroOrOne, notZero, topicName };

class Places {
public:
  constexpr Places() = default;
  constexpr Places(std::initializer_list<PropertyPlace> places) {
    for (const PropertyPlace place : places) bits_ |= bit(place);
  }
  constexpr bool contains(PropertyPlace place) const { return (bits_ & bit(place)) != 0; }

private:
  static constexpr std::uint32_t bit(PropertyPlace place) {
    return 1U << static_cast<unsigned>(place);
  }
  std::uint32_t bits_ = 0;
};

struct PropertyRule {
  ValueType type = ValueType::none;
  ValueRange range = ValueRange::any;
  Places legalIn;
  Places repeatableIn;
};

/// Indexed by identifier. [v5:2.2.2.2]
using PropertyRules = std::array<PropertyRule, 0x2B>;

constexpr PropertyRules makeRules() {
  using Id = PropertyId;
  using In = PropertyPlace;
  using Type = ValueType;
  using Range = ValueRange;
  PropertyRules rules{};
  const auto set = [&rules](Id id, Type type, Range range, Places legalIn,
                            Places repeatableIn = {}) {
    rules[static_cast<std::size_t>(id)] = {type, range, legalIn, repeatableIn};
  };
  const Places message{In::publish, In::will};
  const Places negotiated{In::connect, In::connack};
  const Places everywhere{In::connect,  In::connack,    In::publish,   In::puback, In::pubrec,
                          In::pubrel,   In::pubcomp,    In::subscribe, In::suback, In::unsubscribe,
                          In::unsuback, In::disconnect, In::auth,      In::will};

  set(Id::payloadFormatIndicator, Type::byte, Range::zeroOrOne, message);
  set(Id::messageExpiryInterval, Type::fourBytes, Range::any, message);
  set(Id::contentType, Type::string, Range::any, message);
  set(Id::responseTopic, Type::string, Range::topicName, message);
  set(Id::correlationData, Type::binary, Range::any, message);
  set(Id::subscriptionIdentifier, Type::variable, Range::notZero, {In::publish, In::subscribe},
      {In::publish});
  set(Id::sessionExpiryInterval, Type::fourBytes, Range::any,
      {In::connect, In::connack, In::disconnect});
  set(Id::assignedClientIdentifier, Type::string, Range::any, {In::connack});
  set(Id::serverKeepAlive, Type::twoBytes, Range::any, {In::connack});
  set(Id::authenticationMethod, Type::string, Range::any, {In::connect, In::connack, In::auth});
  set(Id::authenticationData, Type::binary, Range::any, {In::connect, In::connack, In::auth});
  set(Id::requestProblemInformation, Type::byte, Range::zeroOrOne, {In::connect});
  set(Id::willDelayInterval, Type::fourBytes, Range::any, {In::will});
  set(Id::requestResponseInformation, Type::byte, Range::zeroOrOne, {In::connect});
  set(Id::responseInformation, Type::string, Range::any, {In::connack});
  set(Id::serverReference, Type::string, Range::any, {In::connack, In::disconnect});
  set(Id::reasonString, Type::string, Range::any,
      {In::connack, In::puback, In::pubrec, In::pubrel, In::pubcomp, In::suback, In::unsuback,
       In::disconnect, In::auth});
  set(Id::receiveMaximum, Type::twoBytes, Range::notZero, negotiated);
  set(Id::topicAliasMaximum, Type::twoBytes, Range::any, negotiated);
  set(Id::topicAlias, Type::twoBytes, Range::notZero, {In::publish});
  set(Id::maximumQos, Type::byte, Range::zeroOrOne, {In::connack});
  set(Id::retainAvailable, Type::byte, Range::zeroOrOne, {In::connack});
  set(Id::userProperty, Type::stringPair, Range::any, everywhere, everywhere);
  set(Id::maximumPacketSize, Type::fourBytes, Range::notZero, negotiated);
  set(Id::wildcardSubscriptionAvailable, Type::byte, Range::zeroOrOne, {In::connack});
  set(Id::subscriptionIdentifierAvailable, Type::byte, Range::zeroOrOne, {In::connack});
  set(Id::sharedSubscriptionAvailable, Type::byte, Range::zeroOrOne, {In::connack});
  return rules;
}

constexpr PropertyRules kRules = makeRules();

const PropertyRule& ruleOf(PropertyId id) noexcept { return kRules[static_cast<std::size_t>(id)]; }

/// Reads an identifier that is known. All known ones take one byte, so the
/// variable byte integer that the standard makes of it need not be decoded.
bool readId(Reader& in, PropertyId& id) noexcept {
  std::uint8_t byte = 0;
  if (!in.readByte(byte) || byte >= kRules.size()) return false;
  id = static_cast<PropertyId>(byte);
  return ruleOf(id).type != ValueType::none;
}

/// Reads the value; strings are not looked into.
bool readValue(Reader& in, ValueType type, Property& property) noexcept {
  std::uint8_t byte = 0;
  std::uint16_t twoBytes = 0;
  switch (type) {
    case ValueType::byte:
      if (!in.readByte(byte)) return false;
      property.number = byte;
      return true;
    case ValueType::twoBytes:
      if (!in.readTwoBytes(twoBytes)) return false;
      property.number = twoBytes;
      return true;
    case ValueType::fourBytes:
      return in.readFourBytes(property.number);
    case ValueType::variable:
      return in.readVariable(property.number);
    case ValueType::string:
    case ValueType::binary:
      return in.readBinary(property.text);
    case ValueType::stringPair:
      return in.readBinary(property.name) && in.readBinary(property.text);
    case ValueType::none:
      break;
  }
  return false;
}

ReasonCode checkText(const Property& property, ValueType type) noexcept {
  const bool valid = type == ValueType::string ? isValidUtf8(property.text)
                     : type == ValueType::stringPair
                         ? isValidUtf8(property.name) && isValidUtf8(property.text)
                         : true;
  return valid ? ReasonCode::success : ReasonCode::malformedPacket;  // [v5:1.5.4-1] [v5:1.5.7-1]
}

ReasonCode checkRange(const Property& property, ValueRange range) noexcept {
  switch (range) {
    case ValueRange::any:
      break;
    case ValueRange::zeroOrOne:
      if (property.number > 1) return ReasonCode::protocolError;
      break;
    case ValueRange::notZero:
      if (property.number != 0) break;
      return property.id == PropertyId::topicAlias ? ReasonCode::topicAliasInvalid  // [v5:3.3.2-8]
                                                   : ReasonCode::protocolError;
    case ValueRange::topicName:
      if (!isValidTopicName(property.text)) return ReasonCode::protocolError;  // [v5:3.3.2-14]
      break;
  }
  return ReasonCode::success;
}

void appendNumber(std::string& out, std::uint32_t number, unsigned bytes) {
  while (bytes-- > 0) out.push_back(static_cast<char>(number >> (8 * bytes)));
}

void appendString(std::string& out, std::string_view text) {
  assert(text.size() <= kMaxStringBytes);
  appendNumber(out, static_cast<std::uint32_t>(text.size()), 2);
  out.append(text);
}

}  // namespace

ReasonCode checkProperties(std::string_view encoded, PropertyPlace place,
                           PropertySet& found) noexcept {
  Reader in{encoded};
  while (!in.empty()) {
    Property property{};
    if (!readId(in, property.id)) return ReasonCode::malformedPacket;
    const PropertyRule& rule = ruleOf(property.id);
    if (!rule.legalIn.contains(place)) return ReasonCode::malformedPacket;
    if (!readValue(in, rule.type, property)) return ReasonCode::malformedPacket;
    if (found.contains(property.id) && !rule.repeatableIn.contains(place)) {
      return ReasonCode::protocolError;
    }
    found.insert(property.id);
    if (const ReasonCode code = checkText(property, rule.type); code != ReasonCode::success) {
      return code;
    }
    if (const ReasonCode code = checkRange(property, rule.range); code != ReasonCode::success) {
      return code;
    }
  }
  return ReasonCode::success;
}

Result<Properties> validateProperties(std::string_view encoded, PropertyPlace place) noexcept {
  PropertySet found;
  const ReasonCode code = checkProperties(encoded, place, found);
  if (code != ReasonCode::success) return Unexpected{code};
  return Properties{encoded};
}

std::optional<std::uint32_t> Properties::findNumber(PropertyId id) const noexcept {
  for (const Property& property : *this) {
    if (property.id == id) return property.number;
  }
  return std::nullopt;
}

std::optional<std::string_view> Properties::findText(PropertyId id) const noexcept {
  for (const Property& property : *this) {
    if (property.id == id) return property.text;
  }
  return std::nullopt;
}

void Properties::Iterator::advance() noexcept {
  if (rest_.empty()) {
    atEnd_ = true;
    return;
  }
  Reader in{rest_};
  current_ = {};
  if (!readId(in, current_.id) || !readValue(in, ruleOf(current_.id).type, current_)) {
    assert(false && "properties that were not validated");
    atEnd_ = true;
    return;
  }
  encoded_ = rest_.substr(0, rest_.size() - in.size());
  rest_ = in.rest();
}

PropertyWriter& PropertyWriter::add(PropertyId id, std::uint32_t number) {
  bytes_.push_back(static_cast<char>(id));
  switch (ruleOf(id).type) {
    case ValueType::byte:
      assert(number <= 0xFF);
      appendNumber(bytes_, number, 1);
      break;
    case ValueType::twoBytes:
      assert(number <= 0xFFFF);
      appendNumber(bytes_, number, 2);
      break;
    case ValueType::fourBytes:
      appendNumber(bytes_, number, 4);
      break;
    case ValueType::variable: {
      std::array<char, 4> buffer{};
      Writer writer{buffer.data()};
      writer.writeVariable(number);
      bytes_.append(buffer.data(), writer.position());
      break;
    }
    default:
      assert(false && "a property that is not a number");
      bytes_.pop_back();
  }
  return *this;
}

PropertyWriter& PropertyWriter::add(PropertyId id, std::string_view text) {
  assert(ruleOf(id).type == ValueType::string || ruleOf(id).type == ValueType::binary);
  bytes_.push_back(static_cast<char>(id));
  appendString(bytes_, text);
  return *this;
}

PropertyWriter& PropertyWriter::addUserProperty(std::string_view name, std::string_view value) {
  bytes_.push_back(static_cast<char>(PropertyId::userProperty));
  appendString(bytes_, name);
  appendString(bytes_, value);
  return *this;
}

PropertyWriter& PropertyWriter::append(Properties properties) {
  bytes_.append(properties.encoded());
  return *this;
}

void copyPropertiesExcept(Properties properties, std::initializer_list<PropertyId> without,
                          std::string& out) {
  for (auto it = properties.begin(); it != properties.end(); ++it) {
    if (std::find(without.begin(), without.end(), it->id) == without.end()) {
      out.append(it.encoded());
    }
  }
}

}  // namespace mqttstack::mqtt
