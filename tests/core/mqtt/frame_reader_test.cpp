#include "core/mqtt/frame_reader.hpp"

#include <catch2/catch.hpp>

#include "core/mqtt/protocol.hpp"
#include "tests/support/packets.hpp"

using namespace mqttstack;
using namespace mqttstack::test;
using mqtt::Frame;
using State = mqtt::Frame::State;

namespace {

constexpr std::size_t kNoLimit = mqtt::kMaxPacketBytes;

void checkFrame(std::string_view text, std::size_t limit, State state, std::size_t size) {
  INFO(text);
  const Frame frame = mqtt::nextFrame(hex(text), limit);
  CHECK(frame.state == state);
  CHECK(frame.size == size);
}

}  // namespace

TEST_CASE("a frame is complete with its last byte", "[frame_reader]") {
  for (const GoodPacket& good : goodPackets()) {
    INFO(good.name);
    for (std::size_t size = 0; size < good.bytes.size(); ++size) {
      const Frame frame = mqtt::nextFrame(std::string_view{good.bytes}.substr(0, size), kNoLimit);
      REQUIRE(frame.state == State::incomplete);
      REQUIRE((frame.size == 0 || frame.size == good.bytes.size()));
    }
    for (const std::string& behind : {std::string{}, std::string{"\xFF"}, good.bytes}) {
      const Frame frame = mqtt::nextFrame(good.bytes + behind, kNoLimit);
      REQUIRE(frame.state == State::complete);
      REQUIRE(frame.size == good.bytes.size());
    }
  }
}

TEST_CASE("the size is known with the end of the length field", "[frame_reader]") {
  checkFrame("", kNoLimit, State::incomplete, 0);
  checkFrame("30", kNoLimit, State::incomplete, 0);
  checkFrame("30 01", kNoLimit, State::incomplete, 3);
  checkFrame("30 80", kNoLimit, State::incomplete, 0);
  checkFrame("30 80 01", kNoLimit, State::incomplete, 131);
  checkFrame("30 FF FF", kNoLimit, State::incomplete, 0);
  checkFrame("30 FF FF FF", kNoLimit, State::incomplete, 0);
  checkFrame("30 FF FF FF 7F", kNoLimit, State::incomplete, 268'435'460);
}

TEST_CASE("a length field is malformed with its fourth byte, not the fifth [v5:1.5.5-1]",
          "[frame_reader]") {
  checkFrame("30 80 80 80 80", kNoLimit, State::malformed, 0);
  checkFrame("30 FF FF FF FF", kNoLimit, State::malformed, 0);
  checkFrame("30 80 80 80 80 01", kNoLimit, State::malformed, 0);
  checkFrame("30 FF FF FF 80 00", 10, State::malformed, 0);
}

TEST_CASE("a packet that is too large is told from its first bytes [v5:3.2.2-15]",
          "[frame_reader]") {
  checkFrame("30 08", 10, State::incomplete, 10);
  checkFrame("30 09", 10, State::tooLarge, 11);
  checkFrame("30 FF FF FF 7F", 1024, State::tooLarge, 268'435'460);
  checkFrame("C0 00", 2, State::complete, 2);
  checkFrame("C0 00", 1, State::tooLarge, 2);
  // The length field counts too.
  checkFrame("30 80 01", 131, State::incomplete, 131);
  checkFrame("30 80 01", 130, State::tooLarge, 131);
}

TEST_CASE("a padded length is left to the decoder, which knows the version", "[frame_reader]") {
  checkFrame("C0 80 00", kNoLimit, State::complete, 3);
  checkFrame("C0 80 80 80 00", kNoLimit, State::complete, 5);
}
