#pragma once

#include <cassert>
#include <cstddef>
#include <cstdint>
#include <memory>
#include <utility>

#include "core/util/block_pool.hpp"

namespace mqttstack::broker {

/// A double-ended queue in one block, whose capacity is a power of two. Grows by
/// doubling, shrinks by halving when three quarters are empty, and gives its
/// memory back when asked while empty. Nothing is allocated before the first
/// push, nor while the size stays in the same range; small blocks are recycled.
template <class T>
class Ring {
public:
  Ring() = default;
  Ring(const Ring&) = delete;
  Ring& operator=(const Ring&) = delete;
  ~Ring() { clear(); }

  std::size_t size() const noexcept { return size_; }
  bool empty() const noexcept { return size_ == 0; }
  std::size_t capacity() const noexcept { return capacity_; }

  T& operator[](std::size_t i) noexcept {
    assert(i < size_);
    return *slot(i);
  }
  const T& operator[](std::size_t i) const noexcept {
    assert(i < size_);
    return *const_cast<Ring*>(this)->slot(i);
  }
  T& front() noexcept { return (*this)[0]; }
  const T& front() const noexcept { return (*this)[0]; }
  T& back() noexcept { return (*this)[size_ - 1]; }
  const T& back() const noexcept { return (*this)[size_ - 1]; }

  T& pushBack(T&& value) {
    if (size_ == capacity_) resize(capacity_ == 0 ? kFirstCapacity : capacity_ * 2);
    T* const place = std::construct_at(slot(size_), std::move(value));
    ++size_;
    return *place;
  }

  T popFront() noexcept {
    assert(size_ > 0);
    T value = std::move(*slot(0));
    std::destroy_at(slot(0));
    head_ = (head_ + 1) & (capacity_ - 1);
    --size_;
    shrink();
    return value;
  }

  /// Takes out the element at `i`; those behind it move up.
  T remove(std::size_t i) noexcept {
    T value = std::move((*this)[i]);
    for (; i + 1 < size_; ++i) *slot(i) = std::move(*slot(i + 1));
    truncate(size_ - 1);
    return value;
  }

  /// Removes all for which `condition` holds, keeping the order of the others.
  template <class Condition>
  std::size_t removeIf(Condition&& condition) {
    return removeIf(0, size_, std::forward<Condition>(condition));
  }
  /// The same among the `count` elements from `first` on: then those before or
  /// those behind them move, whichever are fewer.
  template <class Condition>
  std::size_t removeIf(std::size_t first, std::size_t count, Condition&& condition) {
    assert(first + count <= size_);
    const std::size_t end = first + count;
    std::size_t kept = first;
    for (std::size_t i = first; i < end; ++i) {
      if (condition(*slot(i))) continue;
      if (kept != i) *slot(kept) = std::move(*slot(i));
      ++kept;
    }
    const std::size_t removed = end - kept;
    if (removed == 0) return 0;
    if (size_ - end <= kept) {
      for (std::size_t i = end; i < size_; ++i) *slot(i - removed) = std::move(*slot(i));
      truncate(size_ - removed);
      return removed;
    }
    for (std::size_t i = kept; i-- > 0;) *slot(i + removed) = std::move(*slot(i));
    for (std::size_t i = 0; i < removed; ++i) std::destroy_at(slot(i));
    head_ = static_cast<std::uint32_t>((head_ + removed) & (capacity_ - 1));
    size_ -= static_cast<std::uint32_t>(removed);
    shrink();
    return removed;
  }

  /// Empties it and frees its memory.
  void clear() noexcept {
    truncateOnly(0);
    release();
    items_ = nullptr;
    head_ = capacity_ = 0;
  }

private:
  static constexpr std::uint32_t kFirstCapacity = 4;

  T* slot(std::size_t i) noexcept { return items_ + ((head_ + i) & (capacity_ - 1)); }

  void truncateOnly(std::size_t size) noexcept {
    for (std::size_t i = size; i < size_; ++i) std::destroy_at(slot(i));
    size_ = static_cast<std::uint32_t>(size);
  }
  void truncate(std::size_t size) noexcept {
    truncateOnly(size);
    shrink();
  }
  void shrink() noexcept {
    std::uint32_t capacity = capacity_;
    while (capacity > kKeptCapacity && size_ < capacity / 4) capacity /= 2;
    if (capacity != capacity_) resize(capacity);
  }
  void resize(std::uint32_t capacity) {
    T* const items = static_cast<T*>(block_pool::take(capacity * sizeof(T)));
    for (std::size_t i = 0; i < size_; ++i) {
      std::construct_at(items + i, std::move(*slot(i)));
      std::destroy_at(slot(i));
    }
    release();
    items_ = items;
    capacity_ = capacity;
    head_ = 0;
  }

  void release() noexcept {
    if (items_) block_pool::give(items_, capacity_ * sizeof(T));
  }

  static constexpr std::uint32_t kKeptCapacity = 16;

  T* items_ = nullptr;
  std::uint32_t head_ = 0;
  std::uint32_t size_ = 0;
  std::uint32_t capacity_ = 0;
};

}  // namespace mqttstack::broker
