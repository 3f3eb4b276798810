#include "core/util/usable_memory.hpp"

#include <algorithm>
#include <fstream>
#include <limits>
#include <string>
#include <string_view>
#include <sys/sysinfo.h>

namespace mqttstack {

namespace fs = std::filesystem;

namespace {

/// The number in a file; none if there is no such file, or it says "max".
std::optional<std::uint64_t> readNumber(const fs::path& file) {
  std::ifstream stream{file};
  std::uint64_t number = 0;
  if (stream >> number) return number;
  return std::nullopt;
}

void lower(std::optional<std::uint64_t>& limit, std::optional<std::uint64_t> other) {
  if (other && (!limit || *other < *limit)) limit = other;
}

/// Whether "cpu,memory" has "memory" in it.
bool hasMemory(std::string_view controllers) {
  while (!controllers.empty()) {
    const std::size_t end = std::min(controllers.find(','), controllers.size());
    if (controllers.substr(0, end) == "memory") return true;
    controllers.remove_prefix(std::min(end + 1, controllers.size()));
  }
  return false;
}

}  // namespace

std::optional<std::uint64_t> cgroupMemoryLimit(const fs::path& root) {
  const fs::path mounted = root / "sys/fs/cgroup";
  std::optional<std::uint64_t> limit;
  std::ifstream membership{root / "proc/self/cgroup"};
  for (std::string line; std::getline(membership, line);) {  // "0::/a/b", "4:cpu,memory:/a/b"
    const std::size_t first = line.find(':');
    const std::size_t second = first == std::string::npos ? first : line.find(':', first + 1);
    if (second == std::string::npos) continue;
    const std::string_view controllers =
        std::string_view{line}.substr(first + 1, second - first - 1);
    const bool unified = controllers.empty();
    if (!unified && !hasMemory(controllers)) continue;
    const fs::path base = unified ? mounted : mounted / "memory";
    const fs::path file = unified ? "memory.max" : "memory.limit_in_bytes";
    // What a container does not see of the path is left out by and by: its own
    // cgroup stands at the root then, as does one of "/../x".
    fs::path group = (fs::path{"/"} / line.substr(second + 1)).lexically_normal();
    while (true) {
      lower(limit, readNumber(base / group.relative_path() / file));
      if (!group.has_relative_path()) break;
      group = group.parent_path();
    }
  }
  return limit;
}

std::uint64_t usableMemory(const fs::path& root) {
  std::uint64_t usable = std::numeric_limits<std::uint64_t>::max();
  // Not /proc/meminfo, which a service may not be let see.
  if (struct sysinfo machine{}; ::sysinfo(&machine) == 0)
    usable = static_cast<std::uint64_t>(machine.totalram) * machine.mem_unit;
  return std::min(usable, cgroupMemoryLimit(root).value_or(usable));
}

}  // namespace mqttstack
