#pragma once

#include <filesystem>
#include <optional>
#include <string>

namespace mqttstack {

/// Why a file that the configuration names is of no use.
struct FileTrouble {
  std::string why;       ///< "No such file or directory"
  std::string help;      ///< what to do about it
  bool forbidden;        ///< it is this user who may not read it
  bool refused = false;  ///< it could be read, but not relied on
};

/// `cannot read "…": why`, or `"…" is refused: why`.
std::string describe(const std::filesystem::path& path, const FileTrouble& trouble);

/// Looks whether this process can read a file, and whether it is one to rely on:
/// a regular file that not everybody on this machine can change. Reads nothing
/// of it, since anything but a file might never end.
std::optional<FileTrouble> findFileTrouble(const std::filesystem::path& path);

/// Whether everybody on this machine can read the file, as far as its own mode
/// says so.
bool isReadableByAll(const std::filesystem::path& path);

}  // namespace mqttstack
