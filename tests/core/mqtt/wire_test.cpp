#include "core/mqtt/wire.hpp"

#include <array>

#include <catch2/catch.hpp>

#include "tests/support/packets.hpp"

using namespace mqttstack::mqtt;
using mqttstack::test::hex;
using mqttstack::test::toHex;

TEST_CASE("variable byte integers take the bytes of the standard's table [v5:1.5.5-1]", "[wire]") {
  const std::pair<std::uint32_t, const char*> table[] = {{0, "00"},
                                                         {127, "7F"},
                                                         {128, "80 01"},
                                                         {321, "C1 02"},
                                                         {16'383, "FF 7F"},
                                                         {16'384, "80 80 01"},
                                                         {2'097'151, "FF FF 7F"},
                                                         {2'097'152, "80 80 80 01"},
                                                         {268'435'455, "FF FF FF 7F"}};
  for (const auto& [value, text] : table) {
    INFO(text);
    std::array<char, 4> out{};
    Writer writer{out.data()};
    writer.writeVariable(value);
    const std::string_view written{out.data(), writer.position()};
    CHECK(toHex(written) == text);
    CHECK(variableSize(value) == written.size());

    Reader reader{written};
    std::uint32_t read = 0;
    CHECK(reader.readVariable(read));
    CHECK(read == value);
    CHECK(reader.empty());
  }
}

TEST_CASE("a padded variable byte integer has a value but is not read", "[wire]") {
  for (const char* text : {"80 00", "81 80 00", "FF FF FF 00", "80 80 80 00"}) {
    const std::string bytes = hex(text);
    const VariableByteInteger parsed = parseVariable(bytes.data(), bytes.data() + bytes.size());
    CHECK(parsed.complete());
    CHECK(!parsed.minimal());
    std::uint32_t value = 0;
    CHECK(!Reader{bytes}.readVariable(value));
  }
}

TEST_CASE("a variable byte integer may be cut or too long", "[wire]") {
  const auto sizeOf = [](const std::string& bytes) {
    return parseVariable(bytes.data(), bytes.data() + bytes.size()).size;
  };
  for (const char* text : {"", "80", "FF FF", "80 80 80"}) {
    CHECK(sizeOf(hex(text)) == VariableByteInteger::kIncomplete);
  }
  for (const char* text : {"80 80 80 80", "FF FF FF FF 7F"}) {
    CHECK(sizeOf(hex(text)) == VariableByteInteger::kTooLong);
  }
}

TEST_CASE("numbers and strings are written and read again", "[wire]") {
  std::array<char, 64> out{};
  Writer writer{out.data()};
  writer.writeByte(0xAB);
  writer.writeTwoBytes(0x0102);
  writer.writeFourBytes(0x80'00'00'01);
  writer.writeString("A\xF0\xAA\x9B\x94");
  const std::string_view bytes{out.data(), writer.position()};
  CHECK(toHex(bytes) == "AB 01 02 80 00 00 01 00 05 41 F0 AA 9B 94");

  Reader reader{bytes};
  std::uint8_t byte = 0;
  std::uint16_t twoBytes = 0;
  std::uint32_t fourBytes = 0;
  std::string_view text;
  REQUIRE(reader.readByte(byte));
  REQUIRE(reader.readTwoBytes(twoBytes));
  REQUIRE(reader.readFourBytes(fourBytes));
  REQUIRE(reader.readString(text));
  CHECK(byte == 0xAB);
  CHECK(twoBytes == 0x0102);
  CHECK(fourBytes == 0x80'00'00'01U);
  CHECK(text == "A\xF0\xAA\x9B\x94");
  CHECK(reader.empty());
  CHECK(!reader.readByte(byte));
}

TEST_CASE("a read that finds too few bytes fails", "[wire]") {
  std::uint16_t twoBytes = 0;
  std::uint32_t fourBytes = 0;
  std::string_view text;
  CHECK(!Reader{hex("01")}.readTwoBytes(twoBytes));
  CHECK(!Reader{hex("01 02 03")}.readFourBytes(fourBytes));
  CHECK(!Reader{hex("00 02 61")}.readBinary(text));
  CHECK(!Reader{hex("00")}.readBinary(text));
  CHECK(!Reader{hex("FF FF 61")}.readString(text));
  CHECK(!Reader{std::string_view{}}.readBinary(text));
}
