#include <fmt/format.h>

#include <catch2/catch.hpp>

#include "tests/middlewares/backends/row_store.hpp"

/// A durable backend whose store has no room, or fails, or is slow.
namespace mqttstack::test {
namespace {

using namespace std::chrono_literals;
using Verdict = RowStore::Verdict;

Connect clean5(const std::string& name) {
  Connect connect = clean(name);
  connect.keepAlive = 0;
  return connect;
}

TEST_CASE("what there is no room for is refused and undone, and others notice nothing",
          "[durable_backend]") {
  const auto version = GENERATE(Version::v311, Version::v5);
  const bool v5 = version == Version::v5;
  Rows rows;
  DurableBroker broker{rows};
  Peer subscriber = broker.joinStored(version, persistent(version, "s"));
  broker.subscribeStored(subscriber, "t", 2);
  Peer live = join(broker, version, clean("live"));
  subscribe(live, "u", 1);
  subscriber.reset();
  broker.commitAll();
  const std::string before = rows.digest();
  broker.store().judge = [](std::span<const Operation>) { return Verdict::refuse; };

  const unsigned qos = GENERATE(1U, 2U);
  Peer publisher = join(broker, version, clean("p"));
  publisher.send(publishPacket(version, {.topic = "t", .payload = "x", .qos = qos, .id = 1}));
  CHECK(said(publisher) == Lines{});
  broker.commit();
  CHECK(publisher.closed() == !v5);
  if (v5) CHECK(said(publisher) == Lines{qos == 1 ? "PUBACK #1 0x97" : "PUBREC #1 0x97"});
  CHECK(broker.metrics.value("queued_messages") == 0);
  CHECK(broker.metrics.value("messages_dropped_not_stored") == 1);
  CHECK(rows.digest() == before);

  Peer other = join(broker, version, clean("other"));
  publish(other, {.topic = "u", .payload = "y", .qos = qos});
  CHECK(receiveAll(live).size() == 1);

  Peer fresh = dial(broker, version, persistent(version, "fresh"));
  broker.commit();
  CHECK(said(fresh) == Lines{v5 ? "CONNACK 151" : "CONNACK 3"});
  CHECK(broker.metrics.value("sessions") == (v5 ? 4 : 3));

  broker.store().judge = {};
  broker.advance(1s);
  publish(other, {.topic = "u", .payload = "z", .qos = 0});
  other.send(publishPacket(version, {.topic = "t", .payload = "x", .qos = qos, .id = 9}));
  broker.commitAll();
  CHECK(said(other) == Lines{fmt::format("{} #9", qos == 1 ? "PUBACK" : "PUBREC")});
  CHECK(rows.queue.size() == 1);
}

TEST_CASE("a subscription that there is no room for is refused and undone", "[durable_backend]") {
  Rows rows;
  DurableBroker broker{rows};
  Peer peer = broker.joinStored(Version::v5, persistent(Version::v5, "s"));
  broker.store().judge = [](std::span<const Operation>) { return Verdict::refuse; };
  peer.send(subscribePacket(Version::v5, 1, {{"a", 1}, {"b", 2}}));
  broker.commit();
  CHECK(said(peer) == Lines{"SUBACK #1 0x97 0x97"});
  CHECK(broker.metrics.value("subscriptions") == 0);
  broker.store().judge = {};
  broker.subscribeStored(peer, "a", 1);
  CHECK(rows.subscriptions.size() == 1);
}

TEST_CASE("a retained message that there is no room for leaves the former one",
          "[durable_backend]") {
  Rows rows;
  DurableBroker broker{rows};
  Peer publisher = join(broker, Version::v5, clean5("p"));
  const auto retain = [&](std::string payload) {
    publisher.send(publishPacket(
        Version::v5,
        {.topic = "t", .payload = std::move(payload), .qos = 1, .id = 1, .retain = true}));
    broker.commit();
    return said(publisher);
  };
  CHECK(retain("old") == Lines{"PUBACK #1 0x10"});
  broker.store().judge = [](std::span<const Operation>) { return Verdict::refuse; };
  CHECK(retain("new") == Lines{"PUBACK #1 0x97"});
  Peer subscriber = join(broker, Version::v5, clean5("s"));
  subscriber.send(subscribePacket(Version::v5, 1, {{"t", 0}}));
  CHECK(publishes(subscriber) == Lines{"PUBLISH t 'old' retain"});
}

TEST_CASE("what has to be stored is tried again until there is room", "[durable_backend]") {
  Rows rows;
  DurableBroker broker{rows};
  Peer subscriber = broker.joinStored(Version::v5, persistent(Version::v5, "s"));
  broker.subscribeStored(subscriber, "t", 2);
  Peer publisher = join(broker, Version::v5, clean5("p"));
  publisher.send(publishPacket(Version::v5, {.topic = "t", .payload = "x", .qos = 2, .id = 1}));
  broker.commitAll();
  CHECK(said(subscriber) == Lines{"PUBLISH t 'x' q2 #1"});
  broker.store().judge = [](std::span<const Operation>) { return Verdict::refuse; };
  subscriber.send(pubrecPacket(1));
  for (int i = 0; i < 5; ++i) {
    broker.commit();
    broker.advance(1s);
  }
  CHECK(said(subscriber) == Lines{});
  broker.store().judge = {};
  broker.advance(1s);
  broker.commitAll();
  CHECK(said(subscriber) == Lines{"PUBREL #1"});
}

TEST_CASE("a QoS 2 message that was refused leaves its place in the window", "[durable_backend]") {
  Rows rows;
  DurableBroker broker{rows, {.outbound = {.maxInflight = 1}}};
  Peer subscriber = broker.joinStored(Version::v5, persistent(Version::v5, "s"));
  broker.subscribeStored(subscriber, "t", 2);
  Peer publisher = join(broker, Version::v5, clean5("p"));
  broker.store().judge = [](std::span<const Operation>) { return Verdict::refuse; };
  publisher.send(publishPacket(Version::v5, {.topic = "t", .payload = "1", .qos = 2, .id = 1}));
  broker.commit();
  CHECK(said(publisher) == Lines{"PUBREC #1 0x97"});
  broker.store().judge = {};
  publisher.send(publishPacket(Version::v5, {.topic = "t", .payload = "2", .qos = 2, .id = 2}));
  broker.commitAll();
  CHECK(said(subscriber) == Lines{"PUBLISH t '2' q2 #2"});
}

TEST_CASE("nothing is acknowledged once the store has failed", "[durable_backend]") {
  const auto version = GENERATE(Version::v311, Version::v5);
  Rows rows;
  DurableBroker broker{rows};
  Peer subscriber = broker.joinStored(version, persistent(version, "s"));
  broker.subscribeStored(subscriber, "t", 1);
  Peer publisher = join(broker, version, clean("p"));
  broker.store().judge = [](std::span<const Operation>) { return Verdict::fail; };
  publisher.send(publishPacket(version, {.topic = "t", .payload = "x", .qos = 1, .id = 1}));
  broker.commit();
  publisher.send(publishPacket(version, {.topic = "t", .payload = "x", .qos = 1, .id = 2}));
  broker.commitAll();
  if (version == Version::v5)
    CHECK(said(publisher) == Lines{"PUBACK #1 0x80", "PUBACK #2 0x80"});
  else
    CHECK(publisher.gone());
  CHECK(broker.logged(LogLevel::error) == 1);
}

TEST_CASE("publishers have to wait while too much waits to be stored", "[durable_backend]") {
  Rows rows;
  RowBackend::Options options;
  options.pace.maxBytes = 20'000;
  DurableBroker broker{rows, {}, options};
  Peer subscriber = broker.joinStored(Version::v311, persistent(Version::v311, "s"));
  broker.subscribeStored(subscriber, "t", 1);
  subscriber.reset();
  broker.commitAll();
  Peer publisher = join(broker, Version::v311, clean("p"));
  for (unsigned i = 1; i <= 30; ++i)
    publisher.push(publishPacket(
        Version::v311, {.topic = "t", .payload = std::string(1000, 'x'), .qos = 1, .id = i}));
  broker.run();
  CHECK(publisher.paused());
  CHECK(broker.metrics.value("queued_messages") < 30);
  // QoS 0 goes on.
  Peer other = join(broker, Version::v311, clean("other"));
  subscribe(other, "u", 0);
  publish(other, {.topic = "u", .payload = "y"});
  CHECK(publishes(other).size() == 1);
  broker.commitAll();
  CHECK_FALSE(publisher.paused());
  CHECK(said(publisher).size() == 30);
  CHECK(rows.queue.size() == 30);
}

TEST_CASE("publishers go on when what they waited for is answered before it is written",
          "[durable_backend]") {
  Rows rows;
  RowBackend::Options options;
  options.pace = {1s};
  options.pace.maxBytes = 20'000;
  DurableBroker broker{rows, {}, options};
  Peer subscriber = broker.joinStored(Version::v5, persistent(Version::v5, "s"));
  broker.subscribeStored(subscriber, "t", 1);
  // The disk is slow, and so the next commit is some time away.
  Peer other = dial(broker, Version::v5, persistent(Version::v5, "other"));
  broker.run();
  broker.advance(1s);
  broker.commit();
  Peer publisher = join(broker, Version::v5, clean5("p"));
  for (unsigned i = 1; i <= 30; ++i)
    publisher.push(publishPacket(
        Version::v5, {.topic = "t", .payload = std::string(1000, 'x'), .qos = 1, .id = i}));
  broker.run();
  CHECK(publisher.paused());
  CHECK(receiveAll(subscriber).size() < 30);
  const std::size_t commits = broker.store().commits;
  broker.commit();  // a reminder: there is nothing to be written
  CHECK(broker.store().commits == commits);
  CHECK_FALSE(publisher.paused());
  std::size_t acknowledged = said(publisher).size();
  CHECK(acknowledged > 0);
  receiveAll(subscriber);
  broker.commitAll();
  acknowledged += said(publisher).size();
  CHECK(acknowledged == 30);
  CHECK(rows.queue.empty());
}

TEST_CASE("of several retained messages that there is no room for none stays",
          "[durable_backend]") {
  Rows rows;
  DurableBroker broker{rows};
  Peer publisher = join(broker, Version::v5, clean5("p"));
  const auto retain = [&](std::string payload, unsigned id) {
    publisher.send(publishPacket(
        Version::v5,
        {.topic = "t", .payload = std::move(payload), .qos = 1, .id = id, .retain = true}));
  };
  retain("old", 1);
  broker.commitAll();
  broker.store().judge = [](std::span<const Operation>) { return Verdict::refuse; };
  Peer waiting = dial(broker, Version::v5, persistent(Version::v5, "waiting"));
  broker.run();  // its commit is under way, so both come into the next one
  retain("new", 2);
  retain("newer", 3);
  said(publisher);
  for (int i = 0; i < 3; ++i) broker.commit();
  CHECK(said(publisher) == Lines{"PUBACK #2 0x97", "PUBACK #3 0x97"});
  Peer subscriber = join(broker, Version::v5, clean5("s"));
  subscriber.send(subscribePacket(Version::v5, 1, {{"t", 0}}));
  CHECK(publishes(subscriber) == Lines{"PUBLISH t 'old' retain"});
}

TEST_CASE("a stored QoS 2 message that is too large for its client leaves its place to the next",
          "[durable_backend]") {
  Rows rows;
  DurableBroker broker{rows, {.outbound = {.maxInflight = 1}}};
  Connect connect = persistent(Version::v5, "s");
  connect.properties.push_back(property(PropertyId::maximumPacketSize, 200));
  Peer subscriber = broker.joinStored(Version::v5, connect);
  broker.subscribeStored(subscriber, "t", 2);
  Peer publisher = join(broker, Version::v5, clean5("p"));
  publisher.send(publishPacket(
      Version::v5, {.topic = "t", .payload = std::string(500, 'x'), .qos = 2, .id = 1}));
  publisher.send(publishPacket(Version::v5, {.topic = "t", .payload = "2", .qos = 2, .id = 2}));
  broker.commitAll();
  CHECK(said(subscriber) == Lines{"PUBLISH t '2' q2 #2"});
  CHECK(broker.metrics.value("messages_dropped_packet_too_large") == 1);
}

}  // namespace
}  // namespace mqttstack::test
