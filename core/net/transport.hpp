#pragma once

#include <cstddef>
#include <cstdint>
#include <span>
#include <string_view>
#include <sys/uio.h>
#include <system_error>

#include "core/net/peer_info.hpp"
#include "core/util/expected.hpp"

namespace mqttstack::net {

/// Who is told what happens on a transport; the protocol side implements it.
/// All calls come from the loop, never from inside a call to the transport, and
/// each of them may close or destroy the transport.
class TransportHandler {
public:
  /// Bytes arrived. The view lies in a buffer that all connections share: it is
  /// valid during the call only. Over TLS the handshake is done by then, and
  /// peer().tls() is complete.
  virtual void onData(std::string_view bytes) = 0;

  /// The peer has finished sending (FIN, or close_notify), and everything that
  /// it sent has been delivered. Writing is still possible.
  virtual void onEnd() = 0;

  /// There is room again after a write() that took less than it was given.
  virtual void onWritable() = 0;

  /// The connection is gone: reset by the peer, failed in TLS (the category
  /// tells, see tls_error.hpp), or closed by close() (then `why` is empty). What
  /// arrived before an error was delivered first. The last call ever.
  virtual void onClosed(std::error_code why) = 0;

protected:
  ~TransportHandler() = default;
};

enum class CloseMode : std::uint8_t {
  /// Everything written goes out, followed by close_notify (TLS) and FIN. The
  /// peer is given 2 s to hang up as well, while up to 64 KiB of its input are
  /// thrown away; otherwise a reset might overtake the last bytes (a refusing
  /// CONNACK, say). The reactor does that on its own.
  graceful,
  /// Reset at once, and what was written but not yet sent is lost. For abusers.
  abortive,
};

/// One connection as a stream of bytes: TCP, TLS or a test's FakeTransport.
/// Input is pushed to the handler, output is pulled by the kernel: whoever has
/// bytes tries write(), and keeps what was not taken until onWritable().
///
/// Owned by the protocol side, which may destroy it at any time, also from
/// within any call to the handler. Belongs to the loop's thread.
class Transport {
public:
  Transport() = default;
  Transport(const Transport&) = delete;
  Transport& operator=(const Transport&) = delete;
  /// Closes at once if still open. After close(graceful) it may be destroyed
  /// straight away without hurting the farewell; no onClosed follows then.
  virtual ~Transport() = default;

  /// Names who is told. The first call starts the connection: no handler
  /// function is called before, nor inside this call.
  virtual void setHandler(TransportHandler& handler) = 0;

  /// Writes as much as the peer has room for, without waiting, and returns the
  /// number of bytes taken: all, some, or 0. Fewer than given arms onWritable().
  /// An error says that nothing can be written any more. It needs no answer:
  /// what has arrived is still delivered, then onClosed() is called.
  virtual Result<std::size_t> write(std::span<const iovec> buffers) = 0;

  /// Stops input: the bytes wait in the kernel, and the peer feels it.
  virtual void pauseReading() = 0;

  /// Lets input flow again. What waited is delivered from the loop, never inside
  /// this call.
  virtual void resumeReading() = 0;

  /// Ends the connection. The handler hears onClosed() from the next turn of the
  /// loop and nothing else. Once only: a second call does nothing.
  virtual void close(CloseMode mode) = 0;

  /// Who is at the other end; valid as long as the transport.
  virtual const PeerInfo& peer() const noexcept = 0;
};

}  // namespace mqttstack::net
