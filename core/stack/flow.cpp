#include "core/stack/flow.hpp"

namespace mqttstack {

void WalkPool::grow() {
  Block& block = *blocks_.emplace_back(std::make_unique<Block>());
  block.nextFree = free_;
  free_ = &block;
}

}  // namespace mqttstack
