#pragma once

#include <filesystem>
#include <memory>
#include <string_view>

#include "middlewares/backends/durable_backend.hpp"
#include "middlewares/backends/sqlite_store.hpp"

namespace mqttstack {

/// Keeps what memory_backend keeps, and what outlives a connection also in a file
/// of SQLite: nothing that was acknowledged is lost, whatever ends the broker.
class SqliteBackend final : public DurableBackend {
public:
  static constexpr std::string_view kName = "sqlite_backend";
  static constexpr std::string_view kSummary =
      "Keeps sessions, their messages and retained messages in a file, too: acknowledged is what "
      "is stored.";

  struct Options : BackendLimits {
    std::filesystem::path path;
    Durability durability = Durability::sync;
    TimeSpan commitInterval{5};
    static void declare(OptionTable<Options>& table);
  };

  SqliteBackend(Setup& setup, const Options& options);
  ~SqliteBackend() override;

  void validate(const Stack& stack, Diagnostics& diagnostics) const override;
  void start(Diagnostics& diagnostics) override;
  void stop() override;

private:
  Options options_;
  LoopExecutor& loop_;
  bool thorough_;
  std::unique_ptr<SqliteStore> store_;
  mutable bool examined_ = false;  // by validate(), which is called for each pipeline
};

}  // namespace mqttstack
