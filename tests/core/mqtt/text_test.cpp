#include "core/mqtt/text.hpp"

#include <catch2/catch.hpp>

#include "core/mqtt/utf8.hpp"

using namespace mqttstack::mqtt;

TEST_CASE("harmless text is printed as it is", "[text]") {
  for (const char* text : {"", "sensor-17", "a/b/+/#", "name with spaces", "\xC3\xBC\xE4\xB8\xAD",
                           "\xF0\x9F\x98\x80", "it's", "\xC2\xA0", "%s"}) {
    CHECK(printable(text) == text);
  }
}

TEST_CASE("control characters cannot forge a line of the log", "[text]") {
  CHECK(printable("a\nb") == "a\\x0ab");
  CHECK(printable("a\r\nERROR") == "a\\x0d\\x0aERROR");
  CHECK(printable(std::string_view{"\0", 1}) == "\\x00");
  CHECK(printable("\x1B[31m") == "\\x1b[31m");
  CHECK(printable("\x7F") == "\\x7f");
  CHECK(printable("\xC2\x85") == "\\xc2\\x85");
  CHECK(printable("\xC2\x9B") == "\\xc2\\x9b");
}

TEST_CASE("what breaks or reorders a line is escaped", "[text]") {
  CHECK(printable("\xE2\x80\xA8") == "\\xe2\\x80\\xa8");
  CHECK(printable("\xE2\x80\xAE"
                  "abc") == "\\xe2\\x80\\xaeabc");
  CHECK(printable("\xE2\x81\xA6") == "\\xe2\\x81\\xa6");
  CHECK(printable("\xEF\xBB\xBF") == "\\xef\\xbb\\xbf");
  CHECK(printable("\xE2\x80\x93") == "\xE2\x80\x93");
}

TEST_CASE("bytes that are not UTF-8 are escaped one by one", "[text]") {
  CHECK(printable("a\xFFz") == "a\\xffz");
  CHECK(printable("\xED\xA0\x80") == "\\xed\\xa0\\x80");
  CHECK(printable("\xC3") == "\\xc3");
  CHECK(printable("\xC3(") == "\\xc3(");
}

TEST_CASE("the quote and the backslash stand behind a backslash", "[text]") {
  CHECK(printable("a\"b") == "a\\\"b");
  CHECK(printable("a\\x0ab") == "a\\\\x0ab");
}

TEST_CASE("a long text is cut at a character, with an ellipsis", "[text]") {
  const std::string ellipsis = "\xE2\x80\xA6";
  CHECK(printable(std::string(128, 'a')) == std::string(128, 'a'));
  CHECK(printable(std::string(129, 'a')) == std::string(125, 'a') + ellipsis);
  CHECK(printable("abcdef", 6) == "abcdef");
  CHECK(printable("abcdefg", 6) == "abc" + ellipsis);
  CHECK(printable("ab\xC3\xBC"
                  "cde",
                  6) == "ab" + ellipsis);
  CHECK(printable("\n\n", 6) == ellipsis);
  CHECK(printable("ab\n", 6) == "ab\\x0a");
  CHECK(printable("abcd", 3) == ellipsis);
}

TEST_CASE("whatever bytes there are, the result is short and valid", "[text]") {
  std::string bytes;
  unsigned state = 1;
  for (int round = 0; round < 2000; ++round) {
    bytes.clear();
    for (unsigned size = state % 60; size > 0; --size) {
      state = state * 1'664'525 + 1'013'904'223;
      bytes.push_back(static_cast<char>(state >> 24));
    }
    state = state * 1'664'525 + 1'013'904'223;
    const std::string result = printable(bytes, 40);
    REQUIRE(result.size() <= 40);
    REQUIRE(isValidUtf8(result));
    for (const char c : result) REQUIRE((static_cast<unsigned char>(c) >= 0x20 && c != 0x7F));
  }
}
