#pragma once

#include <array>
#include <chrono>
#include <cstddef>
#include <cstdint>
#include <memory>
#include <span>
#include <sys/epoll.h>
#include <system_error>
#include <vector>

#include <asio/io_context.hpp>
#include <asio/posix/stream_descriptor.hpp>

#include "core/net/flush_list.hpp"
#include "core/util/expected.hpp"

namespace mqttstack::net {

class Farewells;

/// What the reactor calls: one end of a connection, or a listening socket.
class EventTarget {
public:
  /// The descriptor is ready; `events` are EPOLL* bits. May destroy this object.
  virtual void onEvents(std::uint32_t events) = 0;

  /// What Reactor::callSoon() asked for. May destroy this object.
  virtual void onSoon() = 0;

protected:
  ~EventTarget() = default;
};

/// The loop's view on all client sockets: one private level-triggered epoll
/// descriptor which the io_context awaits. That saves a system call per event,
/// and most of the memory, that a socket object of Asio's would cost.
///
/// A turn takes the events that are there, tells their targets, and then runs
/// the list of those with output, so that each connection is written to once per
/// turn. Dispatch and flush are cut after 5 ms each; the rest comes in the next
/// turn, and other work of the io_context gets its chance in between.
///
/// Targets are known by tokens that are never reused, so one that is destroyed
/// while its event waits in the same batch is simply not called.
///
/// Must outlive everything registered with it. The io_context outlives it.
class Reactor {
public:
  using Token = std::uint64_t;
  static constexpr std::size_t kReadSize = 64 * 1024;

  explicit Reactor(asio::io_context& io);
  Reactor(const Reactor&) = delete;
  Reactor& operator=(const Reactor&) = delete;
  ~Reactor();

  /// The list of clients with output; protocol code sees only this.
  FlushList& flushList() noexcept { return flushList_; }
  /// Has `item.flush()` called at the end of this turn, or soon if none runs.
  void scheduleFlush(Flushable& item) { flushList_.add(item); }

  /// Makes `target` known. It is called until remove().
  Token add(EventTarget& target);
  /// Forgets a target: nothing calls it any more. Its descriptor leaves epoll by
  /// unwatch() or by being closed.
  void remove(Token token) noexcept;

  /// Puts a descriptor on epoll, level-triggered. Fails when the machine's limit
  /// of watches is reached.
  std::error_code watch(Token token, int descriptor, std::uint32_t events) noexcept;
  /// Changes what is waited for, and for whom.
  void rewatch(Token token, int descriptor, std::uint32_t events) noexcept;
  void unwatch(int descriptor) noexcept;

  /// Has the target's onSoon() called in the next turn, which comes without
  /// waiting. Asking twice calls twice.
  void callSoon(Token token);

  /// The buffer that all connections read into, kReadSize bytes.
  std::span<char> readBuffer() noexcept { return {readBuffer_.get(), kReadSize}; }
  /// So many bytes were read into it. After much, clients are written to before
  /// others are read, while what came is still in the processor's cache.
  void countRead(std::size_t bytes) noexcept { readSinceFlush_ += bytes; }

  /// Asks for leave to do something that costs a fraction of a millisecond (a
  /// step of a TLS handshake). Granted four times per turn; whoever is refused
  /// leaves its input where it is and is told of it again in the next turn.
  bool takeCostlyStep() noexcept;

  /// Whether the target that got this token is still known. For code that has
  /// called somebody who may have destroyed it.
  bool knows(Token token) noexcept { return find(token) != nullptr; }

  /// Connections that are being ended gracefully.
  Farewells& farewells() noexcept { return *farewells_; }

  asio::io_context& io() noexcept { return io_; }

private:
  struct Slot {
    EventTarget* target = nullptr;
    std::uint32_t generation = 0;
    std::uint32_t nextFree = 0;
  };
  static constexpr std::size_t kBatch = 256;
  /// A part of a second-level cache. Small messages rarely come to so much in a turn.
  static constexpr std::size_t kFlushAfter = 256 * 1024;

  void await();
  void postTurn();
  void runTurn();
  void dispatch();
  void postFlush();
  void flush();
  EventTarget* find(Token token) noexcept;

  asio::io_context& io_;
  asio::posix::stream_descriptor epoll_;
  FlushList flushList_;
  std::unique_ptr<Farewells> farewells_;
  std::unique_ptr<char[]> readBuffer_;

  std::vector<Slot> slots_;
  std::uint32_t firstFree_;
  std::vector<Token> soon_;
  std::vector<Token> soonNow_;
  std::array<epoll_event, kBatch> events_;
  std::size_t nextEvent_ = 0;  // events_[nextEvent_, eventCount_) are still to be told
  std::size_t eventCount_ = 0;
  std::size_t readSinceFlush_ = 0;  // bytes
  unsigned costlySteps_ = 0;
  bool inTurn_ = false;
  bool waiting_ = false;  // async_wait is under way
  bool turnPosted_ = false;
  bool flushPosted_ = false;
  std::shared_ptr<void> alive_ = std::make_shared<char>();  // queued handlers look at it
};

}  // namespace mqttstack::net
