#include "core/net/reactor.hpp"

#include <cassert>
#include <cerrno>
#include <chrono>
#include <limits>
#include <utility>

#include <asio/post.hpp>

#include "core/net/farewells.hpp"

namespace mqttstack::net {
namespace {

using SteadyClock = std::chrono::steady_clock;

constexpr std::chrono::milliseconds kTurnBudget{5};
constexpr std::uint32_t kNoSlot = std::numeric_limits<std::uint32_t>::max();
constexpr unsigned kCostlyStepsPerTurn = 4;

int openEpoll() {
  const int descriptor = ::epoll_create1(EPOLL_CLOEXEC);
  if (descriptor < 0) throw std::system_error{errno, std::system_category(), "epoll_create1"};
  return descriptor;
}

}  // namespace

Reactor::Reactor(asio::io_context& io)
    : io_{io},
      epoll_{io, openEpoll()},
      flushList_{[this] { postFlush(); }},
      farewells_{std::make_unique<Farewells>(*this)},
      readBuffer_{std::make_unique<char[]>(kReadSize)},
      firstFree_{kNoSlot} {
  await();
}

Reactor::~Reactor() { farewells_.reset(); }

Reactor::Token Reactor::add(EventTarget& target) {
  if (firstFree_ == kNoSlot) {
    firstFree_ = static_cast<std::uint32_t>(slots_.size());
    slots_.push_back(Slot{.target = nullptr, .generation = 1, .nextFree = kNoSlot});
  }
  const std::uint32_t index = firstFree_;
  Slot& slot = slots_[index];
  firstFree_ = slot.nextFree;
  slot.target = &target;
  return (Token{slot.generation} << 32) | index;
}

void Reactor::remove(Token token) noexcept {
  if (!find(token)) return;
  const auto index = static_cast<std::uint32_t>(token);
  Slot& slot = slots_[index];
  slot.target = nullptr;
  // Four thousand million connections later on the same slot nothing of the old
  // one is left in any batch.
  ++slot.generation;
  slot.nextFree = std::exchange(firstFree_, index);
}

EventTarget* Reactor::find(Token token) noexcept {
  const auto index = static_cast<std::uint32_t>(token);
  if (index >= slots_.size()) return nullptr;
  const Slot& slot = slots_[index];
  return slot.generation == token >> 32 ? slot.target : nullptr;
}

std::error_code Reactor::watch(Token token, int descriptor, std::uint32_t events) noexcept {
  epoll_event event{.events = events, .data = {.u64 = token}};
  if (::epoll_ctl(epoll_.native_handle(), EPOLL_CTL_ADD, descriptor, &event) == 0) return {};
  return {errno, std::system_category()};
}

void Reactor::rewatch(Token token, int descriptor, std::uint32_t events) noexcept {
  epoll_event event{.events = events, .data = {.u64 = token}};
  [[maybe_unused]] const int failed =
      ::epoll_ctl(epoll_.native_handle(), EPOLL_CTL_MOD, descriptor, &event);
  assert(failed == 0);
}

void Reactor::unwatch(int descriptor) noexcept {
  ::epoll_ctl(epoll_.native_handle(), EPOLL_CTL_DEL, descriptor, nullptr);
}

void Reactor::callSoon(Token token) {
  soon_.push_back(token);
  if (!inTurn_) postTurn();
}

bool Reactor::takeCostlyStep() noexcept {
  if (costlySteps_ == kCostlyStepsPerTurn) return false;
  ++costlySteps_;
  return true;
}

void Reactor::await() {
  waiting_ = true;
  const auto onReady = [this, alive = std::weak_ptr{alive_}](std::error_code error) {
    if (error || alive.expired()) return;
    waiting_ = false;
    runTurn();
  };
  epoll_.async_wait(asio::posix::stream_descriptor::wait_read, onReady);
}

void Reactor::postTurn() {
  if (std::exchange(turnPosted_, true)) return;
  asio::post(io_, [this, alive = std::weak_ptr{alive_}] {
    if (alive.expired()) return;
    turnPosted_ = false;
    runTurn();
  });
}

void Reactor::postFlush() {
  if (std::exchange(flushPosted_, true)) return;
  asio::post(io_, [this, alive = std::weak_ptr{alive_}] {
    if (alive.expired()) return;
    flushPosted_ = false;
    flush();
  });
}

void Reactor::flush() {
  readSinceFlush_ = 0;
  inTurn_ = true;
  flushList_.beginTurn(SteadyClock::now() + kTurnBudget);
  const bool done = flushList_.run();
  flushList_.endTurn();
  inTurn_ = false;
  if (!done) postFlush();
  if (!soon_.empty()) postTurn();
}

void Reactor::runTurn() {
  costlySteps_ = 0;
  inTurn_ = true;
  flushList_.beginTurn(SteadyClock::now() + kTurnBudget);
  dispatch();
  flush();
  if (nextEvent_ != eventCount_)
    postTurn();
  else if (!waiting_)
    await();
}

void Reactor::dispatch() {
  // Only what was asked for before this turn: what asks again waits for the next.
  soonNow_.swap(soon_);
  for (const Token token : soonNow_)
    if (EventTarget* target = find(token)) target->onSoon();
  soonNow_.clear();

  // Events left from the last turn come first: were they fetched anew, those at
  // the front of the kernel's list might always be faster.
  if (nextEvent_ == eventCount_) {
    const int count =
        ::epoll_wait(epoll_.native_handle(), events_.data(), static_cast<int>(kBatch), 0);
    nextEvent_ = 0;
    eventCount_ = count > 0 ? static_cast<std::size_t>(count) : 0;
  }
  for (unsigned told = 1; nextEvent_ != eventCount_; ++told) {
    const epoll_event event = events_[nextEvent_++];
    if (EventTarget* target = find(event.data.u64)) target->onEvents(event.events);
    if (readSinceFlush_ >= kFlushAfter) {
      flushList_.run();
      readSinceFlush_ = 0;
    }
    if (flushList_.knownLate() || (told % 8 == 0 && flushList_.late())) return;
  }
}

}  // namespace mqttstack::net
