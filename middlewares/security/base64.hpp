#pragma once

#include <optional>
#include <string>
#include <string_view>

namespace mqttstack {

/// Base64 as RFC 4648 has it: the usual alphabet with padding, or the one for
/// URLs without, which JSON web tokens use.
enum class Base64 : bool { standard, url };

std::string encodeBase64(std::string_view bytes, Base64 kind = Base64::standard);

/// Nothing if `text` is not exactly what encodeBase64() makes of some bytes: no
/// blanks, no missing or superfluous padding, no stray bits, so that one value
/// has one spelling.
std::optional<std::string> decodeBase64(std::string_view text, Base64 kind = Base64::standard);

}  // namespace mqttstack
