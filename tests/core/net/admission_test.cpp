#include "core/net/admission.hpp"

#include <vector>

#include <catch2/catch.hpp>

#include "tests/core/net/net_fixture.hpp"

using namespace mqttstack::net;
using namespace mqttstack::net::test;
using namespace std::chrono_literals;

namespace {

constexpr Admissions::TimePoint kNow{std::chrono::hours{1}};

PeerAddress address(const char* text) {
  sockaddr_storage storage{};
  auto& v4 = reinterpret_cast<sockaddr_in&>(storage);
  auto& v6 = reinterpret_cast<sockaddr_in6&>(storage);
  if (::inet_pton(AF_INET, text, &v4.sin_addr) == 1)
    storage.ss_family = AF_INET;
  else if (::inet_pton(AF_INET6, text, &v6.sin6_addr) == 1)
    storage.ss_family = AF_INET6;
  return PeerAddress::fromSockaddr(storage);
}

}  // namespace

TEST_CASE("a listener takes no more connections than it may, until one goes", "[admission]") {
  ConnectionBudget budget;
  Admissions admissions{{.connections = 2}, budget};
  auto first = admissions.admit(address("192.0.2.1"), kNow);
  const auto second = admissions.admit(address("192.0.2.2"), kNow);
  REQUIRE(second);
  const auto third = admissions.admit(address("192.0.2.3"), kNow);
  REQUIRE_FALSE(third);
  CHECK(third.error() == Refusal::listener);
  { const Admission gone = std::move(first).value(); }
  CHECK(admissions.open() == 1);
  CHECK(admissions.admit(address("192.0.2.3"), kNow));
}

TEST_CASE("all listeners together take no more than the whole broker may", "[admission]") {
  ConnectionBudget budget{.maximum = 2};
  Admissions one{{}, budget};
  Admissions other{{}, budget};
  const auto first = one.admit(address("192.0.2.1"), kNow);
  {
    const auto second = other.admit(address("192.0.2.1"), kNow);
    CHECK(budget.open == 2);
    const auto third = one.admit(address("192.0.2.1"), kNow);
    REQUIRE_FALSE(third);
    CHECK(third.error() == Refusal::total);
  }
  CHECK(one.admit(address("192.0.2.1"), kNow));
}

TEST_CASE("an address has so many connections and takes none from others", "[admission]") {
  ConnectionBudget budget;
  Admissions admissions{{.perAddress = 2}, budget};
  std::vector<Admission> open;
  const auto comes = [&](const char* from) {
    auto admitted = admissions.admit(address(from), kNow);
    if (!admitted) return admitted.error() == Refusal::address ? "refused" : "?";
    open.push_back(std::move(admitted).value());
    return "in";
  };
  CHECK(comes("192.0.2.1") == std::string{"in"});
  CHECK(comes("192.0.2.1") == std::string{"in"});
  CHECK(comes("192.0.2.1") == std::string{"refused"});
  CHECK(comes("::ffff:192.0.2.1") == std::string{"refused"});
  CHECK(comes("192.0.2.2") == std::string{"in"});
  // One customer of IPv6 has 2^64 addresses to come from.
  CHECK(comes("2001:db8::1") == std::string{"in"});
  CHECK(comes("2001:db8::2") == std::string{"in"});
  CHECK(comes("2001:db8::3") == std::string{"refused"});
  CHECK(comes("2001:db8:0:1::1") == std::string{"in"});
  open.erase(open.begin());
  CHECK(comes("192.0.2.1") == std::string{"in"});
}

TEST_CASE("an address may come so many times a second", "[admission]") {
  ConnectionBudget budget;
  Admissions admissions{{.perAddressAndSecond = 10}, budget};
  const auto letIn = [&](Admissions::TimePoint now) {
    int count = 0;
    for (int i = 0; i < 100; ++i) count += admissions.admit(address("192.0.2.1"), now).has_value();
    return count;
  };
  CHECK(letIn(kNow) == 10);
  CHECK(letIn(kNow + 50ms) == 0);
  CHECK(letIn(kNow + 500ms) == 5);
  CHECK(letIn(kNow + 1h) == 10);
  CHECK(admissions.admit(address("192.0.2.2"), kNow + 1h));
}

TEST_CASE("this machine's own addresses count only where the limits say so", "[admission]") {
  ConnectionBudget budget;
  Admissions lenient{{.perAddress = 1}, budget};
  Admissions strict{{.perAddress = 1, .loopback = true}, budget};
  const auto a = lenient.admit(address("127.0.0.1"), kNow);
  CHECK(lenient.admit(address("127.0.0.1"), kNow));
  CHECK(lenient.admit(address("::1"), kNow));
  const auto b = strict.admit(address("127.0.0.1"), kNow);
  CHECK_FALSE(strict.admit(address("127.0.0.1"), kNow));
  CHECK(strict.admit(address("127.0.0.2"), kNow));
}

TEST_CASE("a listener hangs up on who is refused, and says so once a second", "[admission]") {
  Net net;
  ConnectionBudget budget;
  Admissions admissions{{.perAddress = 2, .loopback = true}, budget};
  net.admissions = &admissions;
  const std::uint16_t port = net.listen();
  std::vector<std::unique_ptr<Peer>> peers;
  for (int i = 0; i < 5; ++i) peers.push_back(std::make_unique<Peer>(port));
  REQUIRE(net.until([&] { return net.listener->refused(Refusal::address) == 3; }));
  CHECK(net.sessions.size() == 2);
  REQUIRE(net.troubles.size() == 1);
  CHECK_THAT(net.troubles[0], Catch::Contains("listener \"test\" refuses 127.0.0.1: ") &&
                                  Catch::Contains("max_connections_per_address"));
  for (std::size_t i = 2; i < peers.size(); ++i) {
    peers[i]->poll();
    CHECK((peers[i]->ended || peers[i]->error != 0));
  }
  // A place is free as soon as its connection is gone.
  net.sessions.pop_back();
  const Peer next{port};
  CHECK(net.until([&] { return net.sessions.size() == 2; }));
  net.sessions.clear();
  CHECK(admissions.open() == 0);
}
