#include <deque>

#include <catch2/catch.hpp>

#include "tests/middlewares/protocol_broker.hpp"

/// A publisher comes back while its last message is still with a middleware.
namespace mqttstack::test {
namespace {

/// Defers the messages with payload "slow" until the test lets them go.
struct SlowBroker {
  static Parts parts(std::deque<Deferred>& waiting) {
    return {.second = [&waiting](TestBroker& b) {
      b.on<RelayMessage>([&waiting](RelayMessage& relay, Next next, Done) {
        if (relay.message->payload() != "slow") return next();
        return next.defer([&](Deferred later) { waiting.push_back(std::move(later)); });
      });
    }};
  }
  void letGo() {
    Deferred later = std::move(waiting.front());
    waiting.pop_front();
    later.next();
    broker.run();
  }
  static Bytes message(Version version, std::string payload, unsigned qos, unsigned id,
                       bool dup = false) {
    return publishPacket(version, {.topic = "t",
                                   .payload = std::move(payload),
                                   .qos = qos,
                                   .id = qos == 0 ? 0 : id,
                                   .dup = dup});
  }

  std::deque<Deferred> waiting;
  ProtocolBroker broker{parts(waiting)};
  Peer watcher = join(broker, Version::v5, "watcher");
};

enum class Leaves { reset, end, takenOver };

TEST_CASE(
    "what a client sends on its next connection waits for what it sent before [v5:4.6.0-5] "
    "[v5:4.6.0-6] [v311:4.6.0-5] [v311:4.6.0-6]",
    "[returning_publisher]") {
  const auto version = GENERATE(Version::v31, Version::v311, Version::v5);
  const unsigned qos = GENERATE(0U, 1U, 2U);
  const auto how = GENERATE(Leaves::reset, Leaves::end, Leaves::takenOver);
  const bool keepsSession = GENERATE(true, false);
  CAPTURE(version, qos, static_cast<int>(how), keepsSession);
  SlowBroker world;
  subscribe(world.watcher, "t", 0);
  const Connect connect = keepsSession ? persistent(version, "a") : clean("a");

  Peer first = join(world.broker, version, connect);
  first.send(SlowBroker::message(version, "slow", qos, 1));
  REQUIRE(world.waiting.size() == 1);
  if (how == Leaves::reset) first.reset();
  if (how == Leaves::end) first.end();

  // It is accepted at once, but not read yet.
  Peer second = join(world.broker, version, connect);
  second.send(SlowBroker::message(version, "fast", qos, 2) + pingreqPacket());
  CHECK(second.paused());
  CHECK(said(second) == Lines{});
  CHECK(publishes(world.watcher) == Lines{});

  world.letGo();
  CHECK(publishes(world.watcher) == Lines{"PUBLISH t 'slow'", "PUBLISH t 'fast'"});
  CHECK(said(second).back() == "PINGRESP");
  CHECK_FALSE(second.paused());
  CHECK(first.gone());
}

TEST_CASE("a connection that waits for the one before is itself followed by another",
          "[returning_publisher]") {
  SlowBroker world;
  subscribe(world.watcher, "t", 0);
  Peer first = join(world.broker, Version::v5, persistent(Version::v5, "a"));
  first.send(SlowBroker::message(Version::v5, "slow", 0, 0));
  first.reset();
  Peer second = join(world.broker, Version::v5, persistent(Version::v5, "a"));
  second.send(SlowBroker::message(Version::v5, "never looked at", 0, 0));
  second.reset();
  CHECK(second.gone());
  Peer third = join(world.broker, Version::v5, persistent(Version::v5, "a"));
  third.send(SlowBroker::message(Version::v5, "fast", 0, 0));
  world.letGo();
  CHECK(publishes(world.watcher) == Lines{"PUBLISH t 'slow'", "PUBLISH t 'fast'"});
}

TEST_CASE("what came before the end of input is worked off when its turn comes",
          "[returning_publisher]") {
  SlowBroker world;
  subscribe(world.watcher, "t", 0);
  Peer first = join(world.broker, Version::v5, persistent(Version::v5, "a"));
  first.send(SlowBroker::message(Version::v5, "slow", 0, 0));
  first.reset();
  Peer second = join(world.broker, Version::v5, persistent(Version::v5, "a"));
  second.push(SlowBroker::message(Version::v5, "fast", 0, 0) + disconnectPacket(Version::v5));
  second.end();
  CHECK_FALSE(second.gone());
  world.letGo();
  CHECK(publishes(world.watcher) == Lines{"PUBLISH t 'slow'", "PUBLISH t 'fast'"});
  CHECK(second.gone());
}

TEST_CASE("other clients don't wait for it", "[returning_publisher]") {
  SlowBroker world;
  subscribe(world.watcher, "t", 0);
  Peer first = join(world.broker, Version::v5, "a");
  first.send(SlowBroker::message(Version::v5, "slow", 0, 0));
  first.reset();
  Peer other = join(world.broker, Version::v5, "b");
  other.send(SlowBroker::message(Version::v5, "fast", 0, 0));
  CHECK(publishes(world.watcher) == Lines{"PUBLISH t 'fast'"});
  world.letGo();
  CHECK(publishes(world.watcher) == Lines{"PUBLISH t 'slow'"});
}

TEST_CASE("a deferred message that fails lets the next connection go on, too",
          "[returning_publisher]") {
  SlowBroker world;
  subscribe(world.watcher, "t", 0);
  Peer first = join(world.broker, Version::v5, "a");
  first.send(SlowBroker::message(Version::v5, "slow", 1, 1));
  first.reset();
  Peer second = join(world.broker, Version::v5, "a");
  second.send(SlowBroker::message(Version::v5, "fast", 1, 1));
  world.waiting.clear();  // dropped: fails
  world.broker.run();
  CHECK(publishes(world.watcher) == Lines{"PUBLISH t 'fast'"});
  CHECK(said(second) == Lines{"PUBACK #1"});
}

}  // namespace
}  // namespace mqttstack::test
