#include "tests/scenario/support/daemon.hpp"

#include <cerrno>
#include <charconv>
#include <chrono>
#include <csignal>
#include <cstdlib>
#include <cstring>
#include <exception>
#include <fcntl.h>
#include <fstream>
#include <iostream>
#include <poll.h>
#include <regex>
#include <stdexcept>
#include <sys/prctl.h>
#include <sys/wait.h>
#include <system_error>
#include <unistd.h>

namespace mqttstack {
namespace {

#ifdef MQTTSTACK_SANITIZED
constexpr bool kSanitized = true;
#else
constexpr bool kSanitized = false;
#endif

constexpr auto kStartPatience = std::chrono::seconds(20);
constexpr auto kLogPatience = std::chrono::seconds(10);
constexpr auto kEndPatience = std::chrono::seconds(10);

std::string program() {
  const char* path = std::getenv("MQTT_STACKD");
  if (path == nullptr) {
    throw std::runtime_error("MQTT_STACKD does not name the program under test");
  }
  return path;
}

struct Child {
  pid_t pid = -1;
  int output = -1;
};

constexpr int kFirstPassed = 3;
/// Beyond what any test has open.
constexpr int kParking = 900;

/// The environment of a child. What names its process is filled in when there is one.
class Environment {
public:
  explicit Environment(const Launch& launch) {
    for (char** each = environ; *each; ++each) all_.emplace_back(*each);
    all_.insert(all_.end(), launch.environment.begin(), launch.environment.end());
    if (!launch.sockets.empty()) {
      all_.push_back("LISTEN_FDS=" + std::to_string(launch.sockets.size()));
      all_.push_back("LISTEN_PID=" + std::string(20, '\0'));
      pid_ = all_.back().data() + std::strlen("LISTEN_PID=");
    }
    for (std::string& each : all_) pointers_.push_back(each.data());
    pointers_.push_back(nullptr);
  }
  /// Called by the child, where nothing may be allocated.
  char** get() {
    if (pid_) *std::to_chars(pid_, pid_ + 19, getpid()).ptr = '\0';
    return pointers_.data();
  }

private:
  std::vector<std::string> all_;
  std::vector<char*> pointers_;
  char* pid_ = nullptr;
};

/// First out of the way, since they may stand in each other's.
void passSockets(const std::vector<int>& sockets) {
  const int count = static_cast<int>(sockets.size());
  for (int i = 0; i < count; ++i) dup2(sockets[static_cast<std::size_t>(i)], kParking + i);
  for (int i = 0; i < count; ++i) {
    dup2(kParking + i, kFirstPassed + i);
    close(kParking + i);
  }
}

/// Starts the program with its two outputs on one pipe. It dies with the test.
Child spawn(const std::vector<std::string>& arguments, const Launch& launch) {
  const std::string path = program();
  std::vector<char*> argv{const_cast<char*>(path.c_str())};
  for (const auto& argument : arguments) argv.push_back(const_cast<char*>(argument.c_str()));
  argv.push_back(nullptr);

  Environment environment{launch};
  int ends[2];
  if (pipe2(ends, O_CLOEXEC) != 0) throw std::system_error(errno, std::generic_category(), "pipe2");
  const pid_t pid = fork();
  if (pid < 0) throw std::system_error(errno, std::generic_category(), "fork");
  if (pid == 0) {
    prctl(PR_SET_PDEATHSIG, SIGKILL);
    dup2(ends[1], STDOUT_FILENO);
    dup2(ends[1], STDERR_FILENO);
    passSockets(launch.sockets);
    execve(path.c_str(), argv.data(), environment.get());
    _exit(127);
  }
  close(ends[1]);
  return {pid, ends[0]};
}

int exitCodeOf(int status) {
  return WIFEXITED(status) ? WEXITSTATUS(status) : 128 + WTERMSIG(status);
}

/// Appends what comes next; false at the end of the output or after the deadline.
bool readSome(int descriptor, std::chrono::steady_clock::time_point deadline, std::string& text) {
  const auto left =
      std::chrono::ceil<std::chrono::milliseconds>(deadline - std::chrono::steady_clock::now());
  pollfd poller{descriptor, POLLIN, 0};
  if (left.count() <= 0 || poll(&poller, 1, static_cast<int>(left.count())) <= 0) return false;
  char buffer[4096];
  const auto count = read(descriptor, buffer, sizeof buffer);
  if (count <= 0) return false;
  text.append(buffer, static_cast<std::size_t>(count));
  return true;
}

std::size_t countListeners(std::string_view config) {
  constexpr std::string_view kTable = "[[listener]]";
  std::size_t count = 0;
  for (auto at = config.find(kTable); at != std::string_view::npos;
       at = config.find(kTable, at + 1)) {
    ++count;
  }
  return count;
}

}  // namespace

TemporaryDirectory::TemporaryDirectory() {
  auto pattern = (std::filesystem::temp_directory_path() / "scenario-XXXXXX").string();
  if (mkdtemp(pattern.data()) == nullptr) {
    throw std::system_error(errno, std::generic_category(), "mkdtemp");
  }
  path_ = pattern;
}

TemporaryDirectory::~TemporaryDirectory() {
  std::error_code ignored;
  std::filesystem::remove_all(path_, ignored);
}

std::filesystem::path TemporaryDirectory::write(std::string_view name, std::string_view content,
                                                std::filesystem::perms mode) const {
  const auto path = path_ / name;
  std::ofstream(path, std::ios::binary) << content;
  std::filesystem::permissions(path, mode);
  return path;
}

std::string plainConfig(std::string_view more) {
  return "[[listener]]\nbind = \"127.0.0.1:0\"\n" + std::string(more);
}

DaemonProcess::DaemonProcess(std::string_view config, const std::vector<File>& files) {
  for (const auto& file : files) own_.write(file.name, file.content);
  start(own_.write("mqtt-stackd.toml", config));
  awaitListeners(countListeners(config));
}

DaemonProcess::DaemonProcess(std::string_view config, const std::filesystem::path& directory) {
  const auto path = directory / "mqtt-stackd.toml";
  std::ofstream(path) << config;
  start(path);
  awaitListeners(countListeners(config));
}

DaemonProcess::DaemonProcess(std::string_view config, const Launch& launch) {
  start(own_.write("mqtt-stackd.toml", config), launch);
  awaitListeners(countListeners(config));
}

DaemonProcess::~DaemonProcess() {
  signal(SIGKILL);
  reap();
  reader_.join();
  close(output_);
  if (std::uncaught_exceptions() > 0) std::cerr << "--- log of the daemon\n" << log_ << "---\n";
}

void DaemonProcess::start(const std::filesystem::path& config, const Launch& launch) {
  const Child child = spawn({"run", "--config", config.string()}, launch);
  config_ = config;
  pid_ = child.pid;
  output_ = child.output;
  reader_ = std::thread([this] { readLog(); });
}

void DaemonProcess::readLog() {
  static const std::regex kListening(
      R"re(listener "([^"]+)": listening on (\S+?)(?::(\d+))?[ ,])re");
  std::string line;
  char buffer[4096];
  for (;;) {
    const auto count = read(output_, buffer, sizeof buffer);
    if (count < 0 && errno == EINTR) continue;
    const std::lock_guard lock(mutex_);
    if (count <= 0) {
      ended_ = true;
      changed_.notify_all();
      return;
    }
    log_.append(buffer, static_cast<std::size_t>(count));
    for (const char c : std::string_view(buffer, static_cast<std::size_t>(count))) {
      if (c != '\n') {
        line += c;
        continue;
      }
      if (std::smatch match; std::regex_search(line, match, kListening)) {
        const int port = match[3].matched ? std::stoi(match[3]) : 0;
        listeners_[match[1]] = {match[2], static_cast<std::uint16_t>(port)};
      }
      line.clear();
    }
    changed_.notify_all();
  }
}

void DaemonProcess::awaitListeners(std::size_t count) {
  std::unique_lock lock(mutex_);
  changed_.wait_for(lock, kStartPatience, [&] { return ended_ || listeners_.size() >= count; });
  if (listeners_.size() >= count) return;
  const std::string log = log_;
  const bool ended = ended_;
  lock.unlock();
  // A constructor that throws gets no destructor: end the process and its reader here.
  if (!ended) signal(SIGKILL);
  reap();
  reader_.join();
  close(output_);
  throw std::runtime_error("the daemon does not listen; exit code " + std::to_string(exitCode_) +
                           ", log:\n" + log);
}

Endpoint DaemonProcess::endpoint(const std::string& listener) const {
  const std::lock_guard lock(mutex_);
  if (listener.empty() && listeners_.size() == 1) return listeners_.begin()->second;
  const auto found = listeners_.find(listener);
  if (found == listeners_.end()) throw std::runtime_error("no listener \"" + listener + "\"");
  return found->second;
}

std::string DaemonProcess::log() const {
  const std::lock_guard lock(mutex_);
  return log_;
}

bool DaemonProcess::logs(std::string_view text) const {
  std::unique_lock lock(mutex_);
  const auto isThere = [&] { return log_.find(text) != std::string::npos; };
  changed_.wait_for(lock, kLogPatience, [&] { return ended_ || isThere(); });
  return isThere();
}

bool DaemonProcess::running() {
  if (exitCode_ >= 0) return false;
  int status = 0;
  if (waitpid(pid_, &status, WNOHANG) != pid_) return true;
  exitCode_ = exitCodeOf(status);
  return false;
}

long DaemonProcess::residentKiB() const {
  std::ifstream status("/proc/" + std::to_string(pid_) + "/status");
  for (std::string line; std::getline(status, line);) {
    if (line.starts_with("VmRSS:")) return kSanitized ? 0 : std::stol(line.substr(6));
  }
  throw std::runtime_error("the daemon is gone");
}

void DaemonProcess::signal(int number) const {
  if (exitCode_ < 0) kill(pid_, number);
}

int DaemonProcess::wait() {
  if (exitCode_ >= 0) return exitCode_;
  // The reader meets the end of the output when the process ends.
  bool late = false;
  {
    std::unique_lock lock(mutex_);
    late = !changed_.wait_for(lock, kEndPatience, [this] { return ended_; });
  }
  if (late) signal(SIGKILL);
  reap();
  if (late) throw std::runtime_error("the daemon did not end in time");
  return exitCode_;
}

void DaemonProcess::reap() {
  if (exitCode_ >= 0) return;
  int status = 0;
  waitpid(pid_, &status, 0);
  exitCode_ = exitCodeOf(status);
}

CommandResult runDaemon(const std::vector<std::string>& arguments, const Launch& launch) {
  const Child child = spawn(arguments, launch);
  CommandResult result;
  const auto deadline = std::chrono::steady_clock::now() + kEndPatience;
  while (readSome(child.output, deadline, result.output)) {
  }
  close(child.output);
  if (std::chrono::steady_clock::now() >= deadline) kill(child.pid, SIGKILL);
  int status = 0;
  waitpid(child.pid, &status, 0);
  result.exitCode = exitCodeOf(status);
  return result;
}

}  // namespace mqttstack
