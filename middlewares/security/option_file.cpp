#include "middlewares/security/option_file.hpp"

#include <cerrno>
#include <fcntl.h>
#include <system_error>
#include <unistd.h>

#include "core/net/descriptor.hpp"
#include "core/util/file_access.hpp"

namespace mqttstack {

namespace fs = std::filesystem;

namespace {

/// Without streams, which throw when a disk or a network fails.
std::error_code readAll(const fs::path& path, std::string& text) {
  const auto failure = [] { return std::error_code{errno, std::generic_category()}; };
  const net::Descriptor file{::open(path.c_str(), O_RDONLY | O_CLOEXEC | O_NONBLOCK)};
  if (!file) return failure();
  char block[16 * 1024];
  while (true) {
    const ssize_t size = ::read(file.get(), block, sizeof block);
    if (size == 0) return {};
    if (size > 0)
      text.append(block, static_cast<std::size_t>(size));
    else if (errno != EINTR)
      return failure();
  }
}

}  // namespace

std::optional<std::string> readOptionFile(std::string_view option, const fs::path& path,
                                          Diagnostics& diagnostics) {
  const auto refuse = [&](const FileTrouble& trouble) {
    diagnostics.errorAt(option, describe(path, trouble), trouble.help,
                        trouble.forbidden ? Fault::permission : Fault::configuration);
    return std::nullopt;
  };
  if (const auto trouble = findFileTrouble(path)) return refuse(*trouble);

  std::string text;
  if (const std::error_code error = readAll(path, text))
    return refuse({error.message(), {}, error == std::errc::permission_denied});
  return text;
}

void warnIfPublic(std::string_view option, const fs::path& path, Diagnostics& diagnostics) {
  if (!isReadableByAll(path)) return;
  diagnostics.warningAt(option, '"' + path.string() + "\" can be read by everybody on this machine",
                        "chmod 640 " + path.string());
}

}  // namespace mqttstack
