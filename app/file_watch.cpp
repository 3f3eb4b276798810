#include "app/file_watch.hpp"

#include <algorithm>
#include <sys/stat.h>
#include <utility>

namespace mqttstack {
namespace {

/// FNV-1a, a number at a time.
void mix(std::uint64_t& hash, std::uint64_t value) {
  constexpr std::uint64_t kPrime = 1099511628211U;
  for (int i = 0; i < 8; ++i) hash = (hash ^ ((value >> (8 * i)) & 0xffU)) * kPrime;
}

/// Reading a large file again and again that is not right would hold the loop up.
constexpr unsigned kLongestPause = 31;

template <class Number>
std::uint64_t bits(Number number) {
  return static_cast<std::uint64_t>(number);
}

}  // namespace

void FileWatch::add(std::function<Files()> files, std::function<bool()> changed) {
  const Fingerprint now = look(files());
  watched_.push_back({std::move(files), std::move(changed), now, now});
}

void FileWatch::start() {
  if (!watched_.empty()) scheduler_.start(timer_, interval_);
}

void FileWatch::settle() {
  for (Watched& each : watched_) each.known = each.seen = look(each.files());
}

void FileWatch::unsettle() {
  for (Watched& each : watched_) each.known.reset();
}

FileWatch::Fingerprint FileWatch::look(const Files& files) {
  Fingerprint hash = 14695981039346656037U;
  for (const auto& file : files) {
    struct stat status {};
    const bool there = ::stat(file.c_str(), &status) == 0;
    mix(hash, there ? 1 : 0);
    if (!there) continue;
    mix(hash, bits(status.st_dev));
    mix(hash, bits(status.st_ino));
    mix(hash, bits(status.st_mode));
    mix(hash, bits(status.st_size));
    mix(hash, bits(status.st_mtim.tv_sec));
    mix(hash, bits(status.st_mtim.tv_nsec));
    // A change of owner, or of what is written within one tick of the clock.
    mix(hash, bits(status.st_ctim.tv_sec));
    mix(hash, bits(status.st_ctim.tv_nsec));
  }
  return hash;
}

void FileWatch::check() {
  scheduler_.start(timer_, interval_);
  for (Watched& each : watched_) {
    const Fingerprint now = look(each.files());
    const bool quiet = std::exchange(each.seen, now) == now;
    if (!quiet || now == each.known) continue;
    if (now != each.refused) {
      each.pause = each.nextPause = 0;
    } else if (each.pause > 0) {
      --each.pause;
      continue;
    }
    if (each.changed()) {
      each.known = now;
      each.refused.reset();
    } else {
      each.refused = now;
      each.pause = each.nextPause;
      each.nextPause = std::min(2 * each.nextPause + 1, kLongestPause);
    }
  }
}

}  // namespace mqttstack
