#include "core/mqtt/utf8.hpp"

#include <cstring>

namespace mqttstack::mqtt {
namespace {

constexpr std::uint64_t eachByte(std::uint8_t byte) { return 0x0101010101010101U * byte; }
constexpr std::uint64_t kHighBits = eachByte(0x80);

constexpr bool isContinuation(unsigned char byte) { return (byte & 0xC0U) == 0x80U; }

/// Nothing is looked for but valid text.
struct TextOnly {
  static constexpr bool kFindsWildcards = false;

  /// True if all eight bytes are ASCII other than NUL. Adding 0x7F sets the high bit of every
  /// byte but NUL; a byte above 0x7F, whose carry would spoil its neighbour, fails by itself.
  static constexpr bool isPlain(std::uint64_t word) {
    return ((word + eachByte(0x7F)) & ~word & kHighBits) == kHighBits;
  }
};

struct TextAndWildcards {
  static constexpr bool kFindsWildcards = true;

  /// As above, and no byte is '#' or '+', which differ in bit 3 only.
  static constexpr bool isPlain(std::uint64_t word) {
    const std::uint64_t zeroIfWildcard = (word | eachByte('#' ^ '+')) ^ eachByte('+');
    return ((word + eachByte(0x7F)) & (zeroIfWildcard + eachByte(0x7F)) & ~word & kHighBits) ==
           kHighBits;
  }
};
static_assert(('#' ^ '+') == 0x08);

std::uint64_t loadWord(const char* from) {
  std::uint64_t word;
  std::memcpy(&word, from, sizeof word);
  return word;
}

/// Up to seven bytes, filled up with a byte that is plain in any text.
std::uint64_t loadTail(const char* from, std::size_t size) {
  std::uint64_t word = eachByte('a');
  if (size != 0) std::memcpy(&word, from, size);
  return word;
}

/// The size of the character at the front, 0 if it is none.
inline std::size_t characterSize(const char* at, const char* end) noexcept {
  const auto left = static_cast<std::size_t>(end - at);
  const auto byteAt = [at](std::size_t i) { return static_cast<unsigned char>(at[i]); };
  if (left == 0) return 0;
  const unsigned char lead = byteAt(0);
  if (lead < 0x80) return 1;
  if (lead < 0xC2) return 0;  // a continuation, or an overlong form
  if (lead < 0xE0) return left >= 2 && isContinuation(byteAt(1)) ? 2 : 0;
  if (lead < 0xF0) {
    if (left < 3 || !isContinuation(byteAt(1)) || !isContinuation(byteAt(2))) return 0;
    if (lead == 0xE0 && byteAt(1) < 0xA0) return 0;  // overlong
    if (lead == 0xED && byteAt(1) > 0x9F) return 0;  // a surrogate
    return 3;
  }
  if (lead > 0xF4 || left < 4) return 0;
  if (!isContinuation(byteAt(1)) || !isContinuation(byteAt(2)) || !isContinuation(byteAt(3))) {
    return 0;
  }
  if (lead == 0xF0 && byteAt(1) < 0x90) return 0;  // overlong
  if (lead == 0xF4 && byteAt(1) > 0x8F) return 0;  // above U+10FFFF
  return 4;
}

template <class Finder>
TopicText scanCharacters(const char* at, const char* end) noexcept {
  TopicText found = TopicText::plain;
  while (at != end) {
    if (end - at >= 8 && Finder::isPlain(loadWord(at))) {
      at += 8;
      continue;
    }
    // One word at most of ASCII, or as many characters as follow each other.
    do {
      const auto byte = static_cast<unsigned char>(*at);
      if (byte == 0) return TopicText::invalid;
      if constexpr (Finder::kFindsWildcards) {
        if (byte == '#' || byte == '+') found = TopicText::wildcard;
      }
      const std::size_t size = characterSize(at, end);
      if (size == 0) return TopicText::invalid;
      at += size;
    } while (at != end && (static_cast<unsigned char>(*at) >= 0x80 || end - at < 8));
  }
  return found;
}

template <class Finder>
inline TopicText scan(std::string_view text) noexcept {
  const char* at = text.data();
  const char* const end = at + text.size();
  if (text.size() < 8) {
    if (Finder::isPlain(loadTail(at, text.size()))) return TopicText::plain;
    return scanCharacters<Finder>(at, end);
  }
  for (; end - at >= 8; at += 8) {
    if (!Finder::isPlain(loadWord(at))) return scanCharacters<Finder>(at, end);
  }
  // The last word overlaps the one before, which spares a loop over bytes.
  if (Finder::isPlain(loadWord(end - 8))) return TopicText::plain;
  return scanCharacters<Finder>(at, end);
}

}  // namespace

std::size_t leadingCharacterSize(std::string_view text) noexcept {
  return characterSize(text.data(), text.data() + text.size());
}

bool isValidUtf8(std::string_view text) noexcept {
  return scan<TextOnly>(text) != TopicText::invalid;
}

TopicText scanTopicText(std::string_view text) noexcept { return scan<TextAndWildcards>(text); }

}  // namespace mqttstack::mqtt
