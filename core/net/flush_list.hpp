#pragma once

#include <chrono>
#include <functional>
#include <utility>

#include "core/util/ring.hpp"

namespace mqttstack::net {

/// Something with output that is to leave once per turn of the loop, so that
/// what many packets add becomes one write. Leaves its list when destroyed.
class Flushable : public RingLink {
public:
  /// Writes what is there. Called once per FlushList::add(). May destroy this
  /// object or others, and may add to the list again: that is for the next pass.
  virtual void flush() = 0;

protected:
  ~Flushable() = default;
};

/// The objects with output: the "dirty list". The reactor owns the real one and
/// runs it at the end of each turn, before it waits again; tests run one of
/// their own by hand.
class FlushList {
public:
  using SteadyTime = std::chrono::steady_clock::time_point;

  /// `wake` is called when the list stops being empty outside of a turn (from a
  /// timer, from posted work) and has to see to it that run() is called soon.
  explicit FlushList(std::function<void()> wake = {}) : wake_{std::move(wake)} {}

  /// Schedules `item`; does nothing if it is scheduled already.
  void add(Flushable& item) {
    if (item.linked()) return;
    const bool first = waiting_.empty();
    waiting_.append(item);
    if (first && !inTurn_ && wake_) wake_();
  }

  bool empty() const noexcept { return waiting_.empty(); }

  /// Flushes what is scheduled, once each, until all are done or the turn has had
  /// its time (looked at now and then). Returns whether the list is empty now.
  bool run() {
    Ring<Flushable> batch;
    batch.append(waiting_);
    for (unsigned done = 1; !batch.empty(); ++done) {
      Flushable& item = batch.front();
      item.unlink();
      item.flush();
      if (late_ || (done % 16 == 0 && late())) break;
    }
    // What is left goes before what was added meanwhile.
    batch.append(waiting_);
    waiting_.append(batch);
    return waiting_.empty();
  }

  /// Begins a turn, which should be over at `end`. Until endTurn(), add() does not
  /// wake: whoever runs the turn runs the list at its end.
  void beginTurn(SteadyTime end) noexcept {
    inTurn_ = true;
    late_ = false;
    turnEnd_ = end;
  }
  void endTurn() noexcept { inTurn_ = late_ = false; }

  /// Whether this turn has had its time: who has a lot to do looks now and then, and
  /// leaves the rest for the next. Reads the clock. Never so outside of a turn.
  bool late() noexcept {
    if (inTurn_ && !late_) late_ = std::chrono::steady_clock::now() >= turnEnd_;
    return late_;
  }
  /// The same, as far as somebody has looked.
  bool knownLate() const noexcept { return late_; }

private:
  Ring<Flushable> waiting_;
  std::function<void()> wake_;
  bool inTurn_ = false;
  bool late_ = false;
  SteadyTime turnEnd_{};
};

}  // namespace mqttstack::net
