#include "core/broker/packet_ids.hpp"

#include <random>
#include <set>
#include <vector>

#include <catch2/catch.hpp>

using namespace mqttstack::broker;

TEST_CASE("packet ids are given out in turn, from 1 and never 0 [v311:2.3.1-1] [v5:2.2.1-3]",
          "[packet_ids]") {
  PacketIds ids;
  for (std::uint32_t round = 0; round < 2; ++round)
    for (std::uint32_t expected = 1; expected <= 65'535; ++expected) {
      const std::uint16_t id = ids.allocate();
      if (id != expected || !ids.release(id)) FAIL(id << " instead of " << expected);
    }
  CHECK(ids.size() == 0);
}

TEST_CASE("a packet id in use is never given out again [v311:2.3.1-2] [v5:2.2.1-3]",
          "[packet_ids]") {
  PacketIds ids;
  CHECK(ids.allocate() == 1);
  CHECK(ids.reserve(3));
  CHECK_FALSE(ids.reserve(3));
  CHECK_FALSE(ids.reserve(0));
  CHECK(ids.allocate() == 4);
  CHECK(ids.reserve(65'534));
  CHECK(ids.allocate() == 65'535);
  CHECK(ids.allocate() == 2);
  CHECK(ids.allocate() == 5);
  CHECK_FALSE(ids.release(6));
  CHECK_FALSE(ids.release(0));
  CHECK(ids.release(4));
  CHECK(ids.allocate() == 6);
}

TEST_CASE("packet ids run out at 65 535 and come back when released", "[packet_ids]") {
  PacketIds ids;
  int count = 0;
  while (ids.allocate() != 0) ++count;
  CHECK(count == 65'535);
  CHECK(ids.full());
  CHECK(ids.allocate() == 0);
  CHECK(ids.release(40'000));
  CHECK_FALSE(ids.full());
  CHECK(ids.allocate() == 40'000);
  CHECK(ids.allocate() == 0);
}

TEST_CASE("an id set agrees with a plain set under random changes", "[packet_ids]") {
  const std::uint32_t seed = GENERATE(31U, 32U, 33U);
  INFO("seed " << seed);
  std::mt19937 random{seed};
  // Small, to fill up; then wide, to have gaps.
  for (const std::uint32_t span : {200U, 65'536U}) {
    IdSet set;
    std::set<std::uint16_t> oracle;
    for (int step = 0; step < 20'000; ++step) {
      const auto id = static_cast<std::uint16_t>(random() % span);
      if (random() % 3 != 0)
        REQUIRE(set.insert(id) == oracle.insert(id).second);
      else
        REQUIRE(set.erase(id) == (oracle.erase(id) == 1));
      REQUIRE(set.size() == oracle.size());
      REQUIRE(set.contains(id) == oracle.contains(id));
      if (step % 50 == 0) {
        const auto from = static_cast<std::uint16_t>(random() % span);
        std::uint32_t expected = from == 0 ? 1 : from;
        while (expected < 65'536 && oracle.contains(static_cast<std::uint16_t>(expected)))
          ++expected;
        REQUIRE(expected < 65'536);
        REQUIRE(set.firstAbsent(from) == expected);
      }
    }
    std::vector<std::uint16_t> listed;
    set.forEach([&](std::uint16_t id) { listed.push_back(id); });
    CHECK(listed == std::vector<std::uint16_t>(oracle.begin(), oracle.end()));
  }
}
