#include "core/broker/session_table.hpp"

#include <map>
#include <random>
#include <string>
#include <vector>

#include <catch2/catch.hpp>

#include "tests/core/broker/support.hpp"

using namespace mqttstack;
using namespace mqttstack::broker;
using namespace mqttstack::broker::test;

namespace {

TimePoint at(int seconds) { return TimePoint{} + std::chrono::seconds{seconds}; }

std::vector<std::string> expiredAt(SessionTable& table, TimePoint now, std::size_t limit = 1000) {
  std::vector<std::string> ids;
  table.expired(
      now,
      [&](const SessionPtr& session) {
        ids.push_back(session->clientId());
        table.remove(*session);
      },
      limit);
  return ids;
}

using Ids = std::vector<std::string>;

}  // namespace

TEST_CASE("the table finds sessions by client identifier [v311:3.1.3-2] [v5:3.1.3-2]",
          "[session_table]") {
  SessionTable table{1};
  const SessionPtr a = table.create("a", identityOf("a"));
  CHECK(table.find("a") == a);
  CHECK_FALSE(table.find("A"));
  CHECK_FALSE(table.find(""));
  CHECK(table.size() == 1);
  CHECK(table.remove(*a));
  CHECK(a->ended());
  CHECK_FALSE(table.remove(*a));
  CHECK_FALSE(table.find("a"));
  const SessionPtr next = table.create("a", identityOf("a"));
  CHECK_FALSE(table.remove(*a));
  CHECK(table.find("a") == next);
}

TEST_CASE("removing a session that only the table owns is safe", "[session_table]") {
  SessionTable table{1};
  table.create("a", identityOf("a"));
  Session& session = *table.find("a");
  table.attach(session, someClient(), someStack(), identityOf("a"));
  CHECK(table.connected() == 1);
  CHECK(table.remove(session));
  CHECK(table.connected() == 0);
  CHECK(table.size() == 0);
}

TEST_CASE("a session removed while connected is detached afterwards", "[session_table]") {
  SessionTable table{1};
  const SessionPtr a = table.create("a", identityOf("a"));
  table.attach(*a, someClient(), someStack(), identityOf("a"));
  table.remove(*a);
  table.detach(*a, at(1));
  CHECK(table.connected() == 0);
  CHECK(table.nextExpiry() == TimePoint::max());
}

TEST_CASE("sessions end in the order of their time [v5:3.1.2-23]", "[session_table]") {
  SessionTable table{1};
  for (const auto& [id, interval] : std::map<std::string, std::uint32_t>{
           {"now", 0}, {"ten", 10}, {"five", 5}, {"never", Session::kNeverExpires}}) {
    const SessionPtr session = table.create(id, identityOf(id));
    table.attach(*session, someClient(), someStack(), identityOf(id));
    session->setExpiryInterval(interval);
  }
  CHECK(table.nextExpiry() == TimePoint::max());
  table.forEach([&](Session& session) { table.detach(session, at(100)); });
  CHECK(table.nextExpiry() == at(100));
  CHECK(expiredAt(table, at(99)).empty());
  CHECK(expiredAt(table, at(200), 2) == Ids{"now", "five"});
  CHECK(expiredAt(table, at(109)).empty());
  CHECK(expiredAt(table, at(110)) == Ids{"ten"});
  CHECK(expiredAt(table, TimePoint::max() - std::chrono::seconds{1}).empty());
  CHECK(table.size() == 1);
}

TEST_CASE("a session that is taken up again does not end", "[session_table]") {
  SessionTable table{1};
  const SessionPtr a = table.create("a", identityOf("a"));
  a->setExpiryInterval(10);
  table.attach(*a, someClient(), someStack(), identityOf("a"));
  table.detach(*a, at(0));
  table.attach(*a, someClient(), someStack(), identityOf("a"));
  CHECK(expiredAt(table, at(1000)).empty());
  table.detach(*a, at(1000));
  CHECK(table.nextExpiry() == at(1010));
  a->setExpiryInterval(20);
  table.scheduleExpiry(*a);
  CHECK(table.nextExpiry() == at(1020));
}

TEST_CASE("expiry agrees with a plain search under random changes", "[session_table]") {
  const std::uint32_t seed = GENERATE(51U, 52U, 53U);
  INFO("seed " << seed);
  std::mt19937 random{seed};
  SessionTable table{seed};
  std::map<std::string, SessionPtr> all;
  int now = 0;
  for (int step = 0; step < 20'000; ++step) {
    const std::string id = std::to_string(random() % 200);
    SessionPtr session = table.find(id);
    REQUIRE((session != nullptr) == all.contains(id));
    if (!session) {
      session = table.create(id, identityOf(id));
      session->setExpiryInterval(static_cast<std::uint32_t>(random() % 50));
      table.attach(*session, someClient(), someStack(), identityOf(id));
      all[id] = session;
    } else if (random() % 10 == 0) {
      table.remove(*session);
      all.erase(id);
    } else if (session->connected()) {
      table.detach(*session, at(now));
    } else {
      table.attach(*session, someClient(), someStack(), identityOf(id));
    }
    if (random() % 5 == 0) {
      ++now;
      TimePoint earliest = TimePoint::max();
      std::size_t due = 0;
      for (const auto& [name, one] : all) {
        earliest = std::min(earliest, one->expiresAt());
        if (one->expiresAt() <= at(now)) ++due;
      }
      REQUIRE(table.nextExpiry() == earliest);
      const Ids ended = expiredAt(table, at(now));
      REQUIRE(ended.size() == due);
      for (const std::string& name : ended) {
        REQUIRE(all.at(name)->expiresAt() <= at(now));
        all.erase(name);
      }
    }
    REQUIRE(table.size() == all.size());
  }
}
