#pragma once

#include <cassert>
#include <system_error>
#include <type_traits>
#include <utility>
#include <variant>

namespace mqttstack {

/// The error half of an Expected, written where a function fails:
/// `return Unexpected{ReasonCode::malformedPacket};`.
template <class E>
class Unexpected {
public:
  explicit Unexpected(E error) : error_{std::move(error)} {}
  E& error() noexcept { return error_; }
  const E& error() const noexcept { return error_; }

private:
  E error_;
};

/// A value or the reason why there is none. Has the shape of C++23's
/// std::expected, which the compilers that we support do not ship, so that it
/// can be replaced by it one day.
///
/// value() REQUIRES has_value(), error() REQUIRES !has_value(); both are
/// asserted, neither throws.
template <class T, class E>
class [[nodiscard]] Expected {
public:
  using value_type = T;
  using error_type = E;

  Expected(T value) : state_{std::in_place_index<0>, std::move(value)} {}
  template <class G>
  requires std::is_constructible_v<E, G> Expected(Unexpected<G> unexpected)
      : state_{std::in_place_index<1>, E(std::move(unexpected.error()))} {}

  bool has_value() const noexcept { return state_.index() == 0; }
  explicit operator bool() const noexcept { return has_value(); }

  T& value() & noexcept { return *check(); }
  const T& value() const& noexcept { return *const_cast<Expected*>(this)->check(); }
  T&& value() && noexcept { return std::move(*check()); }
  T& operator*() & noexcept { return *check(); }
  const T& operator*() const& noexcept { return *const_cast<Expected*>(this)->check(); }
  T&& operator*() && noexcept { return std::move(*check()); }
  T* operator->() noexcept { return check(); }
  const T* operator->() const noexcept { return const_cast<Expected*>(this)->check(); }

  const E& error() const noexcept {
    assert(!has_value());
    return *std::get_if<1>(&state_);
  }

  template <class U>
  T value_or(U&& fallback) const& {
    return has_value() ? **this : static_cast<T>(std::forward<U>(fallback));
  }

private:
  T* check() noexcept {
    assert(has_value());
    return std::get_if<0>(&state_);
  }

  std::variant<T, E> state_;
};

/// Success, or the reason for failure.
template <class E>
class [[nodiscard]] Expected<void, E> {
public:
  Expected() = default;
  template <class G>
  requires std::is_constructible_v<E, G> Expected(Unexpected<G> unexpected)
      : error_{std::move(unexpected.error())},
        failed_{true} {}

  bool has_value() const noexcept { return !failed_; }
  explicit operator bool() const noexcept { return !failed_; }
  const E& error() const noexcept {
    assert(failed_);
    return error_;
  }

private:
  E error_{};
  bool failed_ = false;
};

/// What the data plane returns. The error is a ReasonCode where the peer shall
/// hear of it.
template <class T>
using Result = Expected<T, std::error_code>;

}  // namespace mqttstack
