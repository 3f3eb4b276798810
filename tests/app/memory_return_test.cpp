#include "app/memory_return.hpp"

#include <fstream>
#include <malloc.h>
#include <memory>
#include <vector>

#include <catch2/catch.hpp>

#include "tests/support/manual_clock.hpp"

namespace mqttstack::test {
namespace {

/// Pages that the process has in memory.
std::size_t residentPages() {
  std::size_t total = 0;
  std::size_t resident = 0;
  std::ifstream{"/proc/self/statm"} >> total >> resident;
  return resident;
}

TEST_CASE("memory that a peak needed is given back", "[memory_return]") {
  if (::mallinfo2().arena == 0) return;  // another allocator, as sanitizers have
  ManualScheduler scheduler;
  MemoryReturn memory{scheduler};
  memory.look();
  CHECK_FALSE(memory.look());

  std::vector<std::unique_ptr<char[]>> peak;
  for (int i = 0; i < 400'000; ++i) peak.push_back(std::make_unique<char[]>(100));
  const std::size_t atPeak = residentPages();
  const auto last = std::make_unique<char[]>(100);  // keeps the heap's end where it is
  peak.clear();
  memory.start();
  scheduler.advance(std::chrono::seconds{11});
  CHECK(residentPages() + 8'000 < atPeak);
  CHECK_FALSE(memory.look());
}

}  // namespace
}  // namespace mqttstack::test
