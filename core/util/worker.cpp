#include "core/util/worker.hpp"

#include <condition_variable>
#include <csignal>
#include <deque>
#include <mutex>
#include <utility>
#include <vector>

namespace mqttstack {

struct Worker::Shared {
  struct Lane {
    std::string name;
    std::deque<std::unique_ptr<Job>> jobs;
  };

  std::mutex mutex;
  std::condition_variable wake;
  std::deque<Lane> lanes;  // none is empty; the first is served next
  std::size_t waiting = 0;
  bool stopping = false;
  std::vector<std::unique_ptr<Job>> finished;  // run, and on the way back to the loop

  Lane& lane(std::string_view name) {
    for (Lane& known : lanes)
      if (known.name == name) return known;
    return lanes.emplace_back(Lane{std::string{name}, {}});
  }

  std::unique_ptr<Job> takeNext() {
    Lane turn = std::move(lanes.front());
    lanes.pop_front();
    auto job = std::move(turn.jobs.front());
    turn.jobs.pop_front();
    --waiting;
    if (!turn.jobs.empty()) lanes.push_back(std::move(turn));
    return job;
  }

  /// Takes the youngest job of the longest lane: of `newcomer`, unless another is longer.
  std::unique_ptr<Job> takeBack(Lane& newcomer) {
    Lane* longest = &newcomer;
    for (Lane& other : lanes)
      if (other.jobs.size() > longest->jobs.size()) longest = &other;
    auto job = std::move(longest->jobs.back());
    longest->jobs.pop_back();
    --waiting;
    std::erase_if(lanes, [](const Lane& each) { return each.jobs.empty(); });
    return job;
  }

  void finishAll() {
    std::vector<std::unique_ptr<Job>> jobs;
    {
      const std::lock_guard lock{mutex};
      jobs.swap(finished);
    }
    for (const auto& job : jobs) job->finish();
  }

  static void work(const std::shared_ptr<Shared>& shared, LoopExecutor& loop) {
    std::unique_lock lock{shared->mutex};
    while (true) {
      shared->wake.wait(lock, [&] { return shared->stopping || shared->waiting != 0; });
      if (shared->stopping) return;
      auto job = shared->takeNext();
      lock.unlock();
      job->run();
      lock.lock();
      shared->finished.push_back(std::move(job));
      if (shared->finished.size() > 1 || shared->stopping) continue;
      lock.unlock();
      loop.post([shared] { shared->finishAll(); });
      lock.lock();
    }
  }
};

Worker::Worker(LoopExecutor& loop, std::size_t capacity, std::size_t threads)
    : loop_{loop},
      capacity_{capacity},
      count_{threads} {}

void Worker::start() {
  if (shared_) return;
  shared_ = std::make_shared<Shared>();
  sigset_t all;
  sigset_t before;
  sigfillset(&all);
  pthread_sigmask(SIG_SETMASK, &all, &before);
  for (std::size_t i = 0; i < count_; ++i)
    threads_.emplace_back([shared = shared_, &loop = loop_] { Shared::work(shared, loop); });
  pthread_sigmask(SIG_SETMASK, &before, nullptr);
}

void Worker::stop() {
  if (!shared_) return;
  {
    const std::lock_guard lock{shared_->mutex};
    shared_->stopping = true;
  }
  shared_->wake.notify_all();
  for (std::thread& thread : threads_) thread.join();
  threads_.clear();
  // What the threads posted may still come and finds nothing to finish.
  const auto lanes = std::exchange(shared_->lanes, {});
  const auto finished = std::exchange(shared_->finished, {});
  shared_.reset();
}

void Worker::submit(std::string_view lane, std::unique_ptr<Job> job) {
  if (!shared_) return job->refuse();
  std::unique_ptr<Job> refused;
  {
    const std::lock_guard lock{shared_->mutex};
    Shared::Lane& own = shared_->lane(lane);
    own.jobs.push_back(std::move(job));
    if (++shared_->waiting > capacity_) refused = shared_->takeBack(own);
  }
  shared_->wake.notify_one();
  if (refused) refused->refuse();
}

}  // namespace mqttstack
