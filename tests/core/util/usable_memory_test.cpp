#include "core/util/usable_memory.hpp"

#include <cstdlib>
#include <fstream>
#include <stdexcept>
#include <string>

#include <catch2/catch.hpp>

using namespace mqttstack;
namespace fs = std::filesystem;

namespace {

/// A root directory with files of /proc and /sys as a test wants them.
class Root {
public:
  explicit Root(const std::string& membership) {
    char pattern[] = "/tmp/usable-memory-XXXXXX";
    if (!::mkdtemp(pattern)) throw std::runtime_error{"no temporary directory"};
    path_ = pattern;
    write("proc/self/cgroup", membership);
  }
  Root(const Root&) = delete;
  Root& operator=(const Root&) = delete;
  ~Root() { fs::remove_all(path_); }

  Root& write(const fs::path& file, const std::string& text) {
    fs::create_directories((path_ / file).parent_path());
    std::ofstream{path_ / file} << text;
    return *this;
  }
  const fs::path& path() const { return path_; }

private:
  fs::path path_;
};

}  // namespace

TEST_CASE("the memory of a cgroup is what it and those above it allow", "[usable_memory]") {
  Root root{"0::/system.slice/mqtt-stackd.service\n"};
  CHECK_FALSE(cgroupMemoryLimit(root.path()));
  root.write("sys/fs/cgroup/system.slice/mqtt-stackd.service/memory.max", "max\n");
  CHECK_FALSE(cgroupMemoryLimit(root.path()));
  root.write("sys/fs/cgroup/system.slice/memory.max", "300000000\n");
  CHECK(cgroupMemoryLimit(root.path()) == 300'000'000);
  root.write("sys/fs/cgroup/system.slice/mqtt-stackd.service/memory.max", "200000000\n");
  CHECK(cgroupMemoryLimit(root.path()) == 200'000'000);
  root.write("sys/fs/cgroup/memory.max", "100000000\n");
  CHECK(cgroupMemoryLimit(root.path()) == 100'000'000);
}

TEST_CASE("the limit of a cgroup of version 1 is found among its controllers", "[usable_memory]") {
  Root root{
      "9:memory_recursive:/a\n"
      "4:cpu,memory:/docker/0123\n"
      "1:name=systemd:/b\n"
      "0::/c\n"};
  const fs::path memory = "sys/fs/cgroup/memory";
  root.write(memory / "a/memory.limit_in_bytes", "1000\n");
  root.write(memory / "b/memory.limit_in_bytes", "1000\n");
  CHECK_FALSE(cgroupMemoryLimit(root.path()));
  root.write(memory / "memory.limit_in_bytes", "9223372036854771712\n");
  CHECK(cgroupMemoryLimit(root.path()) == 9'223'372'036'854'771'712U);
  root.write(memory / "docker/0123/memory.limit_in_bytes", "50000000\n");
  CHECK(cgroupMemoryLimit(root.path()) == 50'000'000);
}

TEST_CASE("a container that sees its own cgroup as the root has that one's limit",
          "[usable_memory]") {
  const auto path = GENERATE(as<std::string>{}, "/", "/../../machine.slice", "/docker/of/the/host");
  Root root{"0::" + path + "\n"};
  root.write("sys/fs/cgroup/memory.max", "70000000\n");
  root.write("sys/memory.max", "1\n");
  CHECK(cgroupMemoryLimit(root.path()) == 70'000'000);
}

TEST_CASE("files that make no sense limit nothing", "[usable_memory]") {
  Root root{"\n0\n0:\n:::\nmemory\n0::/a"};
  root.write("sys/fs/cgroup/a/memory.max", "lots\n");
  root.write("sys/fs/cgroup/memory.max", "");
  CHECK_FALSE(cgroupMemoryLimit(root.path()));
  CHECK_FALSE(cgroupMemoryLimit("/no/such/root"));
}

TEST_CASE("what may be used is the lesser of the machine's memory and the cgroup's",
          "[usable_memory]") {
  const std::uint64_t machine = usableMemory("/no/such/root");
  CHECK(machine > 16'000'000);
  CHECK(machine < 1ULL << 60);
  Root root{"0::/a\n"};
  root.write("sys/fs/cgroup/a/memory.max", "15000000\n");
  CHECK(usableMemory(root.path()) == 15'000'000);
  root.write("sys/fs/cgroup/a/memory.max", "9223372036854771712\n");
  CHECK(usableMemory(root.path()) == machine);
}
