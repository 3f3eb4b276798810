#include "app/service_manager.hpp"

#include <algorithm>
#include <cerrno>
#include <charconv>
#include <cstdint>
#include <ctime>
#include <fmt/format.h>
#include <optional>
#include <sys/time.h>
#include <unistd.h>

#include "core/util/environment.hpp"

namespace mqttstack {
namespace {

/// How long the manager may take to read a change of state.
constexpr timeval kPatience{5, 0};

std::optional<std::int64_t> number(const std::optional<std::string>& text) {
  std::int64_t value = 0;
  if (!text) return std::nullopt;
  const char* end = text->data() + text->size();
  const auto [stop, error] = std::from_chars(text->data(), end, value);
  if (error != std::errc{} || stop != end) return std::nullopt;
  return value;
}

/// A line end would begin another assignment.
std::string assignment(std::string_view name, std::string_view text) {
  std::string line = fmt::format("{}={}", name, text);
  std::replace_if(
      line.begin(), line.end(),
      [](char c) { return static_cast<unsigned char>(c) < 0x20 || c == 0x7f; }, ' ');
  return line;
}

}  // namespace

ServiceManager ServiceManager::fromEnvironment() {
  const auto path = takeEnvironmentVariable("NOTIFY_SOCKET");
  const auto interval = number(takeEnvironmentVariable("WATCHDOG_USEC"));
  const auto watched = takeEnvironmentVariable("WATCHDOG_PID");

  ServiceManager manager;
  const bool usable = path && path->size() > 1 && path->size() < sizeof manager.address_.sun_path &&
                      (path->front() == '/' || path->front() == '@');
  if (!usable) return manager;
  manager.address_.sun_family = AF_UNIX;
  std::copy(path->begin(), path->end(), manager.address_.sun_path);
  if (path->front() == '@') manager.address_.sun_path[0] = '\0';  // an abstract name
  manager.addressSize_ = static_cast<socklen_t>(offsetof(sockaddr_un, sun_path) + path->size());
  manager.socket_ = net::Descriptor{::socket(AF_UNIX, SOCK_DGRAM | SOCK_CLOEXEC, 0)};
  if (!manager.socket_) return manager;
  ::setsockopt(manager.socket_.get(), SOL_SOCKET, SO_SNDTIMEO, &kPatience, sizeof kPatience);

  const bool meansUs = !watched || number(watched) == static_cast<std::int64_t>(::getpid());
  if (meansUs && interval && *interval > 0)
    manager.watchdog_ = std::chrono::microseconds{*interval};
  return manager;
}

void ServiceManager::ready(std::string_view status) {
  send("READY=1\n" + assignment("STATUS", status), Urgency::mustArrive);
}

void ServiceManager::reloading() {
  timespec now{};
  ::clock_gettime(CLOCK_MONOTONIC, &now);
  const std::int64_t microseconds = std::int64_t{now.tv_sec} * 1'000'000 + now.tv_nsec / 1000;
  send(fmt::format("RELOADING=1\nMONOTONIC_USEC={}", microseconds), Urgency::mustArrive);
}

void ServiceManager::stopping(std::string_view status) {
  send("STOPPING=1\n" + assignment("STATUS", status), Urgency::mustArrive);
}

void ServiceManager::extendTimeout(std::chrono::seconds time, std::string_view status) {
  const auto microseconds = std::chrono::microseconds{time}.count();
  send(fmt::format("EXTEND_TIMEOUT_USEC={}\n{}", microseconds, assignment("STATUS", status)),
       Urgency::mustArrive);
}

bool ServiceManager::status(std::string_view text) {
  return send(assignment("STATUS", text), Urgency::mayBeLost);
}

void ServiceManager::ping() { send("WATCHDOG=1", Urgency::mayBeLost); }

bool ServiceManager::send(const std::string& message, Urgency urgency) {
  if (!socket_) return false;
  const int flags = MSG_NOSIGNAL | (urgency == Urgency::mayBeLost ? MSG_DONTWAIT : 0);
  ssize_t sent = 0;
  do
    sent = ::sendto(socket_.get(), message.data(), message.size(), flags,
                    reinterpret_cast<const sockaddr*>(&address_), addressSize_);
  while (sent < 0 && errno == EINTR);
  return sent >= 0;
}

}  // namespace mqttstack
