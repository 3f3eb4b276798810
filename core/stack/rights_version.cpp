#include "core/stack/rights_version.hpp"

namespace mqttstack {
namespace {

constinit thread_local std::uint32_t version = 1;

}  // namespace

std::uint32_t rightsVersion() noexcept { return version; }

void rightsHaveChanged() noexcept { ++version; }

}  // namespace mqttstack
