#pragma once

#include <array>

#include "core/stack/callbacks.hpp"

namespace mqttstack {

class Metrics;
struct Metric;

/// Counts and tells the messages that are dropped for a receiver. A member of
/// each middleware that drops any; they share the counters.
class Drops {
public:
  explicit Drops(Metrics& metrics);

  /// Counts one and executes messageDropped on `stack`, the receiver's.
  void drop(Stack& stack, const broker::Session& session, const broker::Message& message,
            DropReason reason);

private:
  std::array<Metric*, kDropReasons> counters_{};
};

}  // namespace mqttstack
