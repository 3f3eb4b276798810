#include "middlewares/backends/memory_backend.hpp"

#include <fmt/format.h>

#include <catch2/catch.hpp>

#include "tests/core/broker/support.hpp"
#include "tests/middlewares/protocol_broker.hpp"

namespace mqttstack::test {
namespace {

using namespace std::chrono_literals;

TEST_CASE(
    "overlapping subscriptions make one copy, at the highest QoS, with all identifiers "
    "[v311:3.3.5-1] [v5:3.3.4-2] [v5:3.3.4-3]",
    "[memory_backend]") {
  ProtocolBroker broker;
  const auto version = GENERATE(Version::v31, Version::v311, Version::v5);
  const bool v5 = version == Version::v5;
  Peer peer = join(broker, version, "a");
  subscribe(peer, "a/+", 0, v5 ? 1 : 0);
  subscribe(peer, "+/b", 2, v5 ? 2 : 0);
  subscribe(peer, "a/b", 1, v5 ? 3 : 0);
  subscribe(peer, "c", 2, v5 ? 4 : 0);
  Peer publisher = join(broker, version, "publisher");
  publish(publisher, {.topic = "a/b", .payload = "x", .qos = 2});
  Lines lines = said(peer);
  REQUIRE(lines.size() == 1);
  CHECK(lines[0].starts_with("PUBLISH a/b 'x' q2 #1"));
  for (const char* id : {" id=1", " id=2", " id=3"})
    CHECK((lines[0].find(id) != std::string::npos) == v5);
  CHECK(lines[0].find("id=4") == std::string::npos);
}

TEST_CASE("No Local keeps a client's own messages from it [v5:3.8.3-3]", "[memory_backend]") {
  ProtocolBroker broker;
  Peer one = join(broker, Version::v5, "one");
  Peer two = join(broker, Version::v5, "two");
  subscribe(one, "t", kNoLocal);
  subscribe(two, "t");
  one.send(publishPacket(Version::v5, {.topic = "t", .payload = "x"}));
  CHECK(said(one) == Lines{});
  CHECK(said(two) == Lines{"PUBLISH t 'x'"});
}

TEST_CASE(
    "a shared group's messages go to one of its members, to one that is there if there is "
    "one [v5:4.8.2-4] [v5:4.8.2-5]",
    "[memory_backend]") {
  ProtocolBroker broker;
  Peer one = join(broker, Version::v5, persistent(Version::v5, "one"));
  Peer two = join(broker, Version::v5, persistent(Version::v5, "two"));
  Peer alone = join(broker, Version::v5, "alone");
  subscribe(one, "$share/g/t", 1);
  subscribe(two, "$share/g/t", 1);
  subscribe(alone, "$share/other/t", 1);
  Peer publisher = join(broker, Version::v5, "publisher");
  const auto publishTen = [&] {
    for (int i = 0; i < 10; ++i) publish(publisher, {.topic = "t", .payload = "x", .qos = 1});
  };
  publishTen();
  const std::size_t ones = receiveAll(one).size();
  const std::size_t twos = receiveAll(two).size();
  CHECK(ones + twos == 10);
  CHECK(ones > 0);
  CHECK(twos > 0);
  CHECK(receiveAll(alone).size() == 10);

  two.reset();
  publishTen();
  CHECK(receiveAll(one).size() == 10);
  one.reset();
  publishTen();  // nobody is there: kept for one of them
  one = join(broker, Version::v5, persistent(Version::v5, "one"));
  two = join(broker, Version::v5, persistent(Version::v5, "two"));
  CHECK(receiveAll(one).size() + receiveAll(two).size() == 10);
  two.send(unsubscribePacket(Version::v5, 1, {"t"}));
  CHECK(said(two) == Lines{"UNSUBACK #1 0x11"});  // its name is the whole of it
  two.send(unsubscribePacket(Version::v5, 1, {"$share/g/t"}));
  CHECK(said(two) == Lines{"UNSUBACK #1 0"});
  publishTen();
  CHECK(receiveAll(one).size() == 10);
}

TEST_CASE("what waits for a session is limited by number and by size", "[memory_backend]") {
  const bool bySize = GENERATE(true, false);
  MemoryBackend::Options options;
  if (bySize)
    options.maxQueuedBytes = ByteCount{10'000};
  else
    options.maxQueuedMessages = 10;
  ProtocolBroker broker{{.backend = options}};
  Peer peer = join(broker, Version::v311, persistent(Version::v311, "a"));
  subscribe(peer, "t", 1);
  peer.reset();
  Peer publisher = join(broker, Version::v311, "publisher");
  for (int i = 0; i < 30; ++i)
    publish(publisher,
            {.topic = "t", .payload = fmt::format("{:03}{}", i, std::string(900, 'x')), .qos = 1});
  const auto waiting = broker.metrics.value("queued_messages");
  if (bySize) {
    CHECK(waiting >= 8);
    CHECK(waiting <= 11);
  } else {
    CHECK(waiting == 10);
  }
  CHECK(broker.metrics.value("messages_dropped_queue_full") == 30 - waiting);
  Peer back = join(broker, Version::v311, persistent(Version::v311, "a"));
  const Lines lines = receiveAll(back);
  REQUIRE(static_cast<std::int64_t>(lines.size()) == waiting);
  CHECK(lines.front().starts_with("PUBLISH t '000"));  // the oldest are kept
  CHECK(broker.metrics.value("queued_messages") == 0);
}

TEST_CASE("who comes first to a queue that is full is a matter of policy", "[memory_backend]") {
  const auto policy = GENERATE(Overflow::reject, Overflow::dropOldest, Overflow::dropNewest);
  const auto version = GENERATE(Version::v311, Version::v5);
  MemoryBackend::Options options;
  options.maxQueuedMessages = 2;
  options.overflow = policy;
  ProtocolBroker broker{{.backend = options}};
  std::size_t told = 0;
  Peer full = join(broker, version, persistent(version, "full"));
  subscribe(full, "t", 1);
  full.reset();
  Peer live = join(broker, version, "live");
  subscribe(live, "t", 1);
  Peer publisher = join(broker, version, "publisher");
  for (unsigned i = 1; i <= 3; ++i) {
    publisher.send(
        publishPacket(version, {.topic = "t", .payload = std::to_string(i), .qos = 1, .id = i}));
    for (const std::string& line : said(publisher)) told += line.ends_with(" 0x97");
  }
  CHECK(told == (policy == Overflow::reject && version == Version::v5 ? 1 : 0));
  CHECK(receiveAll(live).size() == 3);
  CHECK(broker.metrics.value("messages_dropped_queue_full") == 1);
  CHECK(broker.metrics.value("queued_messages") == 2);
  const Lines lines = [&] {
    Peer back = join(broker, version, persistent(version, "full"));
    return receiveAll(back);
  }();
  REQUIRE(lines.size() == 2);
  CHECK(lines[0].starts_with(policy == Overflow::dropOldest ? "PUBLISH t '2'" : "PUBLISH t '1'"));
  CHECK(broker.metrics.value("queued_bytes") == 0);
}

TEST_CASE("a session gives nothing up for a message that it gets no room for all the same",
          "[memory_backend]") {
  MemoryBackend::Options options;
  options.maxAllQueuedBytes = ByteCount{10'000};
  options.overflow = Overflow::dropOldest;
  ProtocolBroker broker{{.backend = options}};
  for (const auto& [name, topic] : {std::pair{"large", "l"}, std::pair{"small", "s"}}) {
    Peer peer = join(broker, Version::v5, persistent(Version::v5, name));
    subscribe(peer, topic, 1);
    peer.reset();
  }
  Peer publisher = join(broker, Version::v5, "publisher");
  publish(publisher, {.topic = "l", .payload = std::string(8000, 'x'), .qos = 1});
  publish(publisher, {.topic = "s", .payload = "1", .qos = 1});
  publish(publisher, {.topic = "s", .payload = "2", .qos = 1});
  publish(publisher, {.topic = "s", .payload = std::string(5000, 'x'), .qos = 1});
  CHECK(broker.metrics.value("queued_messages") == 3);
  CHECK(broker.metrics.value("messages_dropped_queue_full") == 1);
  Peer back = join(broker, Version::v5, persistent(Version::v5, "small"));
  CHECK(receiveAll(back).size() == 2);
}

TEST_CASE("what waits for all sessions together is limited, too", "[memory_backend]") {
  const bool bySize = GENERATE(true, false);
  MemoryBackend::Options options;
  if (bySize)
    options.maxAllQueuedBytes = ByteCount{10'000};
  else
    options.maxAllQueuedMessages = 9;
  ProtocolBroker broker{{.backend = options}};
  for (int i = 0; i < 3; ++i) {
    Peer peer = join(broker, Version::v311, persistent(Version::v311, fmt::format("client{}", i)));
    subscribe(peer, "t", 1);
    peer.reset();
  }
  Peer publisher = join(broker, Version::v311, "publisher");
  for (int i = 0; i < 10; ++i)
    publish(publisher, {.topic = "t", .payload = std::string(900, 'x'), .qos = 1});
  const auto waiting = broker.metrics.value("queued_messages");
  CHECK(waiting <= (bySize ? 11 : 9));
  CHECK(waiting >= 8);
  CHECK(broker.metrics.value("messages_dropped_queue_full") == 30 - waiting);
}

TEST_CASE("a topic with too many wildcards to look through reaches some, and the operator is told",
          "[memory_backend]") {
  ProtocolBroker broker{{.backend = {.maxSubscriptions = 2000}}};
  Peer hostile = join(broker, Version::v5, "hostile");
  for (std::size_t i = 0; i < 1024; ++i) subscribe(hostile, broker::test::hostileFilter(i));
  Peer exact = join(broker, Version::v5, "exact");
  const std::string topic = broker::test::hostileTopic();
  subscribe(exact, topic);
  Peer publisher = join(broker, Version::v5, "the publisher");
  for (int i = 1; i <= 4; ++i) {
    publish(publisher, {.topic = topic, .payload = "x"});
    CHECK(broker.metrics.value("matches_cut") == i);
    CHECK(said(hostile).size() == 1);
    CHECK(said(exact).size() == 1);
  }
  CHECK(broker.logged(LogLevel::warning) == 4);
  CHECK(broker.log.back().text.find("a message for \"a/a/a/") != std::string::npos);
  CHECK(broker.log.back().text.find("\"the publisher\"") != std::string::npos);
  for (int i = 0; i < 20; ++i) publish(publisher, {.topic = topic, .payload = "x"});
  CHECK(broker.metrics.value("matches_cut") == 24);
  CHECK(broker.logged(LogLevel::warning) == 10);  // as many a second as may be
  publish(publisher, {.topic = "a/a", .payload = "x"});
  CHECK(broker.metrics.value("matches_cut") == 24);
}

TEST_CASE("messages that expire while they wait are removed also if nobody comes for them",
          "[memory_backend]") {
  ProtocolBroker broker;
  for (int i = 0; i < 5; ++i) {
    Peer peer = join(broker, Version::v5, persistent(Version::v5, fmt::format("client{}", i)));
    subscribe(peer, "t", 1);
    peer.reset();
  }
  Peer publisher = join(broker, Version::v5, "publisher");
  for (unsigned i = 0; i < 1500; ++i)
    publish(publisher,
            {.topic = "t",
             .qos = 1,
             .properties =
                 i % 3 == 0 ? Properties{} : Properties{property(PropertyId::messageExpiry, 5)}});
  CHECK(broker.metrics.value("queued_messages") == 7500);
  broker.advance(30s);
  CHECK(broker.metrics.value("queued_messages") == 2500);
  CHECK(broker.metrics.value("messages_dropped_expired") == 5000);
}

TEST_CASE("retained messages are limited by size, whatever they take the place of",
          "[memory_backend]") {
  ProtocolBroker broker{{.backend = {.maxRetainedBytes = ByteCount{10'000}}}};
  Peer publisher = join(broker, Version::v5, "publisher");
  const auto retaining = [&](std::string topic, std::size_t bytes) {
    publisher.send(publishPacket(Version::v5, {.topic = std::move(topic),
                                               .payload = std::string(bytes, 'x'),
                                               .qos = 1,
                                               .id = 1,
                                               .retain = true}));
    return said(publisher).front();
  };
  CHECK(retaining("1", 4000) == "PUBACK #1 0x10");
  CHECK(retaining("2", 4000) == "PUBACK #1 0x10");
  CHECK(retaining("3", 4000) == "PUBACK #1 0x97");
  CHECK(retaining("2", 8000) == "PUBACK #1 0x97");  // refused: the former one stays
  CHECK(retaining("2", 5000) == "PUBACK #1 0x10");
  CHECK(retaining("1", 0) == "PUBACK #1 0x10");
  CHECK(retaining("3", 4000) == "PUBACK #1 0x10");
  CHECK(broker.logged(LogLevel::warning) == 1);  // told once, not for each
  CHECK(broker.metrics.value("retained_messages") == 2);
}

TEST_CASE("retained messages that expire are removed also if nobody asks for them",
          "[memory_backend]") {
  ProtocolBroker broker;
  Peer publisher = join(broker, Version::v5, clean("publisher"));
  for (int i = 0; i < 1000; ++i)
    publish(publisher, {.topic = fmt::format("t/{}", i),
                        .payload = "x",
                        .retain = true,
                        .properties = {property(PropertyId::messageExpiry, 5)}});
  publish(publisher, {.topic = "stays", .payload = "x", .retain = true});
  CHECK(broker.metrics.value("retained_messages") == 1001);
  broker.advance(20s);
  CHECK(broker.metrics.value("retained_messages") == 1);
}

TEST_CASE("many sessions that expire at the same moment all go", "[memory_backend]") {
  ProtocolBroker broker;
  for (int i = 0; i < 1000; ++i) {
    Peer peer = join(broker, Version::v5, persistent(Version::v5, fmt::format("client{}", i), 10));
    if (i % 2 == 0) subscribe(peer, "t", 1);
    peer.reset();
  }
  Peer publisher = join(broker, Version::v5, "publisher");
  publish(publisher, {.topic = "t", .qos = 1});
  CHECK(broker.metrics.value("sessions") == 1001);
  CHECK(broker.metrics.value("queued_messages") == 500);
  broker.advance(11s);
  CHECK(broker.metrics.value("sessions") == 1);
  CHECK(broker.metrics.value("subscriptions") == 0);
  CHECK(broker.metrics.value("queued_messages") == 0);
}

TEST_CASE("a session that never expires does not", "[memory_backend]") {
  ProtocolBroker broker{{.sessions = {.maxSessionExpiry = std::chrono::seconds{0xFFFF'FFFE}}}};
  Peer peer = join(broker, Version::v5, persistent(Version::v5, "a", 0xFFFF'FFFF));
  peer.reset();
  broker.advance(24h * 365);
  CHECK(broker.metrics.value("sessions") == 1);
}

TEST_CASE("a message published while a message is delivered goes its own way", "[memory_backend]") {
  int depth = 0;
  ProtocolBroker broker{{.last = [&](TestBroker& b) {
    b.on<ForwardMessage>([&](ForwardMessage& forward, SyncNext next, Done) {
      if (forward.message->topic() != "echo" || depth >= 3) return next();
      ++depth;
      broker::MessageFields fields;
      fields.topic = "echo";
      const std::string payload = std::to_string(depth);
      fields.payload = payload;
      b.stack().execute(RelayMessage{broker::Message::create(std::move(fields))},
                        [](std::error_code, RelayMessage&) {});
      return next();
    });
  }}};
  Peer one = join(broker, Version::v311, "one");
  Peer two = join(broker, Version::v311, "two");
  subscribe(one, "echo");
  subscribe(two, "echo");
  Peer publisher = join(broker, Version::v311, "publisher");
  publish(publisher, {.topic = "echo", .payload = "0"});
  CHECK(said(one).size() == 4);
  CHECK(said(two).size() == 4);
}

/// A broker on which each delivery takes so long that 256 of them take more than
/// the loop is to be held up.
Parts slowDelivery(Duration each) {
  return {.last = [each](TestBroker& b) {
    b.on<ForwardMessage>([&b, each](ForwardMessage&, SyncNext next, Done) {
      b.scheduler.jump(each);
      return next();
    });
  }};
}

TEST_CASE("a message for very many is given out in slices, in order", "[memory_backend]") {
  ProtocolBroker broker{slowDelivery(20us)};
  std::vector<Peer> peers;
  for (int i = 0; i < 600; ++i) {
    peers.push_back(join(broker, Version::v311, fmt::format("client{}", i)));
    subscribe(peers.back(), "t");
  }
  Peer publisher = join(broker, Version::v311, "publisher");
  publisher.push(publishPacket(Version::v311, {.topic = "t", .payload = "1", .qos = 1, .id = 1}) +
                 publishPacket(Version::v311, {.topic = "t", .payload = "2", .qos = 1, .id = 2}));
  broker.flushList.run();
  std::size_t first = 0;
  for (Peer& peer : peers) first += said(peer).empty() ? 0 : 1;
  CHECK(first == 256);
  CHECK(said(publisher) == Lines{});
}

TEST_CASE("a message is retained before it is given out in slices [v5:3.3.1-5]",
          "[memory_backend]") {
  ProtocolBroker broker{slowDelivery(20us)};
  std::vector<Peer> peers;
  for (int i = 0; i < 600; ++i) {
    peers.push_back(join(broker, Version::v311, fmt::format("client{}", i)));
    subscribe(peers.back(), "t");
  }
  Peer publisher = join(broker, Version::v311, "publisher");
  publisher.push(publishPacket(Version::v311, {.topic = "t", .payload = "1", .retain = true}));
  broker.flushList.run();
  CHECK(broker.metrics.value("retained_messages") == 1);
  std::size_t first = 0;
  for (Peer& peer : peers) first += said(peer).empty() ? 0 : 1;
  CHECK(first == 256);
}

TEST_CASE("a message that is given out in slices reaches everybody once", "[memory_backend]") {
  ProtocolBroker broker{slowDelivery(20us)};
  std::vector<Peer> peers;
  for (int i = 0; i < 600; ++i) {
    peers.push_back(join(broker, Version::v311, fmt::format("client{}", i)));
    subscribe(peers.back(), "t");
  }
  Peer publisher = join(broker, Version::v311, "publisher");
  publisher.push(publishPacket(Version::v311, {.topic = "t", .payload = "1"}) +
                 publishPacket(Version::v311, {.topic = "t", .payload = "2"}));
  SECTION("all stay") {
    broker.run();
    for (Peer& peer : peers) REQUIRE(said(peer) == Lines{"PUBLISH t '1'", "PUBLISH t '2'"});
  }
  SECTION("one that is still to get it goes") {
    peers[599].reset();
    broker.run();
    for (int i = 0; i < 599; ++i) REQUIRE(said(peers[static_cast<std::size_t>(i)]).size() == 2);
  }
  SECTION("the publisher goes") {
    publisher.reset();
    broker.run();
    for (Peer& peer : peers) REQUIRE(said(peer).front() == "PUBLISH t '1'");
  }
  SECTION("the broker stops") {
    broker.stack().cancelWalks();
    broker.run();
    CHECK(broker.stack().parkedWalks() == 0);
  }
}

}  // namespace
}  // namespace mqttstack::test
