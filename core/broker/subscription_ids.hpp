#pragma once

#include <cassert>
#include <cstdint>
#include <utility>
#include <vector>

#include "core/mqtt/protocol.hpp"

namespace mqttstack::broker {

/// The subscription identifiers that go with one delivery, in 8 bytes: up to
/// two stand inside, more in memory of their own. Values, as a set may be:
/// copying copies.
class SubscriptionIds {
public:
  SubscriptionIds() = default;
  SubscriptionIds(const SubscriptionIds& other) : bits_{other.bits_} {
    if (const auto* many = overflow()) [[unlikely]]
      bits_ = pack(new std::vector<std::uint32_t>{*many});
  }
  SubscriptionIds(SubscriptionIds&& other) noexcept : bits_{std::exchange(other.bits_, kNone)} {}
  SubscriptionIds& operator=(SubscriptionIds other) noexcept {
    std::swap(bits_, other.bits_);
    return *this;
  }
  ~SubscriptionIds() {
    if (auto* many = overflow()) [[unlikely]]
      delete many;
  }

  /// Adds an identifier; 0 means "has none" and adds nothing. [v5:3.3.4-4]
  /// REQUIRES: id <= mqtt::kMaxVariableByteInteger.
  void add(std::uint32_t id) {
    assert(id <= mqtt::kMaxVariableByteInteger);
    if (id == 0) return;
    if (auto* many = overflow()) {
      many->push_back(id);
    } else if (first() == 0) {
      bits_ |= std::uint64_t{id} << kFirstShift;
    } else if (second() == 0) {
      bits_ |= std::uint64_t{id} << kSecondShift;
    } else {
      bits_ = pack(new std::vector<std::uint32_t>{first(), second(), id});
    }
  }

  std::size_t size() const noexcept {
    if (const auto* many = overflow()) return many->size();
    return (first() != 0 ? 1U : 0U) + (second() != 0 ? 1U : 0U);
  }
  bool empty() const noexcept { return bits_ == kNone; }

  /// Calls `visit(std::uint32_t)` for each, in the order in which they came.
  template <class Visitor>
  void forEach(Visitor&& visit) const {
    if (const auto* many = overflow()) {
      for (const std::uint32_t id : *many) visit(id);
      return;
    }
    if (first() != 0) visit(first());
    if (second() != 0) visit(second());
  }

private:
  // An odd value holds two identifiers of 28 bits, an even one is a pointer.
  static constexpr std::uint64_t kNone = 1;
  static constexpr unsigned kFirstShift = 8;
  static constexpr unsigned kSecondShift = 36;
  static constexpr std::uint64_t kMask = (1U << 28U) - 1;

  static std::uint64_t pack(std::vector<std::uint32_t>* many) noexcept {
    return reinterpret_cast<std::uintptr_t>(many);
  }
  std::vector<std::uint32_t>* overflow() const noexcept {
    return (bits_ & 1U) != 0 ? nullptr : reinterpret_cast<std::vector<std::uint32_t>*>(bits_);
  }
  std::uint32_t first() const noexcept {
    return static_cast<std::uint32_t>(bits_ >> kFirstShift & kMask);
  }
  std::uint32_t second() const noexcept {
    return static_cast<std::uint32_t>(bits_ >> kSecondShift & kMask);
  }

  std::uint64_t bits_ = kNone;
};

static_assert(sizeof(SubscriptionIds) == 8);

}  // namespace mqttstack::broker
