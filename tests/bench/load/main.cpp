#include <csignal>
#include <cstdio>
#include <exception>
#include <sys/prctl.h>
#include <sys/resource.h>

#include "tests/bench/load/scenarios.hpp"

namespace mqttstack::load {
namespace {

Report measure(Loop& loop, const Options& options) {
  switch (options.scenario) {
    case Scenario::idle:
      return measureIdle(loop, options);
    case Scenario::filters:
      return measureFilters(loop, options);
    case Scenario::retained:
      return measureRetained(loop, options);
    case Scenario::offline:
      return measureOffline(loop, options);
    case Scenario::health:
      return measureHealth(loop, options);
    default:
      return measureTraffic(loop, options);
  }
}

/// As many descriptors as the system gives, and timeouts to the nanosecond.
void prepareProcess() {
  std::signal(SIGPIPE, SIG_IGN);
  rlimit limit{};
  ::getrlimit(RLIMIT_NOFILE, &limit);
  limit.rlim_cur = limit.rlim_max;
  ::setrlimit(RLIMIT_NOFILE, &limit);
  ::prctl(PR_SET_TIMERSLACK, 1UL);
}

}  // namespace
}  // namespace mqttstack::load

int main(int argc, char** argv) {
  using namespace mqttstack::load;
  Options options;
  int code = 0;
  if (!parse(argc, argv, options, code)) return code;
  prepareProcess();
  try {
    Loop loop{Endpoint{options.host, options.port, options.transport}, options.version};
    measure(loop, options).print();
  } catch (const std::exception& error) {
    std::fprintf(stderr, "load: %s\n", error.what());
    return 2;
  }
  return 0;
}
