#pragma once

#include <arpa/inet.h>
#include <cerrno>
#include <chrono>
#include <cstring>
#include <fcntl.h>
#include <functional>
#include <memory>
#include <netinet/in.h>
#include <netinet/tcp.h>
#include <optional>
#include <string>
#include <string_view>
#include <sys/socket.h>
#include <system_error>
#include <utility>
#include <vector>

#include <asio/io_context.hpp>

#include "core/net/descriptor.hpp"
#include "core/net/listener.hpp"
#include "core/net/reactor.hpp"
#include "core/net/transport.hpp"

namespace mqttstack::net::test {

/// The broker's end of a connection: owns the transport, notes what it hears, and
/// does in each call what the test says.
class Session final : public TransportHandler {
public:
  explicit Session(std::unique_ptr<Transport> connection) : transport{std::move(connection)} {
    transport->setHandler(*this);
  }

  Result<std::size_t> write(std::string_view bytes) {
    const iovec buffer{const_cast<char*>(bytes.data()), bytes.size()};
    return transport->write({&buffer, 1});
  }

  void onData(std::string_view bytes) override {
    received.append(bytes);
    ++reads;
    if (ended || closed) outOfOrder = true;
    if (const auto action = whenData) action(*this);
  }
  void onEnd() override {
    if (ended || closed) outOfOrder = true;
    ended = true;
    if (const auto action = whenEnd) action(*this);
  }
  void onWritable() override {
    ++writables;
    if (const auto action = whenWritable) action(*this);
  }
  void onClosed(std::error_code error) override {
    if (closed) outOfOrder = true;
    closed = true;
    why = error;
    if (const auto action = whenClosed) action(*this);
  }

  std::unique_ptr<Transport> transport;
  std::string received;
  int reads = 0;
  int writables = 0;
  bool ended = false;
  bool closed = false;
  bool outOfOrder = false;  ///< heard something after the last call
  std::error_code why;

  using Action = std::function<void(Session&)>;
  Action whenData;
  Action whenEnd;
  Action whenWritable;
  Action whenClosed;
};

/// A socket of the peer, in the test's hands.
class Peer {
public:
  explicit Peer(std::uint16_t port, int family = AF_INET, int receiveBuffer = 0) {
    socket_ = Descriptor{::socket(family, SOCK_STREAM | SOCK_CLOEXEC, 0)};
    if (receiveBuffer > 0)
      ::setsockopt(fd(), SOL_SOCKET, SO_RCVBUF, &receiveBuffer, sizeof receiveBuffer);
    int failed = 0;
    if (family == AF_INET) {
      sockaddr_in to{};
      to.sin_family = AF_INET;
      to.sin_port = htons(port);
      to.sin_addr.s_addr = htonl(INADDR_LOOPBACK);
      failed = ::connect(fd(), reinterpret_cast<sockaddr*>(&to), sizeof to);
    } else {
      sockaddr_in6 to{};
      to.sin6_family = AF_INET6;
      to.sin6_port = htons(port);
      to.sin6_addr = in6addr_loopback;
      failed = ::connect(fd(), reinterpret_cast<sockaddr*>(&to), sizeof to);
    }
    if (failed != 0) socket_.reset();
  }

  explicit operator bool() const { return static_cast<bool>(socket_); }
  int fd() const { return socket_.get(); }

  bool send(std::string_view bytes) {
    return ::send(fd(), bytes.data(), bytes.size(), MSG_NOSIGNAL) ==
           static_cast<ssize_t>(bytes.size());
  }
  void finish() { ::shutdown(fd(), SHUT_WR); }
  void close() { socket_.reset(); }
  void reset() {
    const linger now{.l_onoff = 1, .l_linger = 0};
    ::setsockopt(fd(), SOL_SOCKET, SO_LINGER, &now, sizeof now);
    socket_.reset();
  }

  /// Reads what is there into `received`; notes the end.
  void poll() {
    char buffer[65536];
    while (!ended && error == 0) {
      const ssize_t got = ::recv(fd(), buffer, sizeof buffer, MSG_DONTWAIT);
      if (got > 0)
        received.append(buffer, static_cast<std::size_t>(got));
      else if (got == 0)
        ended = true;
      else if (errno == EAGAIN)
        return;
      else
        error = errno;
    }
  }

  std::string received;
  bool ended = false;
  int error = 0;

private:
  Descriptor socket_;
};

/// A loop with a listener on a free port of the loopback; each connection gets a
/// Session.
class Net {
public:
  asio::io_context io;
  Reactor reactor{io};
  std::vector<std::unique_ptr<Session>> sessions;
  std::unique_ptr<Listener> listener;

  std::uint16_t listen(std::shared_ptr<TlsContext> tls = nullptr,
                       std::string_view endpoint = "127.0.0.1:0") {
    ListenerOptions options;
    options.name = "test";
    options.endpoint = parseEndpoint(endpoint).value();
    options.tls = std::move(tls);
    options.admissions = admissions;
    auto opened = Listener::open(
        reactor, std::move(options),
        [this](std::unique_ptr<Transport> transport) {
          sessions.push_back(std::make_unique<Session>(std::move(transport)));
          if (prepare) prepare(*sessions.back());
        },
        [this](std::string_view line) { troubles.emplace_back(line); });
    if (!opened) throw std::runtime_error{opened.error().text()};
    listener = std::move(opened).value();
    return listener->boundPort();
  }

  /// Runs the loop until `condition` holds; false if it doesn't within 10 s.
  bool until(const std::function<bool()>& condition) {
    const auto end = std::chrono::steady_clock::now() + std::chrono::seconds{10};
    while (!condition()) {
      if (std::chrono::steady_clock::now() > end) return false;
      io.restart();
      if (io.poll_one() == 0) io.run_one_for(std::chrono::milliseconds{1});
    }
    return true;
  }

  /// Runs what is ready, many turns if need be.
  void settle() {
    for (int i = 0; i < 1000; ++i) {
      io.restart();
      if (io.poll_one() == 0 && i >= 20) return;
    }
  }

  /// A connected peer and its session.
  std::pair<std::unique_ptr<Peer>, Session*> connect(int receiveBuffer = 0) {
    const std::size_t before = sessions.size();
    auto peer = std::make_unique<Peer>(listener->boundPort(), AF_INET, receiveBuffer);
    if (!until([&] { return sessions.size() > before; })) return {std::move(peer), nullptr};
    return {std::move(peer), sessions.back().get()};
  }

  std::function<void(Session&)> prepare;
  Admissions* admissions = nullptr;
  std::vector<std::string> troubles;
};

}  // namespace mqttstack::net::test
