#pragma once

#include <cstdint>
#include <stdexcept>
#include <string>
#include <string_view>

#include "tests/support/raw_packets.hpp"

namespace mqttstack::crash {

/// Something that a broker must never do.
struct Violation : std::runtime_error {
  using std::runtime_error::runtime_error;
};

/// A connection that never blocks: bytes out when there is room, whole packets in
/// when they have come.
class Wire {
public:
  Wire() = default;
  Wire(const Wire&) = delete;
  Wire& operator=(const Wire&) = delete;
  ~Wire() { reset(); }

  /// Begins to connect. False if that fails at once.
  bool open(std::uint16_t port);
  bool isOpen() const noexcept { return socket_ >= 0; }
  /// Ends the connection with a reset; nothing that waits is sent.
  void reset() noexcept;

  int descriptor() const noexcept { return socket_; }
  short wantedEvents() const noexcept;

  void send(const Bytes& bytes) { output_ += bytes; }
  std::size_t waiting() const noexcept { return output_.size(); }
  /// Writes and reads what is possible. False if the connection is gone.
  bool pump();
  /// The next whole packet; empty if there is none.
  Bytes next();

private:
  int socket_ = -1;
  Bytes output_;
  Bytes input_;
  std::size_t begin_ = 0;  // of what next() has not given out
};

}  // namespace mqttstack::crash
