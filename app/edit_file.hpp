#pragma once

#include <filesystem>
#include <functional>
#include <string>
#include <system_error>

namespace mqttstack {

/// Has a file's text changed by `change`, and the file replaced in one step:
/// who reads it sees the old text or the new one, also after a crash. A file
/// that exists keeps its mode and owner, and a symbolic link stays one; a new
/// file is its owner's alone (mode 0600). Two who edit at once do so one after
/// the other.
///
/// `change` gets the text, empty for a new file, and returns false to leave
/// everything as it is.
std::error_code editFile(const std::filesystem::path& path,
                         const std::function<bool(std::string& text)>& change);

}  // namespace mqttstack
