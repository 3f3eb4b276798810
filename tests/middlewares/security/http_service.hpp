#pragma once

#include <arpa/inet.h>
#include <functional>
#include <mutex>
#include <netinet/in.h>
#include <stdexcept>
#include <string>
#include <sys/socket.h>
#include <thread>
#include <unistd.h>
#include <utility>
#include <vector>

namespace mqttstack::test {

/// A service that answers HTTP requests, one connection after the other, with
/// what a function says. On a port of its own on loopback.
class HttpService {
public:
  /// Gets a request's head and body; returns all that is to be sent back.
  using Answer = std::function<std::string(const std::string& head, const std::string& body)>;

  explicit HttpService(Answer answer) : answer_{std::move(answer)} {
    sockaddr_in address{};
    address.sin_family = AF_INET;
    address.sin_addr.s_addr = htonl(INADDR_LOOPBACK);
    socklen_t size = sizeof address;
    listener_ = ::socket(AF_INET, SOCK_STREAM, 0);
    auto* const generic = reinterpret_cast<sockaddr*>(&address);
    if (::bind(listener_, generic, size) != 0 || ::listen(listener_, 16) != 0 ||
        ::getsockname(listener_, generic, &size) != 0)
      throw std::runtime_error{"no port for the service"};
    port_ = ntohs(address.sin_port);
    thread_ = std::thread{[this] { serve(); }};
  }
  HttpService(const HttpService&) = delete;
  HttpService& operator=(const HttpService&) = delete;
  ~HttpService() {
    ::shutdown(listener_, SHUT_RDWR);
    thread_.join();
    ::close(listener_);
  }

  std::string url(const std::string& path = "/auth") const {
    return "http://127.0.0.1:" + std::to_string(port_) + path;
  }
  /// The bodies of the requests so far.
  std::vector<std::string> asked() const {
    const std::lock_guard lock{mutex_};
    return asked_;
  }

  static std::string reply(const std::string& body, const std::string& status = "200 OK") {
    return "HTTP/1.1 " + status +
           "\r\nConnection: close\r\nContent-Length: " + std::to_string(body.size()) + "\r\n\r\n" +
           body;
  }

private:
  void serve() {
    for (int peer = 0; (peer = ::accept(listener_, nullptr, nullptr)) >= 0; ::close(peer)) {
      std::string text;
      std::size_t headEnd = 0;
      std::size_t wanted = std::string::npos;
      char buffer[4096];
      while (text.size() < wanted) {
        const ssize_t size = ::recv(peer, buffer, sizeof buffer, 0);
        if (size <= 0) break;
        text.append(buffer, static_cast<std::size_t>(size));
        if (wanted == std::string::npos && (headEnd = text.find("\r\n\r\n")) != std::string::npos) {
          const std::size_t at = text.find("Content-Length: ");
          wanted = headEnd + 4 + std::stoul(text.substr(at + 16));
        }
      }
      if (text.size() < wanted) continue;
      const std::string body = text.substr(headEnd + 4);
      {
        const std::lock_guard lock{mutex_};
        asked_.push_back(body);
      }
      const std::string answer = answer_(text.substr(0, headEnd), body);
      ::send(peer, answer.data(), answer.size(), MSG_NOSIGNAL);
    }
  }

  Answer answer_;
  int listener_ = -1;
  unsigned port_ = 0;
  mutable std::mutex mutex_;
  std::vector<std::string> asked_;
  std::thread thread_;
};

}  // namespace mqttstack::test
