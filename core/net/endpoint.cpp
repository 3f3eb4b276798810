#include "core/net/endpoint.hpp"

#include <arpa/inet.h>
#include <charconv>

namespace mqttstack::net {
namespace {

Unexpected<std::string> wrong(std::string_view text, std::string_view what) {
  return Unexpected{"\"" + std::string{text} + "\" is no endpoint: " + std::string{what}};
}

bool isNameCharacter(char c) {
  return (c >= 'a' && c <= 'z') || (c >= 'A' && c <= 'Z') || (c >= '0' && c <= '9') || c == '.' ||
         c == '-' || c == '_';
}

}  // namespace

std::string Endpoint::text() const {
  const bool v6 = host.find(':') != std::string::npos;
  return (v6 ? "[" + host + "]" : host) + ":" + std::to_string(port);
}

Expected<Endpoint, std::string> parseEndpoint(std::string_view text) {
  const auto colon = text.rfind(':');
  if (colon == std::string_view::npos)
    return wrong(text, "write address and port, such as \"0.0.0.0:1883\"");

  if (text.find("://") != std::string_view::npos)
    return wrong(text, "there is no scheme; write address and port only, such as \"0.0.0.0:1883\"");

  std::string_view host = text.substr(0, colon);
  const std::string_view digits = text.substr(colon + 1);
  if (host.empty())
    return wrong(text,
                 "the address is missing; \"0.0.0.0\" is every IPv4 address, \"[::]\" every "
                 "IPv6 address, \"*\" both");
  if (host.front() == '[') {
    if (host.back() != ']') return wrong(text, "the bracket is not closed before the port");
    host = host.substr(1, host.size() - 2);
    in6_addr address;
    const std::string withoutScope{host.substr(0, host.find('%'))};
    if (::inet_pton(AF_INET6, withoutScope.c_str(), &address) != 1)
      return wrong(text, "what stands in brackets is no IPv6 address");
  } else if (host.find(':') != std::string_view::npos) {
    return wrong(text, "an IPv6 address needs brackets, such as \"[::1]:1883\"");
  } else if (host != "*") {
    for (const char c : host)
      if (!isNameCharacter(c)) return wrong(text, "the host has a character that no name has");
    in_addr address;
    if (host.find_first_not_of("0123456789.") == std::string_view::npos &&
        ::inet_pton(AF_INET, std::string{host}.c_str(), &address) != 1)
      return wrong(text, "what stands before the port is no IPv4 address");
  }

  std::uint16_t port = 0;
  const auto [end, error] = std::from_chars(digits.data(), digits.data() + digits.size(), port);
  if (digits.empty() || error != std::errc{} || end != digits.data() + digits.size())
    return wrong(text, "the port must be a number from 0 to 65535");
  return Endpoint{.host = std::string{host}, .port = port};
}

}  // namespace mqttstack::net
