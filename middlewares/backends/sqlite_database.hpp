#pragma once

#include <cstdint>
#include <optional>
#include <string>
#include <string_view>
#include <utility>

struct sqlite3;
struct sqlite3_stmt;

namespace mqttstack {

/// A prepared statement. Parameters and columns count from 1 and from 0, as
/// SQLite has it. What is bound has to last until the statement was run.
class SqliteStatement {
public:
  SqliteStatement() = default;
  explicit SqliteStatement(sqlite3_stmt* statement) noexcept : statement_{statement} {}
  SqliteStatement(SqliteStatement&& other) noexcept
      : statement_{std::exchange(other.statement_, nullptr)} {}
  SqliteStatement& operator=(SqliteStatement&& other) noexcept {
    std::swap(statement_, other.statement_);
    return *this;
  }
  ~SqliteStatement();

  SqliteStatement& bind(int at, std::int64_t value) noexcept;
  SqliteStatement& bind(int at, std::uint64_t value) noexcept {
    return bind(at, static_cast<std::int64_t>(value));
  }
  SqliteStatement& bind(int at, unsigned value) noexcept {
    return bind(at, static_cast<std::int64_t>(value));
  }
  SqliteStatement& bindText(int at, std::string_view text) noexcept;
  SqliteStatement& bindBytes(int at, std::string_view bytes) noexcept;
  SqliteStatement& bindNull(int at) noexcept;

  /// SQLITE_ROW, SQLITE_DONE, or what went wrong.
  int step() noexcept;
  /// Runs it to its end, whatever it returns, and makes it ready for the next time.
  /// SQLITE_OK, or what went wrong.
  int run() noexcept;
  void reset() noexcept;

  bool isNull(int column) const noexcept;
  std::int64_t integer(int column) const noexcept;
  /// Text or bytes; valid until the next step.
  std::string_view bytes(int column) const noexcept;

private:
  sqlite3_stmt* statement_ = nullptr;
};

/// An open database. Belongs to one thread at a time.
class SqliteDatabase {
public:
  SqliteDatabase() = default;
  SqliteDatabase(SqliteDatabase&& other) noexcept
      : database_{std::exchange(other.database_, nullptr)} {}
  SqliteDatabase& operator=(SqliteDatabase&& other) noexcept {
    std::swap(database_, other.database_);
    return *this;
  }
  ~SqliteDatabase();

  /// Opens an existing file. SQLITE_OK, or what went wrong. `vfs` may be null.
  int open(const std::string& path, const char* vfs = nullptr) noexcept;

  /// Executes SQL that returns nothing of interest.
  int execute(const char* sql) noexcept;
  /// The first column of the first row.
  std::optional<std::int64_t> number(const char* sql) noexcept;
  /// The statement, or one that fails with what is wrong with it; see lastError().
  int prepare(std::string_view sql, SqliteStatement& statement) noexcept;
  int changes() const noexcept;

  /// What went wrong last, for people: "database or disk is full (No space left…)".
  std::string message() const;
  /// Whether `code` says that there is no room.
  bool isFull(int code) const noexcept;
  /// Sees to it that the file has room for so many pages on the disk, whenever they
  /// are written. SQLITE_OK, or what went wrong.
  int makeRoom(std::int64_t pages) noexcept;
  /// Whether the file is not where it was opened any more.
  bool hasMoved() const noexcept;
  /// Has the log written to the disk. SQLITE_OK, or what went wrong.
  int syncLog() noexcept;
  static bool isDamage(int code) noexcept;

  sqlite3* handle() const noexcept { return database_; }

private:
  sqlite3* database_ = nullptr;
};

}  // namespace mqttstack
