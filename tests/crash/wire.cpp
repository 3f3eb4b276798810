#include "tests/crash/wire.hpp"

#include <array>
#include <cerrno>
#include <fcntl.h>
#include <netinet/in.h>
#include <netinet/tcp.h>
#include <poll.h>
#include <sys/socket.h>
#include <unistd.h>

namespace mqttstack::crash {

bool Wire::open(std::uint16_t port) {
  reset();
  socket_ = ::socket(AF_INET, SOCK_STREAM | SOCK_NONBLOCK | SOCK_CLOEXEC, 0);
  if (socket_ < 0) return false;
  const int on = 1;
  ::setsockopt(socket_, IPPROTO_TCP, TCP_NODELAY, &on, sizeof on);
  sockaddr_in address{};
  address.sin_family = AF_INET;
  address.sin_port = htons(port);
  address.sin_addr.s_addr = htonl(INADDR_LOOPBACK);
  if (::connect(socket_, reinterpret_cast<sockaddr*>(&address), sizeof address) == 0 ||
      errno == EINPROGRESS)
    return true;
  reset();
  return false;
}

void Wire::reset() noexcept {
  if (socket_ < 0) return;
  const linger abort{1, 0};
  ::setsockopt(socket_, SOL_SOCKET, SO_LINGER, &abort, sizeof abort);
  ::close(socket_);
  socket_ = -1;
  output_.clear();
  input_.clear();
  begin_ = 0;
}

short Wire::wantedEvents() const noexcept {
  return static_cast<short>(output_.empty() ? POLLIN : POLLIN | POLLOUT);
}

bool Wire::pump() {
  if (!output_.empty()) {
    const ssize_t written = ::send(socket_, output_.data(), output_.size(), MSG_NOSIGNAL);
    if (written > 0)
      output_.erase(0, static_cast<std::size_t>(written));
    else if (errno != EAGAIN && errno != ENOTCONN)
      return false;
  }
  std::array<char, 65536> buffer;
  const ssize_t size = ::recv(socket_, buffer.data(), buffer.size(), 0);
  if (size == 0 || (size < 0 && errno != EAGAIN && errno != ENOTCONN)) return false;
  if (size > 0) {
    input_.erase(0, begin_);
    begin_ = 0;
    input_.append(buffer.data(), static_cast<std::size_t>(size));
  }
  return true;
}

Bytes Wire::next() {
  std::size_t length = 0;
  std::size_t at = begin_ + 1;
  for (unsigned shift = 0;; shift += 7, ++at) {
    if (at >= input_.size()) return {};
    const auto byte = static_cast<unsigned char>(input_[at]);
    length |= static_cast<std::size_t>(byte & 0x7fU) << shift;
    if ((byte & 0x80U) == 0) break;
    if (shift == 21) throw Violation{"a packet with an impossible length"};
  }
  const std::size_t end = at + 1 + length;
  if (end > input_.size()) return {};
  const Bytes packet = input_.substr(begin_, end - begin_);
  begin_ = end;
  return packet;
}

}  // namespace mqttstack::crash
