#pragma once

#include <array>
#include <cstdint>
#include <filesystem>
#include <optional>
#include <span>
#include <string>
#include <vector>

#include "middlewares/backends/file_lock.hpp"
#include "middlewares/backends/sqlite_database.hpp"
#include "middlewares/backends/store.hpp"

namespace mqttstack {

/// What "stored" means.
enum class Durability : std::uint8_t {
  sync,     ///< on the disk: it survives the loss of power
  relaxed,  ///< with the system: it survives the end of the process; on the disk within a second
  none,     ///< with the system, and on the disk when the system likes
};

/// A Store in a file of SQLite, in WAL mode, so that others may read it while the
/// broker runs. docs/durability.md describes its tables.
///
/// `{path}.lock` is locked while a process has it.
class SqliteStore final : public Store {
public:
  /// `vfs`: a VFS of SQLite, for tests; null for its own.
  SqliteStore(std::filesystem::path path, Durability durability, const char* vfs = nullptr);
  ~SqliteStore() override;

  /// How long a commit waits for another program that writes, before it is refused.
  void setPatience(int milliseconds) noexcept { patience_ = milliseconds; }

  /// What would be wrong with opening it: for `check`. Changes nothing, and looks
  /// only at the outside of a file that a broker is using.
  static std::string examine(const std::filesystem::path& path);

  std::string open(StoreReader& reader, std::vector<std::string>& warnings) override;
  CommitResult commit(std::span<const Operation> operations, std::span<StoreUnit> units) override;
  void committed() override;
  bool tidyUp() override;

private:
  class Loader;
  enum Statement : std::size_t {
    kBegin,
    kPageCount,
    kCommit,
    kRollback,
    kPutMessage,
    kUnlessUsed,
    kUseLess,
    kPutQueue,
    kMoveQueue,
    kFindQueue,
    kDropQueue,
    kPutIncoming,
    kDropIncoming,
    kTakeRetained,
    kPutRetained,
    kPutSession,
    kDropSession,
    kLeaveSessions,
    kLeaveWills,
    kDropSubscriptions,
    kDropIncomings,
    kPutSubscription,
    kDropSubscription,
    kPutWill,
    kMoveWill,
    kDropWill,
    kStatements
  };

  static std::string resolve(const std::filesystem::path& path);
  std::string prepareAll();
  std::string keepReserve();
  std::string trouble(int code) const;
  int run(Statement statement) noexcept { return statements_[statement].run(); }

  int apply(const Operation& operation);
  int apply(std::monostate) noexcept { return 0; }
  int apply(const PutDelivery& put);
  int apply(const MoveDelivery& move);
  int apply(const DropDelivery& drop);
  int apply(const DropDeliveries& drop);
  int apply(const PutIncoming& put);
  int apply(const DropIncoming& drop);
  int apply(const PutRetained& put);
  int apply(const DropRetained& drop);
  int apply(const PutSession& put);
  int apply(const DropSession& drop);
  int apply(const LeaveAll& leave);
  int apply(const PutSubscription& put);
  int apply(const DropSubscription& drop);
  int apply(const PutWill& put);
  int apply(const MoveWill& move);
  int apply(const DropWill& drop);
  int putMessage(const broker::Message& message);
  int dropMessage(std::int64_t id);
  int dropDelivery(std::uint64_t number);
  int takeRetained(std::string_view topic);
  std::string_view authorOf(const broker::Message& message);

  void checkpoint(int mode);
  void judge(int code);
  int reservePages();
  int transact(std::span<const Operation> operations);
  int bisect(std::span<const Operation> all, std::uint32_t begin, std::span<StoreUnit> units,
             std::size_t& failed);

  std::string path_;
  Durability durability_;
  const char* vfs_;
  int patience_ = 5000;
  FileLock lock_;
  SqliteDatabase database_;
  std::array<SqliteStatement, kStatements> statements_;
  std::optional<StoreClock> clock_;           // what the times of messages are stored with
  std::string message_;                       // of the failure that was told last
  std::string broken_;                        // after a commit: nothing can be relied on any more
  std::int64_t reservedPages_ = 0;            // that the file has room for on the disk
  int logPages_ = 0;                          // as many as the log had after the last commit
  int checkpointAt_ = 0;                      // that many are too many
  const broker::Identity* author_ = nullptr;  // of the last message, while committing
  std::string authorText_;
};

}  // namespace mqttstack
