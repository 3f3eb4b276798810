#include "core/net/tls_context.hpp"

#include <cerrno>
#include <cstring>
#include <string_view>
#include <sys/stat.h>
#include <system_error>
#include <unistd.h>

#include <openssl/err.h>
#include <openssl/ssl.h>

#include "core/net/tls_error.hpp"

namespace mqttstack::net {
namespace {

using Problem = Expected<void, std::string>;

Problem problem(const std::string& what, const std::string& file, const std::string& why) {
  return Unexpected{what + " \"" + file + "\": " + why};
}

/// Opening first gives better words than the TLS library has for a wrong path.
Problem checkReadable(const std::string& what, const std::string& file) {
  struct stat status;
  if (::stat(file.c_str(), &status) != 0 || ::access(file.c_str(), R_OK) != 0) {
    std::string why = std::generic_category().message(errno);
    if (errno == EACCES) why += " (let the broker's user read it and enter its directories)";
    return problem(what, file, why);
  }
  if (S_ISDIR(status.st_mode)) return problem(what, file, "is a directory");
  return {};
}

Problem loadCertificate(SSL_CTX* context, const std::string& file) {
  const std::string what = "TLS certificate";
  if (auto readable = checkReadable(what, file); !readable) return readable;
  if (SSL_CTX_use_certificate_chain_file(context, file.c_str()) == 1) return {};
  return problem(what, file,
                 takeTlsErrorText() +
                     " (it must be PEM: the server's certificate first, then the "
                     "intermediate ones)");
}

Problem loadKey(SSL_CTX* context, const std::string& file, const std::string& certificate) {
  const std::string what = "TLS key";
  if (auto readable = checkReadable(what, file); !readable) return readable;
  struct stat status;
  if (::stat(file.c_str(), &status) == 0 && (status.st_mode & S_IWOTH) != 0)
    return problem(what, file, "every user of this machine can change it; run: chmod 640 " + file);
  // Nobody is there to type a passphrase.
  SSL_CTX_set_default_passwd_cb(context, [](char*, int, int, void*) { return -1; });
  if (SSL_CTX_use_PrivateKey_file(context, file.c_str(), SSL_FILETYPE_PEM) != 1) {
    const unsigned long code = ERR_peek_error();
    const std::string why = takeTlsErrorText();
    if (ERR_GET_LIB(code) == ERR_LIB_X509 && ERR_GET_REASON(code) == X509_R_KEY_VALUES_MISMATCH)
      return problem(what, file, "does not belong to the certificate \"" + certificate + "\"");
    return problem(what, file, why + " (it must be PEM and have no passphrase)");
  }
  if (SSL_CTX_check_private_key(context) != 1) {
    ERR_clear_error();
    return problem(what, file, "does not belong to the certificate \"" + certificate + "\"");
  }
  return {};
}

Problem loadClientCa(SSL_CTX* context, const TlsOptions& options) {
  if (options.clientCertificates == ClientCertificates::none) return {};
  const std::string what = "TLS client CA";
  const std::string& file = options.clientCaFile;
  if (file.empty())
    return Unexpected{
        std::string{"client certificates are asked for, but no client CA file says "
                    "who may sign them"}};
  if (auto readable = checkReadable(what, file); !readable) return readable;
  if (SSL_CTX_load_verify_file(context, file.c_str()) != 1)
    return problem(what, file, takeTlsErrorText() + " (it must hold PEM certificates)");
  STACK_OF(X509_NAME)* names = SSL_load_client_CA_file(file.c_str());
  if (!names) return problem(what, file, takeTlsErrorText());
  SSL_CTX_set_client_CA_list(context, names);
  const int required = options.clientCertificates == ClientCertificates::required
                           ? SSL_VERIFY_FAIL_IF_NO_PEER_CERT
                           : 0;
  SSL_CTX_set_verify(context, SSL_VERIFY_PEER | required, nullptr);
  return {};
}

int chooseProtocol(SSL*, const unsigned char** chosen, unsigned char* chosenSize,
                   const unsigned char* offered, unsigned offeredSize, void*) {
  constexpr std::string_view kMqtt = "mqtt";
  for (unsigned at = 0; at < offeredSize; at += 1U + offered[at]) {
    const std::string_view name{reinterpret_cast<const char*>(offered + at + 1), offered[at]};
    if (name != kMqtt) continue;
    *chosen = offered + at + 1;
    *chosenSize = offered[at];
    return SSL_TLSEXT_ERR_OK;
  }
  return SSL_TLSEXT_ERR_NOACK;  // a peer that asks for something else may go on without
}

void setPolicy(SSL_CTX* context) {
  SSL_CTX_set_min_proto_version(context, TLS1_2_VERSION);
  SSL_CTX_set_cipher_list(context, "ECDHE+AESGCM:ECDHE+CHACHA20");
  SSL_CTX_set_options(context, SSL_OP_NO_COMPRESSION | SSL_OP_NO_RENEGOTIATION |
                                   SSL_OP_CIPHER_SERVER_PREFERENCE | SSL_OP_PRIORITIZE_CHACHA |
                                   SSL_OP_IGNORE_UNEXPECTED_EOF);
  SSL_CTX_set_mode(context, SSL_MODE_RELEASE_BUFFERS | SSL_MODE_ENABLE_PARTIAL_WRITE |
                                SSL_MODE_ACCEPT_MOVING_WRITE_BUFFER);
  SSL_CTX_set_read_ahead(context, 1);
  // Tickets are kept by the peers; nothing is remembered here.
  SSL_CTX_set_session_cache_mode(context, SSL_SESS_CACHE_OFF);
  SSL_CTX_set_num_tickets(context, 1);
  constexpr std::string_view kSessions = "mqtt-stackd";
  SSL_CTX_set_session_id_context(context, reinterpret_cast<const unsigned char*>(kSessions.data()),
                                 static_cast<unsigned>(kSessions.size()));
  SSL_CTX_set_alpn_select_cb(context, chooseProtocol, nullptr);
}

}  // namespace

TlsContext::~TlsContext() { SSL_CTX_free(context_); }

Expected<std::shared_ptr<TlsContext>, std::string> TlsContext::load(const TlsOptions& options) {
  ERR_clear_error();
  SSL_CTX* native = SSL_CTX_new(TLS_server_method());
  if (!native) return Unexpected{"cannot set up TLS: " + takeTlsErrorText()};
  std::shared_ptr<TlsContext> context{new TlsContext{native}};
  setPolicy(native);
  if (auto loaded = loadCertificate(native, options.certificateFile); !loaded)
    return Unexpected{loaded.error()};
  if (auto loaded = loadKey(native, options.keyFile, options.certificateFile); !loaded)
    return Unexpected{loaded.error()};
  if (auto loaded = loadClientCa(native, options); !loaded) return Unexpected{loaded.error()};
  return context;
}

}  // namespace mqttstack::net
