#pragma once

#include <memory>
#include <string>
#include <string_view>
#include <utility>

#include <openssl/bio.h>
#include <openssl/core_names.h>
#include <openssl/ec.h>
#include <openssl/evp.h>
#include <openssl/hmac.h>
#include <openssl/pem.h>
#include <openssl/rsa.h>

#include "middlewares/security/base64.hpp"

namespace mqttstack::test {

inline std::string base64Url(std::string_view text) { return encodeBase64(text, Base64::url); }

/// Makes JSON web tokens, as an issuer does.
class JwtIssuer {
public:
  virtual ~JwtIssuer() = default;

  std::string token(const std::string& header, const std::string& claims) const {
    const std::string text = base64Url(header) + "." + base64Url(claims);
    return text + "." + base64Url(sign(text));
  }

protected:
  virtual std::string sign(const std::string& text) const = 0;
};

class SecretIssuer final : public JwtIssuer {
public:
  explicit SecretIssuer(std::string secret) : secret_{std::move(secret)} {}

private:
  std::string sign(const std::string& text) const override {
    unsigned char digest[32];
    HMAC(EVP_sha256(), secret_.data(), static_cast<int>(secret_.size()),
         reinterpret_cast<const unsigned char*>(text.data()), text.size(), digest, nullptr);
    return {reinterpret_cast<char*>(digest), sizeof digest};
  }
  std::string secret_;
};

/// With a key pair of its own: RSA with so many bits, or a curve.
class KeyIssuer final : public JwtIssuer {
public:
  static KeyIssuer rsa(std::size_t bits = 2048) { return KeyIssuer{EVP_RSA_gen(bits)}; }
  static KeyIssuer curve(const char* name = "P-256") { return KeyIssuer{EVP_EC_gen(name)}; }

  std::string publicPem() const {
    const std::unique_ptr<BIO, decltype(&BIO_free_all)> out{BIO_new(BIO_s_mem()), BIO_free_all};
    PEM_write_bio_PUBKEY(out.get(), key_.get());
    char* data = nullptr;
    const long size = BIO_get_mem_data(out.get(), &data);
    return {data, static_cast<std::size_t>(size)};
  }

  /// A member of a key set: "n" and "e" of RSA, "x" and "y" of a curve.
  std::string number(const char* parameter) const {
    BIGNUM* value = nullptr;
    EVP_PKEY_get_bn_param(key_.get(), parameter, &value);
    std::string bytes(static_cast<std::size_t>(BN_num_bytes(value)), '\0');
    BN_bn2bin(value, reinterpret_cast<unsigned char*>(bytes.data()));
    BN_free(value);
    const bool coordinate = EVP_PKEY_is_a(key_.get(), "EC") == 1;
    if (coordinate) bytes.insert(0, 32 - bytes.size(), '\0');
    return base64Url(bytes);
  }
  std::string jwk(const std::string& more = {}) const {
    if (EVP_PKEY_is_a(key_.get(), "EC") == 1)
      return R"({"kty":"EC","crv":"P-256","x":")" + number(OSSL_PKEY_PARAM_EC_PUB_X) +
             R"(","y":")" + number(OSSL_PKEY_PARAM_EC_PUB_Y) + "\"" + more + "}";
    return R"({"kty":"RSA","n":")" + number(OSSL_PKEY_PARAM_RSA_N) + R"(","e":")" +
           number(OSSL_PKEY_PARAM_RSA_E) + "\"" + more + "}";
  }

private:
  explicit KeyIssuer(EVP_PKEY* key) : key_{key, EVP_PKEY_free} {}

  std::string sign(const std::string& text) const override {
    const std::unique_ptr<EVP_MD_CTX, decltype(&EVP_MD_CTX_free)> context{EVP_MD_CTX_new(),
                                                                          EVP_MD_CTX_free};
    const auto* data = reinterpret_cast<const unsigned char*>(text.data());
    std::size_t size = 0;
    EVP_DigestSignInit(context.get(), nullptr, EVP_sha256(), nullptr, key_.get());
    EVP_DigestSign(context.get(), nullptr, &size, data, text.size());
    std::string signature(size, '\0');
    EVP_DigestSign(context.get(), reinterpret_cast<unsigned char*>(signature.data()), &size, data,
                   text.size());
    signature.resize(size);
    if (EVP_PKEY_is_a(key_.get(), "EC") != 1) return signature;
    const auto* der = reinterpret_cast<const unsigned char*>(signature.data());
    ECDSA_SIG* pair = d2i_ECDSA_SIG(nullptr, &der, static_cast<long>(signature.size()));
    std::string raw(64, '\0');
    BN_bn2binpad(ECDSA_SIG_get0_r(pair), reinterpret_cast<unsigned char*>(raw.data()), 32);
    BN_bn2binpad(ECDSA_SIG_get0_s(pair), reinterpret_cast<unsigned char*>(raw.data()) + 32, 32);
    ECDSA_SIG_free(pair);
    return raw;
  }

  std::shared_ptr<EVP_PKEY> key_;
};

}  // namespace mqttstack::test
