#include "app/edit_file.hpp"

#include <cerrno>
#include <fcntl.h>
#include <sys/file.h>
#include <sys/stat.h>
#include <unistd.h>
#include <utility>

namespace mqttstack {
namespace {

namespace fs = std::filesystem;

std::error_code lastError() { return {errno, std::generic_category()}; }

class File {
public:
  explicit File(int descriptor) : descriptor_{descriptor} {}
  File(File&& other) noexcept : descriptor_{std::exchange(other.descriptor_, -1)} {}
  File& operator=(File&&) = delete;
  ~File() {
    if (descriptor_ >= 0) ::close(descriptor_);
  }
  explicit operator bool() const { return descriptor_ >= 0; }
  int get() const { return descriptor_; }

private:
  int descriptor_;
};

std::error_code readAll(const File& file, std::string& text) {
  char buffer[16 * 1024];
  while (true) {
    const ssize_t size = ::read(file.get(), buffer, sizeof buffer);
    if (size == 0) return {};
    if (size > 0)
      text.append(buffer, static_cast<std::size_t>(size));
    else if (errno != EINTR)
      return lastError();
  }
}

std::error_code writeAll(const File& file, std::string_view text) {
  while (!text.empty()) {
    const ssize_t size = ::write(file.get(), text.data(), text.size());
    if (size >= 0)
      text.remove_prefix(static_cast<std::size_t>(size));
    else if (errno != EINTR)
      return lastError();
  }
  return {};
}

/// Fills a new file beside the old one, as the old one is apart from its text.
std::error_code writeNew(const File& file, const std::string& text, const struct stat* old) {
  if (old && (::fchown(file.get(), old->st_uid, old->st_gid) != 0 ||
              ::fchmod(file.get(), old->st_mode & 07777U) != 0))
    return lastError();
  if (const std::error_code error = writeAll(file, text)) return error;
  return ::fsync(file.get()) == 0 ? std::error_code{} : lastError();
}

}  // namespace

std::error_code editFile(const fs::path& path,
                         const std::function<bool(std::string& text)>& change) {
  std::error_code error;
  const fs::path target = fs::weakly_canonical(path, error);
  if (error) return error;
  const fs::path directory = target.has_parent_path() ? target.parent_path() : fs::path{"."};
  const File lock{::open(directory.c_str(), O_RDONLY | O_DIRECTORY | O_CLOEXEC)};
  if (!lock || ::flock(lock.get(), LOCK_EX) != 0) return lastError();

  std::string text;
  struct stat status {};
  bool exists = false;
  if (const File old{::open(target.c_str(), O_RDONLY | O_CLOEXEC | O_NONBLOCK)}) {
    if (::fstat(old.get(), &status) != 0) return lastError();
    if (!S_ISREG(status.st_mode)) return std::make_error_code(std::errc::invalid_argument);
    if (const std::error_code failed = readAll(old, text)) return failed;
    exists = true;
  } else if (errno != ENOENT) {
    return lastError();
  }
  if (!change(text)) return {};

  std::string name = target.string() + ".XXXXXX";
  const File replacement{::mkostemp(name.data(), O_CLOEXEC)};  // mode 0600
  if (!replacement) return lastError();
  error = writeNew(replacement, text, exists ? &status : nullptr);
  if (!error && ::rename(name.c_str(), target.c_str()) != 0) error = lastError();
  if (error) {
    ::unlink(name.c_str());
    return error;
  }
  return ::fsync(lock.get()) == 0 ? std::error_code{} : lastError();
}

}  // namespace mqttstack
