#include "tests/bench/load/packets.hpp"

#include <cstring>

#include <catch2/catch.hpp>

#include "tests/bench/load/connack.hpp"

namespace mqttstack::load {
namespace {

using namespace std::string_literals;

template <class Append>
std::string made(Append append) {
  std::string bytes;
  append(bytes);
  return bytes;
}

TEST_CASE("CONNECT starts clean, or keeps its session", "[packets]") {
  CHECK(made([](std::string& out) {
          appendConnect(out, Version::v311, {.clientId = "me", .keepAlive = 300});
        }) == "\x10\x0E\x00\x04MQTT\x04\x02\x01\x2C\x00\x02me"s);
  CHECK(made([](std::string& out) {
          appendConnect(out, Version::v311, {.clientId = "me", .persistent = true});
        }) == "\x10\x0E\x00\x04MQTT\x04\x00\x00\x00\x00\x02me"s);
  CHECK(made([](std::string& out) { appendConnect(out, Version::v5, {.clientId = "me"}); }) ==
        "\x10\x12\x00\x04MQTT\x05\x02\x00\x00\x03\x21\xFF\xFF\x00\x02me"s);
  CHECK(made([](std::string& out) {
          appendConnect(out, Version::v5, {.clientId = "me", .persistent = true});
        }) ==
        "\x10\x17\x00\x04MQTT\x05\x00\x00\x00\x08\x21\xFF\xFF\x11\x00\x00\x0E\x10\x00\x02me"s);
}

TEST_CASE("SUBSCRIBE names all filters, with one QoS", "[packets]") {
  const std::vector<std::string> filters{"a", "b/#"};
  CHECK(made([&](std::string& out) { appendSubscribe(out, Version::v311, 258, filters, 2); }) ==
        "\x82\x0C\x01\x02\x00\x01"
        "a\x02\x00\x03"
        "b/#\x02"s);
  CHECK(made([&](std::string& out) { appendSubscribe(out, Version::v5, 1, filters, 0); }) ==
        "\x82\x0D\x00\x01\x00\x00\x01"
        "a\x00\x00\x03"
        "b/#\x00"s);
}

TEST_CASE("UNSUBSCRIBE names all filters", "[packets]") {
  const std::vector<std::string> filters{"a", "b/#"};
  CHECK(made([&](std::string& out) { appendUnsubscribe(out, Version::v311, 258, filters); }) ==
        "\xA2\x0A\x01\x02\x00\x01"
        "a\x00\x03"
        "b/#"s);
  CHECK(made([&](std::string& out) { appendUnsubscribe(out, Version::v5, 1, filters); }) ==
        "\xA2\x0B\x00\x01\x00\x00\x01"
        "a\x00\x03"
        "b/#"s);
}

TEST_CASE("small packets are as the standard has them", "[packets]") {
  CHECK(made([](auto& out) { appendAnswer(out, PacketType::puback, 0x1234); }) ==
        "\x40\x02\x12\x34"s);
  CHECK(made([](auto& out) { appendAnswer(out, PacketType::pubrec, 1); }) == "\x50\x02\x00\x01"s);
  CHECK(made([](auto& out) { appendAnswer(out, PacketType::pubrel, 1); }) == "\x62\x02\x00\x01"s);
  CHECK(made([](auto& out) { appendAnswer(out, PacketType::pubcomp, 1); }) == "\x70\x02\x00\x01"s);
  CHECK(made([](auto& out) { appendPing(out); }) == "\xC0\x00"s);
  CHECK(made([](auto& out) { appendDisconnect(out); }) == "\xE0\x00"s);
}

TEST_CASE("a batch is copies of one PUBLISH, each with a stamp of its own", "[packets]") {
  const Version version = GENERATE(Version::v311, Version::v5);
  const unsigned qos = GENERATE(0U, 1U, 2U);
  const bool retain = GENERATE(false, true);
  PublishBatch batch{version, {"t/x", qos, retain, 20}, 3};
  REQUIRE(batch.copies() == 3);
  batch.stamp(0, 0x0102, {11, 12, 13});
  batch.stamp(1, 0x0304, {21, 22, 23});
  batch.stamp(2, 0x0506, {31, 32, 33});

  std::string expected;
  for (const char i : "\1\2\3"s) {
    const Stamp stamp{static_cast<std::uint64_t>(10 * i + 1), 10U * static_cast<unsigned>(i) + 2,
                      10U * static_cast<unsigned>(i) + 3};
    std::string body = "\x00\x03t/x"s;
    if (qos) body += {static_cast<char>(2 * i - 1), static_cast<char>(2 * i)};
    if (version == Version::v5) body += '\0';
    body.append(reinterpret_cast<const char*>(&stamp), sizeof stamp);
    body += "qrst";
    expected += static_cast<char>(0x30U | qos << 1 | (retain ? 1U : 0U));
    expected += static_cast<char>(body.size());
    expected += body;
  }
  CHECK(batch.packets(3) == expected);
  CHECK(batch.packets(1) == expected.substr(0, expected.size() / 3));
}

TEST_CASE("the numbers of topics are written into their place", "[packets]") {
  PublishBatch batch{Version::v311, {"a/0000000/c", 1, false, 16}, 2};
  batch.stamp(0, 1, {}, 42);
  batch.stamp(1, 1, {}, 9'999'999);
  CHECK(batch.packets(1).substr(4, 11) == "a/0000042/c");
  CHECK(batch.packets(2).substr(batch.packets(1).size() + 4, 11) == "a/9999999/c");
}

TEST_CASE("a batch has lengths of several bytes, and no more copies than fit", "[packets]") {
  const PublishBatch batch{Version::v311, {"t", 0, false, 16'384}, 100};
  CHECK(batch.copies() == 15);
  CHECK(batch.packets(1).size() == 1 + 3 + 3 + 16'384);
  CHECK(batch.packets(1).substr(0, 7) == "\x30\x83\x80\x01\x00\x01t"s);
  CHECK(PublishBatch{Version::v311, {"t", 0, false, 1 << 20}, 100}.copies() == 1);
  CHECK(PublishBatch{Version::v311, {"t", 0, false, 0}, 1}.packets(1).size() == 2 + 3 + 16);
}

TEST_CASE("a CONNACK of MQTT 5 may name a receive maximum", "[packets]") {
  CHECK(readConnack("\x00\x00"s, Version::v311).code == 0);
  CHECK(readConnack("\x00\x05"s, Version::v311).code == 5);
  CHECK(readConnack("\x00\x00\x00"s, Version::v5).receiveMaximum == 65'535);
  CHECK(readConnack("\x00\x00\x03\x21\x00\x14"s, Version::v5).receiveMaximum == 20);
  CHECK(readConnack(
            "\x00\x00\x17\x22\x00\x0A\x26\x00\x01k\x00\x02vw\x25\x01\x12\x00\x01x\x21\x00\x14"s,
            Version::v5)
            .receiveMaximum == 20);
  CHECK(readConnack("\x00\x87\x00"s, Version::v5).code == 0x87);
}

TEST_CASE("a CONNACK that makes no sense is refused", "[packets]") {
  for (const auto& body : {""s, "\x00"s}) CHECK(readConnack(body, Version::v311).code == 0xFF);
  for (const auto& body :
       {"\x00\x00"s, "\x00\x00\x80"s, "\x00\x00\x03\x21\x00"s, "\x00\x00\x01\x99"s,
        "\x00\x00\x03\x26\x00\x00"s, "\x00\x00\x03\x1F\x00\x05"s})
    CHECK(readConnack(body, Version::v5).code == 0xFF);
}

}  // namespace
}  // namespace mqttstack::load
