#include "core/util/block_pool.hpp"

#include <cstring>
#include <vector>

#include <catch2/catch.hpp>

namespace mqttstack {
namespace {

TEST_CASE("a block is made of one that was given back, if the size is about the same",
          "[block_pool]") {
  void* const first = block_pool::take(100);
  std::memset(first, 0xff, 100);
  block_pool::give(first, 100);
  void* const again = block_pool::take(97);
  CHECK(again == first);
  void* const another = block_pool::take(100);
  CHECK(another != first);
  block_pool::give(again, 97);
  block_pool::give(another, 100);
}

TEST_CASE("blocks that nobody uses are kept within bounds, and go when asked", "[block_pool]") {
  block_pool::trim();
  CHECK(block_pool::freeBytes() == 0);
  for (const std::size_t size : {1U, 100U, 1'000U, 1'016U, 1'017U, 5'000U}) {
    std::vector<void*> blocks;
    for (int i = 0; i < 20'000; ++i) blocks.push_back(block_pool::take(size));
    for (void* const block : blocks) block_pool::give(block, size);
    CHECK(block_pool::freeBytes() <= 512 * 1024);
    CHECK((block_pool::freeBytes() > 0) == (size <= 1'016));
    block_pool::trim();
    CHECK(block_pool::freeBytes() == 0);
  }
}

TEST_CASE("a block's footprint holds it and what the allocator adds", "[block_pool]") {
  for (std::size_t size = 1; size < 3'000; size += 7) {
    CHECK(block_pool::footprint(size) >= size + 8);
    CHECK(block_pool::footprint(size) < size + 32);
  }
}

}  // namespace
}  // namespace mqttstack
