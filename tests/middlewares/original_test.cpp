#include <catch2/catch.hpp>

#include "middlewares/builtins.hpp"
#include "middlewares/security/authorization.hpp"
#include "tests/middlewares/protocol_broker.hpp"

/// What the unit tests of mqtt-stack assert and no other test says in the same words: which
/// callback is executed for what, and with what in it.
namespace mqttstack::test {
namespace {

using namespace std::chrono_literals;

/// Notes the callbacks that are executed, a line each, in front of everybody else.
struct Noting {
  template <class Callback, class Describe>
  void note(TestBroker& broker, Describe describe) {
    broker.on<Callback>([this, describe](Callback& callback, NextFor<Callback> next, Done) {
      lines.push_back(std::string{Callback::kName} + describe(callback));
      return next();
    });
  }
  template <class... Callbacks>
  Parts parts() {
    return {.second = [this](TestBroker& b) {
      (note<Callbacks>(b, [](Callbacks&) { return std::string{}; }), ...);
    }};
  }
  Lines take() { return std::exchange(lines, {}); }
  Lines lines;
};

std::string with(const Client& client, std::string_view more) {
  return " " + client.clientId() + " " + std::string{more};
}

TEST_CASE(
    "each of the twelve middlewares can be made by its name, with its defaults [original:8.1]",
    "[original]") {
  Registry registry;
  registerBuiltins(registry);
  TestBroker broker;
  for (const char* name :
       {"authentication", "authorization", "connection", "inbound_manager", "keep_alive",
        "last_will", "memory_backend", "outbound_manager", "packet_emitter", "retain_manager",
        "session_manager", "subscription_manager"}) {
    INFO(name);
    Setup setup{name, broker.fields, broker.scheduler, broker.metrics, broker.sink, broker.loop};
    Diagnostics diagnostics;
    const OptionValues none;
    const auto middleware = registry.make(name, setup, none, "", diagnostics);
    REQUIRE(middleware);
    CHECK(middleware->name() == name);
    CHECK(diagnostics.findings().empty());
  }
}

TEST_CASE(
    "whatever ends a connection closes the client and executes uncleanDisconnect with it "
    "[original:8.16] [original:8.18] [original:8.19] [original:8.21]",
    "[original]") {
  Noting noting;
  ProtocolBroker broker{{.last = [&](TestBroker& b) {
    noting.note<UncleanDisconnect>(b, [](UncleanDisconnect& end) { return with(end.client, ""); });
    noting.note<CleanDisconnect>(b, [](CleanDisconnect& end) { return with(end.client, ""); });
  }}};
  const auto version = GENERATE(Version::v31, Version::v311, Version::v5);
  Peer peer = join(broker, version, "a");
  SECTION("a second CONNECT") { peer.send(connectPacket(version, clean("a"))); }
  SECTION("the end of the stream") { peer.end(); }
  SECTION("a broken stream") { peer.reset(); }
  SECTION("closeClient") {
    CloseClient close{peer.client(), mqtt::ReasonCode::administrativeAction};
    broker.stack().run(close);
    broker.run();
  }
  CHECK(peer.gone());
  CHECK(noting.take() == Lines{"uncleanDisconnect a "});
}

TEST_CASE("DISCONNECT executes cleanDisconnect with the client, and closes it [original:8.17]",
          "[original]") {
  Noting noting;
  ProtocolBroker broker{{.last = [&](TestBroker& b) {
    noting.note<UncleanDisconnect>(b, [](UncleanDisconnect& end) { return with(end.client, ""); });
    noting.note<CleanDisconnect>(b, [](CleanDisconnect& end) { return with(end.client, ""); });
  }}};
  Peer peer = join(broker, Version::v311, "a");
  peer.send(disconnectPacket(Version::v311));
  CHECK(peer.gone());
  CHECK(noting.take() == Lines{"cleanDisconnect a "});
}

TEST_CASE(
    "a first packet that is no CONNECT, and a wrong protocol name, close the client "
    "[original:8.15] [original:8.20]",
    "[original]") {
  ProtocolBroker broker;
  Peer peer = broker.open();
  peer.send(GENERATE(pingreqPacket(), publishPacket(Version::v311, {.topic = "t"}),
                     hex("10 0D 00 04 4D 51 54 58 04 02 00 3C 00 01 61")));
  CHECK(peer.gone());
  CHECK(peer.received().find('\x30') == std::string::npos);
}

TEST_CASE(
    "PUBLISH executes relayMessage with client, topic and payload; QoS 1 is answered then "
    "[original:8.22] [original:8.23]",
    "[original]") {
  Noting noting;
  ProtocolBroker broker{{.second = [&](TestBroker& b) {
    noting.note<RelayMessage>(b, [](RelayMessage& relay) {
      return with(*relay.client, std::string{relay.message->topic()} + " " +
                                     std::string{relay.message->payload()});
    });
  }}};
  Peer peer = join(broker, Version::v311, "a");
  const unsigned qos = GENERATE(0U, 1U);
  peer.send(
      publishPacket(Version::v311, {.topic = "t", .payload = "x", .qos = qos, .id = qos * 7}));
  CHECK(noting.take() == Lines{"relayMessage a t x"});
  CHECK(said(peer) == (qos == 1 ? Lines{"PUBACK #7"} : Lines{}));
}

TEST_CASE(
    "who is silent is ended by closeClient, whether it has asked for an interval or never "
    "sent a CONNECT [original:8.25] [original:8.26]",
    "[original]") {
  Noting noting;
  ProtocolBroker broker{{.connection = {.connectTimeout = 10s}, .second = [&](TestBroker& b) {
                           noting.note<CloseClient>(
                               b, [](CloseClient& end) { return with(end.client, ""); });
                         }}};
  SECTION("an interval") {
    Connect connect = clean("a");
    connect.keepAlive = 4;
    Peer peer = join(broker, Version::v311, connect);
    broker.advance(5900ms);
    CHECK(noting.take() == Lines{});
    broker.advance(200ms);
    CHECK(noting.take() == Lines{"closeClient a "});
    CHECK(peer.gone());
  }
  SECTION("nothing: there is no client yet whom anybody but connection knows") {
    Peer peer = broker.open();
    broker.advance(9900ms);
    CHECK_FALSE(peer.closed());
    broker.advance(200ms);
    CHECK(peer.gone());
  }
}

TEST_CASE("forwardMessage writes topic, payload and QoS as they are [original:8.28]",
          "[original]") {
  ProtocolBroker broker;
  const unsigned qos = GENERATE(0U, 1U, 2U);
  Peer peer = join(broker, Version::v311, "a");
  broker::MessageFields fields;
  fields.topic = "some/topic";
  fields.payload = std::string_view{"\x00\xFF payload", 10};
  fields.qos = static_cast<mqtt::Qos>(qos);
  const auto message = broker::Message::create(std::move(fields));
  ForwardMessage forward{*peer.client().session(), message, static_cast<mqtt::Qos>(qos), false, {}};
  broker.stack().run(forward);
  broker.run();
  CHECK(forward.result == ForwardResult::sent);
  const Publish sent = readPublish(Version::v311, peer.received());
  CHECK(sent.topic == "some/topic");
  CHECK(sent.payload == std::string{"\x00\xFF payload", 10});
  CHECK(sent.qos == qos);
}

TEST_CASE("a retained PUBLISH is stored with the flag and forwarded without it [original:8.31]",
          "[original]") {
  Noting noting;
  ProtocolBroker broker{{.second = [&](TestBroker& b) {
    noting.note<StoreRetainedMessage>(b, [](StoreRetainedMessage& store) {
      return std::string{store.message->retainFlag() ? " retain " : " "} +
             std::string{store.message->payload()};
    });
    noting.note<ForwardMessage>(b, [](ForwardMessage& forward) {
      return std::string{forward.retain ? " retain " : " "} +
             std::string{forward.message->payload()};
    });
  }}};
  Peer peer = join(broker, Version::v311, "a");
  subscribe(peer, "t");
  publish(peer, {.topic = "t", .payload = "x", .retain = true});
  CHECK(noting.take() == Lines{"storeRetainedMessage retain x", "forwardMessage x"});
  CHECK(said(peer) == Lines{"PUBLISH t 'x'"});
}

TEST_CASE("subscribing looks up retained messages and forwards them unchanged [original:8.32]",
          "[original]") {
  Noting noting;
  ProtocolBroker broker{{.second = [&](TestBroker& b) {
    noting.note<LookupRetainedMessages>(
        b, [](LookupRetainedMessages& lookup) { return " " + std::string{lookup.filter}; });
    noting.note<ForwardMessage>(b, [](ForwardMessage& forward) {
      return std::string{forward.retain ? " retain " : " "} +
             std::string{forward.message->topic()} + " " + std::string{forward.message->payload()};
    });
  }}};
  Peer peer = join(broker, Version::v311, "a");
  publish(peer, {.topic = "t", .payload = "x", .qos = 1, .retain = true});
  peer.send(subscribePacket(Version::v311, 1, {{"t", 1}}));
  CHECK(noting.take() == Lines{"lookupRetainedMessages t", "forwardMessage retain t x"});
  CHECK(said(peer) == Lines{"PUBLISH t 'x' q1 #1 retain", "SUBACK #1 1"});
}

TEST_CASE("a clean client: what was there is cleared, then CONNACK [original:8.33]", "[original]") {
  Noting noting;
  ProtocolBroker broker{noting.parts<ClearOfflineMessages, ClearSubscriptions, LookupSubscriptions,
                                     SubscribeTopic, SessionEstablished>()};
  Peer peer = dial(broker, Version::v311, clean("a"));
  CHECK(noting.take() == Lines{"clearOfflineMessages", "clearSubscriptions", "sessionEstablished"});
  CHECK(said(peer) == Lines{"CONNACK 0"});
}

TEST_CASE(
    "an unclean client: its subscriptions are made again, then CONNACK, then what waited "
    "[original:8.34]",
    "[original]") {
  Noting noting;
  ProtocolBroker broker{noting.parts<ClearOfflineMessages, LookupSubscriptions, SubscribeTopic,
                                     SessionEstablished, LookupOfflineMessages>()};
  const auto again = persistent(Version::v311, "a");
  Peer peer = join(broker, Version::v311, again);
  subscribe(peer, "t", 1);
  subscribe(peer, "u", 1);
  peer.reset();
  Peer publisher = join(broker, Version::v311, "publisher");
  publish(publisher, {.topic = "t", .payload = "x", .qos = 1});
  noting.take();
  peer = dial(broker, Version::v311, again);
  CHECK(noting.take() == Lines{"lookupSubscriptions", "subscribeTopic", "subscribeTopic",
                               "sessionEstablished", "lookupOfflineMessages"});
  CHECK(said(peer) == Lines{"CONNACK 0 present", "PUBLISH t 'x' q1 #1"});
}

TEST_CASE(
    "what an unclean client subscribes to is stored, what a clean one does is not "
    "[original:8.35]",
    "[original]") {
  Noting noting;
  ProtocolBroker broker{{.second = [&](TestBroker& b) {
    noting.note<StoreSubscription>(b, [](StoreSubscription& store) {
      return " " + std::string{store.clientId} + " " + std::string{store.filter};
    });
    noting.note<RemoveSubscription>(b, [](RemoveSubscription& remove) {
      return " " + std::string{remove.clientId} + " " + std::string{remove.filter};
    });
  }}};
  Peer kept = join(broker, Version::v311, persistent(Version::v311, "kept"));
  subscribe(kept, "t", 1);
  CHECK(noting.take() == Lines{"storeSubscription kept t"});
  kept.send(unsubscribePacket(Version::v311, 1, {"t"}));
  CHECK(noting.take() == Lines{"removeSubscription kept t"});
  Peer passing = join(broker, Version::v311, "passing");
  subscribe(passing, "t", 1);
  CHECK(noting.take() == Lines{});
}

TEST_CASE(
    "each entry of SUBSCRIBE and UNSUBSCRIBE executes its callback with client, topic and QoS, "
    "in order [original:8.36] [original:8.37] [original:8.38]",
    "[original]") {
  Noting noting;
  ProtocolBroker broker{{.second = [&](TestBroker& b) {
    noting.note<SubscribeTopic>(b, [](SubscribeTopic& subscribe) {
      return with(subscribe.client, std::string{subscribe.filter} + " " +
                                        std::to_string(static_cast<int>(subscribe.options.qos)));
    });
    noting.note<UnsubscribeTopic>(b, [](UnsubscribeTopic& unsubscribe) {
      return with(unsubscribe.client, unsubscribe.filter);
    });
  }}};
  Peer peer = join(broker, Version::v311, "a");
  peer.send(subscribePacket(Version::v311, 1, {{"one", 1}}));
  CHECK(noting.take() == Lines{"subscribeTopic a one 1"});
  CHECK(said(peer) == Lines{"SUBACK #1 1"});
  peer.send(subscribePacket(Version::v311, 2, {{"one", 1}, {"zero", 0}, {"two", 2}}));
  CHECK(noting.take() ==
        Lines{"subscribeTopic a one 1", "subscribeTopic a zero 0", "subscribeTopic a two 2"});
  CHECK(said(peer) == Lines{"SUBACK #2 1 0 2"});
  peer.send(unsubscribePacket(Version::v311, 3, {"one", "two"}));
  CHECK(noting.take() == Lines{"unsubscribeTopic a one", "unsubscribeTopic a two"});
  CHECK(said(peer) == Lines{"UNSUBACK #3"});
}

TEST_CASE("without a verdict a packet is dropped [original:8.14]", "[original]") {
  ProtocolBroker broker{{.second = [](TestBroker& b) {
    b.use<Authorization>();
    b.on<AuthorizePacket>([](AuthorizePacket& question, Next next, Done) {
      if (question.action == Action::subscribe) question.verdict.allow("stub");
      return next();
    });
  }}};
  Peer peer = join(broker, Version::v311, "a");
  subscribe(peer, "t");
  peer.send(publishPacket(Version::v311, {.topic = "t", .payload = "x"}));
  CHECK(said(peer) == Lines{});
}

}  // namespace
}  // namespace mqttstack::test
