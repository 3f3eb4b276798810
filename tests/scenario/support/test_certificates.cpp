#include "tests/scenario/support/test_certificates.hpp"

#include <cstdio>
#include <memory>
#include <stdexcept>
#include <string>

#include <openssl/ec.h>
#include <openssl/pem.h>
#include <openssl/x509v3.h>

namespace mqttstack {
namespace {

using Key = std::unique_ptr<EVP_PKEY, decltype(&EVP_PKEY_free)>;
using Certificate = std::unique_ptr<X509, decltype(&X509_free)>;
using File = std::unique_ptr<std::FILE, decltype(&std::fclose)>;

struct Identity {
  Key key;
  Certificate certificate;
};

void require(bool succeeded, const char* what) {
  if (!succeeded) throw std::runtime_error(std::string("certificate: ") + what);
}

void addExtension(X509* certificate, int nid, const char* value) {
  X509V3_CTX context;
  X509V3_set_ctx_nodb(&context);
  X509V3_set_ctx(&context, certificate, certificate, nullptr, nullptr, 0);
  X509_EXTENSION* extension = X509V3_EXT_conf_nid(nullptr, &context, nid, value);
  require(extension != nullptr, value);
  X509_add_ext(certificate, extension, -1);
  X509_EXTENSION_free(extension);
}

/// A certificate signed by `issuer`, or by itself when there is none: an authority.
Identity issue(const std::string& commonName, const Identity* issuer, const char* alternativeNames,
               long serial) {
  constexpr long kHour = 3600;
  Identity made{Key(EVP_EC_gen("P-256"), EVP_PKEY_free), Certificate(X509_new(), X509_free)};
  require(made.key != nullptr && made.certificate != nullptr, "key");
  X509* certificate = made.certificate.get();
  X509_set_version(certificate, X509_VERSION_3);
  ASN1_INTEGER_set(X509_get_serialNumber(certificate), serial);
  X509_gmtime_adj(X509_getm_notBefore(certificate), -kHour);
  X509_gmtime_adj(X509_getm_notAfter(certificate), kHour);
  X509_set_pubkey(certificate, made.key.get());
  X509_NAME* subject = X509_get_subject_name(certificate);
  X509_NAME_add_entry_by_txt(subject, "CN", MBSTRING_UTF8,
                             reinterpret_cast<const unsigned char*>(commonName.c_str()), -1, -1, 0);
  X509_set_issuer_name(
      certificate, issuer == nullptr ? subject : X509_get_subject_name(issuer->certificate.get()));
  addExtension(certificate, NID_basic_constraints,
               issuer == nullptr ? "critical,CA:TRUE" : "critical,CA:FALSE");
  if (alternativeNames != nullptr) {
    addExtension(certificate, NID_subject_alt_name, alternativeNames);
  }
  EVP_PKEY* signer = issuer == nullptr ? made.key.get() : issuer->key.get();
  require(X509_sign(certificate, signer, EVP_sha256()) > 0, "signature");
  return made;
}

File create(const std::filesystem::path& path) {
  File file(std::fopen(path.c_str(), "wx"), std::fclose);
  require(file != nullptr, path.c_str());
  std::filesystem::permissions(path, std::filesystem::perms(0600));
  return file;
}

void write(const Identity& identity, const std::filesystem::path& directory,
           const std::string& name) {
  const File certificate = create(directory / (name + ".crt"));
  require(PEM_write_X509(certificate.get(), identity.certificate.get()) == 1, "writing");
  const File key = create(directory / (name + ".key"));
  require(PEM_write_PrivateKey(key.get(), identity.key.get(), nullptr, nullptr, 0, nullptr,
                               nullptr) == 1,
          "writing a key");
}

}  // namespace

void writeTestCertificates(const std::filesystem::path& directory, const std::string& serverName) {
  const Identity authority = issue("Test authority", nullptr, nullptr, 1);
  write(authority, directory, "ca");
  const std::string names = "DNS:" + serverName + ",IP:127.0.0.1";
  write(issue(serverName, &authority, names.c_str(), 2), directory, "server");
  write(issue("device-7", &authority, nullptr, 3), directory, "client");
  const Identity unknown = issue("Unknown authority", nullptr, nullptr, 1);
  write(issue("device-7", &unknown, nullptr, 2), directory, "stranger");
}

}  // namespace mqttstack
