#include "middlewares/backends/sqlite_store.hpp"

#include <filesystem>
#include <fmt/format.h>
#include <fstream>
#include <random>

#include <catch2/catch.hpp>
#include <sqlite3.h>

#include "middlewares/backends/identity_text.hpp"
#include "middlewares/backends/sqlite_schema.hpp"
#include "tests/middlewares/backends/failing_vfs.hpp"
#include "tests/middlewares/backends/store_fixture.hpp"

namespace mqttstack::test {
namespace {

using broker::DeliveryState;
using mqtt::Qos;

std::int64_t count(const std::filesystem::path& path, const std::string& table) {
  SqliteDatabase database;
  REQUIRE(database.open(path.string()) == SQLITE_OK);
  return database.number(("SELECT count(*) FROM " + table).c_str()).value_or(-1);
}

TEST_CASE("an identity survives being written as text, whatever its fields hold",
          "[sqlite_store]") {
  const auto identity = someIdentity();
  const auto fields = identityFromText(identityToText(*identity));
  REQUIRE(fields);
  CHECK(fields->principal == "alice");
  CHECK(fields->clientId == "dev\tice\\7\n");
  CHECK(fields->groups == identity->groups());
  CHECK_FALSE(fields->anonymous);
  CHECK_FALSE(fields->grants);
  for (const char* wrong : {"", "a\tb", "a\tb\tc\td\te\tnobody", "a\\x\tb\tc\td\te\t", "\\",
                            "a\tb\tc\td\te\t\t", "a\tb\tc\td\te\t\tx", "a\tb\tc\td\te\t\tpf",
                            "a\tb\tc\td\te\t\tr\tr", "a\tb\tc\td\te\t\trx"})
    CHECK_FALSE(identityFromText(wrong));
}

TEST_CASE("the rights that credentials brought survive with the identity", "[sqlite_store]") {
  broker::IdentityFields given;
  const bool some = GENERATE(true, false);
  auto grants = std::make_shared<std::vector<broker::Grant>>();
  if (some) *grants = {{"a/\t/#", true, false}, {"b", false, true}, {"", true, true}};
  given.grants = grants;
  const auto fields = identityFromText(identityToText(*broker::makeIdentity(given)));
  REQUIRE(fields);
  REQUIRE(fields->grants);
  REQUIRE(fields->grants->size() == grants->size());
  for (std::size_t i = 0; i < grants->size(); ++i) {
    CHECK((*fields->grants)[i].filter == (*grants)[i].filter);
    CHECK((*fields->grants)[i].publish == (*grants)[i].publish);
    CHECK((*fields->grants)[i].subscribe == (*grants)[i].subscribe);
  }
}

TEST_CASE("what was committed is there when the store is opened again", "[sqlite_store]") {
  const StoreDirectory directory;
  const auto path = directory.database();
  const auto kept = message("a/b", std::string{"\0\xff payload", 10});
  {
    OpenedStore opened{path};
    REQUIRE(opened.wrong == "");
    auto subscription = std::make_unique<PutSubscription>();
    subscription->session = 1;
    subscription->filter = "a/#";
    subscription->options.qos = Qos::exactlyOnce;
    subscription->options.noLocal = true;
    subscription->identifier = 77;
    auto will = std::make_unique<PutWill>();
    will->session = 1;
    will->will.topic = "will";
    will->will.author = someIdentity();
    will->will.expiryInterval = 9;
    will->will.delay = 3;
    broker::SubscriptionIds ids;
    ids.add(1);
    ids.add(2);
    ids.add(3);
    CHECK(opened
              .commit(list(session(1, "s"), std::move(subscription), std::move(will),
                           PutIncoming{1, 42},
                           PutDelivery{5, 1, kept, ids, 9, Qos::exactlyOnce,
                                       DeliveryState::awaitingPubrec, true},
                           delivery(6, 1, kept), PutRetained{kept, {}}))
              .kind == CommitResult::Kind::stored);
  }
  OpenedStore opened{path};
  REQUIRE(opened.wrong == "");
  CHECK(opened.warnings.empty());
  const Rows& rows = opened.reading.rows;
  REQUIRE(rows.sessions.count(1) == 1);
  CHECK(rows.sessions.at(1).clientId == "s");
  CHECK(rows.sessions.at(1).expiryInterval == 100);
  CHECK(rows.sessions.at(1).owner->principal() == "alice");
  REQUIRE(rows.subscriptions.count({1, "a/#"}) == 1);
  CHECK(rows.subscriptions.at({1, "a/#"}).options.noLocal);
  CHECK(rows.subscriptions.at({1, "a/#"}).identifier == 77);
  CHECK(rows.incoming.count({1, 42}) == 1);
  REQUIRE(rows.queue.size() == 2);
  const PutDelivery& first = rows.queue.at(5);
  CHECK(first.message->payload() == kept->payload());
  CHECK(first.message->sequence() == kept->sequence());
  CHECK(first.message->author()->clientId() == "dev\tice\\7\n");
  CHECK(first.packetId == 9);
  CHECK(first.state == DeliveryState::awaitingPubrec);
  CHECK(first.retain);
  CHECK(first.subscriptionIds.size() == 3);
  CHECK(rows.queue.at(6).message == first.message);
  CHECK(rows.retained.at("a/b") == first.message);
  CHECK(rows.wills.at(1).will.expiryInterval == 9U);
  CHECK(rows.wills.at(1).will.delay == 3);
  CHECK(count(path, "message") == 1);
}

TEST_CASE("a message is stored once and goes with the last row that uses it", "[sqlite_store]") {
  const StoreDirectory directory;
  OpenedStore opened{directory.database()};
  const auto kept = message("t");
  opened.commit(list(session(1, "a"), session(2, "b"), delivery(1, 1, kept), delivery(2, 2, kept),
                     PutRetained{kept, {}}));
  CHECK(count(directory.database(), "message") == 1);
  opened.commit(list(DropDelivery{1}, DropRetained{kept}));
  CHECK(count(directory.database(), "message") == 1);
  SECTION("one by one") { opened.commit(list(DropDelivery{2})); }
  SECTION("with what a session leaves behind") {
    opened.commit(list(DropDeliveries{{1, 2}}, DropSession{2}));
    CHECK(count(directory.database(), "session") == 1);
  }
  CHECK(count(directory.database(), "message") == 0);
  CHECK(count(directory.database(), "queue") == 0);
}

TEST_CASE("a second process is kept away", "[sqlite_store]") {
  const StoreDirectory directory;
  const OpenedStore first{directory.database()};
  REQUIRE(first.wrong == "");
  const OpenedStore second{directory.database()};
  CHECK_THAT(second.wrong, Catch::Contains("another process has") && Catch::Contains("x.db.lock"));
  CHECK(SqliteStore::examine(directory.database()) == "");
}

TEST_CASE("files that are no store of ours are refused", "[sqlite_store]") {
  const StoreDirectory directory;
  const auto path = directory.database();
  SqliteDatabase database;
  SECTION("of another program") {
    std::ofstream{path};
    REQUIRE(database.open(path.string()) == SQLITE_OK);
    database.execute("CREATE TABLE other(a)");
  }
  SECTION("of a newer version") {
    { const OpenedStore made{path}; }
    REQUIRE(database.open(path.string()) == SQLITE_OK);
    database.execute("PRAGMA user_version = 99");
  }
  std::string why;
  SECTION("no database at all") {
    std::ofstream{path} << std::string(10'000, 'x');
    why = " is no SQLite file; correct the path";
  }
  database = {};
  const std::string examined = SqliteStore::examine(path);
  CHECK_THAT(examined, Catch::EndsWith(why));
  CHECK_THAT(examined, Catch::Contains(path.string()));
  const OpenedStore opened{path};
  CHECK(opened.wrong == examined);
}

TEST_CASE("killed while the tables were made, it makes them the next time", "[sqlite_store]") {
  const StoreDirectory directory;
  std::ofstream{directory.database()};  // nothing was committed yet
  CHECK(SqliteStore::examine(directory.database()) == "");
  const OpenedStore opened{directory.database()};
  CHECK(opened.wrong == "");
}

TEST_CASE("a damaged file is refused or read in part, and never believed", "[sqlite_store]") {
  const StoreDirectory directory;
  const auto path = directory.database();
  {
    OpenedStore opened{path};
    for (std::uint64_t i = 1; i <= 200; ++i)
      opened.commit(list(session(i, fmt::format("client{}", i)),
                         delivery(i, i, message("t", std::string(i * 5, 'x')))));
  }
  std::ifstream in{path, std::ios::binary};
  const std::string whole{std::istreambuf_iterator<char>{in}, {}};
  std::mt19937 random{11};
  std::size_t refused = 0;
  std::size_t told = 0;
  for (int i = 0; i < 60; ++i) {
    std::string damaged = whole;
    if (i % 4 == 0)
      damaged.resize(random() % damaged.size());
    else
      for (int bit = 0; bit <= i % 3 * 20; ++bit)
        damaged[random() % damaged.size()] ^= static_cast<char>(1U << random() % 8);
    for (const char* suffix : {"-wal", "-shm", ".lock"})
      std::filesystem::remove(path.string() + suffix);
    std::ofstream{path, std::ios::binary | std::ios::trunc} << damaged;
    std::filesystem::permissions(
        path, std::filesystem::perms::owner_read | std::filesystem::perms::owner_write);
    const std::string examined = SqliteStore::examine(path);
    OpenedStore opened{path};
    refused += !opened.wrong.empty();
    told += !examined.empty();
    if (!opened.wrong.empty()) CHECK_THAT(opened.wrong, Catch::Contains(path.string()));
    for (const auto& [number, row] : opened.reading.rows.queue)
      if (row.message) CHECK(row.message->topic().size() <= 65'535);
  }
  CHECK(refused > 10);
  CHECK(told >= refused / 2);
}

// A disk that fails.

TEST_CASE("a write that fails breaks the store, whichever write it is", "[sqlite_store]") {
  const auto fault =
      GENERATE(FailingVfs::Fault::error, FailingVfs::Fault::shortWrite, FailingVfs::Fault::sync);
  FailingVfs vfs;
  std::size_t broken = 0;
  for (int nth = 1; nth <= 12; ++nth) {
    const StoreDirectory directory;
    std::size_t stored = 0;
    bool gone = false;
    {
      OpenedStore opened{directory.database(), vfs.name()};
      REQUIRE(opened.wrong == "");
      vfs.failAt(fault, nth);
      for (std::uint64_t i = 1; i <= 20 && !gone; ++i) {
        const auto result =
            opened.commit(list(session(i, fmt::format("c{}", i)),
                               delivery(i, i, message("t", std::string(3000, 'x')))));
        gone = result.kind == CommitResult::Kind::broken;
        if (result.kind == CommitResult::Kind::stored) ++stored;
        if (gone) CHECK_THAT(result.message, Catch::Contains("x.db"));
      }
      vfs.failAt(fault, 0);
    }
    broken += gone;
    OpenedStore again{directory.database()};
    INFO("fault " << static_cast<int>(fault) << " at " << nth);
    REQUIRE(again.wrong == "");
    CHECK(again.reading.rows.queue.size() >= stored);
  }
  CHECK(broken > 5);
}

TEST_CASE("a full disk refuses what it has no room for, and has room again later",
          "[sqlite_store]") {
  FailingVfs vfs;
  const StoreDirectory directory;
  OpenedStore opened{directory.database(), vfs.name()};
  REQUIRE(opened.wrong == "");
  opened.commit(list(session(1, "s"), delivery(1, 1, message("t"))));
  vfs.limitFiles(true);
  std::vector<Operation> operations;
  std::vector<StoreUnit> units;
  const auto unit = [&](Operation operation) {
    operations.push_back(std::move(operation));
    units.push_back({static_cast<std::uint32_t>(operations.size())});
  };
  const std::string large(1'000'000, 'x');
  unit(delivery(2, 1, message("t", large)));
  unit(DropDelivery{1});
  unit(delivery(3, 1, message("t", large)));
  unit(PutIncoming{1, 5});
  const CommitResult result = opened.store.commit(operations, units);
  CHECK(result.kind == CommitResult::Kind::partly);
  CHECK_THAT(result.message, Catch::Contains("x.db") && Catch::Contains("full"));
  CHECK(units[0].failed);
  CHECK_FALSE(units[1].failed);
  CHECK(units[2].failed);
  CHECK_FALSE(units[3].failed);
  vfs.limitFiles(false);
  CHECK(opened.commit(list(delivery(4, 1, message("t", large)))).kind ==
        CommitResult::Kind::stored);
  CHECK(count(directory.database(), "queue") == 1);
  CHECK(count(directory.database(), "message") == 1);
  CHECK(count(directory.database(), "incoming") == 1);
}

TEST_CASE("the file shrinks when there is less in it", "[sqlite_store]") {
  const StoreDirectory directory;
  const auto path = directory.database();
  OpenedStore opened{path};
  std::vector<std::uint64_t> numbers;
  opened.commit(list(session(1, "s")));
  for (std::uint64_t i = 1; i <= 40; ++i) {
    opened.commit(list(delivery(i, 1, message("t", std::string(500'000, 'x')))));
    numbers.push_back(i);
  }
  for (int i = 0; i < 3; ++i) opened.store.tidyUp();
  const auto full = std::filesystem::file_size(path);
  CHECK(full > 15'000'000);
  opened.commit(list(DropDeliveries{numbers}));
  for (int i = 0; i < 100 && opened.store.tidyUp(); ++i) {
  }
  opened.store.tidyUp();
  CHECK(std::filesystem::file_size(path) < full / 3);
}

TEST_CASE("nobody but its owner may read the file", "[sqlite_store]") {
  const StoreDirectory directory;
  const OpenedStore opened{directory.database()};
  for (const char* suffix : {"", "-wal", ".lock"}) {
    const auto mode = std::filesystem::status(directory.database().string() + suffix).permissions();
    CHECK((static_cast<unsigned>(mode) & 077U) == 0);
  }
}

}  // namespace
}  // namespace mqttstack::test
