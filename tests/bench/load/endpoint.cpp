#include "tests/bench/load/endpoint.hpp"

#include <arpa/inet.h>
#include <cerrno>
#include <cstring>
#include <netdb.h>
#include <netinet/in.h>
#include <netinet/tcp.h>
#include <stdexcept>
#include <unistd.h>

namespace mqttstack::load {
namespace {

constexpr std::uint32_t kFirstSource = 0x7F000002;  // 127.0.0.2

bool isLoopback(const sockaddr_storage& address) {
  if (address.ss_family != AF_INET) return false;
  sockaddr_in v4;
  std::memcpy(&v4, &address, sizeof v4);
  return ntohl(v4.sin_addr.s_addr) >> 24 == 127;
}

void setOption(int socket, int level, int option) {
  const int on = 1;
  ::setsockopt(socket, level, option, &on, sizeof on);
}

}  // namespace

Endpoint::Endpoint(const std::string& host, std::uint16_t port, Transport transport) {
  addrinfo hints{};
  hints.ai_socktype = SOCK_STREAM;
  addrinfo* found = nullptr;
  const int error = ::getaddrinfo(host.c_str(), std::to_string(port).c_str(), &hints, &found);
  if (error) throw std::runtime_error{host + ": " + ::gai_strerror(error)};
  std::memcpy(&address_, found->ai_addr, found->ai_addrlen);
  size_ = found->ai_addrlen;
  ::freeaddrinfo(found);
  if (transport == Transport::tls) {
    tls_.reset(SSL_CTX_new(TLS_client_method()));
    SSL_CTX_set_verify(tls_.get(), SSL_VERIFY_NONE, nullptr);
    SSL_CTX_set_mode(tls_.get(),
                     SSL_MODE_ENABLE_PARTIAL_WRITE | SSL_MODE_ACCEPT_MOVING_WRITE_BUFFER);
  }
}

int Endpoint::connect(std::size_t index) const {
  const int socket =
      ::socket(address_.ss_family, SOCK_STREAM | SOCK_NONBLOCK | SOCK_CLOEXEC, IPPROTO_TCP);
  if (socket < 0) return -1;
  setOption(socket, IPPROTO_TCP, TCP_NODELAY);
  if (index >= kPerSource && isLoopback(address_)) {
    sockaddr_in source{};
    source.sin_family = AF_INET;
    source.sin_addr.s_addr =
        htonl(kFirstSource + static_cast<std::uint32_t>(index / kPerSource - 1));
    setOption(socket, IPPROTO_IP, IP_BIND_ADDRESS_NO_PORT);
    ::bind(socket, reinterpret_cast<const sockaddr*>(&source), sizeof source);
  }
  if (::connect(socket, reinterpret_cast<const sockaddr*>(&address_), size_) == 0 ||
      errno == EINPROGRESS)
    return socket;
  const int why = errno;
  ::close(socket);
  errno = why;
  return -1;
}

TlsSession Endpoint::startTls(int socket) const {
  if (!tls_) return nullptr;
  TlsSession session{SSL_new(tls_.get())};
  SSL_set_fd(session.get(), socket);
  SSL_set_connect_state(session.get());
  return session;
}

}  // namespace mqttstack::load
