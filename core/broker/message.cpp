#include "core/broker/message.hpp"

#include <algorithm>
#include <array>
#include <cassert>
#include <cstring>
#include <new>
#include <sanitizer/asan_interface.h>
#include <utility>

namespace mqttstack::broker {

namespace {

// malloc hands out 16 n + 8 bytes, so these sizes waste none.
constexpr std::size_t kStep = 16;
constexpr std::size_t kMallocHeader = 8;
constexpr std::size_t kLargestPooled = 512 - kMallocHeader;
constexpr std::size_t kClasses = (kLargestPooled + kMallocHeader) / kStep + 1;
constexpr std::size_t kMaxFreeBytes = 128 * 1024;

constexpr std::size_t classOf(std::size_t size) {
  return (size + kMallocHeader + kStep - 1) / kStep;
}
constexpr std::size_t classSize(std::size_t sizeClass) { return sizeClass * kStep - kMallocHeader; }
static_assert(classSize(kClasses - 1) == kLargestPooled);

/// The blocks that wait to be used again. What one thread frees it uses again
/// itself, so nothing is shared and there is no lock.
class FreeBlocks {
public:
  FreeBlocks() = default;
  FreeBlocks(const FreeBlocks&) = delete;
  FreeBlocks& operator=(const FreeBlocks&) = delete;
  ~FreeBlocks() {
    trim();
    // Messages may outlive the thread's other objects.
    closed_ = true;
  }

  void* take(std::size_t size) {
    if (size > kLargestPooled) return ::operator new(size);
    List& list = lists_[classOf(size)];
    Block* const block = list.first;
    if (block == nullptr) return ::operator new(classSize(classOf(size)));
    list.first = block->next;
    --list.count;
    ASAN_UNPOISON_MEMORY_REGION(block, classSize(classOf(size)));
    return block;
  }

  void give(void* memory, std::size_t size) noexcept {
    const std::size_t sizeClass = classOf(size);
    if (size > kLargestPooled || closed_ ||
        (lists_[sizeClass].count + 1) * classSize(sizeClass) > kMaxFreeBytes) {
      ::operator delete(memory);
      return;
    }
    List& list = lists_[sizeClass];
    list.first = new (memory) Block{list.first};
    ++list.count;
    ASAN_POISON_MEMORY_REGION(list.first + 1, classSize(sizeClass) - sizeof(Block));
  }

  void trim() noexcept {
    for (std::size_t i = 1; i < kClasses; ++i) {
      while (Block* const block = lists_[i].first) {
        lists_[i].first = block->next;
        ASAN_UNPOISON_MEMORY_REGION(block, classSize(i));
        ::operator delete(block);
      }
      lists_[i].count = 0;
    }
  }

  std::size_t bytes() const noexcept {
    std::size_t sum = 0;
    for (std::size_t i = 1; i < kClasses; ++i) sum += lists_[i].count * classSize(i);
    return sum;
  }

private:
  struct Block {
    Block* next;
  };
  struct List {
    Block* first = nullptr;
    std::size_t count = 0;
  };
  std::array<List, kClasses> lists_{};
  bool closed_ = false;
};

constinit thread_local FreeBlocks freeBlocks;
constinit thread_local std::uint64_t lastSequence = 0;

}  // namespace

Message::Message(MessageFields& fields) noexcept
    : topicSize_{static_cast<std::uint16_t>(fields.topic.size())},
      qos_{fields.qos},
      retain_{fields.retain},
      payloadSize_{static_cast<std::uint32_t>(fields.payload.size())},
      propertiesSize_{static_cast<std::uint32_t>(fields.properties.encoded().size())},
      sequence_{fields.sequence != 0 ? fields.sequence : ++lastSequence},
      expiresAt_{fields.expiryInterval
                     ? fields.received + std::chrono::seconds{*fields.expiryInterval}
                     : TimePoint::max()},
      author_{std::move(fields.author)} {
  char* out = reinterpret_cast<char*>(this + 1);
  *out++ = static_cast<char>(topicSize_ >> 8);
  *out++ = static_cast<char>(topicSize_ & 0xff);
  const auto append = [&out](std::string_view text) {
    if (!text.empty()) std::memcpy(out, text.data(), text.size());
    out += text.size();
  };
  append(fields.topic);
  append(fields.payload);
  append(fields.properties.encoded());
}

MessagePtr Message::create(MessageFields fields) {
  assert(fields.topic.size() <= mqtt::kMaxStringBytes);
  assert(fields.payload.size() <= mqtt::kMaxPacketBytes);
  const std::size_t size = sizeof(Message) + 2 + fields.topic.size() + fields.payload.size() +
                           fields.properties.encoded().size();
  return MessagePtr{new (freeBlocks.take(size)) Message{fields}};
}

void Message::continueBehind(std::uint64_t sequence) noexcept {
  lastSequence = std::max(lastSequence, sequence);
}

void Message::destroy(Message* message) noexcept {
  const std::size_t size = message->size();
  message->~Message();
  freeBlocks.give(message, size);
}

std::size_t Message::footprint() const noexcept {
  const std::size_t bytes = size();
  return bytes > kLargestPooled ? bytes + kMallocHeader : classOf(bytes) * kStep;
}

std::optional<std::uint32_t> Message::remainingExpiry(TimePoint now) const noexcept {
  if (!expires()) return std::nullopt;
  if (expired(now)) return 0;
  const auto left = std::chrono::ceil<std::chrono::seconds>(expiresAt_ - now);
  return static_cast<std::uint32_t>(left.count());
}

void Message::trimPool() noexcept { freeBlocks.trim(); }

std::size_t Message::pooledBytes() noexcept { return freeBlocks.bytes(); }

}  // namespace mqttstack::broker
