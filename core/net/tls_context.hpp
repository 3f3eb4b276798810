#pragma once

#include <cstdint>
#include <memory>
#include <string>

#include <openssl/types.h>

#include "core/util/expected.hpp"

namespace mqttstack::net {

/// Whether peers are asked for a certificate of their own.
enum class ClientCertificates : std::uint8_t {
  none,      ///< not asked
  optional,  ///< asked; one that the CA file doesn't vouch for is refused all the same
  required,  ///< who shows none is refused
};

struct TlsOptions {
  std::string certificateFile;  ///< PEM: the server's certificate, then intermediate ones
  std::string keyFile;          ///< PEM; must not be readable by everybody
  std::string clientCaFile;     ///< PEM: who may sign client certificates
  ClientCertificates clientCertificates = ClientCertificates::none;
};

/// How a listener speaks TLS: version 1.2 at least, ephemeral keys and
/// authenticated ciphers only, no compression, no renegotiation, session tickets,
/// ALPN "mqtt". Made once from files and shared by the listener's connections,
/// which keep what they need of it alive.
class TlsContext {
public:
  /// Reads and checks the files; has no other effect. The error is a sentence
  /// that names the file and a remedy.
  static Expected<std::shared_ptr<TlsContext>, std::string> load(const TlsOptions& options);

  ~TlsContext();
  TlsContext(const TlsContext&) = delete;
  TlsContext& operator=(const TlsContext&) = delete;

  SSL_CTX* native() noexcept { return context_; }

private:
  explicit TlsContext(SSL_CTX* context) noexcept : context_{context} {}

  SSL_CTX* context_;
};

}  // namespace mqttstack::net
