#pragma once

#include <string_view>

namespace mqttstack::mqtt {

/// True if `text` is well-formed UTF-8 as MQTT wants it: no overlong forms, no
/// surrogates, nothing above U+10FFFF, no U+0000. [v5:1.5.4-1] [v5:1.5.4-2]
bool isValidUtf8(std::string_view text) noexcept;

}  // namespace mqttstack::mqtt
