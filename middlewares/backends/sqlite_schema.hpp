#pragma once

#include <string>

#include "middlewares/backends/sqlite_database.hpp"

namespace mqttstack {

/// What the header of the file says it is: "MQTs".
constexpr std::int64_t kSqliteApplicationId = 0x4D51'5473;
/// The version of the tables that this program writes.
constexpr std::int64_t kSqliteSchemaVersion = 1;

/// Whether a file is a store that this program can read, new ones included.
/// Empty, or what is wrong, for the operator.
std::string judgeSchema(SqliteDatabase& database, const std::string& path);

/// Makes the tables, or brings older ones up to date, each step as one
/// transaction: killed on the way, it goes on at the next start. SQLITE_OK, or
/// what went wrong. REQUIRES: judgeSchema() found nothing.
int migrateSchema(SqliteDatabase& database) noexcept;

/// What to tell about a damaged store, and what to do.
std::string describeDamage(const std::string& path, const std::string& what);

}  // namespace mqttstack
