#include "middlewares/security/base64.hpp"

#include <string>
#include <utility>

#include <catch2/catch.hpp>

using namespace mqttstack;

TEST_CASE("Base64 is that of RFC 4648", "[base64]") {
  const auto [bytes, text] = GENERATE(table<std::string, std::string>({
      {"", ""},
      {"f", "Zg=="},
      {"fo", "Zm8="},
      {"foo", "Zm9v"},
      {"foob", "Zm9vYg=="},
      {"fooba", "Zm9vYmE="},
      {"foobar", "Zm9vYmFy"},
      {"\xfb\xff\xbf", "+/+/"},
  }));
  CHECK(encodeBase64(bytes) == text);
  CHECK(decodeBase64(text) == bytes);
}

TEST_CASE("the Base64 of URLs has another alphabet and no padding", "[base64]") {
  CHECK(encodeBase64("\xfb\xff\xbf", Base64::url) == "-_-_");
  CHECK(encodeBase64("f", Base64::url) == "Zg");
  CHECK(decodeBase64("Zg", Base64::url) == "f");
  CHECK_FALSE(decodeBase64("Zg==", Base64::url));
  CHECK_FALSE(decodeBase64("+/+/", Base64::url));
  CHECK_FALSE(decodeBase64("-_-_"));
}

TEST_CASE("every byte survives Base64", "[base64]") {
  std::string bytes;
  for (int i = 0; i < 256; ++i) bytes += static_cast<char>(i);
  for (std::size_t size = 0; size <= bytes.size(); ++size)
    for (const Base64 kind : {Base64::standard, Base64::url}) {
      const auto back = decodeBase64(encodeBase64(bytes.substr(0, size), kind), kind);
      REQUIRE(back == bytes.substr(0, size));
    }
}

TEST_CASE("what is no Base64 is not decoded", "[base64]") {
  for (const char* wrong : {"Z", "Zg", "Zg=", "Zg===", "=", "====", "Zm9v=", "Zm 9v", "Zm9v\n",
                            "Z===", "Zh==", "Zm9=", "Zm=9", "Zm9vZg=A", "\xff\xff\xff\xff"}) {
    CAPTURE(wrong);
    CHECK_FALSE(decodeBase64(wrong));
  }
  for (const char* wrong : {"Z", "Zm9vZ", "Zh", "Zm9vZh"}) {
    CAPTURE(wrong);
    CHECK_FALSE(decodeBase64(wrong, Base64::url));
  }
}
