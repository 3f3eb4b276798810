#include "app/inherited_sockets.hpp"

#include <cerrno>
#include <charconv>
#include <fcntl.h>
#include <fmt/format.h>
#include <optional>
#include <string_view>
#include <sys/socket.h>
#include <system_error>
#include <unistd.h>

#include "core/mqtt/text.hpp"
#include "core/util/environment.hpp"

namespace mqttstack {
namespace {

constexpr int kFirst = 3;  // behind the standard ones, by agreement
constexpr int kMost = 1024;

std::optional<int> number(const std::string& text) {
  int value = 0;
  const char* end = text.data() + text.size();
  const auto [stop, error] = std::from_chars(text.data(), end, value);
  if (error != std::errc{} || stop != end) return std::nullopt;
  return value;
}

int option(int socket, int which) {
  int value = -1;
  socklen_t size = sizeof value;
  return ::getsockopt(socket, SOL_SOCKET, which, &value, &size) == 0 ? value : -1;
}

/// Empty if clients can be accepted from it.
std::string whyUnusable(int socket) {
  if (::fcntl(socket, F_SETFD, FD_CLOEXEC) != 0) return std::generic_category().message(errno);
  const int family = option(socket, SO_DOMAIN);
  if (family < 0) return "it is no socket";
  if (option(socket, SO_TYPE) != SOCK_STREAM) return "it is no stream socket";
  if (family != AF_INET && family != AF_INET6 && family != AF_UNIX)
    return "it is neither IPv4 nor IPv6 nor a Unix socket";
  if (option(socket, SO_ACCEPTCONN) != 1) return "it does not listen";
  return {};
}

/// Takes the part in front of the next colon.
std::string takeName(std::string_view& names) {
  const std::size_t colon = names.find(':');
  std::string name{names.substr(0, colon)};
  names = colon == std::string_view::npos ? std::string_view{} : names.substr(colon + 1);
  return name;
}

}  // namespace

std::vector<InheritedSocket> takeInheritedSockets(ConfigReport& report) {
  const auto pid = takeEnvironmentVariable("LISTEN_PID");
  const auto countText = takeEnvironmentVariable("LISTEN_FDS");
  const auto allNames = takeEnvironmentVariable("LISTEN_FDNAMES");
  std::vector<InheritedSocket> sockets;
  if (!pid || !countText || number(*pid) != static_cast<int>(::getpid())) return sockets;

  const auto count = number(*countText);
  if (!count || *count < 0 || *count > kMost) {
    report.error({}, fmt::format("socket activation: LISTEN_FDS is \"{}\", which is no number of "
                                 "sockets",
                                 mqtt::printable(*countText)));
    return sockets;
  }
  std::string_view names = allNames ? std::string_view{*allNames} : std::string_view{};
  for (int fd = kFirst; fd < kFirst + *count; ++fd) {
    std::string name = takeName(names);
    const std::string why = whyUnusable(fd);
    if (why.empty())
      sockets.push_back({std::move(name), net::Descriptor{fd}});
    else
      report.error({},
                   fmt::format("socket activation: descriptor {}, called \"{}\", cannot be used: "
                               "{}",
                               fd, mqtt::printable(name), why),
                   "the .socket unit needs ListenStream=, and Accept=no");
  }
  return sockets;
}

}  // namespace mqttstack
