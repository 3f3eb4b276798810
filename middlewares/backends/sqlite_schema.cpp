#include "middlewares/backends/sqlite_schema.hpp"

#include <array>
#include <fmt/format.h>
#include <fstream>
#include <string_view>

#include <sqlite3.h>

namespace mqttstack {

namespace {

/// Step n leads from version n to version n + 1. Steps are never changed: new
/// ones are added.
constexpr std::array<const char*, 1> kSteps{R"sql(
CREATE TABLE clock(
  id INTEGER PRIMARY KEY CHECK (id = 1), boot_id TEXT NOT NULL, "offset" INTEGER NOT NULL) STRICT;
CREATE TABLE session(
  id INTEGER PRIMARY KEY, client_id TEXT NOT NULL, owner TEXT NOT NULL, identity TEXT NOT NULL,
  pipeline TEXT NOT NULL, expiry INTEGER NOT NULL, disconnected INTEGER) STRICT;
CREATE TABLE subscription(
  session INTEGER NOT NULL, filter TEXT NOT NULL, options INTEGER NOT NULL, identifier INTEGER,
  PRIMARY KEY (session, filter)) STRICT, WITHOUT ROWID;
CREATE TABLE message(
  id INTEGER PRIMARY KEY, topic TEXT NOT NULL, payload BLOB NOT NULL, properties BLOB,
  qos INTEGER NOT NULL, retain INTEGER NOT NULL, expires INTEGER, author TEXT,
  uses INTEGER NOT NULL) STRICT;
CREATE TABLE queue(
  number INTEGER PRIMARY KEY, session INTEGER NOT NULL, message INTEGER, qos INTEGER NOT NULL,
  retain INTEGER NOT NULL, state INTEGER NOT NULL, packet_id INTEGER, identifiers TEXT) STRICT;
CREATE TABLE incoming(
  session INTEGER NOT NULL, packet_id INTEGER NOT NULL,
  PRIMARY KEY (session, packet_id)) STRICT, WITHOUT ROWID;
CREATE TABLE retained(
  topic TEXT PRIMARY KEY, message INTEGER NOT NULL) STRICT, WITHOUT ROWID;
CREATE TABLE will(
  session INTEGER PRIMARY KEY, topic TEXT NOT NULL, payload BLOB NOT NULL, properties BLOB,
  qos INTEGER NOT NULL, retain INTEGER NOT NULL, expiry INTEGER, delay INTEGER NOT NULL,
  due INTEGER, author TEXT NOT NULL) STRICT;
)sql"};
static_assert(kSteps.size() == kSqliteSchemaVersion);

bool beginsLikeADatabase(const std::string& path) {
  constexpr std::string_view kFirstBytes = "SQLite format 3";
  std::string begin(kFirstBytes.size(), '\0');
  std::ifstream{path, std::ios::binary}.read(begin.data(),
                                             static_cast<std::streamsize>(begin.size()));
  return begin == kFirstBytes;
}

}  // namespace

std::string describeDamage(const std::string& path, const std::string& what) {
  if (!beginsLikeADatabase(path))
    return fmt::format("\"{}\" is no SQLite file; correct the path", path);
  return fmt::format(
      "\"{0}\" is damaged: {1}. To save what can be read of it: sqlite3 {0} .recover | sqlite3 "
      "{0}.saved, then put {0}.saved in its place; to begin with nothing: move {0}, {0}-wal and "
      "{0}-shm away",
      path, what);
}

std::string judgeSchema(SqliteDatabase& database, const std::string& path) {
  const auto application = database.number("PRAGMA application_id");
  const auto version = database.number("PRAGMA user_version");
  const auto tables = database.number("SELECT count(*) FROM sqlite_schema");
  if (!application || !version || !tables) return describeDamage(path, database.message());
  if (*tables == 0 && *application == 0 && *version == 0) return {};
  if (*application != kSqliteApplicationId)
    return fmt::format("\"{}\" is a database of another program; name another path", path);
  if (*version > kSqliteSchemaVersion)
    return fmt::format(
        "\"{}\" was written by a newer version of mqtt-stackd (its tables have "
        "version {}, and this program knows {}): run that version",
        path, *version, kSqliteSchemaVersion);
  if (*version < 0) return describeDamage(path, "its tables have no version that there ever was");
  return {};
}

int migrateSchema(SqliteDatabase& database) noexcept {
  while (true) {
    const auto version = database.number("PRAGMA user_version");
    if (!version) return SQLITE_CORRUPT;
    if (*version >= kSqliteSchemaVersion) return SQLITE_OK;
    const std::string sql = fmt::format(
        "BEGIN IMMEDIATE; {} PRAGMA application_id = {}; PRAGMA user_version = {}; COMMIT",
        kSteps[static_cast<std::size_t>(*version)], kSqliteApplicationId, *version + 1);
    if (const int code = database.execute(sql.c_str()); code != SQLITE_OK) {
      database.execute("ROLLBACK");
      return code;
    }
  }
}

}  // namespace mqttstack
