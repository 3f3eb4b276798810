#include <cstdint>
#include <string_view>

#include "core/mqtt/decoder.hpp"
#include "core/mqtt/frame_reader.hpp"
#include "tests/fuzz/check.hpp"

// The first two bytes are the largest packet allowed, the rest is a stream. It is cut into frames,
// and each is looked at as it would arrive byte by byte: a judgement once made does not change.

using namespace mqttstack;
using fuzz::check;
using State = mqtt::Frame::State;

extern "C" int LLVMFuzzerTestOneInput(const std::uint8_t* data, std::size_t size) {
  if (size < 2) return 0;
  const std::size_t maximum = std::size_t{data[0]} << 8U | data[1];
  std::string_view stream{reinterpret_cast<const char*>(data) + 2, size - 2};

  while (true) {
    const mqtt::Frame frame = mqtt::nextFrame(stream, maximum);
    std::size_t known = 0;
    State state = State::incomplete;
    for (std::size_t arrived = 0; arrived <= stream.size(); ++arrived) {
      const mqtt::Frame early = mqtt::nextFrame(stream.substr(0, arrived), maximum);
      if (state != State::incomplete) check(early.state == state, "a judgement is final");
      if (known != 0) check(early.size == known, "a size is final");
      if (early.state == State::complete && state != State::complete) {
        check(early.size == arrived, "a frame is complete with its last byte");
      }
      state = early.state;
      known = early.size;
    }
    check(state == frame.state && known == frame.size, "time does not matter");

    if (frame.state != State::complete) {
      if (frame.state == State::tooLarge) check(frame.size > maximum, "too large is too large");
      return 0;
    }
    check(frame.size >= 2 && frame.size <= stream.size() && frame.size <= maximum, "a frame fits");
    (void)mqtt::decode(stream.substr(0, frame.size), mqtt::ProtocolVersion::v5).has_value();
    stream.remove_prefix(frame.size);
  }
}
