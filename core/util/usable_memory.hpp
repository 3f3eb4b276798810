#pragma once

#include <cstdint>
#include <filesystem>
#include <optional>

namespace mqttstack {

/// How many bytes of memory this process may use by the limits of its cgroup and
/// of those above it, of version 2 or 1; none if they have no limit. Reads some
/// small files below /proc and /sys, which a test has below another `root`.
std::optional<std::uint64_t> cgroupMemoryLimit(const std::filesystem::path& root = "/");

/// How many bytes of memory this process may use: the RAM of the machine or, if
/// that is less, what its cgroup is limited to. The largest number if nobody
/// says. For defaults, at the start.
std::uint64_t usableMemory(const std::filesystem::path& root = "/");

}  // namespace mqttstack
