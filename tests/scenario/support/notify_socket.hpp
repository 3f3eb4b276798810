#pragma once

#include <cstdlib>
#include <filesystem>
#include <poll.h>
#include <string>
#include <sys/socket.h>
#include <sys/un.h>
#include <unistd.h>
#include <vector>

#include <catch2/catch.hpp>

namespace mqttstack::test {

/// The service manager's end of sd_notify: a datagram socket with a path.
class NotifySocket {
public:
  /// A path that begins with "@" is an abstract name.
  explicit NotifySocket(std::string path) : path_{std::move(path)} {
    sockaddr_un address{};
    address.sun_family = AF_UNIX;
    REQUIRE(path_.size() < sizeof address.sun_path);
    path_.copy(address.sun_path, path_.size());
    if (path_.front() == '@') address.sun_path[0] = '\0';
    const auto size = static_cast<socklen_t>(offsetof(sockaddr_un, sun_path) + path_.size());
    socket_ = ::socket(AF_UNIX, SOCK_DGRAM | SOCK_CLOEXEC, 0);
    REQUIRE(::bind(socket_, reinterpret_cast<const sockaddr*>(&address), size) == 0);
  }
  NotifySocket(const NotifySocket&) = delete;
  NotifySocket& operator=(const NotifySocket&) = delete;
  ~NotifySocket() { ::close(socket_); }

  const std::string& path() const { return path_; }

  /// The next message; empty if none comes in time.
  std::string receive(int milliseconds = 20'000) const {
    pollfd poller{socket_, POLLIN, 0};
    if (::poll(&poller, 1, milliseconds) <= 0) return {};
    char buffer[4096];
    const ssize_t size = ::recv(socket_, buffer, sizeof buffer, 0);
    return size < 0 ? std::string{} : std::string(buffer, static_cast<std::size_t>(size));
  }
  /// What has arrived already.
  std::vector<std::string> receiveAll() const {
    std::vector<std::string> all;
    for (std::string message = receive(0); !message.empty(); message = receive(0))
      all.push_back(std::move(message));
    return all;
  }
  /// Reads up to a message that begins like this, and returns it; empty if none comes.
  std::string await(const std::string& beginning) const {
    for (std::string message = receive(); !message.empty(); message = receive())
      if (message.starts_with(beginning)) return message;
    return {};
  }

private:
  std::string path_;
  int socket_ = -1;
};

}  // namespace mqttstack::test
