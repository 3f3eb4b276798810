#include "middlewares/backends/sqlite_database.hpp"

#include <cerrno>
#include <system_error>

#include <sqlite3.h>

namespace mqttstack {

namespace {

constexpr sqlite3_int64 kPageBytes = 4096;
/// A file grows by so much.
constexpr int kChunkBytes = 64 * kPageBytes;

}  // namespace

// SqliteStatement.

SqliteStatement::~SqliteStatement() { sqlite3_finalize(statement_); }

SqliteStatement& SqliteStatement::bind(int at, std::int64_t value) noexcept {
  sqlite3_bind_int64(statement_, at, value);
  return *this;
}

SqliteStatement& SqliteStatement::bindText(int at, std::string_view text) noexcept {
  // A null pointer would be bound as NULL.
  const char* const begin = text.data() ? text.data() : "";
  sqlite3_bind_text64(statement_, at, begin, text.size(), SQLITE_STATIC, SQLITE_UTF8);
  return *this;
}

SqliteStatement& SqliteStatement::bindBytes(int at, std::string_view bytes) noexcept {
  const char* const begin = bytes.data() ? bytes.data() : "";
  sqlite3_bind_blob64(statement_, at, begin, bytes.size(), SQLITE_STATIC);
  return *this;
}

SqliteStatement& SqliteStatement::bindNull(int at) noexcept {
  sqlite3_bind_null(statement_, at);
  return *this;
}

int SqliteStatement::step() noexcept { return sqlite3_step(statement_); }

int SqliteStatement::run() noexcept {
  int code = SQLITE_ROW;
  while (code == SQLITE_ROW) code = sqlite3_step(statement_);
  sqlite3_reset(statement_);
  return code == SQLITE_DONE ? SQLITE_OK : code;
}

void SqliteStatement::reset() noexcept { sqlite3_reset(statement_); }

bool SqliteStatement::isNull(int column) const noexcept {
  return sqlite3_column_type(statement_, column) == SQLITE_NULL;
}

std::int64_t SqliteStatement::integer(int column) const noexcept {
  return sqlite3_column_int64(statement_, column);
}

std::string_view SqliteStatement::bytes(int column) const noexcept {
  const auto* begin = static_cast<const char*>(sqlite3_column_blob(statement_, column));
  const int size = sqlite3_column_bytes(statement_, column);
  return begin && size > 0 ? std::string_view{begin, static_cast<std::size_t>(size)}
                           : std::string_view{};
}

// SqliteDatabase.

SqliteDatabase::~SqliteDatabase() { sqlite3_close_v2(database_); }

int SqliteDatabase::open(const std::string& path, const char* vfs) noexcept {
  // Statistics of memory that nobody reads would lock a mutex at each allocation.
  static const int configured = sqlite3_config(SQLITE_CONFIG_MEMSTATUS, 0);
  static_cast<void>(configured);
  const int code =
      sqlite3_open_v2(path.c_str(), &database_, SQLITE_OPEN_READWRITE | SQLITE_OPEN_NOMUTEX, vfs);
  if (code != SQLITE_OK) return code;
  sqlite3_extended_result_codes(database_, 1);
  sqlite3_busy_timeout(database_, 5000);
  // The file may have been damaged, by somebody who knows how.
  sqlite3_db_config(database_, SQLITE_DBCONFIG_DEFENSIVE, 1, nullptr);
  sqlite3_db_config(database_, SQLITE_DBCONFIG_TRUSTED_SCHEMA, 0, nullptr);
  return execute("PRAGMA cell_size_check = ON; PRAGMA temp_store = MEMORY");
}

int SqliteDatabase::execute(const char* sql) noexcept {
  return sqlite3_exec(database_, sql, nullptr, nullptr, nullptr);
}

std::optional<std::int64_t> SqliteDatabase::number(const char* sql) noexcept {
  SqliteStatement statement;
  if (prepare(sql, statement) != SQLITE_OK || statement.step() != SQLITE_ROW) return std::nullopt;
  return statement.integer(0);
}

int SqliteDatabase::prepare(std::string_view sql, SqliteStatement& statement) noexcept {
  sqlite3_stmt* made = nullptr;
  const int code = sqlite3_prepare_v3(database_, sql.data(), static_cast<int>(sql.size()),
                                      SQLITE_PREPARE_PERSISTENT, &made, nullptr);
  statement = SqliteStatement{made};
  return code;
}

int SqliteDatabase::changes() const noexcept { return sqlite3_changes(database_); }

std::string SqliteDatabase::message() const {
  std::string text = sqlite3_errmsg(database_);
  const int system = sqlite3_system_errno(database_);
  const int code = sqlite3_errcode(database_) & 0xff;
  const bool fromSystem = code == SQLITE_IOERR || code == SQLITE_CANTOPEN || code == SQLITE_FULL;
  if (fromSystem && system != 0) text += " (" + std::generic_category().message(system) + ")";
  return text;
}

bool SqliteDatabase::isFull(int code) const noexcept {
  if ((code & 0xff) == SQLITE_FULL) return true;
  // The index of the log may be what there is no room for.
  const int system = sqlite3_system_errno(database_);
  return (code & 0xff) == SQLITE_IOERR && (system == ENOSPC || system == EDQUOT);
}

int SqliteDatabase::makeRoom(std::int64_t pages) noexcept {
  int chunk = kChunkBytes;
  sqlite3_file_control(database_, "main", SQLITE_FCNTL_CHUNK_SIZE, &chunk);
  sqlite3_int64 bytes = pages * kPageBytes;
  return sqlite3_file_control(database_, "main", SQLITE_FCNTL_SIZE_HINT, &bytes);
}

bool SqliteDatabase::hasMoved() const noexcept {
  int moved = 0;
  sqlite3_file_control(database_, "main", SQLITE_FCNTL_HAS_MOVED, &moved);
  return moved != 0;
}

int SqliteDatabase::syncLog() noexcept {
  sqlite3_file* log = nullptr;
  sqlite3_file_control(database_, "main", SQLITE_FCNTL_JOURNAL_POINTER, &log);
  return log && log->pMethods ? log->pMethods->xSync(log, SQLITE_SYNC_NORMAL) : SQLITE_OK;
}

bool SqliteDatabase::isDamage(int code) noexcept {
  return (code & 0xff) == SQLITE_CORRUPT || (code & 0xff) == SQLITE_NOTADB ||
         (code & 0xff) == SQLITE_FORMAT || (code & 0xff) == SQLITE_ERROR;
}

}  // namespace mqttstack
