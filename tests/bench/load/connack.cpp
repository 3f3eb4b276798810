#include "tests/bench/load/connack.hpp"

#include <cstddef>
#include <optional>

namespace mqttstack::load {
namespace {

/// How many bytes follow the identifier of a property, of those that a CONNACK may have.
std::optional<std::size_t> sizeOf(unsigned property, std::string_view value) {
  const auto text = [&](std::size_t at) -> std::optional<std::size_t> {
    if (value.size() < at + 2) return std::nullopt;
    return at + 2 + (static_cast<std::size_t>(static_cast<unsigned char>(value[at])) << 8) +
           static_cast<unsigned char>(value[at + 1]);
  };
  switch (property) {
    case 0x24:  // maximum QoS
    case 0x25:  // retain available
    case 0x28:  // wildcard subscriptions available
    case 0x29:  // subscription identifiers available
    case 0x2A:  // shared subscriptions available
      return 1;
    case 0x13:  // server keep alive
    case 0x21:  // receive maximum
    case 0x22:  // topic alias maximum
      return 2;
    case 0x11:  // session expiry interval
    case 0x27:  // maximum packet size
      return 4;
    case 0x12:  // assigned client identifier
    case 0x15:  // authentication method
    case 0x16:  // authentication data
    case 0x1A:  // response information
    case 0x1C:  // server reference
    case 0x1F:  // reason string
      return text(0);
    case 0x26: {  // user property: two texts
      const auto name = text(0);
      return name ? text(*name) : std::nullopt;
    }
    default:
      return std::nullopt;
  }
}

}  // namespace

Connack readConnack(std::string_view body, Version version) {
  constexpr Connack kSenseless{0xFF, 0};
  if (body.size() < 2) return kSenseless;
  Connack connack;
  connack.code = static_cast<unsigned char>(body[1]);
  if (version != Version::v5 || connack.code) return connack;

  body.remove_prefix(2);
  while (!body.empty() && static_cast<unsigned char>(body[0]) >= 0x80) body.remove_prefix(1);
  if (body.empty()) return kSenseless;
  body.remove_prefix(1);  // the properties are all that is left
  while (!body.empty()) {
    const auto property = static_cast<unsigned char>(body[0]);
    body.remove_prefix(1);
    const auto size = sizeOf(property, body);
    if (!size || *size > body.size()) return kSenseless;
    if (property == 0x21)
      connack.receiveMaximum = static_cast<std::uint16_t>(static_cast<unsigned char>(body[0]) << 8 |
                                                          static_cast<unsigned char>(body[1]));
    body.remove_prefix(*size);
  }
  return connack;
}

}  // namespace mqttstack::load
