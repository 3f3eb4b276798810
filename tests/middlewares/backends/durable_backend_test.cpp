#include "middlewares/backends/durable_backend.hpp"

#include <fmt/format.h>

#include <catch2/catch.hpp>

#include "tests/middlewares/backends/row_store.hpp"

/// What is sent to clients, and what has to be stored before.
namespace mqttstack::test {
namespace {

using namespace std::chrono_literals;

Connect clean5(const std::string& name) {
  Connect connect = clean(name);
  connect.keepAlive = 0;
  return connect;
}

TEST_CASE("a session is stored before its CONNACK, and forgotten before one that says so",
          "[durable_backend]") {
  const auto version = GENERATE(Version::v311, Version::v5);
  Rows rows;
  DurableBroker broker{rows};
  Peer peer = dial(broker, version, persistent(version, "a"));
  CHECK(said(peer) == Lines{});
  CHECK(rows.sessions.empty());
  broker.commitAll();
  CHECK(said(peer).size() == 1);
  CHECK(rows.sessions.size() == 1);

  Peer again = dial(broker, version, persistent(version, "a"));
  CHECK(said(again) == Lines{});
  broker.commitAll();
  CHECK(said(again).at(0).starts_with("CONNACK 0 present"));

  Connect fresh = clean("a");
  Peer third = dial(broker, version, fresh);
  CHECK(said(third) == Lines{});
  broker.commitAll();
  CHECK(said(third).at(0).starts_with("CONNACK 0"));
  CHECK(rows.sessions.empty());
}

TEST_CASE("a session that ends with its connection costs the store nothing", "[durable_backend]") {
  Rows rows;
  DurableBroker broker{rows};
  Peer peer = join(broker, Version::v311, clean("a"));
  subscribe(peer, "t", 2);
  Peer publisher = join(broker, Version::v5, clean5("b"));
  for (const unsigned qos : {0U, 1U, 2U}) publish(publisher, {.topic = "t", .qos = qos});
  CHECK(receiveAll(peer).size() == 3);
  publish(publisher, {.topic = "t", .qos = 0});
  peer.reset();
  broker.commitAll();
  CHECK(broker.store().commits == 0);
  CHECK(broker.metrics.value("store_operations") == 0);
}

TEST_CASE("a QoS 1 message is stored before its PUBACK", "[durable_backend]") {
  const auto version = GENERATE(Version::v31, Version::v311, Version::v5);
  Rows rows;
  DurableBroker broker{rows};
  Peer subscriber = broker.joinStored(version, persistent(version, "s"));
  broker.subscribeStored(subscriber, "t", 1);
  subscriber.reset();
  broker.commitAll();
  Peer publisher = join(broker, version, clean("p"));
  publisher.send(publishPacket(version, {.topic = "t", .payload = "x", .qos = 1, .id = 7}));
  CHECK(said(publisher) == Lines{});
  CHECK(rows.queue.empty());
  broker.commit();
  CHECK(said(publisher) == Lines{"PUBACK #7"});
  CHECK(rows.queue.size() == 1);
}

TEST_CASE("many messages wait for one commit, and are acknowledged in their order",
          "[durable_backend]") {
  Rows rows;
  DurableBroker broker{rows};
  Peer subscriber = broker.joinStored(Version::v5, persistent(Version::v5, "s"));
  broker.subscribeStored(subscriber, "t", 1);
  subscriber.reset();
  broker.commitAll();
  Peer publisher = join(broker, Version::v5, clean5("p"));
  const std::size_t before = broker.store().commits;
  Lines expected;
  for (unsigned i = 1; i <= 50; ++i) {
    publisher.send(publishPacket(Version::v5, {.topic = "t", .qos = 1, .id = i}));
    expected.push_back(fmt::format("PUBACK #{}", i));
  }
  broker.commitAll();
  CHECK(said(publisher) == expected);
  CHECK(broker.store().commits <= before + 2);
}

TEST_CASE("a QoS 1 message goes out at once, and is never stored if it is answered in time",
          "[durable_backend]") {
  Rows rows;
  DurableBroker broker{rows};
  Peer subscriber = broker.joinStored(Version::v5, persistent(Version::v5, "s"));
  broker.subscribeStored(subscriber, "t", 1);
  Peer publisher = join(broker, Version::v5, clean5("p"));
  // Something is being committed, so that what follows has to wait.
  publisher.send(publishPacket(Version::v5, {.topic = "t", .payload = "1", .qos = 1, .id = 1}));
  CHECK(said(subscriber) == Lines{"PUBLISH t '1' q1 #1"});
  const std::size_t operations = broker.store().operations;
  publisher.send(publishPacket(Version::v5, {.topic = "t", .payload = "2", .qos = 1, .id = 2}));
  CHECK(said(subscriber) == Lines{"PUBLISH t '2' q1 #2"});
  subscriber.send(pubackPacket(2));
  CHECK(said(publisher) == Lines{});
  broker.commitAll();
  CHECK(said(publisher) == Lines{"PUBACK #1", "PUBACK #2"});
  CHECK(broker.store().operations == operations + 1);
  subscriber.send(pubackPacket(1));
  broker.commitAll();
  CHECK(rows.queue.empty());
}

TEST_CASE(
    "a QoS 2 message and its identifier are stored before PUBREC, and forgotten before PUBCOMP",
    "[durable_backend]") {
  const auto version = GENERATE(Version::v31, Version::v311, Version::v5);
  Rows rows;
  DurableBroker broker{rows};
  Peer subscriber = broker.joinStored(version, persistent(version, "s"));
  broker.subscribeStored(subscriber, "t", 1);
  subscriber.reset();
  broker.commitAll();
  Peer publisher = broker.joinStored(version, persistent(version, "p"));
  publisher.send(publishPacket(version, {.topic = "t", .payload = "x", .qos = 2, .id = 7}));
  CHECK(said(publisher) == Lines{});
  CHECK(rows.incoming.empty());
  const std::size_t before = broker.store().commits;
  broker.commit();
  CHECK(broker.store().commits == before + 1);
  CHECK(rows.queue.size() == 1);
  CHECK(rows.incoming.size() == 1);
  CHECK(said(publisher) == Lines{"PUBREC #7"});
  publisher.send(pubrelPacket(7));
  CHECK(said(publisher) == Lines{});
  broker.commit();
  CHECK(rows.incoming.empty());
  CHECK(said(publisher) == Lines{"PUBCOMP #7"});
}

TEST_CASE("a QoS 2 message goes out when its identifier is stored, and PUBREL when PUBREC is",
          "[durable_backend]") {
  const bool queued = GENERATE(false, true);
  Rows rows;
  DurableBroker broker{rows, {.outbound = {.maxInflight = 1}}};
  Peer subscriber = broker.joinStored(Version::v5, persistent(Version::v5, "s"));
  broker.subscribeStored(subscriber, "t", 2);
  Peer publisher = join(broker, Version::v5, clean5("p"));
  unsigned id = 1;
  if (queued) {  // one is under way, and the next one waits behind it
    publisher.send(publishPacket(Version::v5, {.topic = "t", .payload = "1", .qos = 1, .id = 1}));
    ++id;
  }
  publisher.send(publishPacket(Version::v5, {.topic = "t", .payload = "x", .qos = 2, .id = 2}));
  if (queued) {
    broker.commitAll();
    CHECK(said(subscriber) == Lines{"PUBLISH t '1' q1 #1"});
    subscriber.send(pubackPacket(1));
  }
  CHECK(said(subscriber) == Lines{});
  broker.commit();
  CHECK(said(subscriber) == Lines{fmt::format("PUBLISH t 'x' q2 #{}", id)});
  REQUIRE(rows.queue.size() == 1);
  CHECK(rows.queue.begin()->second.packetId == id);
  subscriber.send(pubrecPacket(id));
  CHECK(said(subscriber) == Lines{});
  subscriber.send(pubrecPacket(id));  // once more: it is on its way
  broker.commit();
  CHECK(said(subscriber) == Lines{fmt::format("PUBREL #{}", id)});
  CHECK(rows.queue.begin()->second.state == broker::DeliveryState::awaitingPubcomp);
  subscriber.send(pubcompPacket(id));
  broker.commitAll();
  CHECK(rows.queue.empty());
}

TEST_CASE("a PUBREC for what was not sent yet is a protocol error", "[durable_backend]") {
  Rows rows;
  DurableBroker broker{rows};
  Peer subscriber = broker.joinStored(Version::v5, persistent(Version::v5, "s"));
  broker.subscribeStored(subscriber, "t", 2);
  Peer publisher = join(broker, Version::v5, clean5("p"));
  publisher.send(publishPacket(Version::v5, {.topic = "t", .payload = "x", .qos = 2, .id = 2}));
  subscriber.send(pubrecPacket(1));
  CHECK(said(subscriber) == Lines{"DISCONNECT 0x82"});
  broker.commitAll();
  Peer back = broker.joinStored(Version::v5, persistent(Version::v5, "s"));
  broker.commitAll();
  CHECK(rows.queue.size() == 1);
}

TEST_CASE("a subscription is stored before its SUBACK, and its end before its UNSUBACK",
          "[durable_backend]") {
  const auto version = GENERATE(Version::v311, Version::v5);
  Rows rows;
  DurableBroker broker{rows};
  Peer peer = broker.joinStored(version, persistent(version, "a"));
  const std::size_t before = broker.store().commits;
  peer.send(subscribePacket(version, 1, {{"a", 0}, {"b", 1}, {"c/#", 2}}));
  CHECK(said(peer) == Lines{});
  broker.commit();
  CHECK(said(peer) == Lines{"SUBACK #1 0 1 2"});
  CHECK(broker.store().commits == before + 1);  // all of them with one
  CHECK(rows.subscriptions.size() == 3);
  peer.send(unsubscribePacket(version, 2, {"a", "b"}));
  CHECK(said(peer) == Lines{});
  broker.commit();
  CHECK(said(peer).size() == 1);
  CHECK(rows.subscriptions.size() == 1);
}

TEST_CASE("retained messages are stored before they are acknowledged, and so is their end",
          "[durable_backend]") {
  Rows rows;
  DurableBroker broker{rows};
  Peer publisher = join(broker, Version::v311, clean("p"));
  publisher.send(publishPacket(Version::v311,
                               {.topic = "t", .payload = "x", .qos = 1, .id = 1, .retain = true}));
  CHECK(said(publisher) == Lines{});
  broker.commit();
  CHECK(said(publisher) == Lines{"PUBACK #1"});
  CHECK(rows.retained.size() == 1);
  publisher.send(publishPacket(Version::v311, {.topic = "u", .payload = "x", .retain = true}));
  broker.commitAll();
  CHECK(rows.retained.size() == 2);
  publisher.send(publishPacket(Version::v311, {.topic = "t", .qos = 1, .id = 2, .retain = true}));
  CHECK(said(publisher) == Lines{});
  broker.commit();
  CHECK(said(publisher) == Lines{"PUBACK #2"});
  CHECK(rows.retained.size() == 1);
}

TEST_CASE("a retained message that expires leaves the store", "[durable_backend]") {
  Rows rows;
  DurableBroker broker{rows};
  Peer publisher = join(broker, Version::v5, clean5("p"));
  publish(publisher, {.topic = "t",
                      .payload = "x",
                      .retain = true,
                      .properties = {property(PropertyId::messageExpiry, 5)}});
  broker.commitAll();
  CHECK(rows.retained.size() == 1);
  broker.advance(10s);
  broker.commitAll();
  CHECK(rows.retained.empty());
}

// Coming back.

TEST_CASE("everything is there again after the end of the broker", "[durable_backend]") {
  Rows rows;
  {
    DurableBroker broker{rows, {.outbound = {.maxInflight = 2}}};
    Peer subscriber = broker.joinStored(Version::v5, persistent(Version::v5, "s"));
    broker.subscribeStored(subscriber, "t/#", 2);
    Peer publisher = broker.joinStored(Version::v5, persistent(Version::v5, "p"));
    for (unsigned i = 1; i <= 4; ++i)
      publisher.send(publishPacket(Version::v5, {.topic = fmt::format("t/{}", i),
                                                 .payload = "x",
                                                 .qos = 1 + i % 2,
                                                 .id = i,
                                                 .retain = i == 4}));
    broker.commitAll();
    CHECK(said(publisher) == Lines{"PUBREC #1", "PUBACK #2", "PUBREC #3", "PUBACK #4"});
    CHECK(said(subscriber) == Lines{"PUBLISH t/2 'x' q1 #2", "PUBLISH t/1 'x' q2 #1"});
    subscriber.send(pubrecPacket(1));
    broker.commitAll();
    CHECK(said(subscriber) == Lines{"PUBREL #1"});
  }
  DurableBroker broker{rows, {.outbound = {.maxInflight = 2}}};
  Peer publisher = broker.joinStored(Version::v5, persistent(Version::v5, "p"));
  publisher.send(
      publishPacket(Version::v5, {.topic = "t/3", .payload = "x", .qos = 2, .id = 3, .dup = true}));
  CHECK(said(publisher) == Lines{"PUBREC #3"});  // it has it
  publisher.send(pubrelPacket(1));
  broker.commitAll();
  CHECK(said(publisher) == Lines{"PUBCOMP #1"});

  Peer subscriber = dial(broker, Version::v5, persistent(Version::v5, "s"));
  broker.commitAll();
  const Lines lines = said(subscriber);
  REQUIRE(lines.size() >= 3);
  CHECK(lines[0].starts_with("CONNACK 0 present"));
  CHECK(lines[1] == "PUBREL #1");
  CHECK(lines[2] == "PUBLISH t/2 'x' q1 #2 dup");
  CHECK(broker.metrics.value("retained_messages") == 1);
  CHECK(broker.metrics.value("subscriptions") == 1);
}

TEST_CASE("a session goes on expiring across the end of the broker, whatever the wall clock says",
          "[durable_backend]") {
  const auto turn = GENERATE(-48h, 0h, 48h);
  const bool rebooted = GENERATE(false, true);
  Rows rows;
  {
    DurableBroker broker{rows};
    Peer peer = broker.joinStored(Version::v5, persistent(Version::v5, "s", 100));
    peer.reset();
    broker.commitAll();
    broker.advance(10s);
  }
  REQUIRE(rows.sessions.size() == 1);
  RowBackend::Options options;
  options.bootId = rebooted ? "another" : "boot";
  DurableBroker broker{rows, {}, options};
  broker.scheduler.setWall(broker.scheduler.wall() + turn);
  Peer other = join(broker, Version::v5, clean5("other"));  // starts it
  broker.advance(50s);
  broker.commitAll();
  // After the machine's restart only the wall clock tells how long it took, and
  // it is not believed if it goes backwards.
  CHECK(rows.sessions.size() == (rebooted && turn > 0h ? 0 : 1));
  broker.advance(60s);
  broker.commitAll();
  CHECK(rows.sessions.empty());
}

TEST_CASE("wills of durable sessions are published after the end of the broker",
          "[durable_backend]") {
  const std::uint32_t delay = GENERATE(0U, 30U);
  const bool vanishedBefore = GENERATE(false, true);
  Rows rows;
  {
    DurableBroker broker{rows};
    Peer watcher = broker.joinStored(Version::v5, persistent(Version::v5, "watcher"));
    broker.subscribeStored(watcher, "will", 1);
    Connect connect = persistent(Version::v5, "s");
    connect.will = mqttstack::Will{"will", "gone", 1, false, {}};
    if (delay != 0) connect.will->properties = {property(PropertyId::willDelay, delay)};
    Peer peer = broker.joinStored(Version::v5, connect);
    CHECK(rows.wills.size() == 1);
    if (vanishedBefore && delay != 0) {
      peer.reset();
      broker.commitAll();
      CHECK(rows.wills.begin()->second.due != 0);
    }
  }
  DurableBroker broker{rows};
  Peer watcher = broker.joinStored(Version::v5, persistent(Version::v5, "watcher"));
  if (delay != 0) {
    broker.advance(20s);
    broker.commitAll();
    CHECK(publishes(watcher) == Lines{});
  }
  broker.advance(20s);
  broker.commitAll();
  CHECK(publishes(watcher) == Lines{"PUBLISH will 'gone' q1 #1"});
  CHECK(rows.wills.empty());
}

TEST_CASE("a will that is not due any more is stored no more", "[durable_backend]") {
  Rows rows;
  DurableBroker broker{rows};
  Connect connect = persistent(Version::v5, "s");
  connect.will = mqttstack::Will{"will", "gone", 1, false, {property(PropertyId::willDelay, 30)}};
  Peer peer = broker.joinStored(Version::v5, connect);
  SECTION("since its client said goodbye") { peer.send(disconnectPacket(Version::v5)); }
  SECTION("since its client came back without one") {
    peer.reset();
    broker.commitAll();
    CHECK(rows.wills.size() == 1);
    peer = broker.joinStored(Version::v5, persistent(Version::v5, "s"));
  }
  SECTION("since its client came back, for as long as it is connected [v5:3.1.3-9]") {
    peer.reset();
    broker.commitAll();
    Connect back = persistent(Version::v5, "s");
    back.properties.clear();
    peer = broker.joinStored(Version::v5, back);
    broker.commitAll();
    CHECK(rows.sessions.empty());
  }
  broker.commitAll();
  CHECK(rows.wills.empty());
}

TEST_CASE("a session that expires leaves the store with all that waits for it",
          "[durable_backend]") {
  Rows rows;
  DurableBroker broker{rows};
  Peer subscriber = broker.joinStored(Version::v5, persistent(Version::v5, "s", 10));
  broker.subscribeStored(subscriber, "t", 1);
  subscriber.reset();
  broker.commitAll();
  Peer publisher = join(broker, Version::v5, clean5("p"));
  for (unsigned i = 1; i <= 20; ++i)
    publisher.send(publishPacket(Version::v5, {.topic = "t", .qos = 1, .id = i}));
  broker.commitAll();
  CHECK(rows.queue.size() == 20);
  broker.advance(20s);
  broker.commitAll();
  CHECK(rows.queue.empty());
  CHECK(rows.sessions.empty());
  CHECK(rows.subscriptions.empty());
}

TEST_CASE("what very many messages leave behind goes in parts, and nobody waits for it",
          "[durable_backend]") {
  constexpr unsigned kMessages = 6000;
  Rows rows;
  {
    DurableBroker broker{rows};
    Peer subscriber = broker.joinStored(Version::v5, persistent(Version::v5, "s", 10));
    broker.subscribeStored(subscriber, "t", 1);
    Peer other = broker.joinStored(Version::v5, persistent(Version::v5, "other"));
    broker.subscribeStored(other, "u", 1);
    subscriber.reset();
    other.reset();
    broker.commitAll();
    Peer publisher = join(broker, Version::v5, clean5("p"));
    for (unsigned i = 1; i <= kMessages; ++i) {
      publisher.send(publishPacket(Version::v5, {.topic = "t", .qos = 1, .id = i}));
      if (i % 50 == 0) broker.commitAll();
    }
    said(publisher);
    REQUIRE(rows.queue.size() == kMessages);
    broker.advance(11s);
    publisher.send(publishPacket(Version::v5, {.topic = "u", .qos = 1, .id = 1}));
    broker.commit();
    broker.commit();
    CHECK(said(publisher) == Lines{"PUBACK #1"});
    CHECK(rows.sessions.size() == 1);
    CHECK(rows.queue.size() > kMessages / 2);
    SECTION("by and by") {
      for (int i = 0; i < 20; ++i) {
        broker.advance(1s);
        broker.commitAll();
      }
      CHECK(rows.queue.size() == 1);
      CHECK(broker.metrics.value("queued_messages") == 1);
    }
    SECTION("unless the broker ends before") {}
  }
  DurableBroker again{rows};
  Peer fresh = again.joinStored(Version::v5, persistent(Version::v5, "s", 10));
  CHECK(again.logged(LogLevel::warning) == 0);
  CHECK(again.metrics.value("queued_messages") == 1);
  again.commitAll();
  CHECK(rows.queue.size() == 1);
  CHECK(receiveAll(fresh).empty());
}

TEST_CASE("very many messages that expire leave in parts, memory and store", "[durable_backend]") {
  constexpr unsigned kMessages = 9000;
  Rows rows;
  DurableBroker broker{rows};
  Peer subscriber = broker.joinStored(Version::v5, persistent(Version::v5, "s"));
  broker.subscribeStored(subscriber, "t", 1);
  subscriber.reset();
  broker.commitAll();
  Peer publisher = join(broker, Version::v5, clean5("p"));
  for (unsigned i = 1; i <= kMessages; ++i) {
    Publish publish{.topic = "t", .qos = 1, .id = i};
    if (i % 3 != 0) publish.properties = {property(PropertyId::messageExpiry, 5)};
    publisher.send(publishPacket(Version::v5, publish));
    if (i % 50 == 0) broker.commitAll();
  }
  said(publisher);
  std::int64_t most = 0;
  for (int i = 0; i < 1000; ++i) {
    const auto before = broker.metrics.value("queued_messages");
    broker.advance(10ms);
    most = std::max(most, before - broker.metrics.value("queued_messages"));
    broker.commit();
  }
  CHECK(most > 0);
  CHECK(most <= 4096);
  broker.commitAll();
  CHECK(broker.metrics.value("queued_messages") == kMessages / 3);
  CHECK(broker.metrics.value("messages_dropped_expired") == kMessages * 2 / 3);
  CHECK(rows.queue.size() == kMessages / 3);
}

TEST_CASE("restarts, however many, do not put off when a session or a will is due",
          "[durable_backend]") {
  Rows rows;
  {
    DurableBroker broker{rows};
    Peer watcher = broker.joinStored(Version::v5, persistent(Version::v5, "watcher"));
    broker.subscribeStored(watcher, "will", 1);
    Connect connect = persistent(Version::v5, "s", 100);
    connect.will = mqttstack::Will{"will", "gone", 1, false, {property(PropertyId::willDelay, 70)}};
    const Peer peer = broker.joinStored(Version::v5, connect);
  }
  auto now = ManualClock{}.now();
  for (int restart = 0; restart < 4; ++restart) {
    INFO("restart " << restart);
    DurableBroker broker{rows};
    broker.scheduler.advance(now - broker.scheduler.now());
    const Peer other = join(broker, Version::v5, clean5("other"));  // starts it
    broker.commitAll();
    broker.advance(30s);
    broker.commitAll();
    now = broker.scheduler.now();
    CHECK(rows.queue.size() == (restart < 2 ? 0 : 1));  // the will, for the watcher
    CHECK(rows.wills.size() == (restart < 2 ? 1 : 0));
    CHECK(rows.sessions.size() == (restart < 3 ? 2 : 1));
  }
}

TEST_CASE("nobody is told that a session is gone before that is stored", "[durable_backend]") {
  Rows rows;
  DurableBroker broker{rows};
  Peer peer = broker.joinStored(Version::v5, persistent(Version::v5, "s"));
  peer.send(disconnectPacket(Version::v5, 0, {property(PropertyId::sessionExpiry, 0)}));
  broker.run();
  CHECK(rows.sessions.size() == 1);
  Peer again = dial(broker, Version::v5, clean5("s"));
  CHECK(said(again) == Lines{});
  broker.commitAll();
  CHECK(rows.sessions.empty());
  CHECK(said(again).at(0).starts_with("CONNACK 0"));
  // From then on it costs nothing.
  const std::size_t commits = broker.store().commits;
  Peer third = join(broker, Version::v5, clean5("s"));
  CHECK(broker.store().commits == commits);
}

}  // namespace
}  // namespace mqttstack::test
