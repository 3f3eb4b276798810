#include "core/stack/flow.hpp"

namespace mqttstack {

void WalkPool::grow() { release(*blocks_.emplace_back(std::make_unique<Block>())); }

}  // namespace mqttstack
