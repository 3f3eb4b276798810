#include <algorithm>
#include <charconv>
#include <fcntl.h>
#include <fmt/format.h>
#include <limits>
#include <sys/stat.h>
#include <unistd.h>
#include <unordered_map>
#include <utility>

#include <sqlite3.h>

#include "core/mqtt/properties.hpp"
#include "core/mqtt/topic.hpp"
#include "core/mqtt/utf8.hpp"
#include "middlewares/backends/identity_text.hpp"
#include "middlewares/backends/sqlite_log.hpp"
#include "middlewares/backends/sqlite_schema.hpp"
#include "middlewares/backends/sqlite_store.hpp"

// How a store is opened, and read. Nothing that stands in it is believed.
namespace mqttstack {

namespace {

bool exists(const std::string& path) { return ::access(path.c_str(), F_OK) == 0; }

template <class T>
std::optional<T> inRange(std::int64_t value, std::int64_t highest) {
  if (value < 0 || value > highest) return std::nullopt;
  return static_cast<T>(value);
}

std::optional<mqtt::Qos> toQos(std::int64_t value) {
  return value < 0 || value > 2 ? std::nullopt : std::optional{static_cast<mqtt::Qos>(value)};
}

std::optional<broker::SubscriptionIds> toIdentifiers(std::string_view text) {
  broker::SubscriptionIds ids;
  while (!text.empty()) {
    std::uint32_t id = 0;
    const auto [end, error] = std::from_chars(text.data(), text.data() + text.size(), id);
    if (error != std::errc{} || id == 0 || id > mqtt::kMaxVariableByteInteger) return std::nullopt;
    ids.add(id);
    text.remove_prefix(static_cast<std::size_t>(end - text.data()));
    if (text.empty()) break;
    if (text.front() != ',' || text.size() == 1) return std::nullopt;
    text.remove_prefix(1);
  }
  return ids;
}

bool isTopic(std::string_view topic) {
  return mqtt::isValidUtf8(topic) && mqtt::isValidTopicName(topic);
}

bool areProperties(std::string_view properties, mqtt::PropertyPlace place) {
  return static_cast<bool>(mqtt::validateProperties(properties, place));
}

}  // namespace

/// Reads one table after the other.
class SqliteStore::Loader {
public:
  Loader(SqliteStore& store, StoreReader& reader) : store_{store}, reader_{reader} {}

  /// Empty, or what is wrong.
  std::string load(std::vector<std::string>& warnings) {
    int code = readClock();
    for (const auto read : {&Loader::readMessages, &Loader::readSessions,
                            &Loader::readSubscriptions, &Loader::readIncoming, &Loader::readQueue,
                            &Loader::readRetained, &Loader::readWills, &Loader::mendUses})
      if (code == SQLITE_OK) code = (this->*read)();
    if (code != SQLITE_OK) return store_.trouble(code);
    if (leftOut_ != 0)
      warnings.push_back(fmt::format(
          "\"{}\": {} rows make no sense and were left out: the file is damaged, or somebody wrote "
          "into it",
          store_.path_, leftOut_));
    return {};
  }

private:
  struct Loaded {
    std::int64_t id;
    broker::MessagePtr message;  // null: it made no sense
    std::int64_t uses;
    std::int64_t found = 0;
  };

  /// Calls `visit(SqliteStatement&)`, which returns false for what makes no sense, for each row.
  template <class Visit>
  int forEach(std::string_view sql, Visit visit) {
    SqliteStatement rows;
    int code = store_.database_.prepare(sql, rows);
    if (code != SQLITE_OK) return code;
    while ((code = rows.step()) == SQLITE_ROW)
      if (!visit(rows)) ++leftOut_;
    return code == SQLITE_DONE ? SQLITE_OK : code;
  }

  int readClock() {
    StoreClock::Setting stored;
    const auto latest = store_.database_.number("SELECT max(disconnected) FROM session");
    const int code =
        forEach("SELECT boot_id, \"offset\" FROM clock", [&](const SqliteStatement& row) {
          stored = {std::string{row.bytes(0)}, row.integer(1)};
          return true;
        });
    if (code != SQLITE_OK) return code;
    reader_.clock(stored, latest.value_or(0));
    const StoreClock::Setting& setting = reader_.clock().setting();
    store_.clock_ = reader_.clock();
    SqliteStatement put;
    if (const int wrong =
            store_.database_.prepare("INSERT OR REPLACE INTO clock VALUES (1, ?1, ?2)", put);
        wrong != SQLITE_OK)
      return wrong;
    const int stores = put.bindText(1, setting.bootId).bind(2, setting.offset).run();
    // A full disk is no reason not to begin: there is another start for that.
    return store_.database_.isFull(stores) ? SQLITE_OK : stores;
  }

  broker::IdentityPtr toIdentity(std::string_view text) {
    if (const auto known = identities_.find(std::string{text}); known != identities_.end())
      return known->second;
    auto fields = identityFromText(text);
    if (!fields) return {};
    auto identity = broker::makeIdentity(std::move(*fields));
    if (identities_.size() < kKeptIdentities) identities_.emplace(text, identity);
    return identity;
  }

  int readMessages() {
    std::int64_t highest = 0;
    const int code = forEach(
        "SELECT id, topic, payload, properties, qos, retain, expires, author, uses FROM message "
        "ORDER BY id",
        [&](const SqliteStatement& row) {
          Loaded& loaded = messages_.emplace_back(Loaded{row.integer(0), {}, row.integer(8)});
          highest = std::max(highest, loaded.id);
          loaded.message = toMessage(row);
          return loaded.message != nullptr;
        });
    broker::Message::continueBehind(static_cast<std::uint64_t>(highest));
    return code;
  }

  broker::MessagePtr toMessage(const SqliteStatement& row) {
    broker::MessageFields fields;
    const auto qos = toQos(row.integer(4));
    fields.topic = row.bytes(1);
    fields.payload = row.bytes(2);
    const std::string_view properties = row.bytes(3);
    if (row.integer(0) <= 0 || !qos || !isTopic(fields.topic) ||
        fields.payload.size() > mqtt::kMaxPacketBytes ||
        !areProperties(properties, mqtt::PropertyPlace::publish))
      return {};
    fields.properties = mqtt::Properties{properties};
    fields.qos = *qos;
    fields.retain = row.integer(5) != 0;
    if (!row.isNull(6)) {
      // Counted from a moment at which a whole number of seconds was left.
      const TimePoint expires = reader_.clock().fromStored(row.integer(6));
      fields.expiryInterval = 1;
      fields.received = expires - std::chrono::seconds{1};
    }
    if (!row.isNull(7) && !(fields.author = toIdentity(row.bytes(7)))) return {};
    fields.sequence = static_cast<std::uint64_t>(row.integer(0));
    return broker::Message::create(std::move(fields));
  }

  /// The message with that number; counts its use. Deliveries mostly come in the
  /// order of their messages.
  Loaded* find(std::int64_t id) {
    if (near_ >= messages_.size() || messages_[near_].id > id) near_ = 0;
    for (int i = 0; i < 4 && near_ < messages_.size(); ++i, ++near_)
      if (messages_[near_].id >= id) break;
    if (near_ >= messages_.size() || messages_[near_].id < id) {
      const auto at = std::lower_bound(
          messages_.begin(), messages_.end(), id,
          [](const Loaded& loaded, std::int64_t wanted) { return loaded.id < wanted; });
      near_ = static_cast<std::size_t>(at - messages_.begin());
    }
    if (near_ >= messages_.size() || messages_[near_].id != id) return nullptr;
    ++messages_[near_].found;
    return &messages_[near_];
  }

  int readSessions() {
    return forEach(
        "SELECT id, client_id, owner, identity, pipeline, expiry, disconnected FROM session "
        "ORDER BY id",
        [&](const SqliteStatement& row) {
          PutSession session;
          session.key = static_cast<std::uint64_t>(row.integer(0));
          session.clientId = row.bytes(1);
          session.owner = toIdentity(row.bytes(2));
          session.identity = toIdentity(row.bytes(3));
          session.pipeline = row.bytes(4);
          session.expiryInterval =
              inRange<std::uint32_t>(row.integer(5), broker::Session::kNeverExpires).value_or(0);
          session.disconnectedAt = row.integer(6);
          if (!mqtt::isValidUtf8(session.clientId)) session.clientId.clear();
          reader_.session(std::move(session));  // judges the rest
          return true;
        });
  }

  int readSubscriptions() {
    return forEach("SELECT session, filter, options, identifier FROM subscription",
                   [&](const SqliteStatement& row) {
                     const auto options = row.integer(2);
                     const auto identifier =
                         inRange<std::uint32_t>(row.integer(3), mqtt::kMaxVariableByteInteger);
                     // Reserved are both bits above, the third QoS, the third retain handling.
                     if (!identifier || options < 0 || options > 0x3f || (options & 3) == 3 ||
                         (options & 0x30) == 0x30 || !mqtt::isValidUtf8(row.bytes(1)))
                       return false;
                     PutSubscription subscription;
                     subscription.session = static_cast<std::uint64_t>(row.integer(0));
                     subscription.filter = row.bytes(1);
                     subscription.options =
                         mqtt::SubscriptionOptions::fromByte(static_cast<std::uint8_t>(options));
                     subscription.identifier = *identifier;
                     reader_.subscription(std::move(subscription));
                     return true;
                   });
  }

  int readIncoming() {
    return forEach("SELECT session, packet_id FROM incoming", [&](const SqliteStatement& row) {
      const auto id = inRange<std::uint16_t>(row.integer(1), 65'535);
      if (id) reader_.incoming({static_cast<std::uint64_t>(row.integer(0)), *id});
      return id.has_value();
    });
  }

  int readQueue() {
    return forEach(
        "SELECT number, session, message, qos, retain, state, packet_id, identifiers FROM queue "
        "ORDER BY number",
        [&](const SqliteStatement& row) {
          Loaded* const loaded = row.isNull(2) ? nullptr : find(row.integer(2));
          const auto qos = toQos(row.integer(3));
          const auto state = inRange<std::uint8_t>(row.integer(5), 3);
          const auto packetId = inRange<std::uint16_t>(row.integer(6), 65'535);
          auto identifiers = toIdentifiers(row.bytes(7));
          const bool sound = row.integer(0) > 0 && qos && *qos != mqtt::Qos::atMostOnce && state &&
                             packetId && identifiers &&
                             fits(*qos, static_cast<broker::DeliveryState>(*state));
          PutDelivery delivery{static_cast<std::uint64_t>(row.integer(0)),
                               sound ? static_cast<std::uint64_t>(row.integer(1)) : 0,
                               loaded ? loaded->message : broker::MessagePtr{},
                               identifiers ? std::move(*identifiers) : broker::SubscriptionIds{},
                               packetId.value_or(0),
                               qos.value_or(mqtt::Qos::atLeastOnce),
                               static_cast<broker::DeliveryState>(state.value_or(0)),
                               row.integer(4) != 0};
          reader_.delivery(std::move(delivery));  // takes it out if it belongs to nobody
          return true;
        });
  }

  static bool fits(mqtt::Qos qos, broker::DeliveryState state) {
    using enum broker::DeliveryState;
    if (state == queued) return true;
    return (qos == mqtt::Qos::atLeastOnce) == (state == awaitingPuback);
  }

  int readRetained() {
    return forEach("SELECT topic, message FROM retained", [&](const SqliteStatement& row) {
      const Loaded* const loaded = find(row.integer(1));
      if (!loaded || !loaded->message || loaded->message->topic() != row.bytes(0)) return false;
      reader_.retained(loaded->message);
      return true;
    });
  }

  int readWills() {
    return forEach(
        "SELECT session, topic, payload, properties, qos, retain, expiry, delay, due, author "
        "FROM will",
        [&](const SqliteStatement& row) {
          PutWill will;
          const auto qos = toQos(row.integer(4));
          const auto delay = inRange<std::uint32_t>(row.integer(7), UINT32_MAX);
          const auto expiry = inRange<std::uint32_t>(row.integer(6), UINT32_MAX);
          will.session = static_cast<std::uint64_t>(row.integer(0));
          will.due = row.integer(8);
          will.will.topic = row.bytes(1);
          will.will.payload = row.bytes(2);
          will.will.properties = row.bytes(3);
          if (qos && delay && expiry && isTopic(will.will.topic) &&
              areProperties(will.will.properties, mqtt::PropertyPlace::publish))
            will.will.author = toIdentity(row.bytes(9));
          will.will.qos = qos.value_or(mqtt::Qos::atMostOnce);
          will.will.retain = row.integer(5) != 0;
          will.will.delay = delay.value_or(0);
          if (!row.isNull(6)) will.will.expiryInterval = expiry;
          reader_.will(std::move(will));  // takes it out if it has no author
          return true;
        });
  }

  /// Messages that nothing refers to are taken out, and others counted right.
  int mendUses() {
    int code = SQLITE_OK;
    SqliteStatement mend;
    SqliteStatement drop;
    for (const Loaded& each : messages_) {
      if (each.found == each.uses && each.message) continue;
      if (mended_++ == 0) {
        code = store_.database_.prepare("UPDATE message SET uses = ?2 WHERE id = ?1", mend);
        if (code == SQLITE_OK)
          code = store_.database_.prepare("DELETE FROM message WHERE id = ?1", drop);
        if (code == SQLITE_OK) code = store_.database_.execute("BEGIN IMMEDIATE");
        if (code != SQLITE_OK) return code;
      }
      SqliteStatement& statement = each.found != 0 && each.message ? mend : drop;
      statement.bind(1, each.id);
      if (&statement == &mend) statement.bind(2, each.found);
      if (code = statement.run(); code != SQLITE_OK) return code;
    }
    return mended_ == 0 ? code : store_.database_.execute("COMMIT");
  }

  static constexpr std::size_t kKeptIdentities = 100'000;

  SqliteStore& store_;
  StoreReader& reader_;
  std::vector<Loaded> messages_;
  std::size_t near_ = 0;
  std::unordered_map<std::string, broker::IdentityPtr> identities_;
  std::size_t leftOut_ = 0;
  std::size_t mended_ = 0;
};

std::string SqliteStore::open(StoreReader& reader, std::vector<std::string>& warnings) {
  if (std::string wrong = lock_.take(path_ + ".lock"); !wrong.empty()) return wrong;
  // SQLite would make it readable for others.
  if (!exists(path_)) {
    const int made = ::open(path_.c_str(), O_RDWR | O_CREAT | O_EXCL | O_CLOEXEC, 0600);
    if (made < 0)
      return fmt::format("cannot make \"{}\": {}", path_, std::generic_category().message(errno));
    ::close(made);
  }
  struct stat status {};
  if (::stat(path_.c_str(), &status) == 0 && (status.st_mode & 0077) != 0)
    warnings.push_back(
        fmt::format("others than its owner may read or write \"{0}\": chmod 600 {0}", path_));
  LogExamination log = examineLog(path_);
  if (!log.damage.empty()) return std::move(log.damage);
  if (!log.warning.empty()) warnings.push_back(std::move(log.warning));
  if (const int code = database_.open(path_, vfs_); code != SQLITE_OK) return trouble(code);
  if (std::string wrong = judgeSchema(database_, path_); !wrong.empty()) return wrong;
  const std::string settings = fmt::format(
      "PRAGMA auto_vacuum = INCREMENTAL; PRAGMA journal_mode = WAL; PRAGMA synchronous = {}; "
      "PRAGMA wal_autocheckpoint = 0; PRAGMA journal_size_limit = 33554432; "
      "PRAGMA cache_size = -16384",
      durability_ == Durability::sync   ? "FULL"
      : durability_ == Durability::none ? "OFF"
                                        : "NORMAL");
  if (const int code = database_.execute(settings.c_str()); code != SQLITE_OK) return trouble(code);
  // Checkpoints are made when nobody waits for them, and must not fail unseen.
  sqlite3_wal_hook(
      database_.handle(),
      [](void* store, sqlite3*, const char*, int pages) {
        static_cast<SqliteStore*>(store)->logPages_ = pages;
        return SQLITE_OK;
      },
      this);
  if (const int code = migrateSchema(database_); code != SQLITE_OK) return trouble(code);
  if (std::string wrong = prepareAll(); !wrong.empty()) return wrong;
  if (std::string wrong = keepReserve(); !wrong.empty()) return wrong;
  return Loader{*this, reader}.load(warnings);
}

std::string SqliteStore::examine(const std::filesystem::path& path) {
  const std::string file = resolve(path);
  if (!exists(file) || FileLock::taken(file + ".lock")) return {};
  const LogExamination log = examineLog(file);
  if (!log.damage.empty()) return log.damage;
  SqliteDatabase database;
  if (const int code = database.open(file); code != SQLITE_OK)
    return fmt::format("\"{}\": {}", file, database.message());
  // Without shared memory and without taking up the log: nothing is written.
  sqlite3_db_config(database.handle(), SQLITE_DBCONFIG_NO_CKPT_ON_CLOSE, 1, nullptr);
  database.execute("PRAGMA locking_mode = EXCLUSIVE");
  if (std::string wrong = judgeSchema(database, file); !wrong.empty()) return wrong;
  SqliteStatement check;
  if (database.prepare("PRAGMA quick_check(1)", check) != SQLITE_OK || check.step() != SQLITE_ROW)
    return describeDamage(file, database.message());
  if (check.bytes(0) != "ok") return describeDamage(file, std::string{check.bytes(0)});
  return {};
}

}  // namespace mqttstack
