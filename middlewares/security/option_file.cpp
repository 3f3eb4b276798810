#include "middlewares/security/option_file.hpp"

#include <cerrno>
#include <fstream>
#include <iterator>
#include <system_error>

#include "core/util/file_access.hpp"

namespace mqttstack {

namespace fs = std::filesystem;

std::optional<std::string> readOptionFile(std::string_view option, const fs::path& path,
                                          Diagnostics& diagnostics) {
  const auto refuse = [&](const FileTrouble& trouble) {
    diagnostics.errorAt(option, describe(path, trouble), trouble.help,
                        trouble.forbidden ? Fault::permission : Fault::configuration);
    return std::nullopt;
  };
  if (const auto trouble = findFileTrouble(path)) return refuse(*trouble);

  errno = 0;
  std::ifstream file{path, std::ios::binary};
  std::string text{std::istreambuf_iterator<char>{file}, {}};
  if (!file.is_open() || file.bad())
    return refuse({std::error_code{errno, std::generic_category()}.message(), {}, errno == EACCES});
  return text;
}

void warnIfPublic(std::string_view option, const fs::path& path, Diagnostics& diagnostics) {
  if (!isReadableByAll(path)) return;
  diagnostics.warningAt(option, '"' + path.string() + "\" can be read by everybody on this machine",
                        "chmod 640 " + path.string());
}

}  // namespace mqttstack
