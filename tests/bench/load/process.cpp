#include "tests/bench/load/process.hpp"

#include <ctime>
#include <fstream>
#include <sstream>
#include <stdexcept>
#include <string>
#include <unistd.h>

namespace mqttstack::load {
namespace {

double secondsOf(clockid_t clock) {
  timespec time{};
  ::clock_gettime(clock, &time);
  return static_cast<double>(time.tv_sec) + static_cast<double>(time.tv_nsec) * 1e-9;
}

std::ifstream open(pid_t process, const char* file) {
  std::ifstream stream{"/proc/" + std::to_string(process) + "/" + file};
  if (!stream) throw std::runtime_error{"there is no process " + std::to_string(process)};
  return stream;
}

}  // namespace

ProcessUse useOf(pid_t process) {
  ProcessUse use;
  if (process == 0) return use;
  clockid_t clock{};
  if (::clock_getcpuclockid(process, &clock) == 0) use.cpuSeconds = secondsOf(clock);

  // Behind the name, which may contain anything, come the state, ten numbers, and the times.
  std::string line;
  std::getline(open(process, "stat"), line);
  std::istringstream fields{line.substr(line.rfind(')') + 2)};
  std::string passed;
  for (int i = 0; i < 11; ++i) fields >> passed;
  const auto tick = static_cast<double>(::sysconf(_SC_CLK_TCK));
  fields >> use.userSeconds >> use.systemSeconds;
  use.userSeconds /= tick;
  use.systemSeconds /= tick;

  std::uint64_t pages = 0;
  open(process, "statm") >> pages >> pages;
  use.residentBytes = pages * static_cast<std::uint64_t>(::sysconf(_SC_PAGESIZE));
  return use;
}

double ownCpuSeconds() { return secondsOf(CLOCK_PROCESS_CPUTIME_ID); }

}  // namespace mqttstack::load
