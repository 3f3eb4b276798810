#pragma once

#include <chrono>
#include <cstddef>
#include <memory>
#include <string>
#include <string_view>
#include <sys/socket.h>
#include <sys/un.h>

#include "core/net/descriptor.hpp"

namespace mqttstack {

/// Whoever started the daemon and wants to know how it is: systemd, or any other
/// that speaks the protocol of sd_notify(3). If there is nobody, all calls do
/// nothing.
///
/// Nothing here waits for long: what tells of a change of state may take some
/// seconds if the manager is busy, everything else is dropped then.
class ServiceManager {
public:
  /// There is nobody.
  ServiceManager() = default;

  /// Takes NOTIFY_SOCKET, WATCHDOG_USEC and WATCHDOG_PID out of the environment.
  /// REQUIRES: no other thread runs yet.
  static ServiceManager fromEnvironment();

  bool present() const noexcept { return static_cast<bool>(socket_); }

  /// How often the manager wants to hear that the loop runs, which is half of
  /// the time after which it gives up on it. Zero if it doesn't ask.
  std::chrono::microseconds heartbeat() const noexcept { return watchdog_ / 2; }

  /// The daemon serves clients: for the first time, or again after reloading().
  void ready(std::string_view status);
  /// The configuration is being read anew. REQUIRES: ready() follows.
  void reloading();
  void stopping(std::string_view status);
  /// Something is going on that may last so long.
  void extendTimeout(std::chrono::seconds time, std::string_view status);
  /// What `systemctl status` shows, in one line. Returns whether it was taken.
  bool status(std::string_view text);
  /// The loop runs.
  void ping();

private:
  enum class Urgency : std::uint8_t { mustArrive, mayBeLost };
  bool send(const std::string& message, Urgency urgency);

  net::Descriptor socket_;
  sockaddr_un address_{};
  socklen_t addressSize_ = 0;
  std::chrono::microseconds watchdog_{0};
};

}  // namespace mqttstack
