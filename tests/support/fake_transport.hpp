#pragma once

#include <algorithm>
#include <cassert>
#include <cerrno>
#include <limits>
#include <optional>
#include <string>
#include <string_view>
#include <system_error>
#include <utility>

#include "core/net/transport.hpp"

namespace mqttstack::test {

/// A transport without a socket: the test plays the peer. What it feeds reaches
/// the handler at once, or waits while reading is paused (as in the kernel);
/// what the handler writes is collected.
///
/// The transport usually belongs to the object under test, which may destroy it
/// in any call: pass a Record to look at afterwards.
class FakeTransport final : public net::Transport {
public:
  /// What happened to a transport; may outlive it.
  struct Record {
    std::string written;
    std::size_t writes = 0;  ///< calls of write() that took something
    std::optional<net::CloseMode> closed;
    bool paused = false;
    bool destroyed = false;
    FakeTransport* transport = nullptr;  ///< null once destroyed
  };

  explicit FakeTransport(Record& record, net::PeerInfo peer = {})
      : record_{record},
        peer_{std::move(peer)} {
    record_.transport = this;
  }
  ~FakeTransport() override {
    record_.destroyed = true;
    record_.transport = nullptr;
  }

  /// Limits what write() takes from now on, in total, until more is allowed.
  void limitWrites(std::size_t bytes) { room_ = bytes; }
  /// Makes room, and tells the handler if it waits for that.
  void allowWrites(std::size_t bytes = std::numeric_limits<std::size_t>::max()) {
    room_ = bytes;
    if (std::exchange(owesWritable_, false) && open()) handler_->onWritable();
  }
  /// Makes write() fail from now on, as after a reset; feed reset() as well.
  void breakWrites() { broken_ = true; }

  /// The peer sends bytes, finishes sending, or resets the connection. All three
  /// queue up while reading is paused. May destroy this transport.
  void push(std::string_view bytes) {
    input_.append(bytes);
    deliver();
  }
  void end() {
    ended_ = true;
    deliver();
  }
  void reset(std::error_code why = {ECONNRESET, std::system_category()}) {
    reset_ = why;
    broken_ = true;
    deliver();
  }

  /// What the loop would do: delivers what waited for resumeReading(), and
  /// onClosed() after close(). Returns whether anything was delivered.
  bool poll() { return deliver(); }

  void setHandler(net::TransportHandler& handler) override { handler_ = &handler; }
  Result<std::size_t> write(std::span<const iovec> buffers) override {
    if (broken_ || record_.closed)
      return Unexpected{std::error_code{EPIPE, std::system_category()}};
    std::size_t taken = 0;
    for (const iovec& buffer : buffers) {
      const std::size_t part = std::min(buffer.iov_len, room_);
      record_.written.append(static_cast<const char*>(buffer.iov_base), part);
      if (room_ != std::numeric_limits<std::size_t>::max()) room_ -= part;
      taken += part;
      if (part < buffer.iov_len) {
        owesWritable_ = true;
        break;
      }
    }
    if (taken > 0) ++record_.writes;
    return taken;
  }
  void pauseReading() override { record_.paused = true; }
  void resumeReading() override { record_.paused = false; }
  void close(net::CloseMode mode) override {
    if (!record_.closed) record_.closed = mode;
  }
  const net::PeerInfo& peer() const noexcept override { return peer_; }

private:
  bool open() const { return handler_ && !record_.closed && !gone_; }

  bool deliver() {
    Record& record = record_;
    assert(handler_);
    if (gone_) return false;
    if (record.closed) {
      gone_ = true;
      handler_->onClosed({});
      return true;
    }
    bool delivered = false;
    while (!input_.empty() && !record.paused) {
      const std::string bytes = std::exchange(input_, {});
      delivered = true;
      handler_->onData(bytes);
      if (!record.transport || record.closed) return true;
    }
    if (record.paused) return delivered;
    if (ended_ && !endTold_) {
      endTold_ = delivered = true;
      handler_->onEnd();
      if (!record.transport || record.closed) return true;
    }
    if (reset_) {
      gone_ = true;
      handler_->onClosed(reset_);
      return true;
    }
    return delivered;
  }

  Record& record_;
  net::PeerInfo peer_;
  net::TransportHandler* handler_ = nullptr;
  std::string input_;
  std::size_t room_ = std::numeric_limits<std::size_t>::max();
  bool owesWritable_ = false;
  std::error_code reset_;
  bool broken_ = false;
  bool ended_ = false;
  bool endTold_ = false;
  bool gone_ = false;
};

}  // namespace mqttstack::test
