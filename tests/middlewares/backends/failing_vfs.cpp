#include "tests/middlewares/backends/failing_vfs.hpp"

namespace mqttstack::test {
namespace {

struct Plan {
  FailingVfs::Fault fault{};
  int countdown = 0;  // 0: nothing fails
  bool limited = false;

  /// Whether this write, or this sync, is to fail.
  bool fails(bool syncing) {
    if (countdown == 0 || syncing != (fault == FailingVfs::Fault::sync)) return false;
    if (countdown > 1) return --countdown, false;
    return true;
  }
};
Plan plan;

struct File {
  sqlite3_file base;
  sqlite3_file* real;  // behind this one
};
sqlite3_file* real(sqlite3_file* file) { return reinterpret_cast<File*>(file)->real; }

int write(sqlite3_file* file, const void* data, int size, sqlite3_int64 at) {
  if (plan.limited) {
    sqlite3_int64 length = 0;
    real(file)->pMethods->xFileSize(real(file), &length);
    if (at + size > length) return SQLITE_FULL;
  }
  if (plan.fails(false)) {
    if (plan.fault == FailingVfs::Fault::shortWrite)
      real(file)->pMethods->xWrite(real(file), data, size / 2, at);
    return SQLITE_IOERR_WRITE;
  }
  return real(file)->pMethods->xWrite(real(file), data, size, at);
}
int sync(sqlite3_file* file, int flags) {
  if (plan.fails(true)) return SQLITE_IOERR_FSYNC;
  return real(file)->pMethods->xSync(real(file), flags);
}

// The rest is passed on.
int close(sqlite3_file* f) {
  const int code = real(f)->pMethods ? real(f)->pMethods->xClose(real(f)) : SQLITE_OK;
  return code;
}
int read(sqlite3_file* f, void* p, int n, sqlite3_int64 o) {
  return real(f)->pMethods->xRead(real(f), p, n, o);
}
int truncate(sqlite3_file* f, sqlite3_int64 n) { return real(f)->pMethods->xTruncate(real(f), n); }
int fileSize(sqlite3_file* f, sqlite3_int64* n) { return real(f)->pMethods->xFileSize(real(f), n); }
int lock(sqlite3_file* f, int l) { return real(f)->pMethods->xLock(real(f), l); }
int unlock(sqlite3_file* f, int l) { return real(f)->pMethods->xUnlock(real(f), l); }
int reserved(sqlite3_file* f, int* r) { return real(f)->pMethods->xCheckReservedLock(real(f), r); }
int control(sqlite3_file* f, int op, void* p) {
  return real(f)->pMethods->xFileControl(real(f), op, p);
}
int sector(sqlite3_file* f) { return real(f)->pMethods->xSectorSize(real(f)); }
int characteristics(sqlite3_file* f) { return real(f)->pMethods->xDeviceCharacteristics(real(f)); }
int shmMap(sqlite3_file* f, int page, int size, int extend, void volatile** p) {
  return real(f)->pMethods->xShmMap(real(f), page, size, extend, p);
}
int shmLock(sqlite3_file* f, int o, int n, int flags) {
  return real(f)->pMethods->xShmLock(real(f), o, n, flags);
}
void shmBarrier(sqlite3_file* f) { real(f)->pMethods->xShmBarrier(real(f)); }
int shmUnmap(sqlite3_file* f, int del) { return real(f)->pMethods->xShmUnmap(real(f), del); }

const sqlite3_io_methods kMethods{
    2,        close,    read,    write,  truncate,        sync,   fileSize, lock,
    unlock,   reserved, control, sector, characteristics, shmMap, shmLock,  shmBarrier,
    shmUnmap, nullptr,  nullptr};

int open(sqlite3_vfs* vfs, sqlite3_filename name, sqlite3_file* file, int flags, int* out) {
  auto* const system = static_cast<sqlite3_vfs*>(vfs->pAppData);
  auto* const ours = reinterpret_cast<File*>(file);
  ours->base.pMethods = nullptr;
  ours->real = reinterpret_cast<sqlite3_file*>(ours + 1);
  const int code = system->xOpen(system, name, ours->real, flags, out);
  if (code == SQLITE_OK) ours->base.pMethods = &kMethods;
  return code;
}

}  // namespace

FailingVfs::FailingVfs() : vfs_{*sqlite3_vfs_find(nullptr)} {
  sqlite3_vfs* const system = sqlite3_vfs_find(nullptr);
  vfs_.zName = "failing";
  vfs_.pAppData = system;
  vfs_.szOsFile = static_cast<int>(sizeof(File)) + system->szOsFile;
  vfs_.xOpen = open;
  plan = {};
  sqlite3_vfs_register(&vfs_, 0);
}

FailingVfs::~FailingVfs() { sqlite3_vfs_unregister(&vfs_); }

void FailingVfs::failAt(Fault fault, int nth) noexcept { plan = {fault, nth, plan.limited}; }

void FailingVfs::limitFiles(bool on) noexcept { plan.limited = on; }

}  // namespace mqttstack::test
