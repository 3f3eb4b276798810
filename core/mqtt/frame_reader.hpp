#pragma once

#include <cstddef>
#include <cstdint>
#include <string_view>

namespace mqttstack::mqtt {

/// What stands at the front of a stream of bytes.
struct Frame {
  enum class State : std::uint8_t {
    complete,    ///< `size` bytes are one packet
    incomplete,  ///< more bytes are needed; `size` is the packet's size, 0 while it isn't known
    malformed,   ///< the length field runs over four bytes
    tooLarge,    ///< the packet says it is larger than allowed
  };
  State state;
  std::size_t size;
};

/// Looks at the front of `bytes` for one packet. A claim is judged as soon as
/// it can be read: nothing is waited for, and no memory taken, on the strength
/// of a length that was only said. [v5:1.5.5] [v5:3.2.2-15]
Frame nextFrame(std::string_view bytes, std::size_t maximumPacketSize) noexcept;

}  // namespace mqttstack::mqtt
