#include "core/net/tls_error.hpp"

#include <cerrno>

#include <openssl/err.h>
#include <openssl/pemerr.h>
#include <openssl/ssl.h>
#include <openssl/x509_vfy.h>

namespace mqttstack::net {
namespace {

class TlsCategory final : public std::error_category {
public:
  const char* name() const noexcept override { return "tls"; }
  std::string message(int value) const override {
    const auto code = static_cast<unsigned long>(static_cast<unsigned>(value));
    if (ERR_GET_LIB(code) == ERR_LIB_SSL) {
      switch (ERR_GET_REASON(code)) {
        case SSL_R_HTTP_REQUEST:
        case SSL_R_HTTPS_PROXY_REQUEST:
          return "the peer sent plain HTTP to a TLS port";
        case SSL_R_WRONG_VERSION_NUMBER:
        case SSL_R_BAD_RECORD_TYPE:
        case SSL_R_UNKNOWN_PROTOCOL:
          return "the peer did not speak TLS (plain MQTT to a TLS port?)";
        case SSL_R_UNSUPPORTED_PROTOCOL:
        case SSL_R_VERSION_TOO_LOW:
          return "the peer offered only TLS versions that are too old";
        case SSL_R_NO_SHARED_CIPHER:
          return "the peer offered no cipher that is allowed here";
        case SSL_R_PEER_DID_NOT_RETURN_A_CERTIFICATE:
          return "the peer showed no certificate";
        case SSL_R_TLSV1_ALERT_UNKNOWN_CA:
        case SSL_R_SSLV3_ALERT_CERTIFICATE_UNKNOWN:
        case SSL_R_SSLV3_ALERT_BAD_CERTIFICATE:
          return "the peer does not trust our certificate";
        default:
          break;
      }
    }
    const char* reason = ERR_reason_error_string(code);
    return reason ? reason : "TLS error " + std::to_string(code);
  }
};

class CertificateCategory final : public std::error_category {
public:
  const char* name() const noexcept override { return "certificate"; }
  std::string message(int value) const override {
    return std::string{"the peer's certificate was refused: "} +
           X509_verify_cert_error_string(value);
  }
};

}  // namespace

const std::error_category& tlsCategory() noexcept {
  static const TlsCategory category;
  return category;
}

const std::error_category& certificateCategory() noexcept {
  static const CertificateCategory category;
  return category;
}

std::error_code takeTlsError(const SSL* connection) noexcept {
  const unsigned long code = ERR_get_error();
  ERR_clear_error();
  if (code == 0) return {ECONNRESET, std::system_category()};
  if (ERR_GET_LIB(code) == ERR_LIB_SSL && ERR_GET_REASON(code) == SSL_R_CERTIFICATE_VERIFY_FAILED) {
    const long verdict = SSL_get_verify_result(connection);
    if (verdict != X509_V_OK) return {static_cast<int>(verdict), certificateCategory()};
  }
  return {static_cast<int>(static_cast<unsigned>(code)), tlsCategory()};
}

std::string takeTlsErrorText() {
  const unsigned long code = ERR_get_error();
  ERR_clear_error();
  if (ERR_SYSTEM_ERROR(code)) return std::generic_category().message(ERR_GET_REASON(code));
  const int why = ERR_GET_REASON(code);
  if (why == ERR_R_INTERRUPTED_OR_CANCELLED) return "it is protected by a passphrase";
  if (ERR_GET_LIB(code) == ERR_LIB_OSSL_DECODER && why == ERR_R_UNSUPPORTED)
    return "it holds no private key";
  if (ERR_GET_LIB(code) == ERR_LIB_PEM && why == PEM_R_NO_START_LINE) return "it holds none in PEM";
  const char* reason = ERR_reason_error_string(code);
  return reason ? reason : "unknown error";
}

}  // namespace mqttstack::net
