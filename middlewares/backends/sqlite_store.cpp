#include "middlewares/backends/sqlite_store.hpp"

#include <fmt/format.h>
#include <utility>

#include <sqlite3.h>

#include "middlewares/backends/identity_text.hpp"
#include "middlewares/backends/sqlite_schema.hpp"

// What the journal's thread does; sqlite_load.cpp has what comes before.
namespace mqttstack {

namespace {

/// Empty pages that are kept for what has to be stored when the disk is full.
constexpr std::int64_t kReservedPages = 64;
/// Beyond this many empty pages, and a quarter of the file, they are given back.
constexpr std::int64_t kSparePages = 1024;
constexpr const char* kVacuumSlice = "PRAGMA incremental_vacuum(512)";
/// From so many pages on, what is in the log is taken into the database.
constexpr int kLogPages = 4000;

/// Puts the number of units that failed where it is counted, and marks them.
void fail(std::span<StoreUnit> units, std::size_t& failed) {
  for (StoreUnit& each : units) each.failed = true;
  failed += units.size();
}

std::string identifiersToText(const broker::SubscriptionIds& ids) {
  std::string text;
  ids.forEach([&text](std::uint32_t id) {
    if (!text.empty()) text += ',';
    text += std::to_string(id);
  });
  return text;
}

}  // namespace

SqliteStore::SqliteStore(std::filesystem::path path, Durability durability, const char* vfs)
    : path_{resolve(path)},
      durability_{durability},
      vfs_{vfs} {}

SqliteStore::~SqliteStore() = default;

/// The file itself, whatever links lead to it: the lock has to be the same for all.
std::string SqliteStore::resolve(const std::filesystem::path& path) {
  std::error_code error;
  const auto resolved = std::filesystem::weakly_canonical(path, error);
  return error ? path.string() : resolved.string();
}

std::string SqliteStore::prepareAll() {
  static constexpr std::array<std::string_view, kStatements> kSql{
      "BEGIN IMMEDIATE",
      "PRAGMA page_count",
      "COMMIT",
      "ROLLBACK",
      "INSERT INTO message VALUES (?1, ?2, ?3, ?4, ?5, ?6, ?7, ?8, 1)"
      " ON CONFLICT (id) DO UPDATE SET uses = uses + 1",
      "DELETE FROM message WHERE id = ?1 AND uses <= 1",
      "UPDATE message SET uses = uses - 1 WHERE id = ?1",
      "INSERT OR REPLACE INTO queue VALUES (?1, ?2, ?3, ?4, ?5, ?6, ?7, ?8)",
      "UPDATE queue SET packet_id = ?2, state = ?3 WHERE number = ?1",
      "SELECT message FROM queue WHERE number = ?1",
      "DELETE FROM queue WHERE number = ?1",
      "INSERT OR IGNORE INTO incoming VALUES (?1, ?2)",
      "DELETE FROM incoming WHERE session = ?1 AND packet_id = ?2",
      "DELETE FROM retained WHERE topic = ?1 RETURNING message",
      "INSERT INTO retained VALUES (?1, ?2)",
      "INSERT OR REPLACE INTO session VALUES (?1, ?2, ?3, ?4, ?5, ?6, ?7)",
      "DELETE FROM session WHERE id = ?1",
      "UPDATE session SET disconnected = ?1 WHERE disconnected IS NULL",
      "UPDATE will SET due = ?1 + delay * 1000 WHERE due IS NULL",
      "DELETE FROM subscription WHERE session = ?1",
      "DELETE FROM incoming WHERE session = ?1",
      "INSERT OR REPLACE INTO subscription VALUES (?1, ?2, ?3, ?4)",
      "DELETE FROM subscription WHERE session = ?1 AND filter = ?2",
      "INSERT OR REPLACE INTO will VALUES (?1, ?2, ?3, ?4, ?5, ?6, ?7, ?8, ?9, ?10)",
      "UPDATE will SET due = ?2 WHERE session = ?1",
      "DELETE FROM will WHERE session = ?1",
  };
  for (std::size_t i = 0; i < kStatements; ++i)
    if (const int code = database_.prepare(kSql[i], statements_[i]); code != SQLITE_OK)
      return trouble(code);
  return {};
}

/// What to tell the operator about `code`, which came last.
std::string SqliteStore::trouble(int code) const {
  if (code == SQLITE_FULL) return fmt::format("\"{}\": {}", path_, sqlite3_errstr(code));
  const std::string what = database_.message();
  if (SqliteDatabase::isDamage(code)) return describeDamage(path_, what);
  if ((code & 0xff) == SQLITE_BUSY)
    return fmt::format("\"{}\": another program has it locked for writing", path_);
  return fmt::format("\"{}\": {}", path_, what);
}

// Committing.

CommitResult SqliteStore::commit(std::span<const Operation> operations,
                                 std::span<StoreUnit> units) {
  using Kind = CommitResult::Kind;
  if (!broken_.empty()) return {Kind::broken, broken_};
  if (database_.hasMoved()) {
    broken_ = fmt::format("\"{}\" was moved or deleted while it was in use", path_);
    return {Kind::broken, broken_};
  }
  author_ = nullptr;
  sqlite3_busy_timeout(database_.handle(), patience_);
  int code = transact(operations);
  if (code == SQLITE_OK) return {};
  std::size_t failed = 0;
  if (code == SQLITE_BUSY) {  // nothing is lost by that
    fail(units, failed);
    return {Kind::partly, message_};
  }
  if (code != SQLITE_FULL) return {Kind::broken, broken_ = message_};
  // What the log has taken up already can be used again once it is in the database.
  sqlite3_busy_timeout(database_.handle(), 0);
  checkpoint(SQLITE_CHECKPOINT_RESTART);
  sqlite3_busy_timeout(database_.handle(), patience_);
  if (!broken_.empty()) return {Kind::broken, broken_};
  code = bisect(operations, 0, units, failed);
  if (code == SQLITE_OK && failed == 0) return {};
  if (code == SQLITE_OK) return {Kind::partly, message_};
  return {Kind::broken, broken_ = message_};
}

/// Stores the units, of which the first begins with the operation `begin`, in as
/// large parts as there is room for.
int SqliteStore::bisect(std::span<const Operation> all, std::uint32_t begin,
                        std::span<StoreUnit> units, std::size_t& failed) {
  if (units.empty()) return SQLITE_OK;
  const int code = transact(all.subspan(begin, units.back().end - begin));
  if (code != SQLITE_FULL && code != SQLITE_BUSY) return code;
  if (units.size() == 1 || code == SQLITE_BUSY) {
    fail(units, failed);
    return SQLITE_OK;
  }
  const std::size_t half = units.size() / 2;
  if (const int first = bisect(all, begin, units.first(half), failed); first != SQLITE_OK)
    return first;
  return bisect(all, units[half - 1].end, units.subspan(half), failed);
}

/// What the log has taken up must find room in the database: otherwise the log could
/// never be begun anew, and a full disk not even take up what makes it emptier.
int SqliteStore::reservePages() {
  SqliteStatement& count = statements_[kPageCount];
  const std::int64_t pages = count.step() == SQLITE_ROW ? count.integer(0) : 0;
  count.reset();
  if (pages <= reservedPages_) return SQLITE_OK;
  if (database_.makeRoom(pages) != SQLITE_OK) return SQLITE_FULL;
  reservedPages_ = pages;
  return SQLITE_OK;
}

/// All of them or none. SQLITE_OK; SQLITE_FULL or SQLITE_BUSY if it can be tried
/// again; or what went wrong.
int SqliteStore::transact(std::span<const Operation> operations) {
  int code = run(kBegin);
  for (std::size_t i = 0; code == SQLITE_OK && i < operations.size(); ++i)
    code = apply(operations[i]);
  if (code == SQLITE_OK) code = reservePages();
  if (code == SQLITE_OK) code = run(kCommit);
  if (code == SQLITE_OK) return code;
  // What went wrong has to be asked for before it is forgotten.
  message_ = trouble(code);
  const bool full = database_.isFull(code);
  if (sqlite3_get_autocommit(database_.handle()) == 0) run(kRollback);
  return full ? SQLITE_FULL : (code & 0xff) == SQLITE_BUSY ? SQLITE_BUSY : code;
}

int SqliteStore::apply(const Operation& operation) {
  return std::visit(
      [this]<class T>(const T& each) {
        if constexpr (requires { *each; })
          return apply(*each);
        else
          return apply(each);
      },
      operation);
}

int SqliteStore::putMessage(const broker::Message& message) {
  SqliteStatement& put = statements_[kPutMessage];
  put.bind(1, message.sequence())
      .bindText(2, message.topic())
      .bindBytes(3, message.payload())
      .bind(5, static_cast<unsigned>(message.qos()))
      .bind(6, message.retainFlag() ? 1U : 0U);
  const std::string_view properties = message.properties().encoded();
  properties.empty() ? put.bindNull(4) : put.bindBytes(4, properties);
  message.expires() ? put.bind(7, clock_->toStored(message.expiresAt())) : put.bindNull(7);
  message.author() ? put.bindText(8, authorOf(message)) : put.bindNull(8);
  return put.run();
}

/// As text. Valid until the next message.
std::string_view SqliteStore::authorOf(const broker::Message& message) {
  if (message.author().get() != author_) {
    author_ = message.author().get();
    authorText_ = identityToText(*author_);
  }
  return authorText_;
}

/// One use less; the last one takes it away.
int SqliteStore::dropMessage(std::int64_t id) {
  statements_[kUnlessUsed].bind(1, id);
  if (const int code = run(kUnlessUsed); code != SQLITE_OK || database_.changes() != 0) return code;
  statements_[kUseLess].bind(1, id);
  return run(kUseLess);
}

int SqliteStore::apply(const PutDelivery& put) {
  const bool needed = put.state != broker::DeliveryState::awaitingPubcomp;
  if (needed)
    if (const int code = putMessage(*put.message); code != SQLITE_OK) return code;
  SqliteStatement& queue = statements_[kPutQueue];
  const std::string identifiers = identifiersToText(put.subscriptionIds);
  queue.bind(1, put.number).bind(2, put.session).bind(4, static_cast<unsigned>(put.qos));
  queue.bind(5, put.retain ? 1U : 0U).bind(6, static_cast<unsigned>(put.state));
  needed ? queue.bind(3, put.message->sequence()) : queue.bindNull(3);
  put.packetId != 0 ? queue.bind(7, unsigned{put.packetId}) : queue.bindNull(7);
  identifiers.empty() ? queue.bindNull(8) : queue.bindText(8, identifiers);
  return queue.run();
}

int SqliteStore::apply(const MoveDelivery& move) {
  statements_[kMoveQueue]
      .bind(1, move.number)
      .bind(2, unsigned{move.packetId})
      .bind(3, static_cast<unsigned>(move.state));
  return run(kMoveQueue);
}

int SqliteStore::dropDelivery(std::uint64_t number) {
  SqliteStatement& find = statements_[kFindQueue];
  const int code = find.bind(1, number).step();
  const bool uses = code == SQLITE_ROW && !find.isNull(0);
  const std::int64_t message = uses ? find.integer(0) : 0;
  find.reset();
  if (code != SQLITE_ROW) return code == SQLITE_DONE ? SQLITE_OK : code;
  statements_[kDropQueue].bind(1, number);
  if (const int end = run(kDropQueue); end != SQLITE_OK) return end;
  return uses ? dropMessage(message) : SQLITE_OK;
}

int SqliteStore::apply(const DropDelivery& drop) { return dropDelivery(drop.number); }

int SqliteStore::apply(const DropDeliveries& drop) {
  for (const std::uint64_t number : drop.numbers)
    if (const int code = dropDelivery(number); code != SQLITE_OK) return code;
  return SQLITE_OK;
}

int SqliteStore::apply(const PutIncoming& put) {
  statements_[kPutIncoming].bind(1, put.session).bind(2, unsigned{put.packetId});
  return run(kPutIncoming);
}

int SqliteStore::apply(const DropIncoming& drop) {
  statements_[kDropIncoming].bind(1, drop.session).bind(2, unsigned{drop.packetId});
  return run(kDropIncoming);
}

int SqliteStore::takeRetained(std::string_view topic) {
  SqliteStatement& take = statements_[kTakeRetained];
  const int code = take.bindText(1, topic).step();
  if (code != SQLITE_ROW) {
    take.reset();
    return code == SQLITE_DONE ? SQLITE_OK : code;
  }
  const std::int64_t message = take.integer(0);
  if (const int end = take.run(); end != SQLITE_OK) return end;
  return dropMessage(message);
}

int SqliteStore::apply(const PutRetained& put) {
  if (const int code = takeRetained(put.message->topic()); code != SQLITE_OK) return code;
  if (const int code = putMessage(*put.message); code != SQLITE_OK) return code;
  statements_[kPutRetained].bindText(1, put.message->topic()).bind(2, put.message->sequence());
  return run(kPutRetained);
}

int SqliteStore::apply(const DropRetained& drop) { return takeRetained(drop.topicOf->topic()); }

int SqliteStore::apply(const PutSession& put) {
  const std::string owner = identityToText(*put.owner);
  const std::string identity = identityToText(put.identity ? *put.identity : *put.owner);
  SqliteStatement& session = statements_[kPutSession];
  session.bind(1, put.key)
      .bindText(2, put.clientId)
      .bindText(3, owner)
      .bindText(4, identity)
      .bindText(5, put.pipeline)
      .bind(6, put.expiryInterval);
  put.disconnectedAt != 0 ? session.bind(7, put.disconnectedAt) : session.bindNull(7);
  return session.run();
}

int SqliteStore::apply(const DropSession& drop) {
  for (const Statement each : {kDropSession, kDropSubscriptions, kDropIncomings}) {
    statements_[each].bind(1, drop.session);
    if (const int code = run(each); code != SQLITE_OK) return code;
  }
  return SQLITE_OK;
}

int SqliteStore::apply(const LeaveAll& leave) {
  for (const Statement each : {kLeaveSessions, kLeaveWills}) {
    statements_[each].bind(1, leave.at);
    if (const int code = run(each); code != SQLITE_OK) return code;
  }
  return SQLITE_OK;
}

int SqliteStore::apply(const PutSubscription& put) {
  SqliteStatement& subscription = statements_[kPutSubscription];
  subscription.bind(1, put.session).bindText(2, put.filter).bind(3, unsigned{put.options.toByte()});
  put.identifier != 0 ? subscription.bind(4, put.identifier) : subscription.bindNull(4);
  return subscription.run();
}

int SqliteStore::apply(const DropSubscription& drop) {
  const Statement statement = drop.filter.empty() ? kDropSubscriptions : kDropSubscription;
  statements_[statement].bind(1, drop.session);
  if (!drop.filter.empty()) statements_[statement].bindText(2, drop.filter);
  return run(statement);
}

int SqliteStore::apply(const PutWill& put) {
  const std::string author = identityToText(*put.will.author);
  SqliteStatement& will = statements_[kPutWill];
  will.bind(1, put.session)
      .bindText(2, put.will.topic)
      .bindBytes(3, put.will.payload)
      .bind(5, static_cast<unsigned>(put.will.qos))
      .bind(6, put.will.retain ? 1U : 0U)
      .bind(8, put.will.delay)
      .bindText(10, author);
  put.will.properties.empty() ? will.bindNull(4) : will.bindBytes(4, put.will.properties);
  put.will.expiryInterval ? will.bind(7, *put.will.expiryInterval) : will.bindNull(7);
  put.due != 0 ? will.bind(9, put.due) : will.bindNull(9);
  return will.run();
}

int SqliteStore::apply(const MoveWill& move) {
  statements_[kMoveWill].bind(1, move.session).bind(2, move.due);
  return run(kMoveWill);
}

int SqliteStore::apply(const DropWill& drop) {
  statements_[kDropWill].bind(1, drop.session);
  return run(kDropWill);
}

// Tidying up.

/// Sees to it that there is room in the log and in the file for what has to be
/// stored even if the disk is full: acknowledgements, mostly.
std::string SqliteStore::keepReserve() {
  const std::string fill = fmt::format(
      "BEGIN IMMEDIATE; DROP TABLE IF EXISTS reserve; CREATE TABLE reserve(bytes BLOB); INSERT "
      "INTO "
      "reserve VALUES (zeroblob({}))",
      kReservedPages * 4096);
  int code = database_.execute(fill.c_str());
  if (code == SQLITE_OK) code = reservePages();
  if (code == SQLITE_OK) code = database_.execute("COMMIT; DROP TABLE reserve");
  if (code == SQLITE_OK) {
    checkpoint(SQLITE_CHECKPOINT_RESTART);
    return broken_;
  }
  const bool full = database_.isFull(code);
  const std::string what = trouble(code);
  database_.execute("ROLLBACK");
  return full ? std::string{} : what;
}

/// What goes wrong where nobody waits: the next commit will tell.
void SqliteStore::judge(int code) {
  const int kind = code & 0xff;
  const bool harmless = kind == SQLITE_OK || kind == SQLITE_BUSY || kind == SQLITE_LOCKED;
  if (!harmless && !database_.isFull(code)) broken_ = trouble(code);
}

/// Takes what is in the log into the database, as far as nobody reads there.
void SqliteStore::checkpoint(int mode) {
  judge(sqlite3_wal_checkpoint_v2(database_.handle(), nullptr, mode, nullptr, nullptr));
}

void SqliteStore::committed() {
  // It begins anew when all of it was taken into the database.
  if (logPages_ <= checkpointAt_ - kLogPages) checkpointAt_ = kLogPages;
  if (logPages_ < checkpointAt_ || !broken_.empty()) return;
  checkpointAt_ = logPages_ + kLogPages;
  checkpoint(SQLITE_CHECKPOINT_PASSIVE);
}

bool SqliteStore::tidyUp() {
  if (!broken_.empty()) return false;
  if (durability_ == Durability::relaxed && database_.syncLog() != SQLITE_OK) {
    broken_ = fmt::format("\"{}-wal\" could not be written to the disk", path_);
    return false;
  }
  const auto spare = database_.number("PRAGMA freelist_count").value_or(0);
  const auto pages = database_.number("PRAGMA page_count").value_or(0);
  const bool vacuum = spare > kSparePages && spare > pages / 4;
  if (vacuum) {
    judge(database_.execute(kVacuumSlice));
    reservedPages_ = 0;
  }
  checkpoint(SQLITE_CHECKPOINT_PASSIVE);
  return vacuum && broken_.empty();
}

}  // namespace mqttstack
