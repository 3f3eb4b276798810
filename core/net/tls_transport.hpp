#pragma once

#include <memory>
#include <span>
#include <string>
#include <system_error>

#include <openssl/types.h>

#include "core/net/socket_transport.hpp"

namespace mqttstack::net {

class TlsContext;

struct SslDeleter {
  void operator()(SSL* connection) const noexcept;
};
using SslPtr = std::unique_ptr<SSL, SslDeleter>;

/// A transport that speaks TLS, as the server. The TLS library reads and writes
/// the socket directly and keeps no buffers while the connection is idle.
///
/// The handshake goes by itself, a few per turn of the loop; the handler hears
/// nothing of it but onClosed() if it fails. By the first onData() peer().tls()
/// is complete. What is written before is not taken until the handshake is done.
class TlsTransport final : public SocketTransport {
public:
  TlsTransport(Reactor& reactor, Descriptor socket, PeerInfo peer, TlsContext& context);

  Result<std::size_t> write(std::span<const iovec> buffers) override;

private:
  ReadResult read(std::span<char> buffer) override;
  bool prepare(std::uint32_t events) override;
  bool continueWriting() override;
  std::unique_ptr<LastWords> lastWords() override;
  bool readsWhilePaused() const noexcept override { return !ready_; }
  bool hasBufferedInput() const noexcept override;

  void finishHandshake();

  SslPtr ssl_;
  std::error_code readFailure_;
  std::string unsent_;  // of a write that must be repeated with the same bytes
  bool ready_ = false;  // handshake done
  bool writeAwaited_ = false;
  bool readNeedsWritable_ = false;
};

}  // namespace mqttstack::net
