#pragma once

#include <cassert>
#include <cstddef>
#include <cstdint>
#include <memory>
#include <new>
#include <utility>

#include "core/util/block_pool.hpp"

namespace mqttstack {

/// A first-in-first-out queue in chunks of recycled memory. Its elements never
/// move, so they need not be movable. An empty queue holds no memory at all:
/// there is one in every client, and most of them are empty most of the time.
template <class T>
class ChunkQueue {
  struct Chunk;

public:
  ChunkQueue() = default;
  ChunkQueue(const ChunkQueue&) = delete;
  ChunkQueue& operator=(const ChunkQueue&) = delete;
  ~ChunkQueue() { clear(); }

  std::size_t size() const noexcept { return size_; }
  bool empty() const noexcept { return size_ == 0; }
  /// Elements that there is memory for.
  std::size_t capacity() const noexcept {
    return empty() ? 0 : (begin_ + size_ + kPerChunk - 1) / kPerChunk * kPerChunk;
  }

  template <class... Args>
  T& emplaceBack(Args&&... args) {
    if (!last_ || end_ == kPerChunk) addChunk();
    T* const added = std::construct_at(last_->item(end_), std::forward<Args>(args)...);
    ++end_;
    ++size_;
    return *added;
  }

  /// REQUIRES: !empty().
  T& front() noexcept {
    assert(!empty());
    return *first_->item(begin_);
  }

  /// REQUIRES: !empty().
  T& back() noexcept {
    assert(!empty());
    return *last_->item(end_ - 1U);
  }

  /// Destroys the first `count` elements. REQUIRES: count <= size().
  void dropFront(std::size_t count = 1) noexcept {
    assert(count <= size_);
    size_ -= static_cast<std::uint32_t>(count);
    while (count-- != 0) {
      std::destroy_at(first_->item(begin_));
      if (++begin_ == kPerChunk) dropFirstChunk();
    }
    if (size_ == 0 && first_) dropFirstChunk();
  }

  void clear() noexcept { dropFront(size_); }

  /// Goes from the front to the back. Valid while nothing is dropped.
  class Iterator {
  public:
    T& operator*() const noexcept { return *chunk_->item(at_); }
    Iterator& operator++() noexcept {
      --left_;
      if (++at_ == kPerChunk) {
        chunk_ = chunk_->next;
        at_ = 0;
      }
      return *this;
    }
    bool operator==(std::nullptr_t) const noexcept { return left_ == 0; }

  private:
    friend class ChunkQueue;
    Iterator(Chunk* chunk, std::uint32_t at, std::uint32_t left) noexcept
        : chunk_{chunk},
          at_{at},
          left_{left} {}
    Chunk* chunk_;
    std::uint32_t at_;
    std::uint32_t left_;
  };
  Iterator begin() noexcept { return {first_, begin_, size_}; }
  std::nullptr_t end() noexcept { return nullptr; }

private:
  static constexpr std::size_t kChunkBytes = 248;
  static constexpr std::uint32_t kPerChunk = (kChunkBytes - sizeof(void*)) / sizeof(T);
  static_assert(kPerChunk >= 4 && alignof(T) <= alignof(void*));

  struct Chunk {
    T* item(std::uint32_t i) noexcept { return reinterpret_cast<T*>(bytes) + i; }

    Chunk* next = nullptr;
    alignas(T) std::byte bytes[kPerChunk * sizeof(T)];
  };

  void addChunk() {
    auto* const chunk = new (block_pool::take(sizeof(Chunk))) Chunk;
    (last_ ? last_->next : first_) = chunk;
    last_ = chunk;
    end_ = 0;
  }
  void dropFirstChunk() noexcept {
    Chunk* const chunk = first_;
    first_ = chunk->next;
    if (!first_) last_ = nullptr;
    begin_ = 0;
    block_pool::give(chunk, sizeof(Chunk));
  }

  Chunk* first_ = nullptr;
  Chunk* last_ = nullptr;
  std::uint32_t size_ = 0;
  std::uint16_t begin_ = 0;  // of the front, in the first chunk
  std::uint16_t end_ = 0;    // behind the back, in the last
};

}  // namespace mqttstack
