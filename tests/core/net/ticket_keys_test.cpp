#include "core/net/ticket_keys.hpp"

#include <catch2/catch.hpp>

using mqttstack::net::TicketKeys;
using namespace std::chrono_literals;

namespace {

constexpr TicketKeys::TimePoint kStart{std::chrono::hours{1000}};

}  // namespace

TEST_CASE("one key seals for a period, then another one", "[ticket_keys]") {
  TicketKeys keys{12h, kStart};
  const auto first = keys.sealing(kStart).name;
  CHECK(keys.sealing(kStart + 12h - 1s).name == first);
  CHECK(keys.sealing(kStart + 12h).name != first);
}

TEST_CASE("an old key opens for one period more and seals no longer", "[ticket_keys]") {
  TicketKeys keys{12h, kStart};
  const TicketKeys::Key first = keys.sealing(kStart);
  const auto opensWithFirst = [&](TicketKeys::TimePoint now) {
    const TicketKeys::Key* key = keys.opening(first.name, now);
    return key && key->cipher == first.cipher && key->mac == first.mac;
  };
  CHECK(opensWithFirst(kStart + 11h));
  CHECK(opensWithFirst(kStart + 12h));
  CHECK(opensWithFirst(kStart + 24h - 1s));
  CHECK(keys.opening(first.name, kStart + 24h) == nullptr);
}

TEST_CASE("after two quiet periods the key is gone", "[ticket_keys]") {
  TicketKeys keys{12h, kStart};
  const TicketKeys::Key first = keys.sealing(kStart);
  CHECK(keys.opening(first.name, kStart + 24h) == nullptr);
}

TEST_CASE("keys of different places don't open each other's tickets", "[ticket_keys]") {
  TicketKeys one{12h, kStart};
  TicketKeys other{12h, kStart};
  CHECK(other.opening(one.sealing(kStart).name, kStart) == nullptr);
  CHECK(one.sealing(kStart).cipher != other.sealing(kStart).cipher);
}
