#include "tests/bench/load/window.hpp"

#include <catch2/catch.hpp>

namespace mqttstack::load {
namespace {

using Acknowledged = Window::Acknowledged;

TEST_CASE("a window has room again when a message is received", "[window]") {
  Window window{2, 1, Acknowledged::no};
  CHECK(window.room() == 2);
  window.send(2);
  CHECK(window.room() == 0);
  window.settle(1);
  CHECK(window.room() == 1);
  window.settle(1);
  CHECK(window.room() == 2);
}

TEST_CASE("a message to many is under way until the last of them has it", "[window]") {
  Window window{1, 3, Acknowledged::no};
  window.send(1);
  window.settle(2);
  CHECK(window.room() == 0);
  window.settle(1);
  CHECK(window.room() == 1);
}

TEST_CASE("an acknowledged message is under way until it is received and acknowledged",
          "[window]") {
  Window window{1, 1, Acknowledged::yes};
  window.send(1);
  SECTION("the acknowledgement comes first") {
    window.acknowledge();
    CHECK(window.room() == 0);
    window.settle(1);
  }
  SECTION("the message comes first") {
    window.settle(1);
    CHECK(window.room() == 0);
    window.acknowledge();
  }
  CHECK(window.room() == 1);
}

TEST_CASE("a message that nobody gets waits for its acknowledgement only", "[window]") {
  Window unanswered{1, 0, Acknowledged::no};
  unanswered.send(5);
  CHECK(unanswered.room() == 1);
  Window answered{1, 0, Acknowledged::yes};
  answered.send(1);
  CHECK(answered.room() == 0);
  answered.acknowledge();
  CHECK(answered.room() == 1);
}

TEST_CASE("what was written off and comes after all gives no room beyond the limit", "[window]") {
  Window window{4, 2, Acknowledged::yes};
  window.send(4);
  window.writeOff();
  CHECK(window.room() == 4);
  window.settle(8);
  window.acknowledge();
  CHECK(window.room() == 4);
  window.send(1);
  CHECK(window.room() == 3);
}

}  // namespace
}  // namespace mqttstack::load
