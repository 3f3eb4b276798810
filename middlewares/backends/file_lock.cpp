#include "middlewares/backends/file_lock.hpp"

#include <cerrno>
#include <fcntl.h>
#include <fmt/format.h>
#include <sys/file.h>
#include <system_error>
#include <unistd.h>

namespace mqttstack {

std::string FileLock::take(const std::string& path) {
  release();
  const int descriptor = ::open(path.c_str(), O_RDWR | O_CREAT | O_CLOEXEC | O_NOFOLLOW, 0600);
  if (descriptor < 0)
    return fmt::format("cannot make \"{}\": {}", path, std::generic_category().message(errno));
  descriptor_ = descriptor;
  if (::flock(descriptor, LOCK_EX | LOCK_NB) != 0) {
    char holder[32];
    const ssize_t size = ::read(descriptor, holder, sizeof holder - 1);
    holder[size > 0 ? size : 0] = '\0';
    release();
    return fmt::format("another process has \"{}\" locked{}{}", path, size > 1 ? ": process " : "",
                       std::string{holder}.substr(0, std::string{holder}.find('\n')));
  }
  const std::string text = std::to_string(::getpid()) + '\n';
  if (::ftruncate(descriptor, 0) != 0 ||
      ::write(descriptor, text.data(), text.size()) != static_cast<ssize_t>(text.size())) {
    // Only for people to read: a full disk is no reason to refuse.
  }
  return {};
}

void FileLock::release() noexcept {
  if (descriptor_ >= 0) ::close(std::exchange(descriptor_, -1));
}

bool FileLock::taken(const std::string& path) noexcept {
  const int descriptor = ::open(path.c_str(), O_RDONLY | O_CLOEXEC);
  if (descriptor < 0) return false;
  const bool taken = ::flock(descriptor, LOCK_SH | LOCK_NB) != 0;
  ::close(descriptor);
  return taken;
}

}  // namespace mqttstack
