#include "core/stack/flow.hpp"

namespace mqttstack {

void WalkPool::grow() { giveBack(*blocks_.emplace_back(std::make_unique<Block>())); }

}  // namespace mqttstack
