#include "core/net/tls_files.hpp"

#include <algorithm>
#include <cerrno>
#include <memory>
#include <sys/stat.h>
#include <system_error>
#include <unistd.h>

#include <openssl/err.h>
#include <openssl/ssl.h>
#include <openssl/x509_vfy.h>

#include "core/net/tls_error.hpp"

namespace mqttstack::net {
namespace {

namespace fs = std::filesystem;

TlsProblem problem(const std::string& what, const std::string& file, const std::string& why) {
  return Unexpected{what + " \"" + file + "\": " + why};
}

enum class Directory : bool { refused, allowed };

/// Opening first gives better words than the TLS library has for a wrong path.
TlsProblem checkReadable(const std::string& what, const std::string& file,
                         Directory directory = Directory::refused) {
  struct stat status;
  if (::stat(file.c_str(), &status) != 0 || ::access(file.c_str(), R_OK) != 0) {
    std::string why = std::generic_category().message(errno);
    if (errno == EACCES) why += " (let the broker's user read it and enter its directories)";
    return problem(what, file, why);
  }
  if (S_ISDIR(status.st_mode) && directory == Directory::refused)
    return problem(what, file, "is a directory");
  return {};
}

TlsProblem loadChain(SSL_CTX* context, const std::string& file) {
  const std::string what = "TLS certificate";
  if (auto readable = checkReadable(what, file); !readable) return readable;
  if (SSL_CTX_use_certificate_chain_file(context, file.c_str()) == 1) return {};
  return problem(what, file,
                 takeTlsErrorText() +
                     " (it must be PEM: the server's certificate first, then the "
                     "intermediate ones)");
}

TlsProblem loadKey(SSL_CTX* context, const std::string& file, const std::string& certificate) {
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

TlsProblem loadAuthorities(SSL_CTX* context, const std::string& place) {
  const std::string what = "TLS client CA";
  if (auto readable = checkReadable(what, place, Directory::allowed); !readable) return readable;
  const std::vector<fs::path> files = certificatesIn(place);
  if (files.empty())
    return problem(what, place, "no file in this directory ends in .pem, .crt or .cer");
  STACK_OF(X509_NAME)* names = sk_X509_NAME_new_null();
  for (const fs::path& file : files) {
    if (SSL_CTX_load_verify_file(context, file.c_str()) == 1 &&
        SSL_add_file_cert_subjects_to_stack(names, file.c_str()) == 1)
      continue;
    sk_X509_NAME_pop_free(names, X509_NAME_free);
    return problem(what, file.string(), takeTlsErrorText() + " (it must hold PEM certificates)");
  }
  SSL_CTX_set_client_CA_list(context, names);  // takes them over
  return {};
}

TlsProblem loadRevocations(SSL_CTX* context, const std::string& file) {
  const std::string what = "TLS client CRL";
  if (auto readable = checkReadable(what, file); !readable) return readable;
  X509_STORE* store = SSL_CTX_get_cert_store(context);
  X509_LOOKUP* lookup = X509_STORE_add_lookup(store, X509_LOOKUP_file());
  if (!lookup || X509_load_crl_file(lookup, file.c_str(), X509_FILETYPE_PEM) < 1)
    return problem(what, file, takeTlsErrorText() + " (it must hold PEM revocation lists)");
  X509_STORE_set_flags(store, X509_V_FLAG_CRL_CHECK | X509_V_FLAG_CRL_CHECK_ALL);
  return {};
}

}  // namespace

TlsProblem loadCertificate(SSL_CTX* context, const TlsCertificate& certificate) {
  if (auto loaded = loadChain(context, certificate.certificateFile); !loaded) return loaded;
  return loadKey(context, certificate.keyFile, certificate.certificateFile);
}

TlsProblem loadClientTrust(SSL_CTX* context, const TlsOptions& options) {
  if (options.clientCertificates == ClientCertificates::none) return {};
  if (options.clientCa.empty())
    return Unexpected{
        std::string{"client certificates are asked for, but no client CA file says "
                    "who may sign them"}};
  if (auto loaded = loadAuthorities(context, options.clientCa); !loaded) return loaded;
  if (!options.clientCrl.empty())
    if (auto loaded = loadRevocations(context, options.clientCrl); !loaded) return loaded;
  const int required = options.clientCertificates == ClientCertificates::required
                           ? SSL_VERIFY_FAIL_IF_NO_PEER_CERT
                           : 0;
  SSL_CTX_set_verify(context, SSL_VERIFY_PEER | required, nullptr);
  // A ticket would let a certificate in that has expired meanwhile.
  SSL_CTX_set_options(context, SSL_OP_NO_TICKET);
  SSL_CTX_set_num_tickets(context, 0);
  return {};
}

std::vector<fs::path> certificatesIn(const fs::path& place) {
  std::error_code error;
  if (!fs::is_directory(place, error)) return {place};
  std::vector<fs::path> files;
  for (fs::directory_iterator each{place, error}, end; !error && each != end;
       each.increment(error)) {
    const fs::path extension = each->path().extension();
    if (extension == ".pem" || extension == ".crt" || extension == ".cer")
      files.push_back(each->path());
  }
  std::sort(files.begin(), files.end());
  return files;
}

}  // namespace mqttstack::net
