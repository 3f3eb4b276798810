#include "middlewares/security/option_file.hpp"

#include <cerrno>
#include <fstream>
#include <iterator>
#include <system_error>

namespace mqttstack {

namespace fs = std::filesystem;

std::optional<std::string> readOptionFile(std::string_view option, const fs::path& path,
                                          Diagnostics& diagnostics) {
  const auto refuse = [&](const std::string& why) {
    diagnostics.errorAt(option, "cannot read " + path.string() + ": " + why,
                        "the user that the daemon runs as has to be able to read it");
    return std::nullopt;
  };
  std::error_code error;
  const fs::file_status status = fs::status(path, error);
  if (!fs::exists(status)) return refuse(error ? error.message() : "no such file");
  // Anything else might never end, or never begin.
  if (!fs::is_regular_file(status)) return refuse("it is not a regular file");

  errno = 0;
  std::ifstream file{path, std::ios::binary};
  std::string text{std::istreambuf_iterator<char>{file}, {}};
  if (!file.is_open() || file.bad())
    return refuse(std::error_code{errno, std::generic_category()}.message());
  return text;
}

void warnIfPublic(std::string_view option, const fs::path& path, Diagnostics& diagnostics) {
  std::error_code error;
  const fs::file_status status = fs::status(path, error);
  if (error || (status.permissions() & fs::perms::others_read) == fs::perms::none) return;
  diagnostics.warningAt(option, path.string() + " can be read by everybody on this machine",
                        "chmod 640 " + path.string());
}

}  // namespace mqttstack
