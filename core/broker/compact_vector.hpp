#pragma once

#include <cassert>
#include <cstdint>
#include <cstring>
#include <new>
#include <type_traits>

namespace mqttstack::broker {

/// A vector of small trivial things of which there is mostly one: the first
/// stands inside, more go to the heap. Takes 8 bytes beside the inline element
/// (of which derived classes may use 4). Its memory shrinks with it.
template <class T>
class CompactVector {
  static_assert(std::is_trivially_copyable_v<T> && sizeof(T) >= 16);

public:
  CompactVector() noexcept : inline_{} {}
  CompactVector(const CompactVector&) = delete;
  CompactVector& operator=(const CompactVector&) = delete;
  ~CompactVector() { clear(); }

  std::uint32_t size() const noexcept { return size_; }
  bool empty() const noexcept { return size_ == 0; }
  T* begin() noexcept { return size_ > 1 ? heap_.items : &inline_; }
  T* end() noexcept { return begin() + size_; }
  const T* begin() const noexcept { return size_ > 1 ? heap_.items : &inline_; }
  const T* end() const noexcept { return begin() + size_; }
  T& operator[](std::uint32_t i) noexcept {
    assert(i < size_);
    return begin()[i];
  }
  const T& operator[](std::uint32_t i) const noexcept {
    assert(i < size_);
    return begin()[i];
  }
  T& back() noexcept { return (*this)[size_ - 1]; }

  void push_back(const T& value) {
    if (size_ == 0) {
      inline_ = value;
    } else if (size_ == 1) {
      const T first = inline_;
      heap_ = {allocate(kFirstCapacity), kFirstCapacity};
      heap_.items[0] = first;
      heap_.items[1] = value;
    } else {
      if (size_ == heap_.capacity) resize(size_ + size_ / 2 + 1);
      heap_.items[size_] = value;
    }
    ++size_;
  }

  void pop_back() noexcept {
    assert(size_ > 0);
    --size_;
    if (size_ == 1) {
      T* const items = heap_.items;
      const T first = items[0];
      ::operator delete(items);
      inline_ = first;
    } else if (size_ > kFirstCapacity && size_ < heap_.capacity / 3) {
      resize(heap_.capacity / 2);
    }
  }

  void clear() noexcept {
    if (size_ > 1) ::operator delete(heap_.items);
    size_ = 0;
  }

private:
  static constexpr std::uint32_t kFirstCapacity = 4;
  struct Heap {
    T* items;
    std::uint32_t capacity;
  };

  static T* allocate(std::uint32_t capacity) {
    return static_cast<T*>(::operator new(capacity * sizeof(T)));
  }
  void resize(std::uint32_t capacity) {
    T* const items = allocate(capacity);
    std::memcpy(static_cast<void*>(items), heap_.items, size_ * sizeof(T));
    ::operator delete(heap_.items);
    heap_ = {items, capacity};
  }

  union {
    T inline_;
    Heap heap_;
  };
  std::uint32_t size_ = 0;
};

}  // namespace mqttstack::broker
