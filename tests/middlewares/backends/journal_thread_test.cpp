#include "middlewares/backends/journal_thread.hpp"

#include <catch2/catch.hpp>

#include "tests/middlewares/backends/row_store.hpp"

namespace mqttstack::test {
namespace {

/// What a committer says.
class Listener final : public Committer::Client {
public:
  void committed(std::unique_ptr<Batch> batch) override { batches.push_back(std::move(batch)); }
  void reminded() override { ++reminders; }
  std::vector<std::unique_ptr<Batch>> batches;
  int reminders = 0;
};

std::unique_ptr<Batch> someBatch(std::uint16_t id) {
  auto batch = std::make_unique<Batch>();
  batch->operations.emplace_back(PutIncoming{1, id});
  batch->units.push_back({1});
  batch->live = 1;
  return batch;
}

TEST_CASE("a batch is committed on the thread and comes back on the loop", "[journal_thread]") {
  Rows rows;
  RowStore store{rows};
  ManualLoop loop;
  Listener listener;
  JournalThread thread{store, loop};
  thread.start(listener);
  for (std::uint16_t i = 1; i <= 20; ++i) {
    thread.commit(someBatch(i));
    CHECK(listener.batches.size() == i - 1U);
    loop.await();
    REQUIRE(listener.batches.size() == i);
    CHECK(listener.batches.back()->result.kind == CommitResult::Kind::stored);
  }
  CHECK(thread.stop() == nullptr);
  CHECK(rows.incoming.size() == 20);
}

TEST_CASE("a reminder comes on the loop, once", "[journal_thread]") {
  Rows rows;
  RowStore store{rows};
  ManualLoop loop;
  Listener listener;
  JournalThread thread{store, loop};
  thread.start(listener);
  thread.remindAt(std::chrono::steady_clock::now());
  loop.await();
  CHECK(listener.reminders == 1);
  thread.stop();
  CHECK_FALSE(loop.poll());
}

TEST_CASE("what is being committed when the thread is stopped is committed, and given back",
          "[journal_thread]") {
  Rows rows;
  RowStore store{rows};
  ManualLoop loop;
  Listener listener;
  JournalThread thread{store, loop};
  thread.start(listener);
  thread.commit(someBatch(1));
  const auto batch = thread.stop();
  REQUIRE(batch);
  CHECK(batch->result.kind == CommitResult::Kind::stored);
  loop.poll();  // what was posted finds nobody
  CHECK(listener.batches.empty());
  Batch last = std::move(*someBatch(2));
  thread.commitNow(last);
  CHECK(rows.incoming.size() == 2);
}

}  // namespace
}  // namespace mqttstack::test
