#include "core/net/asio_scheduler.hpp"

#include <algorithm>
#include <system_error>

namespace mqttstack::net {

AsioScheduler::AsioScheduler(asio::io_context& io) : wheel_{clock_.now()}, alarm_{io} {}

void AsioScheduler::start(Timer& timer, Duration after) {
  const TimePoint current = now();
  wheel_.start(timer, current + std::min(after, TimePoint::max() - current));
  if (!advancing_ && timer.deadline() < alarmAt_) arm();
}

void AsioScheduler::arm() {
  const auto next = wheel_.nextDeadline();
  alarmAt_ = next.value_or(TimePoint::max());
  if (!next) return;
  alarm_.expires_at(*next);
  alarm_.async_wait([this, alive = std::weak_ptr{alive_}](std::error_code error) {
    if (error || alive.expired()) return;
    onTime();
  });
}

void AsioScheduler::onTime() {
  advancing_ = true;
  wheel_.advanceTo(now());
  advancing_ = false;
  arm();
}

}  // namespace mqttstack::net
