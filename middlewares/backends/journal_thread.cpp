#include "middlewares/backends/journal_thread.hpp"

#include <condition_variable>
#include <csignal>
#include <mutex>
#include <optional>
#include <utility>

#include "core/util/worker.hpp"

namespace mqttstack {

namespace {

/// How often the store is tidied up, if anything was committed.
constexpr std::chrono::seconds kTidyInterval{1};

void commitTo(Store& store, Batch& batch) {
  batch.result = store.commit(batch.operations, batch.units);
}

}  // namespace

struct JournalThread::Shared {
  std::mutex mutex;
  std::condition_variable wake;
  std::unique_ptr<Batch> given;      // to be committed
  std::unique_ptr<Batch> committed;  // on its way back
  std::optional<TimePoint> reminder;
  Client* client = nullptr;  // for the loop's thread; null once nobody listens
  bool stopping = false;

  static void work(const std::shared_ptr<Shared>& shared, Store& store, LoopExecutor& loop);

  /// Waits for the next thing to do: until then, nothing is posted.
  void await(std::unique_lock<std::mutex>& lock, std::optional<TimePoint> tidyAt) {
    const auto something = [this] { return stopping || given; };
    std::optional<TimePoint> until = reminder;
    if (tidyAt && (!until || *tidyAt < *until)) until = tidyAt;
    if (until)
      wake.wait_until(lock, *until,
                      [&] { return something() || (reminder && *reminder < *until); });
    else
      wake.wait(lock, [&] { return something() || reminder; });
  }
};

void JournalThread::Shared::work(const std::shared_ptr<Shared>& shared, Store& store,
                                 LoopExecutor& loop) {
  using std::chrono::steady_clock;
  std::optional<TimePoint> tidyAt;
  std::unique_lock lock{shared->mutex};
  while (true) {
    shared->await(lock, tidyAt);
    if (auto batch = std::move(shared->given)) {
      lock.unlock();
      commitTo(store, *batch);
      lock.lock();
      shared->committed = std::move(batch);
      if (!tidyAt) tidyAt = steady_clock::now() + kTidyInterval;
      loop.post([shared] {
        std::unique_ptr<Batch> done;
        {
          const std::lock_guard guard{shared->mutex};
          done = std::move(shared->committed);
        }
        if (done && shared->client) shared->client->committed(std::move(done));
      });
      lock.unlock();
      store.committed();
      lock.lock();
    }
    if (shared->stopping) return;
    const TimePoint now = steady_clock::now();
    if (shared->reminder && *shared->reminder <= now) {
      shared->reminder.reset();
      loop.post([shared] {
        if (shared->client) shared->client->reminded();
      });
    }
    if (tidyAt && *tidyAt <= now) {
      lock.unlock();
      const bool more = store.tidyUp();
      lock.lock();
      tidyAt.reset();
      if (more) tidyAt = steady_clock::now() + kTidyInterval / 10;
    }
  }
}

JournalThread::JournalThread(Store& store, LoopExecutor& loop) : store_{store}, loop_{loop} {}

JournalThread::~JournalThread() { stop(); }

void JournalThread::start(Client& client) {
  shared_ = std::make_shared<Shared>();
  shared_->client = &client;
  sigset_t all;
  sigset_t before;
  sigfillset(&all);
  pthread_sigmask(SIG_SETMASK, &all, &before);
  thread_ = std::thread{
      [shared = shared_, &store = store_, &loop = loop_] { Shared::work(shared, store, loop); }};
  pthread_sigmask(SIG_SETMASK, &before, nullptr);
}

void JournalThread::commit(std::unique_ptr<Batch> batch) {
  {
    const std::lock_guard lock{shared_->mutex};
    shared_->given = std::move(batch);
  }
  shared_->wake.notify_one();
}

void JournalThread::remindAt(TimePoint when) {
  {
    const std::lock_guard lock{shared_->mutex};
    shared_->reminder = when;
  }
  shared_->wake.notify_one();
}

std::unique_ptr<Batch> JournalThread::stop() {
  if (!thread_.joinable()) return nullptr;
  {
    const std::lock_guard lock{shared_->mutex};
    shared_->stopping = true;
  }
  shared_->wake.notify_one();
  thread_.join();
  shared_->client = nullptr;
  return std::move(shared_->committed);
}

void JournalThread::commitNow(Batch& batch) { commitTo(store_, batch); }

}  // namespace mqttstack
