#include "core/broker/id_set.hpp"

#include <random>
#include <set>
#include <vector>

#include <catch2/catch.hpp>

using namespace mqttstack::broker;

TEST_CASE("an id set agrees with a plain set under random changes", "[id_set]") {
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
    }
    std::vector<std::uint16_t> listed;
    set.forEach([&](std::uint16_t id) { listed.push_back(id); });
    CHECK(listed == std::vector<std::uint16_t>(oracle.begin(), oracle.end()));
  }
}
