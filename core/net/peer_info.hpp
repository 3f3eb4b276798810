#pragma once

#include <arpa/inet.h>
#include <array>
#include <cstdint>
#include <cstring>
#include <memory>
#include <netinet/in.h>
#include <string>
#include <sys/socket.h>
#include <utility>
#include <vector>

namespace mqttstack::net {

/// Where a peer is, in 20 bytes: an IPv4 or IPv6 address with its port, or "a
/// process on this machine" for Unix sockets. Text is made on demand only. IPv4
/// addresses that arrive mapped into IPv6 are kept as IPv4, so that limits and
/// rules see one spelling.
class PeerAddress {
public:
  enum class Family : std::uint8_t { local, v4, v6 };

  PeerAddress() = default;
  static PeerAddress fromSockaddr(const sockaddr_storage& from) noexcept {
    PeerAddress address;
    if (from.ss_family == AF_INET) {
      sockaddr_in v4;
      std::memcpy(&v4, &from, sizeof v4);
      address.family_ = Family::v4;
      address.port_ = ntohs(v4.sin_port);
      std::memcpy(address.ip_.data(), &v4.sin_addr, 4);
    } else if (from.ss_family == AF_INET6) {
      sockaddr_in6 v6;
      std::memcpy(&v6, &from, sizeof v6);
      address.port_ = ntohs(v6.sin6_port);
      if (IN6_IS_ADDR_V4MAPPED(&v6.sin6_addr)) {
        address.family_ = Family::v4;
        std::memcpy(address.ip_.data(), &v6.sin6_addr.s6_addr[12], 4);
      } else {
        address.family_ = Family::v6;
        std::memcpy(address.ip_.data(), &v6.sin6_addr, 16);
      }
    }
    return address;
  }

  Family family() const noexcept { return family_; }
  std::uint16_t port() const noexcept { return port_; }
  /// The address in network order; IPv4 has its four bytes first, the rest zero.
  const std::array<std::uint8_t, 16>& bytes() const noexcept { return ip_; }

  /// 127.0.0.0/8, ::1 and Unix sockets.
  bool isLoopback() const noexcept {
    if (family_ == Family::v4) return ip_[0] == 127;
    if (family_ == Family::local) return true;
    static constexpr std::array<std::uint8_t, 16> kLoopback = {0, 0, 0, 0, 0, 0, 0, 0,
                                                               0, 0, 0, 0, 0, 0, 0, 1};
    return ip_ == kLoopback;
  }

  /// The address only: "192.0.2.1", "2001:db8::1", "local".
  std::string host() const {
    if (family_ == Family::local) return "local";
    char text[INET6_ADDRSTRLEN] = {};
    ::inet_ntop(family_ == Family::v4 ? AF_INET : AF_INET6, ip_.data(), text, sizeof text);
    return text;
  }

  /// Address and port: "192.0.2.1:50000", "[2001:db8::1]:50000", "local".
  std::string text() const {
    if (family_ == Family::local) return host();
    const std::string port = std::to_string(port_);
    return family_ == Family::v4 ? host() + ":" + port : "[" + host() + "]:" + port;
  }

  friend bool operator==(const PeerAddress&, const PeerAddress&) noexcept = default;

private:
  std::array<std::uint8_t, 16> ip_{};
  std::uint16_t port_ = 0;
  Family family_ = Family::local;
};

/// What a finished TLS handshake told about the connection. Everything under
/// "certificate" is empty unless the peer showed a certificate that our CA file
/// vouches for.
struct TlsInfo {
  std::string protocol;    ///< "TLSv1.3"
  std::string cipher;      ///< "TLS_AES_256_GCM_SHA384"
  std::string serverName;  ///< SNI as asked for by the peer, or empty
  std::string alpn;        ///< "mqtt", or empty

  bool hasCertificate = false;
  std::string commonName;  ///< of the certificate's subject
  std::vector<std::string> dnsNames;
  std::vector<std::string> uris;
  std::vector<std::string> emails;
};

/// Who is at the other end of a transport and through which listener it came.
/// Small, since there is one per connection: names are shared, text is made on
/// demand, and TLS details exist for TLS only.
class PeerInfo {
public:
  PeerInfo() = default;
  PeerInfo(PeerAddress peerAddress, std::shared_ptr<const std::string> listenerName)
      : address_{peerAddress},
        listener_{std::move(listenerName)} {}

  const PeerAddress& address() const noexcept { return address_; }
  /// Name of the listener that accepted the connection.
  const std::string& listener() const noexcept {
    static const std::string none;
    return listener_ ? *listener_ : none;
  }
  /// Null for plain connections, and for TLS until the handshake is done. It is
  /// done before the handler's first onData.
  const TlsInfo* tls() const noexcept { return tls_.get(); }
  void setTls(std::unique_ptr<const TlsInfo> info) noexcept { tls_ = std::move(info); }

private:
  PeerAddress address_;
  std::shared_ptr<const std::string> listener_;
  std::unique_ptr<const TlsInfo> tls_;
};

}  // namespace mqttstack::net
