#include "core/util/block_pool.hpp"

#include <array>
#include <new>
#include <sanitizer/asan_interface.h>

namespace mqttstack::block_pool {
namespace {

// malloc hands out 16 n + 8 bytes, so these sizes waste none.
constexpr std::size_t kStep = 16;
constexpr std::size_t kMallocHeader = 8;
constexpr std::size_t kLargest = 1024 - kMallocHeader;
constexpr std::size_t kClasses = (kLargest + kMallocHeader) / kStep + 1;
constexpr std::size_t kMaxFreeBytes = 512 * 1024;

constexpr std::size_t classOf(std::size_t bytes) {
  return (bytes + kMallocHeader + kStep - 1) / kStep;
}
constexpr std::size_t classSize(std::size_t sizeClass) { return sizeClass * kStep - kMallocHeader; }
static_assert(classSize(kClasses - 1) == kLargest);

class FreeBlocks {
public:
  constexpr FreeBlocks() {
    for (std::size_t i = 1; i < kClasses; ++i) lists_[i].room = roomOf(i);
  }
  FreeBlocks(const FreeBlocks&) = delete;
  FreeBlocks& operator=(const FreeBlocks&) = delete;
  ~FreeBlocks() {
    trim();
    // What the blocks are used for may outlive the thread's other objects.
    for (List& list : lists_) list.room = 0;
  }

  void* take(std::size_t bytes) {
    if (bytes > kLargest) return ::operator new(bytes);
    List& list = lists_[classOf(bytes)];
    Block* const block = list.first;
    if (block == nullptr) return ::operator new(classSize(classOf(bytes)));
    ASAN_UNPOISON_MEMORY_REGION(block, classSize(classOf(bytes)));
    list.first = block->next;
    ++list.room;
    return block;
  }

  void give(void* memory, std::size_t bytes) noexcept {
    if (bytes > kLargest) return ::operator delete(memory);
    List& list = lists_[classOf(bytes)];
    if (list.room == 0) return ::operator delete(memory);
    list.first = new (memory) Block{list.first};
    --list.room;
    ASAN_POISON_MEMORY_REGION(memory, classSize(classOf(bytes)));
  }

  void trim() noexcept {
    for (std::size_t i = 1; i < kClasses; ++i) {
      while (Block* const block = lists_[i].first) {
        ASAN_UNPOISON_MEMORY_REGION(block, classSize(i));
        lists_[i].first = block->next;
        ::operator delete(block);
      }
      lists_[i].room = roomOf(i);
    }
  }

  std::size_t bytes() const noexcept {
    std::size_t sum = 0;
    for (std::size_t i = 1; i < kClasses; ++i) sum += (roomOf(i) - lists_[i].room) * classSize(i);
    return sum;
  }

private:
  struct Block {
    Block* next;
  };
  struct List {
    Block* first = nullptr;
    std::size_t room = 0;  // for how many more
  };
  static constexpr std::size_t roomOf(std::size_t sizeClass) {
    return kMaxFreeBytes / classSize(sizeClass);
  }
  std::array<List, kClasses> lists_{};
};

constinit thread_local FreeBlocks freeBlocks;

}  // namespace

void* take(std::size_t bytes) { return freeBlocks.take(bytes); }

void give(void* block, std::size_t bytes) noexcept { freeBlocks.give(block, bytes); }

std::size_t footprint(std::size_t bytes) noexcept {
  return bytes > kLargest ? bytes + kMallocHeader : classOf(bytes) * kStep;
}

std::size_t freeBytes() noexcept { return freeBlocks.bytes(); }

void trim() noexcept { freeBlocks.trim(); }

}  // namespace mqttstack::block_pool
