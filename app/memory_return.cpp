#include "app/memory_return.hpp"

#include <algorithm>
#include <malloc.h>

#include "core/util/block_pool.hpp"

namespace mqttstack {

void MemoryReturn::start() { scheduler_.start(timer_, kInterval); }

void MemoryReturn::onTime() {
  look();
  start();
}

bool MemoryReturn::look() {
  const struct mallinfo2 info = ::mallinfo2();
  const std::size_t unused = info.fordblks + block_pool::freeBytes();
  freeThen_ = std::min(freeThen_, unused);
  if (unused < freeThen_ + std::max(kWorthwhile, info.uordblks / 4)) return false;
  block_pool::trim();
  ::malloc_trim(0);
  // What is free in pieces smaller than a page stays, and is no reason to do it again.
  freeThen_ = ::mallinfo2().fordblks;
  return true;
}

}  // namespace mqttstack
