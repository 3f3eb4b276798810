#include "core/mqtt/text.hpp"

#include <cassert>

#include "core/mqtt/utf8.hpp"

namespace mqttstack::mqtt {
namespace {

constexpr std::string_view kEllipsis = "\xE2\x80\xA6";

unsigned byteAt(std::string_view text, std::size_t i) {
  return static_cast<unsigned char>(text[i]);
}

/// True if the well-formed character shows as itself and nothing else.
bool isHarmless(std::string_view character) noexcept {
  const unsigned lead = byteAt(character, 0);
  if (character.size() == 1) return lead >= 0x20 && lead != 0x7F;
  const unsigned second = byteAt(character, 1);
  if (lead == 0xC2) return second >= 0xA0;  // U+0080 to U+009F are controls
  if (character.size() != 3) return true;
  const unsigned third = byteAt(character, 2);
  if (lead == 0xE2 && second == 0x80) {
    // U+200B to U+200F (invisible, direction), U+2028 to U+202E (line breaks, direction).
    return !(third >= 0x8B && third <= 0x8F) && !(third >= 0xA8 && third <= 0xAE);
  }
  if (lead == 0xE2 && second == 0x81) return third < 0xA0 || third > 0xAF;  // U+2060 to U+206F
  return !(lead == 0xEF && second == 0xBB && third == 0xBF);                // U+FEFF
}

void escape(std::string_view bytes, std::string& out) {
  constexpr std::string_view kDigits = "0123456789abcdef";
  for (std::size_t i = 0; i < bytes.size(); ++i) {
    out.append("\\x");
    out.push_back(kDigits[byteAt(bytes, i) >> 4U]);
    out.push_back(kDigits[byteAt(bytes, i) & 0x0FU]);
  }
}

}  // namespace

std::string printable(std::string_view text, std::size_t maxBytes) {
  assert(maxBytes >= kEllipsis.size());
  std::string out;
  std::size_t lastCut = 0;  // where the text can be cut and still leave room for the ellipsis
  while (!text.empty()) {
    const std::size_t size = leadingCharacterSize(text);
    const std::string_view character = text.substr(0, size == 0 ? 1 : size);
    if (size == 0 || !isHarmless(character)) {
      escape(character, out);
    } else {
      if (character == "\\" || character == "\"") out.push_back('\\');
      out.append(character);
    }
    if (out.size() > maxBytes) {
      out.resize(lastCut);
      out.append(kEllipsis);
      return out;
    }
    if (out.size() + kEllipsis.size() <= maxBytes) lastCut = out.size();
    text.remove_prefix(character.size());
  }
  return out;
}

}  // namespace mqttstack::mqtt
