#include "middlewares/backends/memory_budget.hpp"

#include <algorithm>
#include <fmt/format.h>

#include <catch2/catch.hpp>

#include "core/util/usable_memory.hpp"
#include "tests/middlewares/backends/row_store.hpp"

namespace mqttstack::test {
namespace {

using namespace std::chrono_literals;

Parts limitedTo(std::uint64_t bytes, Overflow overflow = Overflow::reject) {
  Parts parts;
  parts.backend.memoryLimit = ByteCount{bytes};
  parts.backend.overflow = overflow;
  return parts;
}

/// What is answered to a QoS 1 message of so many bytes.
Lines answer(Peer& publisher, const std::string& topic, std::size_t bytes, bool retain = false) {
  publisher.send(publishPacket(
      versionOf(publisher),
      {.topic = topic, .payload = std::string(bytes, 'x'), .qos = 1, .id = 1, .retain = retain}));
  return said(publisher);
}

std::int64_t kept(const TestBroker& broker) {
  return broker.metrics.value("queued_bytes") + broker.metrics.value("retained_bytes");
}

/// A session that is kept, is subscribed to "t" and is not there.
void leaveSession(TestBroker& broker, Version version, const std::string& name) {
  Peer peer = join(broker, version, persistent(version, name));
  subscribe(peer, "t", 1);
  peer.reset();
}

TEST_CASE("queued and retained messages take no more than they may together", "[memory_budget]") {
  const auto version = GENERATE(Version::v31, Version::v311, Version::v5);
  const bool v5 = version == Version::v5;
  ProtocolBroker broker{limitedTo(20'000)};
  leaveSession(broker, version, "away");
  leaveSession(broker, version, "away too");
  Peer publisher = join(broker, version, "publisher");
  CHECK(answer(publisher, "r", 9000, true).at(0).starts_with("PUBACK #1"));
  CHECK(broker.metrics.value("retained_bytes") > 9000);
  Peer live = join(broker, version, "live");
  subscribe(live, "t", 0);
  int told = 0;
  for (int i = 0; i < 10; ++i) told += answer(publisher, "t", 1000).at(0).ends_with(" 0x97");
  const std::int64_t queued = broker.metrics.value("queued_messages");
  CHECK(queued >= 8);
  CHECK(queued <= 10);
  CHECK(kept(broker) <= 20'000);
  CHECK(broker.metrics.value("messages_dropped_memory_limit") == 20 - queued);
  CHECK(broker.metrics.value("messages_dropped_queue_full") == 0);
  CHECK(told == (v5 ? 10 - queued / 2 : 0));
  CHECK(receiveAll(live).size() == 10);  // nothing waits for it

  // What is retained may become less, and not more.
  if (v5) {
    CHECK(answer(publisher, "more", 1000, true) == Lines{"PUBACK #1 0x97"});
    CHECK(answer(publisher, "r", 10'500, true) == Lines{"PUBACK #1 0x97"});
    CHECK(broker.metrics.value("retained_messages_refused") == 2);
  }
  CHECK(answer(publisher, "r", 8999, true).at(0).starts_with("PUBACK #1"));
  CHECK(answer(publisher, "r", 0, true).at(0).starts_with("PUBACK #1"));
  CHECK(broker.metrics.value("retained_bytes") == 0);
  CHECK(answer(publisher, "more", 1000, true).at(0).starts_with("PUBACK #1"));
}

TEST_CASE("what clients do not acknowledge counts, too", "[memory_budget]") {
  const auto version = GENERATE(Version::v311, Version::v5);
  const unsigned qos = GENERATE(1U, 2U);
  ProtocolBroker broker{limitedTo(1'000'000)};
  Peer publisher = join(broker, version, "publisher");
  Peer one = join(broker, version, persistent(version, "one"));
  Peer two = join(broker, version, persistent(version, "two"));
  for (Peer* const reader : {&one, &two}) subscribe(*reader, "t", qos);
  for (int i = 0; i < 40; ++i) answer(publisher, "t", 40'000);
  for (Peer* const reader : {&one, &two}) {
    const std::size_t delivered = publishes(*reader).size();  // it acknowledges none
    CHECK(delivered >= 11);
    CHECK(delivered <= 13);
    reader->reset();
  }
  CHECK(broker.metrics.value("messages_dropped_memory_limit") > 50);
  Peer fresh = dial(broker, version, persistent(version, "new"));
  CHECK(said(fresh) == Lines{version == Version::v5 ? "CONNACK 151" : "CONNACK 3"});
}

TEST_CASE("a session makes room in the memory of all at its own cost only", "[memory_budget]") {
  ProtocolBroker broker{limitedTo(10'000, Overflow::dropOldest)};
  leaveSession(broker, Version::v5, "away");
  Peer publisher = join(broker, Version::v5, "publisher");
  for (int i = 0; i < 20; ++i) CHECK(answer(publisher, "t", 1000) == Lines{"PUBACK #1"});
  const std::int64_t queued = broker.metrics.value("queued_messages");
  CHECK(queued >= 8);
  CHECK(broker.metrics.value("messages_dropped_memory_limit") == 20 - queued);
  Peer second = join(broker, Version::v5, "second");
  CHECK(answer(publisher, "r", 2000, true) == Lines{"PUBACK #1 0x97"});
  CHECK(broker.metrics.value("queued_messages") == queued);
}

TEST_CASE("without memory no session begins that would be kept, and all others do",
          "[memory_budget]") {
  const auto version = GENERATE(Version::v31, Version::v311, Version::v5);
  ProtocolBroker broker{limitedTo(10'000)};
  leaveSession(broker, version, "away");
  Peer connected = join(broker, version, "connected");
  Peer publisher = join(broker, version, "publisher");
  CHECK(broker.logged(LogLevel::warning) == 0);
  for (int i = 0; i < 20; ++i) answer(publisher, "t", 1000);
  CHECK(broker.logged(LogLevel::warning) == 1);  // told once, not for each

  const auto refused = [&](const std::string& name) {
    Peer peer = dial(broker, version, persistent(version, name));
    return said(peer);
  };
  const Lines refusal{version == Version::v5 ? "CONNACK 151" : "CONNACK 3"};
  CHECK(refused("new") == refusal);
  CHECK(refused("connected") == refusal);  // nor in place of one that is not
  CHECK_FALSE(connected.gone());
  CHECK(broker.metrics.value("sessions_refused") == 2);
  CHECK(broker.metrics.value("sessions") == 3);
  Peer other = join(broker, version, "other");
  CHECK(broker.logged(LogLevel::warning) == 1);

  // One that is kept already comes back, and takes what waits for it.
  {
    Peer back = join(broker, version, persistent(version, "away"));
    CHECK(receiveAll(back).size() >= 8);
  }
  CHECK(kept(broker) == 0);
  Peer fresh = join(broker, version, persistent(version, "new"));
  CHECK(broker.metrics.value("sessions_refused") == 2);
  CHECK(broker.logged(LogLevel::warning) == 1);
  CHECK(std::count_if(broker.log.begin(), broker.log.end(), [](const auto& line) {
          return line.text.find("there is room again") != std::string::npos;
        }) == 1);
}

TEST_CASE("a kept session may be begun anew also without memory [v5:3.1.2-4]", "[memory_budget]") {
  ProtocolBroker broker{limitedTo(10'000)};
  leaveSession(broker, Version::v5, "away");
  Peer publisher = join(broker, Version::v5, "publisher");
  for (int i = 0; i < 20; ++i) answer(publisher, "t", 1000);
  auto anew = persistent(Version::v5, "away");
  anew.clean = true;
  Peer back = join(broker, Version::v5, anew);
  CHECK(kept(broker) == 0);
}

TEST_CASE("a message that is too large for the memory of all keeps nobody else out",
          "[memory_budget]") {
  ProtocolBroker broker{limitedTo(10'000)};
  leaveSession(broker, Version::v5, "away");
  Peer publisher = join(broker, Version::v5, "publisher");
  CHECK(answer(publisher, "t", 20'000) == Lines{"PUBACK #1 0x97"});
  CHECK(answer(publisher, "r", 20'000, true) == Lines{"PUBACK #1 0x97"});
  CHECK(broker.logged(LogLevel::warning) == 0);
  Peer fresh = join(broker, Version::v5, persistent(Version::v5, "new"));
  CHECK(answer(publisher, "t", 1000) == Lines{"PUBACK #1"});
}

TEST_CASE("retained messages that expire leave the memory, and then there is room",
          "[memory_budget]") {
  ProtocolBroker broker{limitedTo(10'000)};
  Peer publisher = join(broker, Version::v5, clean("publisher"));
  for (unsigned i = 0; i < 20; ++i) {
    publisher.send(
        publishPacket(Version::v5, {.topic = fmt::format("t/{}", i),
                                    .payload = std::string(1000, 'x'),
                                    .qos = 1,
                                    .id = 1,
                                    .retain = true,
                                    .properties = {property(PropertyId::messageExpiry, 5)}}));
    said(publisher);
  }
  CHECK(broker.metrics.value("retained_messages_refused") > 0);
  Peer refused = dial(broker, Version::v5, persistent(Version::v5, "new"));
  CHECK(said(refused) == Lines{"CONNACK 151"});
  broker.advance(20s);
  CHECK(broker.metrics.value("retained_bytes") == 0);
  Peer fresh = join(broker, Version::v5, persistent(Version::v5, "new"));
}

TEST_CASE("what a store has kept is brought back beyond the memory limit, and nothing more taken",
          "[memory_budget]") {
  Rows rows;
  {
    DurableBroker broker{rows};
    Peer away = broker.joinStored(Version::v5, persistent(Version::v5, "away"));
    broker.subscribeStored(away, "t", 1);
    away.reset();
    Peer publisher = join(broker, Version::v5, "publisher");
    for (int i = 0; i < 20; ++i) answer(publisher, "t", 1000);
    answer(publisher, "r", 1000, true);
    broker.commitAll();
    CHECK(said(publisher).size() == 21);
  }
  DurableBroker broker{rows, limitedTo(10'000)};
  Peer fresh = dial(broker, Version::v5, persistent(Version::v5, "new"));
  CHECK(said(fresh) == Lines{"CONNACK 151"});
  CHECK(broker.metrics.value("queued_messages") == 20);
  CHECK(broker.metrics.value("retained_bytes") > 1000);
  CHECK(rows.sessions.size() == 1);
  Peer publisher = join(broker, Version::v5, "publisher");
  CHECK(answer(publisher, "t", 1000) == Lines{"PUBACK #1 0x97"});
  CHECK(answer(publisher, "q", 1000, true) == Lines{"PUBACK #1 0x97"});
  broker.commitAll();
  CHECK(rows.queue.size() == 20);
  CHECK(rows.retained.size() == 1);
  Peer back = broker.joinStored(Version::v5, persistent(Version::v5, "away"));
}

TEST_CASE("unless it is set, the memory limit is half of what may be used", "[memory_budget]") {
  ProtocolBroker broker;
  CHECK(broker.metrics.value("memory_limit_bytes") ==
        static_cast<std::int64_t>(usableMemory() / 2));
}

TEST_CASE("the messages of all backends count for the limit of each", "[memory_budget]") {
  Metrics metrics;
  const Logger silent;
  MemoryBudget one{metrics, silent, ByteCount{1000}};
  MemoryBudget two{metrics, silent, ByteCount{2000}};
  one.setRetained(600);
  two.setRetained(300);
  CHECK(one.fits(100));
  CHECK_FALSE(one.fits(101));
  CHECK(two.fits(1100));
  CHECK_FALSE(two.fits(1101));
  two.setRetained(400);
  CHECK(metrics.value("retained_bytes") == 1000);
  CHECK(one.exhausted());
  CHECK_FALSE(two.exhausted());
  two.setRetained(300);
  CHECK(one.exhausted());  // not before an eighth is free
  one.setRetained(575);
  CHECK_FALSE(one.exhausted());
}

}  // namespace
}  // namespace mqttstack::test
