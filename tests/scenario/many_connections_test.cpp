#include <sys/resource.h>

#include <catch2/catch.hpp>

#include "tests/scenario/support/daemon.hpp"
#include "tests/scenario/support/raw_client.hpp"

using namespace mqttstack;

namespace {

constexpr unsigned kConnections = 19'000;
constexpr unsigned kPerAddress = 4'000;

/// Raises the limit of open files, which the daemon inherits; false if the system has less.
bool mayOpen(rlim_t files) {
  rlimit limit{};
  getrlimit(RLIMIT_NOFILE, &limit);
  if (limit.rlim_max < files) return false;
  limit.rlim_cur = limit.rlim_max;
  return setrlimit(RLIMIT_NOFILE, &limit) == 0;
}

}  // namespace

TEST_CASE("19,000 clients are connected at once", "[many_connections]") {
  if (!mayOpen(kConnections + 500)) {
    WARN("skipped: the limit of open files is below " << kConnections + 500);
    return;
  }
  DaemonProcess daemon;
  const auto before = daemon.residentKiB();
  std::vector<RawClient> clients;
  clients.reserve(kConnections);
  for (unsigned i = 0; i < kConnections; ++i) {
    clients.emplace_back(daemon.endpoint(), i % 2 == 0 ? Version::v311 : Version::v5,
                         "127.0.1." + std::to_string(1 + i / kPerAddress));
    clients.back().send(connectPacket(clients.back().version(),
                                      {.clientId = "c" + std::to_string(i), .keepAlive = 0}));
  }
  for (auto& client : clients) {
    REQUIRE(readConnack(client.version(), client.receive()).code == 0);
  }
  const auto perClient = (daemon.residentKiB() - before) * 1024 / kConnections;
  CAPTURE(perClient);
  CHECK(perClient < 2048);
  for (unsigned i = 0; i < kConnections; i += 190) clients[i].subscribe({{"all", 0}});
  clients[1].publish({.topic = "all", .payload = "x"});
  for (unsigned i = 0; i < kConnections; i += 190) {
    clients[i].expectPublish({.topic = "all", .payload = "x"});
  }
  for (auto& client : clients) client.drop();
  RawClient last(daemon.endpoint());
  last.connect({.clientId = "last"});
  last.expectNothing();
}
