#include "core/stack/flow.hpp"

namespace mqttstack {

void Deferred::drop() { fail(std::make_error_code(std::errc::operation_canceled)); }

void WalkPool::grow() {
  Block& block = *blocks_.emplace_back(std::make_unique<Block>());
  block.nextFree = free_;
  free_ = &block;
}

/// REQUIRES: no block is used or referred to.
void WalkPool::shrink() noexcept {
  blocks_.resize(kKeptBlocks);
  blocks_.shrink_to_fit();
  free_ = nullptr;
  for (const auto& block : blocks_) {
    block->nextFree = free_;
    free_ = block.get();
  }
}

}  // namespace mqttstack
