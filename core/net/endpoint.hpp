#pragma once

#include <cstdint>
#include <string>
#include <string_view>

#include "core/util/expected.hpp"

namespace mqttstack::net {

/// Where to listen or connect, as written in the configuration.
struct Endpoint {
  std::string host;  ///< address or name, without brackets; "*" is every address
  std::uint16_t port = 0;

  /// "192.0.2.1:1883", "[::]:8883", "localhost:1883"
  std::string text() const;

  friend bool operator==(const Endpoint&, const Endpoint&) = default;
};

/// Reads "host:port", with brackets around an IPv6 address. The error is a
/// sentence for whoever wrote the configuration, with a remedy.
Expected<Endpoint, std::string> parseEndpoint(std::string_view text);

}  // namespace mqttstack::net
