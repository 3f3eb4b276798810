#pragma once

#include <chrono>
#include <condition_variable>
#include <cstddef>
#include <deque>
#include <functional>
#include <mutex>
#include <stdexcept>
#include <utility>

#include "core/util/worker.hpp"

namespace mqttstack::test {

/// A LoopExecutor whose turns a test makes: what was posted waits until then.
class ManualLoop final : public LoopExecutor {
public:
  void post(std::function<void()> task) override {
    {
      const std::lock_guard lock{mutex_};
      tasks_.push_back(std::move(task));
    }
    posted_.notify_one();
  }

  /// Does what has been posted, and returns whether that was anything.
  bool poll() { return !held_ && doAll(); }

  /// Leaves what is posted alone from now on, but for await() and turn(): so that
  /// a test sees the time in between, however quick the other thread is.
  void hold() { held_ = true; }
  void goOn() { held_ = false; }

  /// One turn: does what has been posted so far, also while it is held.
  void turn() {
    std::size_t count = 0;
    {
      const std::lock_guard lock{mutex_};
      count = tasks_.size();
    }
    for (; count > 0; --count)
      if (auto task = take()) task();
  }

  /// Waits until something is posted, and does it. Throws if nothing comes.
  void await() {
    {
      std::unique_lock lock{mutex_};
      if (!posted_.wait_for(lock, std::chrono::seconds{30}, [this] { return !tasks_.empty(); }))
        throw std::runtime_error{"nothing was posted to the loop"};
    }
    doAll();
  }

private:
  bool doAll() {
    bool any = false;
    while (auto task = take()) {
      task();
      any = true;
    }
    return any;
  }
  std::function<void()> take() {
    const std::lock_guard lock{mutex_};
    if (tasks_.empty()) return {};
    auto task = std::move(tasks_.front());
    tasks_.pop_front();
    return task;
  }

  std::mutex mutex_;
  std::condition_variable posted_;
  std::deque<std::function<void()>> tasks_;
  bool held_ = false;
};

}  // namespace mqttstack::test
