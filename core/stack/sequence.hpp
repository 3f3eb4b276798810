#pragma once

#include <memory>
#include <system_error>

namespace mqttstack {

/// Executes callbacks one after the other, each when the one before has
/// settled, be that at once or later; however many there are, the call stack
/// does not grow. Lives as long as a continuation of one of its steps refers to
/// it (sharedFrom()).
class Sequence : public std::enable_shared_from_this<Sequence> {
public:
  virtual ~Sequence() = default;

  /// Begins. finished() is called before this returns if nothing defers.
  void run() {
    do {
      settled_ = false;
      if (!step()) return finished({});
      if (!settled_) {
        waiting_ = true;
        return;
      }
    } while (!error_);
    finished(error_);
  }

protected:
  /// Executes the next callback, whose continuation calls stepDone(). Returns
  /// false, and executes nothing, when all are done.
  virtual bool step() = 0;
  /// Called once: all steps are done, or one failed.
  virtual void finished(std::error_code error) = 0;

  void stepDone(std::error_code error) {
    settled_ = true;
    error_ = error;
    if (!waiting_) return;
    waiting_ = false;
    if (error_) return finished(error_);
    run();
  }

  /// This object, owned, for the continuation of a step.
  template <class Derived>
  static std::shared_ptr<Derived> sharedFrom(Derived& self) {
    return std::static_pointer_cast<Derived>(self.shared_from_this());
  }

private:
  bool settled_ = false;
  bool waiting_ = false;
  std::error_code error_;
};

}  // namespace mqttstack
