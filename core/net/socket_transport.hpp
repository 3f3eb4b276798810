#pragma once

#include <cstdint>
#include <memory>
#include <span>
#include <string_view>
#include <system_error>
#include <utility>

#include "core/net/admission.hpp"
#include "core/net/descriptor.hpp"
#include "core/net/farewells.hpp"
#include "core/net/reactor.hpp"
#include "core/net/transport.hpp"

namespace mqttstack::net {

/// A transport over a stream socket (TCP or Unix) on the reactor: bytes as they
/// are. TlsTransport derives from it and puts records around them.
///
/// An idle one costs 104 bytes and a slot of the reactor. epoll is told nothing
/// per event: a pause is made known to it only if input comes meanwhile, and
/// EPOLLOUT is taken back by the first event that nobody needed.
class SocketTransport : public Transport, protected EventTarget {
public:
  /// Takes over a connected, non-blocking socket. The reactor must outlive this.
  SocketTransport(Reactor& reactor, Descriptor socket, PeerInfo peer);
  ~SocketTransport() override;

  void setHandler(TransportHandler& handler) override;
  Result<std::size_t> write(std::span<const iovec> buffers) override;
  void pauseReading() override;
  void resumeReading() override;
  void close(CloseMode mode) override;
  const PeerInfo& peer() const noexcept override { return peer_; }

  /// The place that this connection takes up, for as long as it exists.
  void setAdmission(Admission admission) noexcept { admission_ = std::move(admission); }

protected:
  /// What a read gave beside bytes.
  enum class Input : std::uint8_t {
    more,      ///< there may be more; the reactor will tell
    buffered,  ///< there is more, in memory: the reactor can't know
    ended,     ///< the peer has finished sending
    failed,    ///< the connection is broken
  };
  struct ReadResult {
    std::size_t size = 0;
    Input input = Input::more;
    std::error_code error{};  ///< if failed
  };

  /// Reads once. Bytes and an end may come together.
  virtual ReadResult read(std::span<char> buffer);
  /// Does what has to be done before bytes can flow; returns whether they can.
  /// May call fail(), and then returns false.
  virtual bool prepare(std::uint32_t events);
  /// Called when the socket is writable. Returns whether new bytes can be taken.
  virtual bool continueWriting();
  /// What must be sent before FIN; null if nothing.
  virtual std::unique_ptr<LastWords> lastWords();
  /// Whether input is wanted although the handler paused (handshake).
  virtual bool readsWhilePaused() const noexcept;
  /// Whether memory holds input that epoll doesn't know of.
  virtual bool hasBufferedInput() const noexcept;

  void onEvents(std::uint32_t events) override;
  void onSoon() override;

  int descriptor() const noexcept { return socket_.get(); }
  Reactor& reactor() noexcept { return reactor_; }
  PeerInfo& mutablePeer() noexcept { return peer_; }
  /// Reads again in the next turn, whatever epoll says.
  void callSoon() { reactor_.callSoon(token_); }
  bool mayWrite() const noexcept { return !broken_ && !closing_; }
  /// Sets whether epoll waits for the socket to be writable.
  void awaitWritable(bool wanted);
  /// Has onWritable() called when there is room.
  void oweWritable();
  /// Nothing can be written any more: delivers what has arrived, then fails.
  void setBroken();
  /// Ends the connection and tells the handler, which may destroy this.
  void fail(std::error_code why);
  /// The same with FIN and patience, so that an alert reaches the peer.
  void failGently(std::error_code why);

private:
  void receive();
  void waitFor(std::uint32_t events);
  bool handleHangup();
  std::error_code socketError() const noexcept;

  Reactor& reactor_;
  TransportHandler* handler_ = nullptr;
  Reactor::Token token_;
  Descriptor socket_;
  std::uint32_t events_ = 0;  // what epoll waits for
  bool watched_ : 1 = false;  // on epoll
  bool paused_ : 1 = false;
  bool ended_ : 1 = false;   // the peer's end was delivered
  bool broken_ : 1 = false;  // nothing can be written any more
  bool hungUp_ : 1 = false;  // off epoll: what has arrived is read through callSoon
  bool owesWritable_ : 1 = false;
  bool closing_ : 1 = false;  // closed by us, onClosed to come
  PeerInfo peer_;
  Admission admission_;
};

}  // namespace mqttstack::net
