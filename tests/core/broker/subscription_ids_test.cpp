#include "core/broker/subscription_ids.hpp"

#include <vector>

#include <catch2/catch.hpp>

using namespace mqttstack;
using mqttstack::broker::SubscriptionIds;

namespace {

std::vector<std::uint32_t> listed(const SubscriptionIds& ids) {
  std::vector<std::uint32_t> result;
  ids.forEach([&](std::uint32_t id) { result.push_back(id); });
  return result;
}

}  // namespace

TEST_CASE("subscription identifiers are kept in order, however many [v5:3.3.4-3] [v5:3.3.4-4]",
          "[subscription_ids]") {
  SubscriptionIds ids;
  CHECK(ids.empty());
  ids.add(0);
  CHECK(ids.empty());
  std::vector<std::uint32_t> expected;
  for (const std::uint32_t id : {mqtt::kMaxVariableByteInteger, 1U, 5U, 5U, 268'435'454U}) {
    ids.add(id);
    expected.push_back(id);
    CHECK(listed(ids) == expected);
    CHECK(ids.size() == expected.size());
    CHECK_FALSE(ids.empty());
    const SubscriptionIds copy = ids;
    SubscriptionIds from = copy;
    const SubscriptionIds moved = std::move(from);
    CHECK(listed(copy) == expected);
    CHECK(listed(moved) == expected);
    CHECK(from.empty());
  }
  ids = SubscriptionIds{};
  CHECK(ids.size() == 0);
}
