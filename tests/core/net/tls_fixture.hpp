#pragma once

#include <cstdio>
#include <cstdlib>
#include <fcntl.h>
#include <filesystem>
#include <memory>
#include <stdexcept>
#include <string>
#include <string_view>
#include <sys/stat.h>
#include <unistd.h>
#include <utility>

#include <openssl/err.h>
#include <openssl/evp.h>
#include <openssl/pem.h>
#include <openssl/ssl.h>
#include <openssl/x509v3.h>

#include "tests/core/net/net_fixture.hpp"

namespace mqttstack::net::test {

/// A directory that goes when the test ends.
class TemporaryDirectory {
public:
  TemporaryDirectory() {
    std::string name = (std::filesystem::temp_directory_path() / "net-test-XXXXXX").string();
    if (!::mkdtemp(name.data())) throw std::runtime_error{"mkdtemp"};
    path_ = name;
  }
  TemporaryDirectory(const TemporaryDirectory&) = delete;
  TemporaryDirectory& operator=(const TemporaryDirectory&) = delete;
  ~TemporaryDirectory() {
    std::error_code ignored;
    std::filesystem::remove_all(path_, ignored);
  }
  std::string file(std::string_view name) const { return path_ + "/" + std::string{name}; }

private:
  std::string path_;
};

/// A certificate with its key.
struct Identity {
  std::shared_ptr<X509> certificate;
  std::shared_ptr<EVP_PKEY> key;

  void save(const std::string& certificateFile, const std::string& keyFile) const {
    std::FILE* out = std::fopen(certificateFile.c_str(), "w");
    PEM_write_X509(out, certificate.get());
    std::fclose(out);
    if (keyFile.empty()) return;
    out = std::fopen(keyFile.c_str(), "w");
    ::fchmod(::fileno(out), 0600);
    PEM_write_PrivateKey(out, key.get(), nullptr, nullptr, 0, nullptr, nullptr);
    std::fclose(out);
  }
};

enum class Signs : bool { no, yes };

/// Makes a P-256 certificate for `name`, signed by `issuer` or, if null, by
/// itself as a CA. `alternatives` is in the syntax of OpenSSL's configuration
/// ("DNS:a.example,email:b@a.example"). One that `signs` is a CA too.
inline Identity makeIdentity(const std::string& name, const Identity* issuer = nullptr,
                             const std::string& alternatives = "", Signs signs = Signs::no) {
  static long serial = 1;
  Identity made{{X509_new(), &X509_free}, {EVP_EC_gen("P-256"), &EVP_PKEY_free}};
  X509* x509 = made.certificate.get();
  X509_set_version(x509, 2);
  ASN1_INTEGER_set(X509_get_serialNumber(x509), ++serial);
  X509_gmtime_adj(X509_getm_notBefore(x509), -3600);
  X509_gmtime_adj(X509_getm_notAfter(x509), 3600);
  X509_set_pubkey(x509, made.key.get());
  X509_NAME_add_entry_by_txt(X509_get_subject_name(x509), "CN", MBSTRING_UTF8,
                             reinterpret_cast<const unsigned char*>(name.c_str()), -1, -1, 0);
  const Identity& signer = issuer ? *issuer : made;
  X509_set_issuer_name(x509, X509_get_subject_name(signer.certificate.get()));
  const auto extend = [&](int kind, const std::string& value) {
    X509V3_CTX context;
    X509V3_set_ctx(&context, signer.certificate.get(), x509, nullptr, nullptr, 0);
    X509_EXTENSION* extension = X509V3_EXT_conf_nid(nullptr, &context, kind, value.c_str());
    X509_add_ext(x509, extension, -1);
    X509_EXTENSION_free(extension);
  };
  extend(NID_basic_constraints, issuer && signs == Signs::no ? "CA:FALSE" : "critical,CA:TRUE");
  if (!alternatives.empty()) extend(NID_subject_alt_name, alternatives);
  X509_sign(x509, signer.key.get(), EVP_sha256());
  return made;
}

/// The peer's end of a TLS connection.
class TlsPeer {
public:
  struct Options {
    int version = TLS1_3_VERSION;
    const Identity* trusted = nullptr;
    const Identity* shown = nullptr;  ///< client certificate
    std::string serverName{};
    std::string alpn{};  ///< one protocol
    SSL_SESSION* session = nullptr;
    int receiveBuffer = 0;
  };

  TlsPeer(std::uint16_t port, const Options& options)
      : raw_{port, AF_INET, options.receiveBuffer},
        context_{SSL_CTX_new(TLS_client_method())} {
    SSL_CTX_set_min_proto_version(context_.get(), options.version);
    SSL_CTX_set_max_proto_version(context_.get(), options.version);
    SSL_CTX_set_mode(context_.get(),
                     SSL_MODE_ENABLE_PARTIAL_WRITE | SSL_MODE_ACCEPT_MOVING_WRITE_BUFFER);
    if (options.version < TLS1_2_VERSION) SSL_CTX_set_security_level(context_.get(), 0);
    if (options.trusted) {
      X509_STORE_add_cert(SSL_CTX_get_cert_store(context_.get()),
                          options.trusted->certificate.get());
      SSL_CTX_set_verify(context_.get(), SSL_VERIFY_PEER, nullptr);
    }
    if (options.shown) {
      SSL_CTX_use_certificate(context_.get(), options.shown->certificate.get());
      SSL_CTX_use_PrivateKey(context_.get(), options.shown->key.get());
    }
    ssl_.reset(SSL_new(context_.get()));
    if (!options.serverName.empty())
      SSL_set_tlsext_host_name(ssl_.get(), options.serverName.c_str());
    if (!options.alpn.empty()) {
      const std::string wire =
          std::string(1, static_cast<char>(options.alpn.size())) + options.alpn;
      SSL_set_alpn_protos(ssl_.get(), reinterpret_cast<const unsigned char*>(wire.data()),
                          static_cast<unsigned>(wire.size()));
    }
    if (options.session) SSL_set_session(ssl_.get(), options.session);
    ::fcntl(raw_.fd(), F_SETFL, O_NONBLOCK);
    SSL_set_fd(ssl_.get(), raw_.fd());
  }

  /// Does one step of whatever is going on.
  void poll() {
    if (failed) return;
    ERR_clear_error();
    if (!ready) {
      const int done = SSL_connect(ssl_.get());
      if (done != 1) return check(done);
      ready = true;
    }
    while (!pending_.empty()) {
      const int sent = SSL_write(ssl_.get(), pending_.data(), static_cast<int>(pending_.size()));
      if (sent <= 0) return check(sent);
      pending_.erase(0, static_cast<std::size_t>(sent));
    }
    char buffer[16384];
    while (!ended && reading) {
      const int got = SSL_read(ssl_.get(), buffer, sizeof buffer);
      if (got <= 0) return check(got);
      received.append(buffer, static_cast<std::size_t>(got));
    }
  }
  void send(std::string_view bytes) { pending_ += bytes; }
  bool allSent() const { return ready && pending_.empty(); }
  /// Says close_notify, and FIN unless `keepOpen`.
  void finish(bool keepOpen = false) {
    SSL_shutdown(ssl_.get());
    if (!keepOpen) raw_.finish();
  }
  Peer& raw() { return raw_; }
  SSL* native() { return ssl_.get(); }

  std::string received;
  bool reading = true;
  bool ready = false;
  bool ended = false;   ///< close_notify came
  bool failed = false;  ///< anything else
  std::string problem;

private:
  struct Deleter {
    void operator()(SSL* ssl) const { SSL_free(ssl); }
    void operator()(SSL_CTX* context) const { SSL_CTX_free(context); }
  };

  void check(int result) {
    switch (SSL_get_error(ssl_.get(), result)) {
      case SSL_ERROR_WANT_READ:
      case SSL_ERROR_WANT_WRITE:
        return;
      case SSL_ERROR_ZERO_RETURN:
        ended = true;
        return;
      default: {
        failed = true;
        const char* reason = ERR_reason_error_string(ERR_peek_error());
        problem = reason ? reason : "connection lost";
      }
    }
  }

  Peer raw_;
  std::unique_ptr<SSL_CTX, Deleter> context_;
  std::unique_ptr<SSL, Deleter> ssl_;
  std::string pending_;
};

}  // namespace mqttstack::net::test
