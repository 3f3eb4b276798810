#pragma once

#include <sqlite3.h>

namespace mqttstack::test {

/// A VFS of SQLite that is the system's until it is told to fail.
class FailingVfs {
public:
  enum class Fault { error, shortWrite, sync };

  FailingVfs();
  FailingVfs(const FailingVfs&) = delete;
  FailingVfs& operator=(const FailingVfs&) = delete;
  ~FailingVfs();

  const char* name() const noexcept { return vfs_.zName; }
  /// The n-th write, or sync, from now on fails, and all that follow; 0: none.
  void failAt(Fault fault, int nth) noexcept;
  /// No file may grow any more.
  void limitFiles(bool on) noexcept;

private:
  sqlite3_vfs vfs_;
};

}  // namespace mqttstack::test
