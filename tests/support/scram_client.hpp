#pragma once

#include <string>
#include <string_view>
#include <utility>

#include <openssl/evp.h>
#include <openssl/hmac.h>
#include <openssl/sha.h>

namespace mqttstack::test {

/// The client's half of SCRAM-SHA-256, written for tests from RFC 5802: shares
/// no code with what is under test.
class ScramClient {
public:
  ScramClient(std::string_view user, std::string password) : password_{std::move(password)} {
    for (const char c : user) saslName_ += c == ',' ? "=2C" : c == '=' ? "=3D" : std::string{c};
  }

  std::string first() const { return "n,," + firstBare(); }

  std::string last(const std::string& serverFirst) {
    const std::string nonce = attribute(serverFirst, 'r');
    const std::string salt = decoded(attribute(serverFirst, 's'));
    salted_.resize(32);
    PKCS5_PBKDF2_HMAC(password_.data(), static_cast<int>(password_.size()), bytes(salt),
                      static_cast<int>(salt.size()), std::stoi(attribute(serverFirst, 'i')),
                      EVP_sha256(), 32, reinterpret_cast<unsigned char*>(salted_.data()));
    const std::string withoutProof = "c=biws,r=" + nonce;
    signedText_ = firstBare() + "," + serverFirst + "," + withoutProof;
    std::string clientKey = hmac(salted_, "Client Key");
    std::string storedKey(32, '\0');
    SHA256(bytes(clientKey), clientKey.size(), reinterpret_cast<unsigned char*>(storedKey.data()));
    const std::string signature = hmac(storedKey, signedText_);
    for (std::size_t i = 0; i < clientKey.size(); ++i)
      clientKey[i] = static_cast<char>(clientKey[i] ^ signature[i]);
    return withoutProof + ",p=" + encoded64(clientKey);
  }

  bool believes(const std::string& serverLast) const {
    return serverLast == "v=" + encoded64(hmac(hmac(salted_, "Server Key"), signedText_));
  }

private:
  static const unsigned char* bytes(const std::string& text) {
    return reinterpret_cast<const unsigned char*>(text.data());
  }
  static std::string hmac(const std::string& key, const std::string& text) {
    std::string digest(32, '\0');
    HMAC(EVP_sha256(), key.data(), static_cast<int>(key.size()), bytes(text), text.size(),
         reinterpret_cast<unsigned char*>(digest.data()), nullptr);
    return digest;
  }
  static std::string encoded64(const std::string& text) {
    std::string base64((text.size() + 2) / 3 * 4 + 1, '\0');
    EVP_EncodeBlock(reinterpret_cast<unsigned char*>(base64.data()), bytes(text),
                    static_cast<int>(text.size()));
    base64.pop_back();
    return base64;
  }
  static std::string decoded(const std::string& base64) {
    std::string text(base64.size(), '\0');
    const int size = EVP_DecodeBlock(reinterpret_cast<unsigned char*>(text.data()), bytes(base64),
                                     static_cast<int>(base64.size()));
    const std::size_t padding = base64.size() - (base64.find_last_not_of('=') + 1);
    text.resize(static_cast<std::size_t>(size) - padding);
    return text;
  }
  static std::string attribute(const std::string& message, char name) {
    const std::string text = "," + message;
    const std::size_t begin = text.find(std::string{','} + name + '=') + 3;
    return text.substr(begin, text.find(',', begin) - begin);
  }
  std::string firstBare() const { return "n=" + saslName_ + ",r=fyko+d2lbbFgONRv9qkxdawL"; }

  std::string saslName_;
  std::string password_;
  std::string salted_;
  std::string signedText_;
};

}  // namespace mqttstack::test
