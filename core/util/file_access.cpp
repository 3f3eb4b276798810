#include "core/util/file_access.hpp"

#include <cerrno>
#include <system_error>
#include <unistd.h>

namespace mqttstack {

namespace fs = std::filesystem;

namespace {

FileTrouble troubleOf(std::error_code error) {
  const bool forbidden =
      error == std::errc::permission_denied || error == std::errc::operation_not_permitted;
  std::string help;
  if (error == std::errc::no_such_file_or_directory)
    help = "make it, or correct the path";
  else if (forbidden)
    help = "let the user that the broker runs as read it and enter its directories";
  return {error.message(), std::move(help), forbidden};
}

}  // namespace

std::string describe(const fs::path& path, const FileTrouble& trouble) {
  const std::string quoted = '"' + path.string() + '"';
  return (trouble.refused ? quoted + " is refused: " : "cannot read " + quoted + ": ") +
         trouble.why;
}

std::optional<FileTrouble> findFileTrouble(const fs::path& path) {
  std::error_code error;
  const fs::file_status status = fs::status(path, error);
  if (error) return troubleOf(error);
  if (fs::is_directory(status)) return FileTrouble{"it is a directory", "name a file", false};
  if (!fs::is_regular_file(status))
    return FileTrouble{"it is not a regular file", "name a file", false};
  if (::access(path.c_str(), R_OK) != 0) return troubleOf({errno, std::generic_category()});
  if ((status.permissions() & fs::perms::others_write) != fs::perms::none)
    return FileTrouble{"everybody on this machine can change it", "chmod o-w " + path.string(),
                       false, true};
  return std::nullopt;
}

bool isReadableByAll(const fs::path& path) {
  std::error_code error;
  const fs::file_status status = fs::status(path, error);
  return !error && (status.permissions() & fs::perms::others_read) != fs::perms::none;
}

}  // namespace mqttstack
