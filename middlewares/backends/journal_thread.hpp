#pragma once

#include <memory>
#include <thread>

#include "middlewares/backends/journal.hpp"

namespace mqttstack {

/// Commits batches to a store on a thread of its own, which also keeps the store
/// tidy while there is nothing to commit.
class JournalThread final : public Committer {
public:
  /// `store` is open, and outlives this.
  JournalThread(Store& store, LoopExecutor& loop);
  ~JournalThread() override;

  void start(Client& client) override;
  void commit(std::unique_ptr<Batch> batch) override;
  void remindAt(TimePoint when) override;
  std::unique_ptr<Batch> stop() override;
  void commitNow(Batch& batch) override;

private:
  struct Shared;

  Store& store_;
  LoopExecutor& loop_;
  std::shared_ptr<Shared> shared_;  // with the thread, and with what it posted
  std::thread thread_;
};

}  // namespace mqttstack
