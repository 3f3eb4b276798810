#include <chrono>
#include <cstdint>
#include <limits>
#include <string>
#include <vector>

#include <catch2/catch.hpp>

#include "middlewares/security/auth_backoff.hpp"
#include "middlewares/security/flapping_detect.hpp"
#include "middlewares/security/rate_limit.hpp"
#include "tests/middlewares/protocol_broker.hpp"

namespace mqttstack::test {
namespace {

using namespace std::chrono_literals;

/// What a file may say where a number is meant.
const std::vector<OptionValue>& numbers() {
  static const std::vector<OptionValue> all{std::int64_t{-1},
                                            std::int64_t{0},
                                            std::int64_t{1},
                                            std::int64_t{23},
                                            std::int64_t{1024},
                                            std::int64_t{65'535},
                                            std::int64_t{1'000'000},
                                            std::int64_t{std::numeric_limits<std::uint32_t>::max()},
                                            std::numeric_limits<std::int64_t>::max(),
                                            0.01,
                                            1e300,
                                            std::string{"0s"},
                                            std::string{"10ms"},
                                            std::string{"1s"},
                                            std::string{"100000d"},
                                            std::string{"0B"},
                                            std::string{"1B"},
                                            std::string{"4KiB"},
                                            std::string{"8000000TiB"}};
  return all;
}

/// Two clients that do a bit of everything, come back, and let time pass. What is
/// answered depends on the options; that it is answered or refused is enough.
void live(ProtocolBroker& broker) {
  for (const Version version : {Version::v311, Version::v5}) {
    for (int visit = 0; visit < 3; ++visit) {
      Peer peer = broker.open(versionOf(version));
      auto connect = persistent(version, "client");
      connect.will = mqttstack::Will{.topic = "will", .payload = "x", .qos = 1, .retain = true};
      peer.send(connectPacket(version, connect));
      peer.send(subscribePacket(version, 1, {{"#", 2}, {"a/+", 1}}));
      for (unsigned qos = 0; qos < 3; ++qos)
        peer.send(publishPacket(version, {.topic = "a/b",
                                          .payload = std::string(3000, 'x'),
                                          .qos = qos,
                                          .id = qos + 1,
                                          .retain = true}));
      peer.send(pingreqPacket());
      broker.advance(visit == 0 ? 0s : 5s);
      peer.reset();
    }
  }
  broker.advance(24h);
}

/// Sets each option that is a number to whatever it takes, one at a time.
template <class Options, class Make>
void tryExtremes(Make make) {
  OptionTable<Options> table;
  Options::declare(table);
  for (const auto& entry : table.entries()) {
    if (entry.info.type == "boolean" || entry.info.range.starts_with("one of")) continue;
    std::size_t accepted = 0;
    for (const OptionValue& value : numbers()) {
      Options options;
      if (!entry.set(options, value, {}).empty()) continue;
      ++accepted;
      INFO(entry.info.name << ", value " << &value - numbers().data());
      CHECK_NOTHROW([&] {
        ProtocolBroker broker{make(options)};
        live(broker);
      }());
    }
    INFO(entry.info.name);
    CHECK(accepted > 0);
    CHECK(accepted < numbers().size());
  }
}

/// For the options of a part of the built-in pipeline.
template <class Options>
auto with(Options Parts::*member) {
  return [member](const Options& options) {
    Parts parts;
    parts.*member = options;
    return parts;
  };
}

/// For a middleware that stands behind connection.
template <class M>
auto adding() {
  return [](const typename M::Options& options) {
    Parts parts;
    parts.second = [options](TestBroker& broker) { broker.use<M>(options); };
    return parts;
  };
}

}  // namespace

TEST_CASE("no number that an option takes breaks the broker (FlashMQ CVE-2026-42209)",
          "[options]") {
  SECTION("connection") { tryExtremes<Connection::Options>(with(&Parts::connection)); }
  SECTION("keep_alive") { tryExtremes<KeepAlive::Options>(with(&Parts::keepAlive)); }
  SECTION("memory_backend") { tryExtremes<MemoryBackend::Options>(with(&Parts::backend)); }
  SECTION("session_manager") { tryExtremes<SessionManager::Options>(with(&Parts::sessions)); }
  SECTION("subscription_manager") {
    tryExtremes<SubscriptionManager::Options>(with(&Parts::subscriptions));
  }
  SECTION("retain_manager") { tryExtremes<RetainManager::Options>(with(&Parts::retain)); }
  SECTION("inbound_manager") { tryExtremes<InboundManager::Options>(with(&Parts::inbound)); }
  SECTION("outbound_manager") { tryExtremes<OutboundManager::Options>(with(&Parts::outbound)); }
  SECTION("rate_limit") { tryExtremes<RateLimit::Options>(adding<RateLimit>()); }
  SECTION("auth_backoff") { tryExtremes<AuthBackoff::Options>(adding<AuthBackoff>()); }
  SECTION("flapping_detect") { tryExtremes<FlappingDetect::Options>(adding<FlappingDetect>()); }
}

}  // namespace mqttstack::test
