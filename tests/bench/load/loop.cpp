#include "tests/bench/load/loop.hpp"

#include <array>
#include <ctime>
#include <sys/epoll.h>
#include <unistd.h>
#include <utility>

namespace mqttstack::load {

std::uint64_t now() noexcept {
  timespec time{};
  ::clock_gettime(CLOCK_MONOTONIC, &time);
  return static_cast<std::uint64_t>(time.tv_sec) * 1'000'000'000 +
         static_cast<std::uint64_t>(time.tv_nsec);
}

Loop::Loop(Endpoint endpoint, Version version)
    : endpoint_{std::move(endpoint)},
      version_{version},
      epoll_{::epoll_create1(EPOLL_CLOEXEC)},
      memory_(kReceiveBytes) {}

Loop::~Loop() { ::close(epoll_); }

void Loop::turn(std::chrono::nanoseconds limit) {
  std::array<epoll_event, 512> events;
  constexpr long kSecond = 1'000'000'000;
  const timespec wait{limit.count() / kSecond, limit.count() % kSecond};
  const int count =
      ::epoll_pwait2(epoll_, events.data(), static_cast<int>(events.size()), &wait, nullptr);
  for (int i = 0; i < count; ++i) {
    const epoll_event& event = events[static_cast<std::size_t>(i)];
    static_cast<Connection*>(event.data.ptr)->onEvents(event.events);
  }
}

void Loop::run(std::chrono::nanoseconds time) {
  const std::uint64_t end = now() + static_cast<std::uint64_t>(time.count());
  for (std::uint64_t at = now(); at < end; at = now()) turn(std::chrono::nanoseconds{end - at});
}

std::size_t Loop::bringUp(std::span<const std::unique_ptr<Connection>> connections,
                          std::size_t atOnce, std::chrono::seconds limit) {
  const Counts before = counts_;
  const auto finished = [&] { return counts_.up + counts_.failed - before.up - before.failed; };
  const std::uint64_t end =
      now() + static_cast<std::uint64_t>(std::chrono::nanoseconds{limit}.count());
  std::size_t begun = 0;
  while (finished() < connections.size() && now() < end) {
    for (; begun < connections.size() && begun - finished() < atOnce; ++begun)
      connections[begun]->open(begun);
    turn(std::chrono::milliseconds{100});
  }
  if (finished() < connections.size() && firstFailure_.empty())
    firstFailure_ = "no answer within " + std::to_string(limit.count()) + " s";
  return counts_.up - before.up;
}

}  // namespace mqttstack::load
