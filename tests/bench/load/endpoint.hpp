#pragma once

#include <cstddef>
#include <cstdint>
#include <memory>
#include <string>
#include <sys/socket.h>

#include <openssl/ssl.h>

namespace mqttstack::load {

struct FreeTls {
  void operator()(SSL_CTX* context) const noexcept { SSL_CTX_free(context); }
  void operator()(SSL* session) const noexcept { SSL_free(session); }
};
using TlsContext = std::unique_ptr<SSL_CTX, FreeTls>;
using TlsSession = std::unique_ptr<SSL, FreeTls>;

enum class Transport : std::uint8_t { tcp, tls };

/// Where the broker is. TLS takes any certificate: this measures, and tells nobody anything.
class Endpoint {
public:
  /// Throws std::runtime_error if the host is unknown.
  Endpoint(const std::string& host, std::uint16_t port, Transport transport);

  /// A socket that doesn't block and has begun to connect, or -1 with errno. To the loopback
  /// network connections come from one address for each kPerSource of them, `index` counted: an
  /// address has no more than some 28,000 ports.
  int connect(std::size_t index) const;

  /// The client's side of a TLS connection on that socket; null without TLS.
  TlsSession startTls(int socket) const;

private:
  static constexpr std::size_t kPerSource = 8'000;

  sockaddr_storage address_{};
  socklen_t size_ = 0;
  TlsContext tls_;
};

}  // namespace mqttstack::load
