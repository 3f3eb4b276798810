#include "core/mqtt/utf8.hpp"

#include <string>

#include <catch2/catch.hpp>

using namespace mqttstack::mqtt;

namespace {

/// The UTF-8 form of a number, a code point or not, in so many bytes.
std::string encode(unsigned codePoint, unsigned size) {
  if (size == 1) return std::string(1, static_cast<char>(codePoint));
  std::string bytes(size, '\0');
  for (unsigned i = size - 1; i > 0; --i) {
    bytes[i] = static_cast<char>(0x80 | (codePoint & 0x3F));
    codePoint >>= 6;
  }
  const unsigned mark = size == 2 ? 0xC0 : size == 3 ? 0xE0 : 0xF0;
  bytes[0] = static_cast<char>(mark | codePoint);
  return bytes;
}

unsigned shortest(unsigned codePoint) {
  return codePoint < 0x80 ? 1 : codePoint < 0x800 ? 2 : codePoint < 0x10000 ? 3 : 4;
}

}  // namespace

TEST_CASE(
    "every code point but U+0000 and surrogates is valid, in its shortest form only "
    "[v311:1.5.3-1] [v311:1.5.3-2] [v5:1.5.4-1] [v5:1.5.4-2]",
    "[utf8]") {
  for (unsigned codePoint = 0; codePoint < 0x200000; ++codePoint) {
    const bool isCharacter =
        codePoint != 0 && codePoint <= 0x10FFFF && !(codePoint >= 0xD800 && codePoint <= 0xDFFF);
    for (unsigned size = shortest(codePoint); size <= 4; ++size) {
      const bool expected = isCharacter && size == shortest(codePoint);
      if (isValidUtf8(encode(codePoint, size)) != expected) FAIL(codePoint << " in " << size);
    }
  }
}

TEST_CASE("every sequence of two bytes is judged right", "[utf8]") {
  for (unsigned first = 0; first < 0x100; ++first) {
    for (unsigned second = 0; second < 0x100; ++second) {
      const std::string text{static_cast<char>(first), static_cast<char>(second)};
      const bool ascii = first > 0 && first < 0x80 && second > 0 && second < 0x80;
      const bool pair = first >= 0xC2 && first <= 0xDF && second >= 0x80 && second <= 0xBF;
      if (isValidUtf8(text) != (ascii || pair)) FAIL(first << " " << second);
    }
  }
}

TEST_CASE("text is judged alike wherever in a word it stands", "[utf8]") {
  struct Case {
    std::string text;
    TopicText expected;
  };
  const Case cases[] = {{"b", TopicText::plain},
                        {"\x7F", TopicText::plain},
                        {"\x01", TopicText::plain},
                        {"\"*,'", TopicText::plain},
                        {"\xC3\xBC", TopicText::plain},
                        {"\xEF\xBB\xBF", TopicText::plain},
                        {"\xEF\xBF\xBF", TopicText::plain},
                        {"\xF0\xAA\x9B\x94", TopicText::plain},
                        {"+", TopicText::wildcard},
                        {"#", TopicText::wildcard},
                        {"\xC3\xBC+", TopicText::wildcard},
                        {"#\xF0\xAA\x9B\x94", TopicText::wildcard},
                        {std::string(1, '\0'), TopicText::invalid},
                        {"\x80", TopicText::invalid},
                        {"\xC3", TopicText::invalid},
                        {"\xFF", TopicText::invalid},
                        {"#\xFF", TopicText::invalid},
                        {"\xAB", TopicText::invalid},
                        {"\xA3", TopicText::invalid},
                        {"\xED\xA0\x80", TopicText::invalid},
                        {"\xF0\xAA\x9B", TopicText::invalid}};
  for (const Case& one : cases) {
    for (std::size_t before = 0; before < 20; ++before) {
      for (std::size_t behind = 0; behind < 20; ++behind) {
        const std::string text = std::string(before, 'a') + one.text + std::string(behind, 'z');
        INFO(before << " before, " << behind << " behind, first byte "
                    << int{static_cast<unsigned char>(one.text[0])});
        REQUIRE(scanTopicText(text) == one.expected);
        REQUIRE(isValidUtf8(text) == (one.expected != TopicText::invalid));
      }
    }
  }
}

TEST_CASE("every byte alone is told apart", "[utf8]") {
  for (unsigned byte = 0; byte < 0x100; ++byte) {
    const std::string text = "abcdefgh" + std::string(1, static_cast<char>(byte)) + "ijklmnopq";
    const TopicText expected = byte == 0 || byte >= 0x80    ? TopicText::invalid
                               : byte == '+' || byte == '#' ? TopicText::wildcard
                                                            : TopicText::plain;
    INFO(byte);
    CHECK(scanTopicText(text) == expected);
  }
}

TEST_CASE("the empty text is valid", "[utf8]") {
  CHECK(isValidUtf8({}));
  CHECK(isValidUtf8(""));
  CHECK(scanTopicText({}) == TopicText::plain);
}

TEST_CASE("a long text of many scripts is valid until one byte breaks it", "[utf8]") {
  std::string text;
  for (int i = 0; i < 50; ++i) text += "plain ascii text \xC3\xBC\xE4\xB8\xAD\xF0\xAA\x9B\x94 ";
  CHECK(isValidUtf8(text));
  for (std::size_t i = 0; i < text.size(); ++i) {
    std::string broken = text;
    broken[i] = '\xFF';
    REQUIRE(!isValidUtf8(broken));
  }
}

TEST_CASE("the leading character has a size, and 0 if it is none", "[utf8]") {
  CHECK(leadingCharacterSize("") == 0);
  CHECK(leadingCharacterSize(std::string_view{"\0", 1}) == 1);
  CHECK(leadingCharacterSize("abc") == 1);
  CHECK(leadingCharacterSize("\xC3\xBC"
                             "c") == 2);
  CHECK(leadingCharacterSize("\xE4\xB8\xAD"
                             "c") == 3);
  CHECK(leadingCharacterSize("\xF0\xAA\x9B\x94"
                             "c") == 4);
  CHECK(leadingCharacterSize("\x80") == 0);
}
