#pragma once

#include <cstdint>
#include <filesystem>
#include <memory>
#include <string>
#include <vector>

#include <openssl/types.h>

#include "core/util/expected.hpp"

namespace mqttstack::net {

/// Whether peers are asked for a certificate of their own.
enum class ClientCertificates : std::uint8_t {
  none,      ///< not asked
  optional,  ///< asked; one that the CA file doesn't vouch for is refused all the same
  required,  ///< who shows none is refused
};

/// The oldest version that peers may speak.
enum class TlsVersion : std::uint8_t { v1_2, v1_3 };

struct TlsCertificate {
  std::string certificateFile;  ///< PEM: the server's certificate, then intermediate ones
  std::string keyFile;          ///< PEM; must not be readable by everybody
};

struct TlsOptions {
  /// The first is shown to who asks for no name, or for one that none of them
  /// has; the others to who asks for one of their names (SNI). Not empty.
  std::vector<TlsCertificate> certificates;
  TlsVersion minimumVersion = TlsVersion::v1_2;
  std::string ciphers;       ///< of TLS 1.2, as OpenSSL writes them; empty: ours
  std::string ciphersuites;  ///< of TLS 1.3; empty: ours
  ClientCertificates clientCertificates = ClientCertificates::none;
  std::string clientCa;   ///< PEM, or a directory of such: who may sign client certificates
  std::string clientCrl;  ///< PEM: which of them were taken back; empty: not looked at
};

/// Whether all of a list of TLS 1.2 ciphers ("ECDHE+AESGCM:ECDHE+CHACHA20") or of
/// TLS 1.3 cipher suites ("TLS_AES_256_GCM_SHA384") are known. Gives the first that
/// isn't, or an empty string.
std::string findUnknownCipher(const std::string& list);
std::string findUnknownCiphersuite(const std::string& list);

/// Every file that these options name, and that a directory among them holds now.
std::vector<std::filesystem::path> filesOf(const TlsOptions& options);

/// How a listener speaks TLS: version 1.2 at least, ephemeral keys and
/// authenticated ciphers only unless told otherwise, no compression, no
/// renegotiation, ALPN "mqtt": a peer that asks for other protocols only is
/// refused, one that asks for none is welcome. Made once from files and shared by
/// the listener's connections, which keep what they need of it alive.
///
/// Sessions are resumed by tickets, whose keys change every 12 hours. The keys
/// belong to the context, so that a new one, made because a certificate or a
/// revocation list has changed, looks at every peer anew.
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
