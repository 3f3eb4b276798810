#include "middlewares/security/rate_limit.hpp"

#include <chrono>
#include <string>

#include <catch2/catch.hpp>

#include "tests/support/client_fixture.hpp"

namespace mqttstack {
namespace {

using namespace std::chrono_literals;
using mqtt::PacketType;
using mqtt::ProtocolVersion;
using mqtt::ReasonCode;
using test::AcceptConnect;
using test::Peer;
using test::TestBroker;

/// A pipeline that lets clients publish two messages at once and ten a second.
struct Pipeline {
  explicit Pipeline(RateLimit::Excess action = RateLimit::Excess::delay) {
    broker.use<RateLimit>(RateLimit::Options{10, 2, {0}, {1000}, action});
    behind = &broker.onPackets(PacketType::publish);
    broker.use<AcceptConnect>();
  }
  std::size_t passed() const { return behind->calls; }
  /// Lets time pass as it does, a little at a time.
  void wait(Duration time) {
    for (; time > Duration::zero(); time -= 10ms) broker.advance(10ms);
  }

  TestBroker broker;
  test::PacketStub* behind;
};

mqtt::Publish message() {
  mqtt::Publish publish;
  publish.topic = "a";
  return publish;
}

}  // namespace

// The cases of a middleware that may decide later, in order: at once, later,
// refused, error (there is none of its own: others' come through), client gone
// while waiting, everything gone.

TEST_CASE("rate_limit lets a message pass at once while there are tokens", "[rate_limit]") {
  Pipeline pipeline;
  Peer peer = pipeline.broker.connect();
  peer.send(message());
  peer.send(message());
  CHECK(pipeline.passed() == 2);
  CHECK_FALSE(peer.paused());

  pipeline.wait(200ms);
  peer.send(message());
  peer.send(message());
  CHECK(pipeline.passed() == 4);
  CHECK(pipeline.broker.metrics.value("rate_limit_delayed") == 0);
}

TEST_CASE("rate_limit lets a message pass later when there is a token again", "[rate_limit]") {
  Pipeline pipeline;
  Peer peer = pipeline.broker.connect();
  for (int i = 0; i < 5; ++i) peer.send(message());
  CHECK(pipeline.passed() == 2);
  CHECK(peer.paused());

  pipeline.wait(90ms);
  CHECK(pipeline.passed() == 2);
  pipeline.wait(20ms);
  CHECK(pipeline.passed() == 3);
  pipeline.wait(1s);
  CHECK(pipeline.passed() == 5);
  CHECK_FALSE(peer.paused());
  CHECK(pipeline.broker.metrics.value("rate_limit_delayed") == 3);
}

TEST_CASE("rate_limit keeps its rate in the long run", "[rate_limit]") {
  Pipeline pipeline;
  Peer peer = pipeline.broker.connect();
  for (int i = 0; i < 200; ++i) peer.send(message());
  pipeline.wait(10s);
  CHECK(pipeline.passed() >= 2 + 98);
  CHECK(pipeline.passed() <= 2 + 100);
}

TEST_CASE("rate_limit counts the bytes of topics and payloads", "[rate_limit]") {
  TestBroker broker;
  broker.use<RateLimit>(RateLimit::Options{1000, 1000, {100}, {1000}});
  test::PacketStub& behind = broker.onPackets(PacketType::publish);
  broker.use<AcceptConnect>();
  Peer peer = broker.connect();
  mqtt::Publish large = message();
  const std::string payload(499, 'x');
  large.payload = payload;
  for (int i = 0; i < 3; ++i) peer.send(large);
  CHECK(behind.calls == 2);
  CHECK(peer.paused());
  broker.advance(4900ms);
  CHECK(behind.calls == 2);
  broker.advance(200ms);
  CHECK(behind.calls == 3);
}

TEST_CASE("rate_limit lets a message through that is larger than the burst, in its time",
          "[rate_limit]") {
  TestBroker broker;
  broker.use<RateLimit>(RateLimit::Options{1000, 1000, {100}, {1000}});
  test::PacketStub& behind = broker.onPackets(PacketType::publish);
  broker.use<AcceptConnect>();
  Peer peer = broker.connect();
  mqtt::Publish huge = message();
  const std::string payload(1999, 'x');
  huge.payload = payload;
  peer.send(huge);
  CHECK(behind.calls == 0);
  broker.advance(9900ms);
  CHECK(behind.calls == 0);
  broker.advance(200ms);
  CHECK(behind.calls == 1);
}

TEST_CASE("rate_limit disconnects for bytes as it does for messages", "[rate_limit]") {
  TestBroker broker;
  broker.use<RateLimit>(
      RateLimit::Options{1000, 1000, {100}, {1000}, RateLimit::Excess::disconnect});
  broker.onPackets(PacketType::publish);
  broker.use<AcceptConnect>();
  Peer peer = broker.connect(ProtocolVersion::v5);
  mqtt::Publish huge = message();
  const std::string payload(1001, 'x');
  huge.payload = payload;
  peer.send(huge);
  CHECK(peer.closed());
  CHECK(std::get<mqtt::Disconnect>(peer.packets().at(0)).code == ReasonCode::messageRateTooHigh);
}

TEST_CASE("rate_limit makes no client wait for another", "[rate_limit]") {
  Pipeline pipeline;
  Peer loud = pipeline.broker.connect(ProtocolVersion::v311, "loud");
  Peer quiet = pipeline.broker.connect(ProtocolVersion::v311, "quiet");
  for (int i = 0; i < 5; ++i) loud.send(message());
  quiet.send(message());
  CHECK(pipeline.passed() == 3);
}

TEST_CASE("rate_limit counts messages only", "[rate_limit]") {
  Pipeline pipeline;
  Peer peer = pipeline.broker.connect();
  for (int i = 0; i < 5; ++i) peer.send(mqtt::Pingreq{});
  CHECK(peer.packets().size() == 5);
}

TEST_CASE("rate_limit refuses a client that it shall disconnect", "[rate_limit]") {
  Pipeline pipeline{RateLimit::Excess::disconnect};
  Peer peer = pipeline.broker.connect(ProtocolVersion::v5);
  for (int i = 0; i < 5; ++i) peer.send(message());
  CHECK(pipeline.passed() == 2);
  CHECK(peer.closed());
  const auto packets = peer.packets();
  REQUIRE(packets.size() == 1);
  CHECK(std::get<mqtt::Disconnect>(packets[0]).code == ReasonCode::messageRateTooHigh);
  CHECK(pipeline.broker.metrics.value("rate_limit_disconnected") == 1);
}

TEST_CASE("rate_limit hands an error of a later middleware on", "[rate_limit]") {
  TestBroker broker;
  broker.use<RateLimit>(RateLimit::Options{10, 1});
  broker.onPackets(PacketType::publish, [calls = 0](Client&, Packet&, Next next, Done) mutable {
    return ++calls == 1 ? next() : next(ReasonCode::quotaExceeded);
  });
  broker.use<AcceptConnect>();
  Peer peer = broker.connect(ProtocolVersion::v5);
  peer.send(message());
  peer.send(message());
  CHECK_FALSE(peer.closed());
  broker.advance(1s);
  CHECK(peer.closed());
  CHECK(std::get<mqtt::Disconnect>(peer.packets().at(0)).code == ReasonCode::quotaExceeded);
}

TEST_CASE("rate_limit drops the message of a client that is gone", "[rate_limit]") {
  Pipeline pipeline;
  Peer peer = pipeline.broker.connect();
  for (int i = 0; i < 5; ++i) peer.send(message());
  peer.reset();
  CHECK(peer.gone());
  pipeline.wait(10s);
  CHECK(pipeline.passed() == 2);
}

TEST_CASE("rate_limit works off what came before the end of input", "[rate_limit]") {
  Pipeline pipeline;
  Peer peer = pipeline.broker.connect();
  for (int i = 0; i < 4; ++i) peer.send(message());
  peer.send(mqtt::Disconnect{});
  peer.end();
  CHECK_FALSE(peer.gone());
  pipeline.wait(1s);
  CHECK(pipeline.passed() == 4);
  CHECK(peer.gone());
}

TEST_CASE("rate_limit may still wait when everything is over", "[rate_limit]") {
  Pipeline pipeline;  // ends before the timer fires: a sanitizer would tell
  Peer peer = pipeline.broker.connect();
  for (int i = 0; i < 3; ++i) peer.send(message());
  CHECK(peer.client().parked());
}

TEST_CASE("rate_limit declares its options", "[rate_limit]") {
  TestBroker broker;
  Registry registry;
  registry.add<RateLimit>();
  const auto errorsFor = [&](OptionValues values) {
    Diagnostics diagnostics;
    Setup setup{"rate", broker.fields, broker.scheduler, broker.metrics, broker.sink, broker.loop};
    registry.make("rate_limit", setup, values, {}, diagnostics);
    return diagnostics.errorCount();
  };
  CHECK(errorsFor({}) == 0);
  CHECK(errorsFor({{"messages_per_second", 0.5},
                   {"burst", std::int64_t{1}},
                   {"bytes_per_second", std::string{"1MiB"}},
                   {"byte_burst", std::string{"2MiB"}},
                   {"action", std::string{"disconnect"}}}) == 0);
  CHECK(errorsFor({{"messages_per_second", std::int64_t{0}}}) == 1);
  CHECK(errorsFor({{"burst", std::int64_t{0}}}) == 1);
  CHECK(errorsFor({{"action", std::string{"explode"}}}) == 1);
  CHECK(errorsFor({{"bursts", std::int64_t{1}}}) == 1);
}

}  // namespace mqttstack
