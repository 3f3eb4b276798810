#include "core/mqtt/protocol.hpp"

#include <catch2/catch.hpp>

using namespace mqttstack::mqtt;

TEST_CASE("versions and packets have the standard's names", "[protocol]") {
  CHECK(toString(ProtocolVersion::v31) == "3.1");
  CHECK(toString(ProtocolVersion::v311) == "3.1.1");
  CHECK(toString(ProtocolVersion::v5) == "5.0");
  const char* names[] = {"CONNECT",  "CONNACK", "PUBLISH",   "PUBACK",     "PUBREC",
                         "PUBREL",   "PUBCOMP", "SUBSCRIBE", "SUBACK",     "UNSUBSCRIBE",
                         "UNSUBACK", "PINGREQ", "PINGRESP",  "DISCONNECT", "AUTH"};
  unsigned type = 1;
  for (const char* name : names) CHECK(toString(static_cast<PacketType>(type++)) == name);
  CHECK(toString(static_cast<PacketType>(0)) == "unknown");
}

TEST_CASE("a set of packet types holds what was put in", "[protocol]") {
  constexpr PacketTypes types = PacketType::connect | PacketType::auth;
  CHECK(types.contains(PacketType::connect));
  CHECK(types.contains(PacketType::auth));
  CHECK(!types.contains(PacketType::publish));
  CHECK(PacketTypes{}.empty());
  CHECK(!PacketTypes{PacketType::connect}.empty());
  for (unsigned type = 1; type < 16; ++type) {
    CHECK(PacketTypes::all().contains(static_cast<PacketType>(type)));
  }
  CHECK(!PacketTypes::all().contains(static_cast<PacketType>(0)));
}

TEST_CASE("the lower QoS counts [v5:3.8.4-8]", "[protocol]") {
  CHECK(lower(Qos::exactlyOnce, Qos::atLeastOnce) == Qos::atLeastOnce);
  CHECK(lower(Qos::atMostOnce, Qos::exactlyOnce) == Qos::atMostOnce);
}
