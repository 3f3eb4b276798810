#pragma once

#include <cstdint>
#include <filesystem>
#include <functional>
#include <optional>
#include <vector>

#include "core/util/timer_wheel.hpp"

namespace mqttstack {

/// Notices that files have changed, by looking at them every few seconds: at
/// what stat() says, not into them. That works where a file is replaced, where a
/// symbolic link on the way is turned to another directory, and on every file
/// system.
///
/// Who replaces a certificate and its key replaces one after the other: a change
/// is told when nothing has changed for one interval more.
class FileWatch {
public:
  using Files = std::vector<std::filesystem::path>;

  /// The scheduler must outlive it.
  FileWatch(Scheduler& scheduler, Duration interval) : scheduler_{scheduler}, interval_{interval} {}
  FileWatch(const FileWatch&) = delete;
  FileWatch& operator=(const FileWatch&) = delete;

  /// Has `changed` called from the loop when one of the files that `files` names
  /// has changed, appeared or vanished. It names them anew each time, since a
  /// directory may hold others by then. What the files are now is not news.
  ///
  /// `changed` returns whether they could be taken over. If not, it is called again,
  /// also where they stay as they are: after one interval, and then less and less
  /// often. It must not add.
  void add(std::function<Files()> files, std::function<bool()> changed);

  /// Begins to look.
  void start();
  /// No more calls.
  void stop() { timer_.cancel(); }
  /// Takes the files as they are now for known; called before they are read for
  /// another reason. What is changed later is told as ever.
  void settle();
  /// Takes the files as they are now for changed: they could not be read.
  void unsettle();

private:
  /// What can be known of a set of files without reading them, as one number.
  using Fingerprint = std::uint64_t;
  struct Watched {
    std::function<Files()> files;
    std::function<bool()> changed;
    std::optional<Fingerprint> known;      // when they were taken over last
    Fingerprint seen = 0;                  // at the last look
    std::optional<Fingerprint> refused{};  // when they could not be
    unsigned pause = 0;                    // for how many looks nothing is tried again
    unsigned nextPause = 0;
  };

  static Fingerprint look(const Files& files);
  void check();

  Scheduler& scheduler_;
  Duration interval_;
  std::vector<Watched> watched_;
  Timer timer_ = Timer::calling<&FileWatch::check>(*this);
};

}  // namespace mqttstack
