#include <fmt/format.h>

#include <catch2/catch.hpp>

#include "middlewares/operations/packet_emitter.hpp"
#include "middlewares/security/authorization.hpp"
#include "tests/middlewares/defects_scene.hpp"

namespace mqttstack::test {
namespace {

using namespace std::chrono_literals;

/// Lets nobody near "secret".
Parts restricted() {
  return {.second = [](TestBroker& broker) {
    broker.use<Authorization>();
    broker.on<AuthorizePacket>([](AuthorizePacket& question, Next, Done done) {
      if (question.topic != "secret") question.verdict.allow("test");
      return done();
    });
    broker.on<AuthorizeDelivery>([](AuthorizeDelivery& question, SyncNext, Done done) {
      question.verdict.allow("test");
      return done();
    });
  }};
}

TEST_CASE("D-3: a message for a subscriber who has gone is acknowledged", "[defects]") {
  Scene broker;
  Peer subscriber = broker.with("subscriber");
  Peer publisher = broker.with("publisher");
  subscribe(subscriber, "t", 1);
  subscriber.client().closeSilently();  // its end has not been worked off yet
  publisher.send(publishPacket(Version::v311, {.topic = "t", .qos = 1, .id = 1}));
  CHECK(said(publisher) == Lines{"PUBACK #1"});
}

TEST_CASE("D-4: an error of a middleware ends the connection instead of stalling it", "[defects]") {
  Scene broker{{.last = [](TestBroker& b) {
    b.onPackets(mqtt::PacketType::disconnect | mqtt::PacketType::publish);
    b.on<SubscribeTopic>([](SubscribeTopic&, Next next, Done) {
      return next(std::make_error_code(std::errc::io_error));
    });
  }}};
  Peer peer = join(broker, Version::v5, "a");
  peer.send(subscribePacket(Version::v5, 1, {{"t", 0}}));
  CHECK(said(peer) == Lines{"DISCONNECT 0x80"});
  CHECK(peer.gone());
}

TEST_CASE("D-5: packets of one client are processed one after the other", "[defects]") {
  std::vector<Deferred> waiting;
  Scene broker{{.second = [&](TestBroker& b) {
    b.onPackets(mqtt::PacketType::publish, [&](Client&, Packet&, Next next, Done) {
      return next.defer([&](Deferred later) { waiting.push_back(std::move(later)); });
    });
  }}};
  Peer peer = broker.with("a");
  peer.send(publishPacket(Version::v311, {.topic = "t", .qos = 1, .id = 1}) +
            publishPacket(Version::v311, {.topic = "t", .qos = 1, .id = 2}) + pingreqPacket());
  CHECK(waiting.size() == 1);
  CHECK(peer.paused());
  waiting[0].next();
  broker.run();
  CHECK(said(peer) == Lines{"PUBACK #1"});
  waiting[1].next();
  broker.run();
  CHECK(said(peer) == Lines{"PUBACK #2", "PINGRESP"});
  CHECK_FALSE(peer.paused());
}

TEST_CASE("D-6: subscriptions are restored, each session its own [v311:3.1.3-2]", "[defects]") {
  Scene broker;
  for (const char* name : {"a", "b"}) {
    Peer peer = broker.resume(name);
    subscribe(peer, fmt::format("for/{}", name), 1);
    peer.send(disconnectPacket(Version::v311));
  }
  Peer a = broker.resume("a");
  Peer publisher = broker.with("publisher");
  publish(publisher, {.topic = "for/a", .payload = "x"});
  publish(publisher, {.topic = "for/b", .payload = "x"});
  CHECK(said(a) == Lines{"PUBLISH for/a 'x'"});
}

TEST_CASE("D-7: UNSUBSCRIBE of nothing is answered", "[defects]") {
  Scene broker;
  Peer peer = broker.resume("a");
  peer.send(unsubscribePacket(Version::v311, 1, {"nothing"}));
  CHECK(said(peer) == Lines{"UNSUBACK #1"});
  Peer v5 = join(broker, Version::v5, persistent(Version::v5, "b"));
  v5.send(unsubscribePacket(Version::v5, 1, {"nothing"}));
  CHECK(said(v5) == Lines{"UNSUBACK #1 0x11"});
}

TEST_CASE("D-8: messages go to the connection that a client has now", "[defects]") {
  Scene broker;
  Peer old = broker.resume("a");
  subscribe(old, "t");
  Peer fresh = broker.resume("a");
  Peer publisher = broker.with("publisher");
  publish(publisher, {.topic = "t", .payload = "x"});
  CHECK(said(fresh) == Lines{"PUBLISH t 'x'"});
  CHECK(said(old) == Lines{});
}

TEST_CASE("D-10, D-11: retained messages are found by filter", "[defects]") {
  Scene broker;
  Peer publisher = broker.with("publisher");
  publish(publisher, {.topic = "sensors/1", .payload = "x", .retain = true});
  for (const char* filter : {"sensors/1", "sensors/+", "#"}) {
    Peer peer = broker.with("a");
    peer.send(subscribePacket(Version::v311, 1, {{filter, 0}}));
    CHECK(publishes(peer) == Lines{"PUBLISH sensors/1 'x' retain"});
  }
}

TEST_CASE("D-12: an empty retained message removes", "[defects]") {
  Scene broker;
  Peer publisher = broker.with("publisher");
  publish(publisher, {.topic = "t", .payload = "x", .retain = true});
  publish(publisher, {.topic = "t", .payload = "", .retain = true});
  Peer peer = broker.with("a");
  peer.send(subscribePacket(Version::v311, 1, {{"t", 0}}));
  CHECK(publishes(peer) == Lines{});
  CHECK(broker.metrics.value("retained_messages") == 0);
}

TEST_CASE("D-13: several matching filters give the highest QoS, once", "[defects]") {
  Scene broker;
  Peer peer = broker.with("a");
  subscribe(peer, "t", 0);
  subscribe(peer, "+", 1);
  subscribe(peer, "#", 2);
  Peer publisher = broker.with("publisher");
  publish(publisher, {.topic = "t", .payload = "x", .qos = 2});
  CHECK(said(peer) == Lines{"PUBLISH t 'x' q2 #1"});
}

TEST_CASE("D-14: a subscription does not raise the QoS", "[defects]") {
  Scene broker;
  Peer peer = broker.with("a");
  subscribe(peer, "t", 2);
  Peer publisher = broker.with("publisher");
  publish(publisher, {.topic = "t", .payload = "x"});
  CHECK(said(peer) == Lines{"PUBLISH t 'x'"});
}

TEST_CASE("D-15: a client identifier may look like a filter", "[defects]") {
  Scene broker;
  for (const char* name : {"a/#", "+", "#", "a/t", "a"}) {
    Peer peer = broker.with(name);
    subscribe(peer, "t", 1);
  }
  Peer publisher = broker.with("publisher");
  Peer last = broker.with("b/+");
  subscribe(last, "t", 0);
  publish(publisher, {.topic = "t", .payload = "x", .qos = 1});
  CHECK(said(last) == Lines{"PUBLISH t 'x'"});
}

TEST_CASE("D-16: many subscribers, one acknowledgement", "[defects]") {
  Scene broker;
  for (int i = 0; i < 10; ++i) {
    Peer peer = broker.with(fmt::format("subscriber{}", i));
    subscribe(peer, "t", 1);
  }
  Peer publisher = broker.with("publisher");
  publisher.send(publishPacket(Version::v311, {.topic = "t", .qos = 1, .id = 1}));
  CHECK(said(publisher) == Lines{"PUBACK #1"});
}

TEST_CASE("D-17: subscribing again replaces; one UNSUBSCRIBE is enough", "[defects]") {
  Scene broker;
  Peer peer = broker.with("a");
  subscribe(peer, "t", 1);
  subscribe(peer, "t", 0);
  peer.send(unsubscribePacket(Version::v311, 1, {"t"}));
  said(peer);
  Peer publisher = broker.with("publisher");
  publish(publisher, {.topic = "t", .qos = 1});
  CHECK(said(peer) == Lines{});
}

TEST_CASE("D-18: messages for who is away are kept in their order, whatever their ids",
          "[defects]") {
  Scene broker{{.backend = {.maxQueuedMessages = 5}}};
  Peer peer = broker.resume("a");
  subscribe(peer, "t", 1);
  peer.reset();
  for (const char* name : {"one", "two"}) {
    Peer publisher = broker.with(name);
    for (int i = 0; i < 2; ++i)
      publish(publisher,
              {.topic = "t", .payload = fmt::format("{}{}", name, i), .qos = 1, .id = 7});
  }
  peer = broker.resume("a");
  CHECK(said(peer) == Lines{"PUBLISH t 'one0' q1 #1", "PUBLISH t 'one1' q1 #2",
                            "PUBLISH t 'two0' q1 #3", "PUBLISH t 'two1' q1 #4"});
}

TEST_CASE("D-19: the end of a clean session ends its subscriptions", "[defects]") {
  Scene broker;
  Peer peer = broker.with("a");
  subscribe(peer, "t", 1);
  peer.reset();
  CHECK(broker.metrics.value("subscriptions") == 0);
  peer = broker.with("a");
  Peer publisher = broker.with("publisher");
  publish(publisher, {.topic = "t", .qos = 1});
  CHECK(said(peer) == Lines{});
}

TEST_CASE("D-30: QoS 2 is received [v311:4.3.3-2]", "[defects]") {
  Scene broker;
  Peer peer = broker.with("a");
  subscribe(peer, "t");
  peer.send(publishPacket(Version::v311, {.topic = "t", .payload = "x", .qos = 2, .id = 5}));
  Lines lines = said(peer);
  std::sort(lines.begin(), lines.end());
  CHECK(lines == Lines{"PUBLISH t 'x'", "PUBREC #5"});
  peer.send(pubrelPacket(5));
  CHECK(said(peer) == Lines{"PUBCOMP #5"});
}

TEST_CASE("D-31: packet identifiers are given out in turn, and messages sent again", "[defects]") {
  Scene broker;
  Peer peer = broker.resume("a");
  subscribe(peer, "t", 1);
  Peer publisher = broker.with("publisher");
  for (int i = 0; i < 2; ++i) publish(publisher, {.topic = "t", .payload = "x", .qos = 1});
  CHECK(said(peer) == Lines{"PUBLISH t 'x' q1 #1", "PUBLISH t 'x' q1 #2"});
  peer.reset();
  peer = broker.resume("a");
  CHECK(said(peer) == Lines{"PUBLISH t 'x' q1 #1 dup", "PUBLISH t 'x' q1 #2 dup"});
}

TEST_CASE("D-32: an invalid filter is not granted, and a lowered grant is what holds",
          "[defects]") {
  Scene broker{{.second = [](TestBroker& b) {
    b.on<SubscribeTopic>([](SubscribeTopic& subscribe, Next next, Done) {
      subscribe.granted = mqtt::ReasonCode::success;
      return next();
    });
  }}};
  Peer peer = broker.with("a");
  peer.send(subscribePacket(Version::v311, 1, {{"t", 2}}));
  CHECK(said(peer) == Lines{"SUBACK #1 0"});
  Peer publisher = broker.with("publisher");
  publish(publisher, {.topic = "t", .payload = "x", .qos = 2});
  CHECK(said(peer) == Lines{"PUBLISH t 'x'"});
  SECTION("QoS 3") { peer.send(subscribePacket(Version::v311, 2, {{"t", 3}})); }
  SECTION("an invalid filter") { peer.send(subscribePacket(Version::v311, 2, {{"a/#/b", 0}})); }
  CHECK(peer.gone());
  CHECK(peer.received() == "");
}

TEST_CASE("D-33: a topic has no wildcards, and # does not see $SYS [v311:3.3.2-2] [v311:4.7.2-1]",
          "[defects]") {
  Scene broker;
  Peer watcher = broker.with("watcher");
  subscribe(watcher, "#");
  subscribe(watcher, "+/x");
  Peer publisher = broker.with("publisher");
  publish(publisher, {.topic = "$SYS/x", .payload = "x"});
  CHECK(said(watcher) == Lines{});
  publisher.send(publishPacket(Version::v311, {.topic = "a/+/b"}));
  CHECK(publisher.gone());
  CHECK(said(watcher) == Lines{});
}

TEST_CASE("D-34: + matches an empty level [v311:4.7.1-3]", "[defects]") {
  Scene broker;
  Peer peer = broker.with("a");
  subscribe(peer, "test/+/topic");
  Peer publisher = broker.with("publisher");
  publish(publisher, {.topic = "test//topic", .payload = "x"});
  CHECK(said(peer) == Lines{"PUBLISH test//topic 'x'"});
}

TEST_CASE("D-35: what is denied is answered, and PINGREQ needs no permission [v311:3.3.5-2]",
          "[defects]") {
  Scene broker{restricted()};
  const auto version = GENERATE(Version::v311, Version::v5);
  const bool v5 = version == Version::v5;
  Peer peer = join(broker, version, "a");
  peer.send(publishPacket(version, {.topic = "secret", .qos = 1, .id = 1}));
  CHECK(said(peer) == Lines{v5 ? "PUBACK #1 0x87" : "PUBACK #1"});
  peer.send(subscribePacket(version, 2, {{"secret", 1}, {"t", 1}}));
  CHECK(said(peer) == Lines{v5 ? "SUBACK #2 0x87 1" : "SUBACK #2 0x80 1"});
  peer.send(pingreqPacket());
  CHECK(said(peer) == Lines{"PINGRESP"});
  Connect connect = clean("b");
  connect.will = Will{.topic = "secret"};
  Peer refused = dial(broker, version, connect);
  CHECK(said(refused) == Lines{v5 ? "CONNACK 135" : "CONNACK 5"});
}

TEST_CASE("D-36: a refused subscription gets no retained messages", "[defects]") {
  Scene broker{restricted()};
  broker::MessageFields fields;
  fields.topic = "secret";
  fields.payload = "x";
  fields.retain = true;
  broker.stack().execute(RelayMessage{broker::Message::create(std::move(fields))},
                         [](std::error_code error, RelayMessage&) { CHECK_FALSE(error); });
  CHECK(broker.metrics.value("retained_messages") == 1);
  Peer peer = broker.with("a");
  peer.send(subscribePacket(Version::v311, 1, {{"secret", 0}}));
  CHECK(said(peer) == Lines{"SUBACK #1 0x80"});
}

TEST_CASE("D-37: packet_emitter without a listener is not noticed", "[defects]") {
  Scene broker{{.second = [](TestBroker& b) { b.use<PacketEmitter>(); }}};
  Peer peer = broker.with("a");
  peer.send(pingreqPacket());
  CHECK(said(peer) == Lines{"PINGRESP"});
}

TEST_CASE("D-38: options belong to who made them", "[defects]") {
  const InboundManager::Options options{.receiveMaximum = 5};
  Parts parts{.inbound = options};
  Scene one{parts};
  parts.inbound.receiveMaximum = 6;
  Scene two{parts};
  Peer first = dial(one, Version::v5, clean("a"));
  Peer second = dial(two, Version::v5, clean("a"));
  CHECK(said(first).front().find("receiveMaximum=5") != std::string::npos);
  CHECK(said(second).front().find("receiveMaximum=6") != std::string::npos);
}

TEST_CASE("D-39: what clients leave behind is limited, and goes with their sessions", "[defects]") {
  Scene broker{{.backend = {.maxQueuedMessages = 10}, .sessions = {.maxSessionExpiry = 60s}}};
  for (int i = 0; i < 100; ++i) {
    Peer peer = broker.resume(fmt::format("client{}", i));
    subscribe(peer, fmt::format("for/{}", i), 1);
    subscribe(peer, "all", 1);
    peer.reset();
  }
  Connect connect = clean("publisher");
  connect.keepAlive = 0;
  Peer publisher = join(broker, Version::v311, connect);
  for (int i = 0; i < 20; ++i) publish(publisher, {.topic = "all", .qos = 1});
  CHECK(broker.metrics.value("queued_messages") == 100 * 10);
  broker.advance(61s);
  CHECK(broker.metrics.value("queued_messages") == 0);
  CHECK(broker.metrics.value("sessions") == 1);
  CHECK(broker.metrics.value("subscriptions") == 0);
  CHECK(broker.metrics.value("connections") == 1);
}

}  // namespace
}  // namespace mqttstack::test
