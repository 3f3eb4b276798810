#pragma once

#include <cstddef>
#include <cstdint>
#include <string_view>

namespace mqttstack::mqtt {

/// True if `text` is well-formed UTF-8 as MQTT wants it: no overlong forms, no
/// surrogates, nothing above U+10FFFF, no U+0000. [v5:1.5.4-1] [v5:1.5.4-2]
bool isValidUtf8(std::string_view text) noexcept;

/// What one pass over the text of a topic name finds.
enum class TopicText : std::uint8_t {
  invalid,   ///< not valid UTF-8, or U+0000 in it
  plain,     ///< valid; may be empty
  wildcard,  ///< valid, with a `+` or `#` in it
};

/// isValidUtf8() and the search for wildcards in one pass, for the decoder.
TopicText scanTopicText(std::string_view text) noexcept;

/// The size of the well-formed character that `text` starts with, 1 to 4
/// bytes, or 0 if there is none. U+0000 counts as a character.
std::size_t leadingCharacterSize(std::string_view text) noexcept;

}  // namespace mqttstack::mqtt
