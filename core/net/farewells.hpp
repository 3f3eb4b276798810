#pragma once

#include <chrono>
#include <cstddef>
#include <list>
#include <memory>

#include <asio/steady_timer.hpp>

#include "core/net/descriptor.hpp"
#include "core/net/reactor.hpp"

namespace mqttstack::net {

/// What a connection still has to send before its FIN (TLS: the rest of a record
/// and close_notify).
class LastWords {
public:
  virtual ~LastWords() = default;
  /// Sends what the socket takes. Returns whether all is said, or can't be said.
  virtual bool speak() = 0;
};

/// The connections that are being closed gracefully. Closing a socket in which
/// input waits makes the kernel send a reset, which may overtake the last bytes
/// written. So a socket is shut down for writing, and lives here, its input
/// thrown away, until the peer hangs up or time is over. Who sends too much
/// meanwhile is not read any more. Transports hand their socket over and are
/// done.
class Farewells {
public:
  struct Limits {
    std::chrono::milliseconds time{2000};
    std::size_t bytes = 64 * 1024;
    /// Beyond, the oldest is closed at once.
    std::size_t connections = 256;
  };

  explicit Farewells(Reactor& reactor);
  ~Farewells();
  Farewells(const Farewells&) = delete;
  Farewells& operator=(const Farewells&) = delete;

  /// Takes over a connected socket that is no longer on epoll, or whose place
  /// there nobody listens to. `words` may be null.
  void add(Descriptor socket, std::unique_ptr<LastWords> words);

  void setLimits(const Limits& limits) { limits_ = limits; }
  std::size_t size() const noexcept { return all_.size(); }

private:
  class Farewell;

  void remove(std::list<Farewell>::iterator farewell);
  void armTimer();

  Reactor& reactor_;
  Limits limits_;
  std::list<Farewell> all_;  // oldest first
  asio::steady_timer timer_;
  std::shared_ptr<void> alive_ = std::make_shared<char>();  // queued handlers look at it
};

}  // namespace mqttstack::net
