#pragma once

#include <chrono>
#include <cstddef>
#include <cstdint>
#include <memory>
#include <span>
#include <string>
#include <vector>

#include "tests/bench/load/connection.hpp"
#include "tests/bench/load/endpoint.hpp"

namespace mqttstack::load {

/// The monotonic clock in nanoseconds.
std::uint64_t now() noexcept;

/// All connections of the generator, in one thread, on one epoll descriptor.
class Loop {
public:
  Loop(Endpoint endpoint, Version version);
  Loop(const Loop&) = delete;
  Loop& operator=(const Loop&) = delete;
  ~Loop();

  Version version() const noexcept { return version_; }

  /// Waits until something happens, but no longer than `limit`, and sees to it.
  void turn(std::chrono::nanoseconds limit);
  /// Sees to what happens for that long.
  void run(std::chrono::nanoseconds time);

  /// Has all of them connect, introduce themselves and subscribe, at most `atOnce` of them at the
  /// same time. Returns how many came up before `limit` was over; firstFailure() says why others
  /// didn't.
  std::size_t bringUp(std::span<const std::unique_ptr<Connection>> connections, std::size_t atOnce,
                      std::chrono::seconds limit);
  const std::string& firstFailure() const noexcept { return firstFailure_; }

  /// When the bytes arrived that are being worked off.
  std::uint64_t arrival() const noexcept { return arrival_; }

  struct Counts {
    std::uint64_t up = 0;
    std::uint64_t failed = 0;   ///< did not come up
    std::uint64_t lost = 0;     ///< were closed by the broker when they were up
    std::uint64_t refused = 0;  ///< subscriptions that were refused
    std::uint64_t reads = 0;    ///< system calls
    std::uint64_t writes = 0;   ///< system calls
  };
  const Counts& counts() const noexcept { return counts_; }

private:
  friend class Connection;
  static constexpr std::size_t kReceiveBytes = 256 * 1024;

  Endpoint endpoint_;
  Version version_;
  int epoll_;
  std::uint64_t arrival_ = 0;
  Counts counts_;
  std::string firstFailure_;
  std::vector<char> memory_;  // what all connections receive into
};

}  // namespace mqttstack::load
