#pragma once

#include <cstddef>
#include <functional>
#include <memory>
#include <string>
#include <string_view>
#include <thread>
#include <vector>

namespace mqttstack {

/// The way back to the loop for threads that work for it. The daemon's posts to
/// its io_context; a test's is a queue that the test empties.
class LoopExecutor {
public:
  virtual ~LoopExecutor() = default;

  /// Has `task` called on the loop's thread, soon, and never inside this call.
  /// May be called from any thread. A loop that has stopped drops it.
  virtual void post(std::function<void()> task) = 0;

  /// Whether this turn of the loop has had its time: who has a lot to do looks now and
  /// then, and leaves the rest for another turn. For the loop's thread.
  virtual bool late() { return false; }
};

/// A piece of work for a Worker. Made and destroyed on the loop's thread.
class Job {
public:
  virtual ~Job() = default;

  /// Does the work. Called on the worker's thread, once; touches nothing that
  /// the loop touches, and throws nothing.
  virtual void run() noexcept = 0;
  /// Called on the loop's thread after run().
  virtual void finish() = 0;
  /// Called on the loop's thread instead of both: there is no room.
  virtual void refuse() = 0;
};

/// A thread, or several, that do what would hold up the loop, a job at a time
/// each, from a queue that is bounded and fair: jobs stand in lanes (one per peer address,
/// say) that are served in turn, and when the queue is full the longest lane
/// gives up its youngest job.
///
/// All functions are for the loop's thread.
class Worker {
public:
  Worker(LoopExecutor& loop, std::size_t capacity, std::size_t threads = 1);
  Worker(const Worker&) = delete;
  Worker& operator=(const Worker&) = delete;
  ~Worker() { stop(); }

  /// Starts the threads; signals are left to others.
  void start();
  /// Waits for the jobs that are being run, ends the threads, and destroys all
  /// jobs without finishing them. Nothing happens if it isn't running.
  void stop();

  /// Queues a job. If there is no room, refuses it, or the youngest of a longer
  /// lane; if the worker is not running, refuses it.
  void submit(std::string_view lane, std::unique_ptr<Job> job);

private:
  struct Shared;

  LoopExecutor& loop_;
  std::size_t capacity_;
  std::size_t count_;
  std::shared_ptr<Shared> shared_;  // with the threads, and with what they posted
  std::vector<std::thread> threads_;
};

}  // namespace mqttstack
