#pragma once

#include <cassert>
#include <cstddef>
#include <cstdint>
#include <cstring>
#include <string_view>

#include "core/mqtt/protocol.hpp"
#include "core/mqtt/utf8.hpp"

/// The data representation of MQTT, below packets: what the codec is made of,
/// used by nobody else. [v5:1.5]
namespace mqttstack::mqtt {

/// A variable byte integer as it stands in some bytes. [v5:1.5.5]
struct VariableByteInteger {
  static constexpr std::uint8_t kIncomplete = 0;
  static constexpr std::uint8_t kTooLong = 5;

  std::uint32_t value = 0;
  std::uint8_t size = kIncomplete;  ///< the bytes it takes, or one of the above

  bool complete() const noexcept { return size != kIncomplete && size != kTooLong; }
  /// MQTT 5 forbids a longer form than necessary, MQTT 3 does not. [v5:1.5.5-1]
  bool minimal() const noexcept;
};

/// The bytes that `value` takes. REQUIRES: value <= kMaxVariableByteInteger.
constexpr std::size_t variableSize(std::size_t value) noexcept {
  return value < 0x80 ? 1 : value < 0x4000 ? 2 : value < 0x20'0000 ? 3 : 4;
}

inline bool VariableByteInteger::minimal() const noexcept { return size == variableSize(value); }

inline VariableByteInteger parseVariable(const char* at, const char* end) noexcept {
  VariableByteInteger result;
  for (unsigned i = 0; at != end; ++i, ++at) {
    const auto byte = static_cast<std::uint8_t>(*at);
    result.value |= (byte & 0x7FU) << (7 * i);
    if (byte < 0x80) {
      result.size = static_cast<std::uint8_t>(i + 1);
      return result;
    }
    // Judged on the fourth byte: a fifth need not come.
    if (i == 3) {
      result.size = VariableByteInteger::kTooLong;
      return result;
    }
  }
  return result;
}

/// Takes values off the front of some bytes. A read that finds too few bytes,
/// or none that make a legal value, returns false; its output and the position
/// are unspecified then.
class Reader {
public:
  explicit Reader(std::string_view bytes) noexcept
      : at_{bytes.data()},
        end_{bytes.data() + bytes.size()} {}

  bool empty() const noexcept { return at_ == end_; }
  std::size_t size() const noexcept { return static_cast<std::size_t>(end_ - at_); }
  std::string_view rest() const noexcept { return {at_, size()}; }
  const char* position() const noexcept { return at_; }

  [[nodiscard]] bool readByte(std::uint8_t& value) noexcept {
    if (size() < 1) return false;
    value = static_cast<std::uint8_t>(*at_++);
    return true;
  }

  [[nodiscard]] bool readTwoBytes(std::uint16_t& value) noexcept {
    if (size() < 2) return false;
    value = static_cast<std::uint16_t>(byteAt(0) << 8U | byteAt(1));
    at_ += 2;
    return true;
  }

  [[nodiscard]] bool readFourBytes(std::uint32_t& value) noexcept {
    if (size() < 4) return false;
    value = byteAt(0) << 24U | byteAt(1) << 16U | byteAt(2) << 8U | byteAt(3);
    at_ += 4;
    return true;
  }

  /// In its minimal form only. [v5:1.5.5-1]
  [[nodiscard]] bool readVariable(std::uint32_t& value) noexcept {
    const VariableByteInteger parsed = parseVariable(at_, end_);
    if (!parsed.complete() || !parsed.minimal()) return false;
    value = parsed.value;
    at_ += parsed.size;
    return true;
  }

  [[nodiscard]] bool readBytes(std::size_t count, std::string_view& value) noexcept {
    if (size() < count) return false;
    value = {at_, count};
    at_ += count;
    return true;
  }

  /// Binary data, or a string that is yet to be looked at.
  [[nodiscard]] bool readBinary(std::string_view& value) noexcept {
    std::uint16_t length = 0;
    return readTwoBytes(length) && readBytes(length, value);
  }

  [[nodiscard]] bool readString(std::string_view& value) noexcept {
    return readBinary(value) && isValidUtf8(value);
  }

private:
  unsigned byteAt(std::size_t i) const noexcept { return static_cast<std::uint8_t>(at_[i]); }

  const char* at_;
  const char* end_;
};

/// Writes values one behind the other. REQUIRES: room for all of them; the
/// size is worked out beforehand, nothing is checked here.
class Writer {
public:
  explicit Writer(char* out) noexcept : at_{out} {}

  char* position() const noexcept { return at_; }

  void writeByte(std::uint8_t value) noexcept { *at_++ = static_cast<char>(value); }

  void writeTwoBytes(std::uint16_t value) noexcept {
    writeByte(static_cast<std::uint8_t>(value >> 8U));
    writeByte(static_cast<std::uint8_t>(value));
  }

  void writeFourBytes(std::uint32_t value) noexcept {
    writeTwoBytes(static_cast<std::uint16_t>(value >> 16U));
    writeTwoBytes(static_cast<std::uint16_t>(value));
  }

  void writeVariable(std::size_t value) noexcept {
    assert(value <= kMaxVariableByteInteger);
    for (; value >= 0x80; value >>= 7U) writeByte(static_cast<std::uint8_t>(value | 0x80U));
    writeByte(static_cast<std::uint8_t>(value));
  }

  void writeBytes(std::string_view bytes) noexcept {
    if (!bytes.empty()) std::memcpy(at_, bytes.data(), bytes.size());
    at_ += bytes.size();
  }

  /// A string or binary data, its length in front.
  void writeString(std::string_view text) noexcept {
    assert(text.size() <= kMaxStringBytes);
    writeTwoBytes(static_cast<std::uint16_t>(text.size()));
    writeBytes(text);
  }

private:
  char* at_;
};

constexpr std::size_t stringSize(std::string_view text) noexcept { return 2 + text.size(); }

}  // namespace mqttstack::mqtt
