#include "core/net/tls_context.hpp"

#include <algorithm>
#include <array>
#include <chrono>
#include <cstring>
#include <string_view>
#include <utility>

#include <openssl/core_names.h>
#include <openssl/err.h>
#include <openssl/evp.h>
#include <openssl/params.h>
#include <openssl/rand.h>
#include <openssl/ssl.h>
#include <openssl/x509v3.h>

#include "core/net/ticket_keys.hpp"
#include "core/net/tls_error.hpp"
#include "core/net/tls_files.hpp"

namespace mqttstack::net {
namespace {

constexpr std::chrono::hours kTicketPeriod{12};
constexpr const char* kCiphers = "ECDHE+AESGCM:ECDHE+CHACHA20";

struct ContextDeleter {
  void operator()(SSL_CTX* context) const noexcept { SSL_CTX_free(context); }
};
using ContextPtr = std::unique_ptr<SSL_CTX, ContextDeleter>;

/// What the callbacks of a context need. Lives as long as the library's object,
/// which connections may keep longer than ours.
struct Extras {
  TicketKeys tickets{kTicketPeriod, std::chrono::steady_clock::now()};
  /// A certificate with its key and chain each, for peers that ask for a name.
  std::vector<ContextPtr> byName;
};

void freeExtras(void*, void* extras, CRYPTO_EX_DATA*, int, long, void*) {
  delete static_cast<Extras*>(extras);
}

int extrasIndex() {
  static const int kIndex = SSL_CTX_get_ex_new_index(0, nullptr, nullptr, nullptr, freeExtras);
  return kIndex;
}

Extras& extrasOf(SSL* connection) {
  return *static_cast<Extras*>(SSL_CTX_get_ex_data(SSL_get_SSL_CTX(connection), extrasIndex()));
}

/// Called by the library to seal a new ticket, or to open one that a peer shows.
int onTicket(SSL* connection, unsigned char* name, unsigned char* iv, EVP_CIPHER_CTX* cipher,
             EVP_MAC_CTX* mac, int sealing) {
  constexpr int kFailed = -1;
  constexpr int kUnknown = 0;  // goes on with a full handshake
  constexpr int kGood = 1;
  constexpr int kGoodButOld = 2;  // the peer gets another one
  TicketKeys& keys = extrasOf(connection).tickets;
  const auto now = std::chrono::steady_clock::now();
  const TicketKeys::Key& current = keys.sealing(now);
  const TicketKeys::Key* key = &current;
  const EVP_CIPHER* aes = EVP_aes_256_cbc();
  if (sealing == 1) {
    std::memcpy(name, key->name.data(), key->name.size());
    if (RAND_bytes(iv, EVP_CIPHER_get_iv_length(aes)) != 1) return kFailed;
  } else {
    key = keys.opening(
        std::span<const unsigned char, TicketKeys::kNameSize>{name, TicketKeys::kNameSize}, now);
    if (!key) return kUnknown;
  }
  if (EVP_CipherInit_ex(cipher, aes, nullptr, key->cipher.data(), iv, sealing) != 1) return kFailed;
  std::array<unsigned char, 32> secret = key->mac;
  std::array<char, 7> digest{"SHA256"};
  const std::array<OSSL_PARAM, 3> parameters{
      OSSL_PARAM_construct_octet_string(OSSL_MAC_PARAM_KEY, secret.data(), secret.size()),
      OSSL_PARAM_construct_utf8_string(OSSL_MAC_PARAM_DIGEST, digest.data(), 0),
      OSSL_PARAM_construct_end()};
  const int set = EVP_MAC_CTX_set_params(mac, parameters.data());
  OPENSSL_cleanse(secret.data(), secret.size());
  if (set != 1) return kFailed;
  return key == &current ? kGood : kGoodButOld;
}

/// Called by the library when the peer has said which name it wants.
int onCertificateNeeded(SSL* connection, void*) {
  constexpr int kGoOn = 1;
  constexpr int kFailed = 0;
  const char* name = SSL_get_servername(connection, TLSEXT_NAMETYPE_host_name);
  if (!name) return kGoOn;
  const auto has = [name](SSL_CTX* context) {
    return X509_check_host(SSL_CTX_get0_certificate(context), name, std::strlen(name), 0,
                           nullptr) == 1;
  };
  // The first certificate is there already.
  if (has(SSL_get_SSL_CTX(connection))) return kGoOn;
  const std::vector<ContextPtr>& all = extrasOf(connection).byName;
  const auto found =
      std::find_if(all.begin(), all.end(), [&](const ContextPtr& each) { return has(each.get()); });
  if (found == all.end()) return kGoOn;
  STACK_OF(X509)* chain = nullptr;
  SSL_CTX_get0_chain_certs(found->get(), &chain);
  SSL_certs_clear(connection);
  return SSL_use_cert_and_key(connection, SSL_CTX_get0_certificate(found->get()),
                              SSL_CTX_get0_privatekey(found->get()), chain, 1) == 1
             ? kGoOn
             : kFailed;
}

/// Called by the library when the peer offers protocols.
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
  // Whoever wants to speak something else is a mistake, or was sent here by one
  // who hopes that two servers with one certificate are taken for each other.
  return SSL_TLSEXT_ERR_ALERT_FATAL;
}

void setPolicy(SSL_CTX* context, const TlsOptions& options) {
  SSL_CTX_set_min_proto_version(
      context, options.minimumVersion == TlsVersion::v1_3 ? TLS1_3_VERSION : TLS1_2_VERSION);
  SSL_CTX_set_options(context, SSL_OP_NO_COMPRESSION | SSL_OP_NO_RENEGOTIATION |
                                   SSL_OP_CIPHER_SERVER_PREFERENCE | SSL_OP_PRIORITIZE_CHACHA |
                                   SSL_OP_IGNORE_UNEXPECTED_EOF);
  SSL_CTX_set_mode(context, SSL_MODE_RELEASE_BUFFERS | SSL_MODE_ENABLE_PARTIAL_WRITE |
                                SSL_MODE_ACCEPT_MOVING_WRITE_BUFFER);
  SSL_CTX_set_read_ahead(context, 1);
  // Tickets are kept by the peers; nothing is remembered here.
  SSL_CTX_set_session_cache_mode(context, SSL_SESS_CACHE_OFF);
  SSL_CTX_set_num_tickets(context, 1);
  SSL_CTX_set_tlsext_ticket_key_evp_cb(context, onTicket);
  constexpr std::string_view kSessions = "mqtt-stackd";
  SSL_CTX_set_session_id_context(context, reinterpret_cast<const unsigned char*>(kSessions.data()),
                                 static_cast<unsigned>(kSessions.size()));
  SSL_CTX_set_alpn_select_cb(context, chooseProtocol, nullptr);
  SSL_CTX_set_cert_cb(context, onCertificateNeeded, nullptr);
}

TlsProblem setCiphers(SSL_CTX* context, const TlsOptions& options) {
  const auto refuse = [](std::string_view what, const std::string& list) {
    ERR_clear_error();
    return TlsProblem{Unexpected{std::string{what} + " \"" + list +
                                 "\" leave none that this machine's OpenSSL has"}};
  };
  const char* ciphers = options.ciphers.empty() ? kCiphers : options.ciphers.c_str();
  if (SSL_CTX_set_cipher_list(context, ciphers) != 1) return refuse("TLS ciphers", ciphers);
  if (!options.ciphersuites.empty() &&
      SSL_CTX_set_ciphersuites(context, options.ciphersuites.c_str()) != 1)
    return refuse("TLS cipher suites", options.ciphersuites);
  return {};
}

/// The first word of a list that `known` doesn't know. The library itself passes
/// over what it doesn't know, and so over a slip of the pen.
template <class Known>
std::string findUnknown(const std::string& list, Known&& known) {
  for (std::size_t begin = 0; begin <= list.size();) {
    const std::size_t end = std::min(list.find_first_of(":, ", begin), list.size());
    std::string word = list.substr(begin, end - begin);
    begin = end + 1;
    if (!word.empty() && !known(word)) return word;
  }
  return {};
}

}  // namespace

std::string findUnknownCipher(const std::string& list) {
  const ContextPtr trial{SSL_CTX_new(TLS_server_method())};
  std::string unknown = findUnknown(list, [&](std::string word) {
    if (word.starts_with('@')) return true;  // an order, such as @STRENGTH
    if (word.front() == '!' || word.front() == '-' || word.front() == '+') word.erase(0, 1);
    return !word.empty() && SSL_CTX_set_cipher_list(trial.get(), word.c_str()) == 1;
  });
  ERR_clear_error();
  return unknown;
}

std::string findUnknownCiphersuite(const std::string& list) {
  const ContextPtr trial{SSL_CTX_new(TLS_server_method())};
  std::string unknown = findUnknown(list, [&](const std::string& word) {
    return SSL_CTX_set_ciphersuites(trial.get(), word.c_str()) == 1;
  });
  ERR_clear_error();
  return unknown;
}

std::vector<std::filesystem::path> filesOf(const TlsOptions& options) {
  std::vector<std::filesystem::path> files;
  for (const TlsCertificate& each : options.certificates) {
    files.emplace_back(each.certificateFile);
    files.emplace_back(each.keyFile);
  }
  if (!options.clientCa.empty()) {
    files.emplace_back(options.clientCa);
    for (auto& each : certificatesIn(options.clientCa)) files.push_back(std::move(each));
  }
  if (!options.clientCrl.empty()) files.emplace_back(options.clientCrl);
  return files;
}

TlsContext::~TlsContext() { SSL_CTX_free(context_); }

Expected<std::shared_ptr<TlsContext>, std::string> TlsContext::load(const TlsOptions& options) {
  ERR_clear_error();
  SSL_CTX* native = SSL_CTX_new(TLS_server_method());
  if (!native) return Unexpected{"cannot set up TLS: " + takeTlsErrorText()};
  std::shared_ptr<TlsContext> context{new TlsContext{native}};
  auto* extras = new Extras;
  SSL_CTX_set_ex_data(native, extrasIndex(), extras);
  setPolicy(native, options);
  if (auto set = setCiphers(native, options); !set) return Unexpected{set.error()};
  if (auto loaded = loadCertificate(native, options.certificates.front()); !loaded)
    return Unexpected{loaded.error()};
  for (std::size_t i = 1; i < options.certificates.size(); ++i) {
    ContextPtr holder{SSL_CTX_new(TLS_server_method())};
    if (auto loaded = loadCertificate(holder.get(), options.certificates[i]); !loaded)
      return Unexpected{loaded.error()};
    extras->byName.push_back(std::move(holder));
  }
  if (auto loaded = loadClientTrust(native, options); !loaded) return Unexpected{loaded.error()};
  return context;
}

}  // namespace mqttstack::net
