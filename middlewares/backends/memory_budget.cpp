#include "middlewares/backends/memory_budget.hpp"

#include "core/util/usable_memory.hpp"

namespace mqttstack {

MemoryBudget::MemoryBudget(Metrics& metrics, const Logger& log, ByteCount limit)
    : log_{log},
      queuedBytes_{
          metrics.counter("queued_bytes", "memory of the messages that wait for sessions")},
      retainedBytes_{metrics.counter("retained_bytes", "memory of the retained messages")},
      limit_{limit.count != 0 ? limit.count : usableMemory() / 2} {
  metrics
      .counter("memory_limit_bytes",
               "what messages may take that are queued, under way or retained")
      .value = static_cast<std::int64_t>(limit_);
}

void MemoryBudget::refused() {
  // One that is too large for any room says nothing about the room.
  if (reached_ || used() <= limit_ - limit_ / 8) return;
  reached_ = true;
  log_.warning(
      "the memory_limit of {} bytes is reached: queued messages take {}, retained ones {}, and "
      "those "
      "that clients have not acknowledged {}; "
      "until there is less, more are refused, and so are new sessions that are to be kept; raise "
      "memory_limit, or let messages and sessions expire sooner",
      limit_, queuedBytes_.value, retainedBytes_.value, broker::InflightWindow::allBytes());
}

void MemoryBudget::leaveIfRoom() {
  if (used() > limit_ - limit_ / 8) return;
  reached_ = false;
  log_.info("there is room again below the memory_limit of {} bytes: {} are taken", limit_, used());
}

bool MemoryBudget::exhausted() {
  freed();
  if (!fits(1)) refused();
  return reached_;
}

}  // namespace mqttstack
