#pragma once

#include <cstddef>
#include <string>
#include <string_view>

namespace mqttstack::mqtt {

/// `text` as it may stand between quotes in a log line, whoever chose it: a
/// client id, topic or user name. Control characters, bytes that are not UTF-8,
/// and characters that break or reorder a line come out as `\xNN` per byte, the
/// backslash and the double quote behind a backslash.
///
/// The result has at most `maxBytes` bytes; what is cut off at a character's
/// end is replaced by an ellipsis, which counts. REQUIRES: maxBytes >= 3.
std::string printable(std::string_view text, std::size_t maxBytes = 128);

}  // namespace mqttstack::mqtt
