#include "middlewares/protocol/subscription_manager.hpp"

#include <fmt/format.h>

#include <catch2/catch.hpp>

#include "tests/middlewares/protocol_broker.hpp"

namespace mqttstack::test {
namespace {

using namespace std::chrono_literals;

/// A handler of a callback that answers when the test says so.
template <class Callback>
struct Later {
  std::vector<Deferred> waiting;
  void addTo(TestBroker& broker) {
    broker.on<Callback>([this](Callback&, Next next, Done) {
      return next.defer([this](Deferred later) { waiting.push_back(std::move(later)); });
    });
  }
  Deferred take() {
    REQUIRE(waiting.size() == 1);
    Deferred later = std::move(waiting.front());
    waiting.clear();
    return later;
  }
};

TEST_CASE(
    "a SUBACK has a code for each filter, in their order [v311:3.8.4-5] [v5:3.8.4-6] "
    "[v311:3.10.4-5] [v5:3.11.3-1]",
    "[subscription_manager]") {
  ProtocolBroker broker;
  const auto version = GENERATE(Version::v31, Version::v311, Version::v5);
  Peer peer = join(broker, version, "a");
  peer.send(subscribePacket(version, 5, {{"a", 1}, {"b/+", 0}, {"#", 2}, {"$share/g/x", 1}}));
  CHECK(said(peer) == Lines{"SUBACK #5 1 0 2 1"});
  peer.send(unsubscribePacket(version, 6, {"#", "nothing", "a", "$share/g/x", "x"}));
  CHECK(said(peer) ==
        Lines{version == Version::v5 ? "UNSUBACK #6 0 0x11 0 0 0x11" : "UNSUBACK #6"});
  CHECK(broker.metrics.value("subscriptions") == 1);
}

TEST_CASE("five hundred filters are answered at once", "[subscription_manager]") {
  ProtocolBroker broker{{.subscriptions = {.maxFilters = 500}}};
  const auto version = GENERATE(Version::v31, Version::v311, Version::v5);
  Peer peer = join(broker, version, "a");
  std::vector<Filter> filters;
  std::vector<std::string> names;
  std::string codes;
  for (unsigned i = 0; i < 500; ++i) {
    filters.push_back({fmt::format("topic/{}", i), i % 3});
    names.push_back(filters.back().text);
    codes += fmt::format(" {}", i % 3);
  }
  peer.send(subscribePacket(version, 1, filters));
  CHECK(said(peer) == Lines{"SUBACK #1" + codes});
  CHECK(broker.metrics.value("subscriptions") == 500);
  peer.send(unsubscribePacket(version, 2, names));
  CHECK(said(peer).front().starts_with("UNSUBACK #2"));
  CHECK(broker.metrics.value("subscriptions") == 0);
}

TEST_CASE("a handler may lower or refuse what is granted, and that is what holds [v5:3.8.4-7]",
          "[subscription_manager]") {
  ProtocolBroker broker{{.second = [](TestBroker& b) {
    b.on<SubscribeTopic>([](SubscribeTopic& subscribe, Next next, Done) {
      if (subscribe.filter == "low") subscribe.granted = mqtt::ReasonCode::success;
      if (subscribe.filter == "no") subscribe.granted = mqtt::ReasonCode::notAuthorized;
      return next();
    });
  }}};
  const auto version = GENERATE(Version::v31, Version::v311, Version::v5);
  Peer peer = join(broker, version, "a");
  peer.send(subscribePacket(version, 5, {{"low", 2}, {"no", 2}, {"t", 2}}));
  // MQTT 3.1 has no failure code.
  CHECK(said(peer) == Lines{version == Version::v31    ? "SUBACK #5 0 0 2"
                            : version == Version::v311 ? "SUBACK #5 0 0x80 2"
                                                       : "SUBACK #5 0 0x87 2"});
  peer.send(publishPacket(version, {.topic = "low", .payload = "x", .qos = 1, .id = 9}) +
            publishPacket(version, {.topic = "no", .payload = "x", .qos = 1, .id = 9}));
  CHECK(publishes(peer) == Lines{"PUBLISH low 'x'"});
}

TEST_CASE("a handler answers later: order is kept, and packets behind it wait",
          "[subscription_manager]") {
  Later<SubscribeTopic> later;
  ProtocolBroker broker{{.second = [&](TestBroker& b) { later.addTo(b); }}};
  const auto version = GENERATE(Version::v31, Version::v311, Version::v5);
  Peer peer = join(broker, version, "a");
  peer.send(subscribePacket(version, 5, {{"a", 1}, {"b", 2}}) + pingreqPacket());
  CHECK(peer.received() == "");

  SECTION("one after the other") {
    later.take().next();
    CHECK(peer.received() == "");
    later.take().next();
    broker.run();
    CHECK(said(peer) == Lines{"SUBACK #5 1 2", "PINGRESP"});
  }
  SECTION("an error closes the client, and nothing is acknowledged") {
    later.take().next();
    later.take().fail(mqtt::ReasonCode::serverBusy);
    broker.run();
    CHECK(said(peer) == (version == Version::v5 ? Lines{"DISCONNECT 0x89"} : Lines{}));
    CHECK(peer.gone());
  }
  SECTION("forgotten: the same") {
    later.waiting.clear();
    broker.run();
    CHECK(peer.gone());
  }
  SECTION("done: the filter is answered, and nobody behind hears of it") {
    later.take().done();
    later.take().next();
    broker.run();
    CHECK(said(peer) == Lines{"SUBACK #5 1 2", "PINGRESP"});
    CHECK(broker.metrics.value("subscriptions") == 1);
  }
  SECTION("the client has gone") {
    peer.reset();
    later.take().next();
    broker.run();
    for (auto& each : std::exchange(later.waiting, {})) each.next();
    broker.run();
    CHECK(peer.gone());
    CHECK(broker.metrics.value("subscriptions") == 0);
    CHECK(broker.stack().parkedWalks() == 0);
  }
  SECTION("another client has the session by now") {
    Later<SubscribeTopic> none;
    Peer other = dial(broker, version, persistent(version, "a"));
    CHECK(said(other).front().starts_with("CONNACK 0"));
    later.take().next();
    broker.run();
    for (auto& each : std::exchange(later.waiting, {})) each.next();
    broker.run();
    CHECK(peer.gone());
    CHECK(broker.metrics.value("subscriptions") == 0);
  }
  SECTION("the broker ends meanwhile") { SUCCEED(); }
}

TEST_CASE("a session that is stored waits for its store", "[subscription_manager]") {
  Later<StoreSubscription> stores;
  Later<RemoveSubscription> removals;
  ProtocolBroker broker{{.last = [&](TestBroker& b) {
    stores.addTo(b);
    removals.addTo(b);
  }}};
  const auto version = GENERATE(Version::v31, Version::v311, Version::v5);
  Peer peer = join(broker, version, persistent(version, "a"));
  peer.send(subscribePacket(version, 5, {{"t", 1}}));
  CHECK(peer.received() == "");
  stores.take().next();
  broker.run();
  CHECK(said(peer) == Lines{"SUBACK #5 1"});
  peer.send(unsubscribePacket(version, 6, {"t"}));
  CHECK(peer.received() == "");
  removals.take().next();
  broker.run();
  CHECK(said(peer).front().starts_with("UNSUBACK #6"));

  SECTION("a session that ended meanwhile gets nothing any more") {
    peer.send(subscribePacket(version, 7, {{"t", 1}}));
    Peer other = dial(broker, version, clean("a"));
    stores.take().next();
    broker.run();
    CHECK(broker.metrics.value("subscriptions") == 0);
  }
}

TEST_CASE("what is switched off is refused as the version has it [v5:3.2.2] [v311:3.8.3-2]",
          "[subscription_manager]") {
  const auto version = GENERATE(Version::v311, Version::v5);
  const auto asking = [&](SubscriptionManager::Options options, const std::string& filter,
                          const Properties& properties = {}) {
    ProtocolBroker broker{{.subscriptions = options}};
    Peer peer = join(broker, version, "a");
    peer.send(subscribePacket(version, 1, {{"t", 1}, {filter, 1}}, properties));
    return said(peer);
  };
  const bool v5 = version == Version::v5;
  CHECK(asking({.wildcardSubscriptions = false}, "a/+") ==
        Lines{v5 ? "DISCONNECT 0xA2" : "SUBACK #1 1 0x80"});
  CHECK(asking({.sharedSubscriptions = false}, "$share/g/a") ==
        Lines{v5 ? "DISCONNECT 0x9E" : "SUBACK #1 1 0x80"});
  CHECK(asking({.wildcardSubscriptions = false, .sharedSubscriptions = false}, "a") ==
        Lines{"SUBACK #1 1 1"});
  if (v5)
    CHECK(asking({.subscriptionIdentifiers = false}, "a",
                 {property(PropertyId::subscriptionId, 1)}) == Lines{"DISCONNECT 0xA1"});
}

TEST_CASE("No Local on a shared subscription is a protocol error [v5:3.8.3-4]",
          "[subscription_manager]") {
  ProtocolBroker broker;
  Peer peer = join(broker, Version::v5, "a");
  peer.send(subscribePacket(Version::v5, 1, {{"$share/g/t", kNoLocal}}));
  CHECK(said(peer) == Lines{"DISCONNECT 0x82"});
}

TEST_CASE("an UNSUBSCRIBE has no more filters than a SUBSCRIBE may have",
          "[subscription_manager]") {
  ProtocolBroker broker{{.subscriptions = {.maxFilters = 2}}};
  const auto version = GENERATE(Version::v31, Version::v311, Version::v5);
  Peer peer = join(broker, version, "a");
  subscribe(peer, "t", 0);
  peer.send(unsubscribePacket(version, 2, {"t", "u", "v", "w"}));
  if (version == Version::v5)
    CHECK(said(peer) == Lines{"UNSUBACK #2 0 0x11 0x83 0x83"});
  else
    CHECK(peer.gone());
  CHECK(broker.metrics.value("subscriptions") == 0);
  CHECK(broker.metrics.value("subscribe_filters_refused") >= 1);
}

TEST_CASE(
    "subscribing anew replaces, without a gap [v311:3.8.4-3] [v5:3.8.4-3] [v311:3.10.4-2] "
    "[v5:3.10.4-2]",
    "[subscription_manager]") {
  ProtocolBroker broker;
  const auto version = GENERATE(Version::v31, Version::v311, Version::v5);
  Peer peer = join(broker, version, "a");
  subscribe(peer, "t", 0);
  subscribe(peer, "t", 1);
  CHECK(broker.metrics.value("subscriptions") == 1);
  Peer publisher = join(broker, version, "publisher");
  publish(publisher, {.topic = "t", .payload = "x", .qos = 1});
  CHECK(said(peer) == Lines{"PUBLISH t 'x' q1 #1"});
  peer.send(unsubscribePacket(version, 2, {"t"}));
  said(peer);
  publish(publisher, {.topic = "t", .payload = "y", .qos = 1});
  CHECK(said(peer) == Lines{});
}

TEST_CASE(
    "several filters in one packet are taken one after the other, with one answer "
    "[v5:3.8.4-5] [v5:3.10.4-6] [v311:3.8.4-4] [v311:3.10.4-6]",
    "[subscription_manager]") {
  ProtocolBroker broker;
  const auto version = GENERATE(Version::v31, Version::v311, Version::v5);
  Peer peer = join(broker, version, "a");
  // The second of the same filter replaces the first.
  peer.send(subscribePacket(version, 1, {{"t", 2}, {"u", 0}, {"t", 1}}));
  CHECK(said(peer) == Lines{"SUBACK #1 2 0 1"});
  CHECK(broker.metrics.value("subscriptions") == 2);
  Peer publisher = join(broker, version, "publisher");
  publish(publisher, {.topic = "t", .payload = "x", .qos = 2});
  CHECK(said(peer) == Lines{"PUBLISH t 'x' q1 #1"});
  // The second of the same filter finds nothing any more.
  peer.send(unsubscribePacket(version, 2, {"t", "t", "u"}));
  CHECK(said(peer) == Lines{version == Version::v5 ? "UNSUBACK #2 0 0x11 0" : "UNSUBACK #2"});
  CHECK(broker.metrics.value("subscriptions") == 0);
}

}  // namespace
}  // namespace mqttstack::test
