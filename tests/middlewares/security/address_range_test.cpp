#include "middlewares/security/address_range.hpp"

#include <catch2/catch.hpp>

using namespace mqttstack;

namespace {

bool contains(const char* range, const char* address) {
  const auto parsed = AddressRange::parse(range);
  REQUIRE(parsed);
  return parsed->contains(address);
}

}  // namespace

TEST_CASE("a range has the addresses that share its prefix", "[address_range]") {
  CHECK(contains("10.0.0.0/8", "10.255.0.1"));
  CHECK_FALSE(contains("10.0.0.0/8", "11.0.0.1"));
  CHECK(contains("192.0.2.128/25", "192.0.2.129"));
  CHECK_FALSE(contains("192.0.2.128/25", "192.0.2.127"));
  CHECK(contains("192.0.2.7", "192.0.2.7"));
  CHECK_FALSE(contains("192.0.2.7", "192.0.2.6"));
  CHECK(contains("0.0.0.0/0", "203.0.113.1"));
  CHECK(contains("2001:db8::/33", "2001:db8:7fff::1"));
  CHECK_FALSE(contains("2001:db8::/33", "2001:db8:8000::1"));
  CHECK(contains("::1", "::1"));
}

TEST_CASE("ranges of one family have no addresses of another", "[address_range]") {
  CHECK_FALSE(contains("0.0.0.0/0", "::1"));
  CHECK_FALSE(contains("::/0", "10.0.0.1"));
  CHECK_FALSE(contains("::/0", "local"));
  CHECK(contains("local", "local"));
  CHECK_FALSE(contains("local", "127.0.0.1"));
  CHECK_FALSE(contains("0.0.0.0/0", "nonsense"));
}

TEST_CASE("who has a network of IPv6 is one in a queue", "[address_range]") {
  CHECK(laneOf("2001:db8:1:2::1") == laneOf("2001:db8:1:2:ffff::9"));
  CHECK(laneOf("2001:db8:1:2::1") != laneOf("2001:db8:1:3::1"));
  CHECK(laneOf("192.0.2.1") != laneOf("192.0.2.2"));
  CHECK(laneOf("local") != laneOf("192.0.2.1"));
}

TEST_CASE("what is no range is not parsed", "[address_range]") {
  for (const char* wrong : {"", "/", "/8", "10", "10.0.0.0/", "10.0.0.0/33", "10.0.0.0/-1",
                            "10.0.0.0/8x", "10.0.0.1/8", "2001:db8::/129", "2001:db8::1/64",
                            "local/0", "example.org", "10.0.0.0/8/8", " 10.0.0.1"}) {
    CAPTURE(wrong);
    CHECK_FALSE(AddressRange::parse(wrong));
  }
}
