#pragma once

#include <cstddef>
#include <cstdint>
#include <type_traits>
#include <utility>

namespace mqttstack {

/// Base of objects that carry their own count of owners. The count is a plain
/// integer: such objects belong to the loop's thread and never leave it (a
/// std::shared_ptr turns atomic as soon as the program links a thread library).
///
/// Derived supplies `static void destroy(Derived*) noexcept` if plain delete is
/// not how it wants to go (objects with a tail in the same allocation).
template <class Derived>
class RefCounted {
public:
  RefCounted() = default;
  RefCounted(const RefCounted&) = delete;
  RefCounted& operator=(const RefCounted&) = delete;

  void retain() const noexcept { ++owners_; }
  void release() const noexcept {
    if (--owners_ != 0) return;
    auto* self = const_cast<Derived*>(static_cast<const Derived*>(this));
    if constexpr (requires { Derived::destroy(self); })
      Derived::destroy(self);
    else
      delete self;
  }
  std::uint32_t owners() const noexcept { return owners_; }

protected:
  ~RefCounted() = default;

private:
  mutable std::uint32_t owners_ = 0;
};

/// Owns a share of a RefCounted object.
template <class T>
class IntrusivePtr {
public:
  IntrusivePtr() = default;
  IntrusivePtr(std::nullptr_t) noexcept {}
  explicit IntrusivePtr(T* object) noexcept : object_{object} {
    if (object_) addOwner(*object_);
  }
  IntrusivePtr(const IntrusivePtr& other) noexcept : IntrusivePtr{other.object_} {}
  IntrusivePtr(IntrusivePtr&& other) noexcept : object_{std::exchange(other.object_, nullptr)} {}
  template <class U>
  requires std::is_convertible_v<U*, T*> IntrusivePtr(const IntrusivePtr<U>& other)
  noexcept : IntrusivePtr{other.get()} {}
  IntrusivePtr& operator=(IntrusivePtr other) noexcept {
    std::swap(object_, other.object_);
    return *this;
  }
  ~IntrusivePtr() {
    if (object_) removeOwner(*object_);
  }

  T* get() const noexcept { return object_; }
  T& operator*() const noexcept { return *object_; }
  T* operator->() const noexcept { return object_; }
  explicit operator bool() const noexcept { return object_ != nullptr; }
  void reset() noexcept { *this = IntrusivePtr{}; }

  friend bool operator==(const IntrusivePtr& a, const IntrusivePtr& b) noexcept {
    return a.object_ == b.object_;
  }
  friend bool operator==(const IntrusivePtr& a, std::nullptr_t) noexcept { return !a.object_; }

private:
  // Named by the base: T may have a retain() of its own, as messages do.
  template <class Counted>
  static void addOwner(const RefCounted<Counted>& object) noexcept {
    object.retain();
  }
  template <class Counted>
  static void removeOwner(const RefCounted<Counted>& object) noexcept {
    object.release();
  }

  T* object_ = nullptr;
};

}  // namespace mqttstack
