#include "core/net/tls_info.hpp"

#include <optional>
#include <string>

#include <openssl/ssl.h>
#include <openssl/x509v3.h>

namespace mqttstack::net {
namespace {

using CertificatePtr = std::unique_ptr<X509, decltype(&::X509_free)>;
using NamesPtr = std::unique_ptr<GENERAL_NAMES, decltype(&::GENERAL_NAMES_free)>;

/// A name with a zero byte in it is a trick ("good.example\0.evil.example") and
/// counts as none.
std::optional<std::string> textOf(const ASN1_STRING* string) {
  unsigned char* utf8 = nullptr;
  const int size = ASN1_STRING_to_UTF8(&utf8, string);
  if (size < 0) return std::nullopt;
  std::string text{reinterpret_cast<const char*>(utf8), static_cast<std::size_t>(size)};
  OPENSSL_free(utf8);
  if (text.find('\0') != std::string::npos) return std::nullopt;
  return text;
}

std::string commonNameOf(const X509* certificate) {
  const X509_NAME* subject = X509_get_subject_name(certificate);
  // The last one counts: it is the most specific.
  int index = -1;
  for (int next = -1; (next = X509_NAME_get_index_by_NID(subject, NID_commonName, next)) >= 0;)
    index = next;
  if (index < 0) return {};
  return textOf(X509_NAME_ENTRY_get_data(X509_NAME_get_entry(subject, index))).value_or("");
}

void readAlternativeNames(const X509* certificate, TlsInfo& info) {
  const NamesPtr names{static_cast<GENERAL_NAMES*>(
                           X509_get_ext_d2i(certificate, NID_subject_alt_name, nullptr, nullptr)),
                       &::GENERAL_NAMES_free};
  if (!names) return;
  for (int i = 0; i < sk_GENERAL_NAME_num(names.get()); ++i) {
    const GENERAL_NAME* name = sk_GENERAL_NAME_value(names.get(), i);
    std::vector<std::string>* list = name->type == GEN_DNS     ? &info.dnsNames
                                     : name->type == GEN_URI   ? &info.uris
                                     : name->type == GEN_EMAIL ? &info.emails
                                                               : nullptr;
    if (!list) continue;
    if (auto text = textOf(name->d.ia5)) list->push_back(std::move(*text));
  }
}

}  // namespace

std::unique_ptr<const TlsInfo> readTlsInfo(const SSL* connection) {
  auto info = std::make_unique<TlsInfo>();
  info->protocol = SSL_get_version(connection);
  info->cipher = SSL_get_cipher_name(connection);
  if (const char* name = SSL_get_servername(connection, TLSEXT_NAMETYPE_host_name))
    info->serverName = name;
  const unsigned char* alpn = nullptr;
  unsigned alpnSize = 0;
  SSL_get0_alpn_selected(connection, &alpn, &alpnSize);
  if (alpnSize > 0) info->alpn.assign(reinterpret_cast<const char*>(alpn), alpnSize);

  const CertificatePtr certificate{SSL_get1_peer_certificate(connection), &::X509_free};
  if (certificate && SSL_get_verify_result(connection) == X509_V_OK) {
    info->hasCertificate = true;
    info->commonName = commonNameOf(certificate.get());
    readAlternativeNames(certificate.get(), *info);
  }
  return info;
}

}  // namespace mqttstack::net
