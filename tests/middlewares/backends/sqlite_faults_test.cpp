#include <filesystem>
#include <fmt/format.h>
#include <fstream>
#include <string>
#include <vector>

#include <catch2/catch.hpp>
#include <sqlite3.h>

#include "middlewares/backends/sqlite_log.hpp"
#include "middlewares/backends/sqlite_store.hpp"
#include "tests/middlewares/backends/failing_vfs.hpp"
#include "tests/middlewares/backends/store_fixture.hpp"

/// A store whose file others touch, whose log is damaged, or whose disk fails at a
/// time when nobody waits.
namespace mqttstack::test {
namespace {

using Kind = CommitResult::Kind;

std::vector<Operation> one(std::uint64_t i) {
  return list(session(i, fmt::format("client{}", i)),
              delivery(i, i, message("t", std::string(3000, 'x'))));
}

/// What a process that was killed leaves: a store whose log was not taken up.
std::string killedStore(const StoreDirectory& directory, std::uint64_t transactions) {
  OpenedStore opened{directory.database()};
  for (std::uint64_t i = 1; i <= transactions; ++i)
    REQUIRE(opened.commit(one(i)).kind == Kind::stored);
  const std::string copy = directory.database().string() + ".copy";
  for (const char* suffix : {"", "-wal"})
    std::filesystem::copy_file(directory.database().string() + suffix, copy + suffix);
  return copy;
}

std::string contentOf(const std::string& path) {
  std::ifstream in{path, std::ios::binary};
  return {std::istreambuf_iterator<char>{in}, {}};
}
void write(const std::string& path, const std::string& content) {
  std::ofstream{path, std::ios::binary | std::ios::trunc} << content;
}

// The log.

TEST_CASE("a sound log is taken for sound, also if its end was not written", "[sqlite_log]") {
  const StoreDirectory directory;
  const std::string path = killedStore(directory, 10);
  const std::string log = contentOf(path + "-wal");
  std::size_t warned = 0;
  for (std::size_t size = 0; size < log.size(); size += 1 + log.size() / 37) {
    write(path + "-wal", log.substr(0, size));
    INFO("of " << log.size() << " bytes " << size);
    CHECK(examineLog(path).damage == "");
    warned += !examineLog(path).warning.empty();
  }
  CHECK(warned == 0);
  write(path + "-wal", log);
  CHECK(examineLog(path).warning == "");
  std::filesystem::remove(path + "-wal");
  CHECK(examineLog(path).damage == "");
}

TEST_CASE("a bit that is wrong in the log is seen, wherever it is, and nothing is lost unseen",
          "[sqlite_log]") {
  const StoreDirectory directory;
  const std::string path = killedStore(directory, 10);
  const std::string log = contentOf(path + "-wal");
  const std::string database = contentOf(path);
  std::size_t refused = 0;
  std::size_t unseen = 0;
  for (std::size_t at = 3; at < log.size(); at += 9973) {
    std::string damaged = log;
    damaged[at] ^= 0x10;
    write(path, database);
    write(path + "-wal", damaged);
    INFO("byte " << at << " of " << log.size());
    const LogExamination log_ = examineLog(path);
    CHECK(SqliteStore::examine(path) == log_.damage);
    CHECK(contentOf(path + "-wal") == damaged);
    OpenedStore opened{path};
    CHECK(opened.wrong == log_.damage);
    if (!log_.damage.empty()) {
      ++refused;
      CHECK_THAT(opened.wrong, Catch::Contains(path + "-wal") && Catch::Contains("TRUNCATE"));
      CHECK(contentOf(path + "-wal") == damaged);
      continue;
    }
    // Then it is in the last transaction, or behind the end of the log.
    CHECK(opened.reading.rows.queue.size() >= 9);
    unseen += opened.reading.rows.queue.size() == 9 && opened.warnings.empty();
  }
  CHECK(refused > 10);
  CHECK(unseen <= 1);  // in the very last page: that looks as if it was not written
}

TEST_CASE("a damaged log is done without by the remedy that the message names", "[sqlite_log]") {
  const StoreDirectory directory;
  const std::string path = killedStore(directory, 10);
  std::string log = contentOf(path + "-wal");
  log[60'000] ^= 1;
  write(path + "-wal", log);
  REQUIRE(SqliteStore::examine(path) != "");
  {
    SqliteDatabase database;
    REQUIRE(database.open(path) == SQLITE_OK);
    CHECK(database.execute("PRAGMA wal_checkpoint(TRUNCATE)") == SQLITE_OK);
  }
  CHECK(SqliteStore::examine(path) == "");
  const OpenedStore opened{path};
  CHECK(opened.wrong == "");
}

// Others.

TEST_CASE("a link to the file doesn't let a second process in", "[sqlite_store]") {
  const StoreDirectory directory;
  const OpenedStore first{directory.database()};
  const auto link = directory.database().parent_path() / "link.db";
  std::filesystem::create_symlink(directory.database(), link);
  const OpenedStore second{link};
  CHECK_THAT(second.wrong, Catch::Contains("another process has"));
}

TEST_CASE("a file that is taken away while it is in use is not written to any more",
          "[sqlite_store]") {
  const StoreDirectory directory;
  OpenedStore opened{directory.database()};
  CHECK(opened.commit(one(1)).kind == Kind::stored);
  const bool deleted = GENERATE(true, false);
  if (deleted)
    std::filesystem::remove(directory.database());
  else
    std::filesystem::rename(directory.database(), directory.database().string() + ".old");
  const CommitResult result = opened.commit(one(2));
  CHECK(result.kind == Kind::broken);
  CHECK_THAT(result.message, Catch::Contains("x.db") && Catch::Contains("moved or deleted"));
}

TEST_CASE("while somebody else writes, it is refused as if the disk were full", "[sqlite_store]") {
  const StoreDirectory directory;
  OpenedStore opened{directory.database()};
  opened.store.setPatience(10);
  SqliteDatabase other;
  REQUIRE(other.open(directory.database().string()) == SQLITE_OK);
  REQUIRE(other.execute("BEGIN IMMEDIATE") == SQLITE_OK);
  const CommitResult result = opened.commit(one(1));
  CHECK(result.kind == Kind::partly);
  CHECK_THAT(result.message, Catch::Contains("x.db") && Catch::Contains("another program"));
  other.execute("ROLLBACK");
  CHECK(opened.commit(one(1)).kind == Kind::stored);
}

TEST_CASE("it can be read with a reader that stays, and is written on meanwhile",
          "[sqlite_store]") {
  const StoreDirectory directory;
  OpenedStore opened{directory.database()};
  CHECK(opened.commit(one(1)).kind == Kind::stored);
  SqliteDatabase reader;
  REQUIRE(reader.open(directory.database().string()) == SQLITE_OK);
  reader.execute("BEGIN");
  CHECK(reader.number("SELECT count(*) FROM queue") == 1);
  for (std::uint64_t i = 2; i <= 50; ++i) {
    CHECK(opened.commit(one(i)).kind == Kind::stored);
    opened.store.committed();
    opened.store.tidyUp();
  }
  CHECK(reader.number("SELECT count(*) FROM queue") == 1);
  reader.execute("COMMIT");
  CHECK(reader.number("SELECT count(*) FROM queue") == 50);
}

// A disk that fails where nobody waits.

TEST_CASE("a write or sync that fails between commits is told by the next one", "[sqlite_store]") {
  const auto fault = GENERATE(FailingVfs::Fault::error, FailingVfs::Fault::sync);
  const auto durability = GENERATE(Durability::sync, Durability::relaxed);
  FailingVfs vfs;
  const StoreDirectory directory;
  OpenedStore opened{directory.database(), vfs.name(), durability};
  CHECK(opened.commit(one(1)).kind == Kind::stored);
  vfs.failAt(fault, 1);
  opened.store.tidyUp();
  vfs.failAt(fault, 0);
  const CommitResult result = opened.commit(one(2));
  CHECK(result.kind == Kind::broken);
  CHECK_THAT(result.message, Catch::Contains("x.db"));
}

TEST_CASE("the log is taken into the database before it gets long", "[sqlite_store]") {
  const StoreDirectory directory;
  OpenedStore opened{directory.database()};
  for (std::uint64_t i = 1; i <= 60; ++i) {
    CHECK(opened
              .commit(list(session(i, fmt::format("c{}", i)),
                           delivery(i, i, message("t", std::string(1'000'000, 'x')))))
              .kind == Kind::stored);
    opened.store.committed();
  }
  CHECK(std::filesystem::file_size(directory.database().string() + "-wal") < 40'000'000);
  CHECK(std::filesystem::file_size(directory.database()) > 40'000'000);
}

TEST_CASE("a start that fails at any write, or is killed there, does no harm to the next one",
          "[sqlite_store]") {
  const auto fault =
      GENERATE(FailingVfs::Fault::error, FailingVfs::Fault::shortWrite, FailingVfs::Fault::sync);
  const bool existing = GENERATE(false, true);
  FailingVfs vfs;
  std::size_t refused = 0;
  for (int nth = 1; nth <= 60; ++nth) {
    const StoreDirectory directory;
    std::string path = directory.database().string();
    if (existing) path = killedStore(directory, 3);
    {
      vfs.failAt(fault, nth);
      const OpenedStore opened{path, vfs.name()};
      refused += !opened.wrong.empty();
      if (!opened.wrong.empty()) CHECK_THAT(opened.wrong, Catch::Contains(path));
      vfs.failAt(fault, 0);
    }
    INFO("fault " << static_cast<int>(fault) << " at " << nth);
    CHECK(SqliteStore::examine(path) == "");
    OpenedStore again{path};
    CHECK(again.wrong == "");
    CHECK(again.reading.rows.queue.size() == (existing ? 3 : 0));
    CHECK(again.commit(one(4)).kind == Kind::stored);
  }
  CHECK(refused >= 2);
}

TEST_CASE("what the last broker left connected is not any more", "[sqlite_store]") {
  const StoreDirectory directory;
  {
    OpenedStore opened{directory.database()};
    auto will = std::make_unique<PutWill>();
    will->session = 1;
    will->will.topic = "will";
    will->will.author = someIdentity();
    will->will.delay = 3;
    auto connected = std::make_unique<PutSession>();
    connected->key = 1;
    connected->clientId = "connected";
    connected->owner = someIdentity();
    connected->expiryInterval = 7;
    CHECK(
        opened
            .commit(list(std::move(connected), session(2, "away"), std::move(will), LeaveAll{1000}))
            .kind == Kind::stored);
  }
  const OpenedStore opened{directory.database()};
  CHECK(opened.reading.rows.sessions.at(1).disconnectedAt == 1000);
  CHECK(opened.reading.rows.sessions.at(2).disconnectedAt == 5);
  CHECK(opened.reading.rows.wills.at(1).due == 4000);
}

}  // namespace
}  // namespace mqttstack::test
