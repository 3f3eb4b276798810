#include <cstdint>
#include <string>
#include <string_view>

#include "core/mqtt/properties.hpp"
#include "core/mqtt/reason_code.hpp"
#include "tests/fuzz/check.hpp"

// The first byte chooses the place, the rest is a property section. One that is valid is written
// again property by property, to the same bytes.

using namespace mqttstack;
using fuzz::check;
using mqtt::PropertyId;

namespace {

bool isNumber(PropertyId id) {
  switch (id) {
    case PropertyId::contentType:
    case PropertyId::responseTopic:
    case PropertyId::correlationData:
    case PropertyId::assignedClientIdentifier:
    case PropertyId::authenticationMethod:
    case PropertyId::authenticationData:
    case PropertyId::responseInformation:
    case PropertyId::serverReference:
    case PropertyId::reasonString:
      return false;
    default:
      return true;
  }
}

}  // namespace

extern "C" int LLVMFuzzerTestOneInput(const std::uint8_t* data, std::size_t size) {
  if (size == 0) return 0;
  const auto place = static_cast<mqtt::PropertyPlace>(data[0] % 17U);
  const std::string_view section{reinterpret_cast<const char*>(data) + 1, size - 1};
  const auto valid = mqtt::validateProperties(section, place);
  if (!valid) {
    check(mqtt::isFailure(mqtt::reasonOf(valid.error())), "a failure has a reason");
    return 0;
  }

  mqtt::PropertyWriter writer;
  for (const mqtt::Property& property : *valid) {
    if (property.id == PropertyId::userProperty) {
      writer.addUserProperty(property.name, property.text);
      continue;
    }
    if (isNumber(property.id)) {
      writer.add(property.id, property.number);
      check(valid->number(property.id).has_value(), "a number is found");
    } else {
      writer.add(property.id, property.text);
      check(valid->text(property.id) == property.text, "a text is found");
    }
  }
  check(writer.properties().encoded() == section, "what is read is what was written");

  std::string copy;
  mqtt::copyPropertiesExcept(*valid, {PropertyId::userProperty}, copy);
  check(mqtt::validateProperties(copy, place).has_value(), "less properties are valid too");
  for (const mqtt::Property& property : mqtt::Properties{copy}) {
    check(property.id != PropertyId::userProperty, "the kind is left out");
  }
  return 0;
}
