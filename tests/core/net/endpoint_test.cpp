#include "core/net/endpoint.hpp"

#include <catch2/catch.hpp>

using namespace mqttstack::net;
using Catch::Matchers::Contains;

TEST_CASE("an endpoint is an address and a port", "[endpoint]") {
  const auto [text, host, port] = GENERATE(table<std::string, std::string, int>({
      {"0.0.0.0:1883", "0.0.0.0", 1883},
      {"[::]:8883", "::", 8883},
      {"[fe80::1%eth0]:1", "fe80::1%eth0", 1},
      {"localhost:0", "localhost", 0},
      {"*:65535", "*", 65535},
  }));
  const auto endpoint = parseEndpoint(text);
  REQUIRE(endpoint);
  CHECK(endpoint->host == host);
  CHECK(endpoint->port == port);
  CHECK(endpoint->text() == text);
}

TEST_CASE("what is no endpoint is told with a remedy", "[endpoint]") {
  const auto [text, words] = GENERATE(table<std::string, std::string>({
      {"", "write address and port"},
      {"1883", "write address and port"},
      {"localhost", "write address and port"},
      {":1883", "the address is missing"},
      {"::1:1883", "needs brackets"},
      {"[::1]1883", "bracket is not closed"},
      {"[::1:1883", "bracket is not closed"},
      {"[]:1883", "no IPv6 address"},
      {"[localhost]:1883", "no IPv6 address"},
      {"[", "write address and port"},
      {"[:", "bracket is not closed"},
      {"local host:1883", "character"},
      {"300.1.1.1:1883", "no IPv4 address"},
      {"127.1:1883", "no IPv4 address"},
      {"tcp://localhost:1883", "no scheme"},
      {"localhost:", "port must be a number"},
      {"localhost:x", "port must be a number"},
      {"localhost:18x", "port must be a number"},
      {"localhost:-1", "port must be a number"},
      {"localhost:+1", "port must be a number"},
      {"localhost:65536", "port must be a number"},
      {"localhost:99999999999", "port must be a number"},
  }));
  const auto endpoint = parseEndpoint(text);
  REQUIRE_FALSE(endpoint);
  CHECK_THAT(endpoint.error(), Contains(words) && Contains("\"" + text + "\""));
}
