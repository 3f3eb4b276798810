#include "core/mqtt/frame_reader.hpp"

#include "core/mqtt/wire.hpp"

namespace mqttstack::mqtt {

Frame nextFrame(std::string_view bytes, std::size_t maximumPacketSize) noexcept {
  if (bytes.size() < 2) return {Frame::State::incomplete, 0};
  const VariableByteInteger length = parseVariable(bytes.data() + 1, bytes.data() + bytes.size());
  if (length.size == VariableByteInteger::kTooLong) return {Frame::State::malformed, 0};
  if (length.size == VariableByteInteger::kIncomplete) return {Frame::State::incomplete, 0};

  const std::size_t size = 1 + std::size_t{length.size} + length.value;
  if (size > maximumPacketSize) return {Frame::State::tooLarge, size};
  if (size > bytes.size()) return {Frame::State::incomplete, size};
  return {Frame::State::complete, size};
}

}  // namespace mqttstack::mqtt
