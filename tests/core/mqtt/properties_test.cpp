#include "core/mqtt/properties.hpp"

#include <catch2/catch.hpp>

#include "core/mqtt/reason_code.hpp"
#include "tests/support/packet_parts.hpp"
#include "tests/support/packets.hpp"

using namespace mqttstack;
using namespace mqttstack::mqtt;
using test::hex;
using test::toHex;

TEST_CASE("every property is validated wherever it may stand", "[properties]") {
  for (const test::PropertySample& sample : test::propertySamples()) {
    for (unsigned number = 0; number <= 16; ++number) {
      const auto place = static_cast<PropertyPlace>(number);
      INFO(sample.name << " in place " << number);
      const auto one = validateProperties(sample.bytes, place);
      CHECK(one.has_value() == test::isLegalIn(sample, place));
      if (!one) CHECK(one.error() == ReasonCode::malformedPacket);
    }
  }
}

TEST_CASE("numbers are read from every numeric property", "[properties]") {
  const std::string section =
      hex("01 01 02 00 01 02 03 0B 80 80 80 01 11 FF FF FF FF 13 00 3C 23 01 02");
  const Properties properties{section};
  CHECK(properties.number(PropertyId::payloadFormatIndicator) == 1U);
  CHECK(properties.number(PropertyId::messageExpiryInterval) == 0x10203U);
  CHECK(properties.number(PropertyId::subscriptionIdentifier) == 2'097'152U);
  CHECK(properties.number(PropertyId::sessionExpiryInterval) == 0xFFFFFFFFU);
  CHECK(properties.number(PropertyId::serverKeepAlive) == 60U);
  CHECK(properties.number(PropertyId::topicAlias) == 0x102U);
  CHECK(!properties.number(PropertyId::receiveMaximum));
}

TEST_CASE("texts are read from every textual property", "[properties]") {
  const std::string section = hex("03 00 03 'a/b' 09 00 02 00 FF 26 00 01 'k' 00 02 'vv' 1F 00 00");
  const Properties properties{section};
  CHECK(properties.text(PropertyId::contentType) == "a/b");
  CHECK(properties.text(PropertyId::correlationData) == std::string_view("\0\xFF", 2));
  CHECK(properties.text(PropertyId::reasonString) == "");
  CHECK(!properties.text(PropertyId::responseTopic));
}

TEST_CASE("iteration keeps the order on the wire [v5:3.3.2-18]", "[properties]") {
  const std::string section =
      hex("26 00 01 'b' 00 01 '1' 0B 07 26 00 01 'a' 00 00 0B 07 26 00 01 'b' 00 01 '1'");
  const Properties properties{section};
  std::string seen;
  std::string bytes;
  for (auto it = properties.begin(); it != properties.end(); ++it) {
    if (it->id == PropertyId::userProperty) {
      seen.append(it->name).append("=").append(it->text).append(";");
    } else {
      seen.append(std::to_string(it->number)).append(";");
    }
    bytes += it.encoded();
  }
  CHECK(seen == "b=1;7;a=;7;b=1;");
  CHECK(bytes == section);
}

TEST_CASE("no properties are nothing to go through", "[properties]") {
  const Properties none;
  CHECK(none.empty());
  CHECK(none.begin() == none.end());
  CHECK(!none.number(PropertyId::topicAlias));
  CHECK(!none.text(PropertyId::contentType));
  CHECK(validateProperties({}, PropertyPlace::publish).has_value());
}

TEST_CASE("what is written is read again", "[properties]") {
  PropertyWriter writer;
  CHECK(writer.empty());
  writer.add(PropertyId::payloadFormatIndicator, 1)
      .add(PropertyId::messageExpiryInterval, 0xFFFFFFFF)
      .add(PropertyId::contentType, "text")
      .add(PropertyId::topicAlias, 65'535)
      .add(PropertyId::subscriptionIdentifier, 127)
      .add(PropertyId::subscriptionIdentifier, 268'435'455)
      .add(PropertyId::correlationData, std::string_view{"\0", 1})
      .addUserProperty("", "value");
  CHECK(!writer.empty());
  CHECK(toHex(writer.properties().encoded()) ==
        toHex(hex("01 01 02 FF FF FF FF 03 00 04 'text' 23 FF FF 0B 7F 0B FF FF FF 7F 09 00 01 00 "
                  "26 00 00 00 05 'value'")));
  CHECK(validateProperties(writer.properties().encoded(), PropertyPlace::publish).has_value());

  PropertyWriter second;
  second.append(writer.properties()).addUserProperty("k", "v");
  CHECK(second.properties().encoded().starts_with(writer.properties().encoded()));
  CHECK(second.properties().encoded().size() == writer.properties().encoded().size() + 7);
}

TEST_CASE("a string of any legal length is written", "[properties]") {
  const std::string longest(kMaxStringBytes, 'x');
  PropertyWriter writer;
  writer.add(PropertyId::reasonString, longest);
  CHECK(writer.properties().text(PropertyId::reasonString) == longest);
}

TEST_CASE("properties are copied but for some kinds", "[properties]") {
  const std::string section = hex("23 00 01 26 00 01 'k' 00 01 'v' 0B 07 01 01 0B 08");
  std::string out = "before";
  copyPropertiesExcept(Properties{section},
                       {PropertyId::topicAlias, PropertyId::subscriptionIdentifier}, out);
  CHECK(out == "before" + hex("26 00 01 'k' 00 01 'v' 01 01"));
  out.clear();
  copyPropertiesExcept(Properties{section}, {}, out);
  CHECK(out == section);
  out.clear();
  copyPropertiesExcept(Properties{}, {PropertyId::topicAlias}, out);
  CHECK(out.empty());
}
