#pragma once

#include <cstdint>
#include <cstring>
#include <string_view>

namespace mqttstack::broker {

/// A number that no peer can know, for seeding hash tables. Asks the system.
std::uint64_t randomSeed();

/// The same text? For short ones that mostly are: compares words, in place of
/// calling memcmp().
inline bool sameText(std::string_view a, std::string_view b) noexcept {
  if (a.size() != b.size()) return false;
  const auto differ = [&](std::size_t at, auto word) {
    auto other = word;
    std::memcpy(&word, a.data() + at, sizeof word);
    std::memcpy(&other, b.data() + at, sizeof word);
    return word != other;
  };
  const std::size_t size = a.size();
  if (size >= 8) {
    for (std::size_t at = 0; at + 8 < size; at += 8)
      if (differ(at, std::uint64_t{})) return false;
    return !differ(size - 8, std::uint64_t{});
  }
  if (size >= 4) return !differ(0, std::uint32_t{}) && !differ(size - 4, std::uint32_t{});
  for (std::size_t at = 0; at < size; ++at)
    if (a[at] != b[at]) return false;
  return true;
}

/// Multiplies to 128 bits and folds the halves: the mixing step of the hashes.
inline std::uint64_t foldedMultiply(std::uint64_t a, std::uint64_t b) noexcept {
  __extension__ using Wide = unsigned __int128;
  const Wide product = static_cast<Wide>(a) * b;
  return static_cast<std::uint64_t>(product) ^ static_cast<std::uint64_t>(product >> 64);
}

/// A seeded 64-bit hash of text. Topics and client identifiers are chosen by
/// peers, so every table hashes with a seed of its own: who does not know it
/// can not make keys collide.
class TextHash {
public:
  explicit TextHash(std::uint64_t seed) noexcept : seed_{seed} {}

  std::uint64_t operator()(std::string_view text) const noexcept {
    const char* p = text.data();
    std::size_t left = text.size();
    std::uint64_t state = seed_ ^ kSecret[0];
    for (; left > 16; p += 16, left -= 16)
      state = foldedMultiply(load(p, 8) ^ kSecret[1], load(p + 8, 8) ^ state);
    std::uint64_t a = 0;
    std::uint64_t b = 0;
    if (left >= 8) {
      a = load(p, 8);
      b = load(p + left - 8, 8);
    } else if (left >= 4) {
      a = load(p, 4);
      b = load(p + left - 4, 4);
    } else if (left > 0) {
      a = std::uint64_t{byte(p[0])} << 16 | std::uint64_t{byte(p[left / 2])} << 8 |
          byte(p[left - 1]);
    }
    return foldedMultiply(kSecret[1] ^ text.size(),
                          foldedMultiply(a ^ kSecret[2], b ^ state ^ kSecret[3]));
  }

  /// Hash of a pair of numbers.
  std::uint64_t operator()(std::uint32_t a, std::uint32_t b) const noexcept {
    return foldedMultiply((std::uint64_t{a} << 32 | b) ^ kSecret[2], seed_ | 1U);
  }

  std::uint64_t seed() const noexcept { return seed_; }

private:
  static constexpr std::uint64_t kSecret[4] = {0x9e3779b97f4a7c15U, 0xd1b54a32d192ed03U,
                                               0x8cb92ba72f3d8dd7U, 0xda942042e4dd58b5U};
  static std::uint8_t byte(char c) noexcept { return static_cast<std::uint8_t>(c); }
  static std::uint64_t load(const char* p, std::size_t size) noexcept {
    std::uint64_t value = 0;
    std::memcpy(&value, p, size);
    return value;
  }

  std::uint64_t seed_;
};

}  // namespace mqttstack::broker
