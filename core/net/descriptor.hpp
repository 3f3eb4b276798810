#pragma once

#include <unistd.h>
#include <utility>

namespace mqttstack::net {

/// Owns a file descriptor and closes it.
class Descriptor {
public:
  Descriptor() = default;
  explicit Descriptor(int descriptor) noexcept : descriptor_{descriptor} {}
  Descriptor(Descriptor&& other) noexcept : descriptor_{other.release()} {}
  Descriptor& operator=(Descriptor&& other) noexcept {
    if (this != &other) {
      reset();
      descriptor_ = other.release();
    }
    return *this;
  }
  ~Descriptor() { reset(); }

  /// The number, -1 if there is none.
  int get() const noexcept { return descriptor_; }
  explicit operator bool() const noexcept { return descriptor_ >= 0; }

  void reset() noexcept {
    if (descriptor_ >= 0) ::close(release());
  }
  int release() noexcept { return std::exchange(descriptor_, -1); }

private:
  int descriptor_ = -1;
};

}  // namespace mqttstack::net
