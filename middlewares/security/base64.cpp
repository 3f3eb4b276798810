#include "middlewares/security/base64.hpp"

#include <array>
#include <cstdint>

namespace mqttstack {
namespace {

constexpr std::string_view kStandard =
    "ABCDEFGHIJKLMNOPQRSTUVWXYZabcdefghijklmnopqrstuvwxyz0123456789+/";
constexpr std::string_view kUrl =
    "ABCDEFGHIJKLMNOPQRSTUVWXYZabcdefghijklmnopqrstuvwxyz0123456789-_";
constexpr std::int8_t kNone = -1;

constexpr std::string_view alphabet(Base64 kind) { return kind == Base64::url ? kUrl : kStandard; }

constexpr std::array<std::int8_t, 256> valuesOf(std::string_view letters) {
  std::array<std::int8_t, 256> values{};
  values.fill(kNone);
  for (std::size_t i = 0; i < letters.size(); ++i)
    values[static_cast<unsigned char>(letters[i])] = static_cast<std::int8_t>(i);
  return values;
}
constexpr auto kStandardValues = valuesOf(kStandard);
constexpr auto kUrlValues = valuesOf(kUrl);

}  // namespace

std::string encodeBase64(std::string_view bytes, Base64 kind) {
  const std::string_view letters = alphabet(kind);
  std::string text;
  text.reserve((bytes.size() + 2) / 3 * 4);
  std::uint32_t bits = 0;
  unsigned held = 0;
  for (const char byte : bytes) {
    bits = bits << 8U | static_cast<unsigned char>(byte);
    for (held += 8; held >= 6; held -= 6) text += letters[bits >> (held - 6) & 63U];
  }
  if (held > 0) text += letters[bits << (6 - held) & 63U];
  while (kind == Base64::standard && text.size() % 4 != 0) text += '=';
  return text;
}

std::optional<std::string> decodeBase64(std::string_view text, Base64 kind) {
  if (kind == Base64::standard) {
    if (text.size() % 4 != 0) return std::nullopt;
    for (int i = 0; i < 2 && text.ends_with('='); ++i) text.remove_suffix(1);
  }
  if (text.size() % 4 == 1) return std::nullopt;
  const auto& values = kind == Base64::url ? kUrlValues : kStandardValues;
  std::string bytes;
  bytes.reserve(text.size() / 4 * 3 + 2);
  std::uint32_t bits = 0;
  unsigned held = 0;
  for (const char letter : text) {
    const std::int8_t value = values[static_cast<unsigned char>(letter)];
    if (value == kNone) return std::nullopt;
    bits = bits << 6U | static_cast<std::uint32_t>(value);
    held += 6;
    if (held < 8) continue;
    held -= 8;
    bytes += static_cast<char>(bits >> held & 255U);
  }
  if ((bits & ((1U << held) - 1)) != 0) return std::nullopt;
  return bytes;
}

}  // namespace mqttstack
