#include "core/util/environment.hpp"

#include <cstdlib>

namespace mqttstack {

std::optional<std::string> environmentVariable(const char* name) {
  const char* value = std::getenv(name);
  if (!value) return std::nullopt;
  return value;
}

std::optional<std::string> takeEnvironmentVariable(const char* name) {
  auto value = environmentVariable(name);
  ::unsetenv(name);
  return value;
}

Expected<std::string, std::string> expandVariables(std::string_view text) {
  std::string expanded;
  for (std::size_t begin; (begin = text.find("${")) != std::string_view::npos;) {
    const std::size_t end = text.find('}', begin);
    if (end == std::string_view::npos)
      return Unexpected{std::string{"a path in which every \"${\" has its \"}\""}};
    const std::string name{text.substr(begin + 2, end - begin - 2)};
    const auto value = environmentVariable(name.c_str());
    if (!value) {
      std::string expected = "a path whose variables are set, and \"" + name + "\" is not";
      if (name == "CREDENTIALS_DIRECTORY")
        expected += ": systemd sets it for a unit that says LoadCredential=";
      return Unexpected{std::move(expected)};
    }
    expanded.append(text.substr(0, begin)).append(*value);
    text.remove_prefix(end + 1);
  }
  return expanded.append(text);
}

}  // namespace mqttstack
