#pragma once

#include <condition_variable>
#include <cstdint>
#include <filesystem>
#include <map>
#include <mutex>
#include <string>
#include <string_view>
#include <sys/types.h>
#include <thread>
#include <vector>

namespace mqttstack {

/// Where a listener of the daemon under test waits.
struct Endpoint {
  /// IPv4, IPv6 in brackets, or the path of a Unix socket.
  std::string address;
  std::uint16_t port = 0;
};

/// What a service manager gives a process that it starts.
struct Launch {
  /// "NAME=value", beside what the test itself has.
  std::vector<std::string> environment{};
  /// Become descriptors 3, 4, … with LISTEN_FDS and LISTEN_PID that say so.
  std::vector<int> sockets{};
};

/// A directory of its own under the system's temporary one, removed with everything in it.
class TemporaryDirectory {
public:
  TemporaryDirectory();
  ~TemporaryDirectory();
  TemporaryDirectory(const TemporaryDirectory&) = delete;
  TemporaryDirectory& operator=(const TemporaryDirectory&) = delete;

  [[nodiscard]] const std::filesystem::path& path() const { return path_; }
  /// Writes a file of this directory and returns its path.
  std::filesystem::path write(std::string_view name, std::string_view content,
                              std::filesystem::perms mode = std::filesystem::perms(0600)) const;

private:
  std::filesystem::path path_;
};

/// One listener on loopback and the built-in pipeline. What a test adds may be further tables of
/// middleware options.
[[nodiscard]] std::string plainConfig(std::string_view more = "");

/// The program under test, taken from the environment variable MQTT_STACKD, as a child process
/// with a directory of its own. The constructor returns when every `[[listener]]` of the
/// configuration has told its port; it throws, with the log, when the program ends before. The
/// destructor kills what is still running, and prints the log if it is left by an exception.
class DaemonProcess {
public:
  struct File {
    std::string name;
    std::string content;
  };

  /// `files` are written beside the configuration, mode 0600, before the program starts.
  explicit DaemonProcess(std::string_view config = plainConfig(),
                         const std::vector<File>& files = {});
  /// Runs in `directory`, which the caller has filled and which outlives the process.
  DaemonProcess(std::string_view config, const std::filesystem::path& directory);
  DaemonProcess(std::string_view config, const Launch& launch);
  ~DaemonProcess();
  DaemonProcess(const DaemonProcess&) = delete;
  DaemonProcess& operator=(const DaemonProcess&) = delete;

  /// The listener of this name, or the only one.
  [[nodiscard]] Endpoint endpoint(const std::string& listener = "") const;
  [[nodiscard]] pid_t pid() const { return pid_; }
  [[nodiscard]] std::string log() const;
  /// Waits until the log has this text, which comes through a pipe; false after ten seconds.
  [[nodiscard]] bool logs(std::string_view text) const;
  /// What it was started with.
  [[nodiscard]] const std::filesystem::path& configFile() const { return config_; }
  [[nodiscard]] bool running();
  /// Resident memory in KiB, as the kernel counts it. 0 under a sanitizer, which
  /// keeps what is freed: limits of memory are not judged there.
  [[nodiscard]] long residentKiB() const;

  void signal(int number) const;
  /// Waits for the end and returns the exit code, or 128 + the signal that ended it.
  int wait();

private:
  void start(const std::filesystem::path& config, const Launch& launch = {});
  void readLog();
  void reap();
  void awaitListeners(std::size_t count);

  TemporaryDirectory own_;
  std::filesystem::path config_;
  pid_t pid_ = -1;
  int exitCode_ = -1;
  int output_ = -1;
  mutable std::mutex mutex_;
  mutable std::condition_variable changed_;
  std::string log_;
  bool ended_ = false;
  std::map<std::string, Endpoint> listeners_;
  std::thread reader_;
};

/// What a finished command left behind.
struct CommandResult {
  int exitCode = -1;
  /// Standard output and standard error, as they came.
  std::string output;
};

/// Runs the program under test with `arguments` until it ends. Ten seconds are the limit: it is
/// killed then and the exit code is 137.
[[nodiscard]] CommandResult runDaemon(const std::vector<std::string>& arguments,
                                      const Launch& launch = {});

}  // namespace mqttstack
