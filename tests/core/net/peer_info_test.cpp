#include "core/net/peer_info.hpp"

#include <catch2/catch.hpp>

using namespace mqttstack::net;

namespace {

PeerAddress v4(const char* host, std::uint16_t port) {
  sockaddr_storage storage{};
  auto& address = reinterpret_cast<sockaddr_in&>(storage);
  address.sin_family = AF_INET;
  address.sin_port = htons(port);
  REQUIRE(::inet_pton(AF_INET, host, &address.sin_addr) == 1);
  return PeerAddress::fromSockaddr(storage);
}

PeerAddress v6(const char* host, std::uint16_t port) {
  sockaddr_storage storage{};
  auto& address = reinterpret_cast<sockaddr_in6&>(storage);
  address.sin6_family = AF_INET6;
  address.sin6_port = htons(port);
  REQUIRE(::inet_pton(AF_INET6, host, &address.sin6_addr) == 1);
  return PeerAddress::fromSockaddr(storage);
}

}  // namespace

TEST_CASE("an address is written as people write it", "[peer_info]") {
  CHECK(v4("192.0.2.1", 50000).text() == "192.0.2.1:50000");
  CHECK(v4("192.0.2.1", 50000).host() == "192.0.2.1");
  CHECK(v6("2001:db8::1", 1).text() == "[2001:db8::1]:1");
  CHECK(v6("2001:db8::1", 1).host() == "2001:db8::1");
  CHECK(PeerAddress{}.text() == "local");
}

TEST_CASE("an IPv4 address mapped into IPv6 is the IPv4 address", "[peer_info]") {
  CHECK(v6("::ffff:192.0.2.1", 7) == v4("192.0.2.1", 7));
  CHECK(v6("::ffff:127.0.0.1", 7).isLoopback());
  CHECK_FALSE(v6("::ffff:192.0.2.1", 7) == v4("192.0.2.1", 8));
}

TEST_CASE("loopback is all of 127/8, ::1 and this machine's sockets", "[peer_info]") {
  CHECK(v4("127.0.0.1", 1).isLoopback());
  CHECK(v4("127.255.0.9", 1).isLoopback());
  CHECK_FALSE(v4("128.0.0.1", 1).isLoopback());
  CHECK_FALSE(v4("0.0.0.1", 1).isLoopback());
  CHECK(v6("::1", 1).isLoopback());
  CHECK_FALSE(v6("::2", 1).isLoopback());
  CHECK_FALSE(v6("7f00::1", 1).isLoopback());
  CHECK(PeerAddress{}.isLoopback());
}

TEST_CASE("a peer of no listener has an empty listener name", "[peer_info]") {
  CHECK(PeerInfo{}.listener().empty());
  CHECK(PeerInfo{}.tls() == nullptr);
}
