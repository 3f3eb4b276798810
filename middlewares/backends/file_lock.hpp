#pragma once

#include <string>
#include <utility>

namespace mqttstack {

/// The exclusive lock on a file, which goes with the process that has it. The file
/// is made if there is none, and stays.
class FileLock {
public:
  FileLock() = default;
  FileLock(FileLock&& other) noexcept : descriptor_{std::exchange(other.descriptor_, -1)} {}
  FileLock& operator=(FileLock&& other) noexcept {
    std::swap(descriptor_, other.descriptor_);
    return *this;
  }
  ~FileLock() { release(); }

  /// Takes it and writes the process's number into the file. Returns what is
  /// wrong, for the operator: somebody has it, or the file cannot be made.
  std::string take(const std::string& path);
  void release() noexcept;

  /// Whether somebody has it. Makes no file.
  static bool taken(const std::string& path) noexcept;

private:
  int descriptor_ = -1;
};

}  // namespace mqttstack
