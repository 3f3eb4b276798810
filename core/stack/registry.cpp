#include "core/stack/registry.hpp"

#include <cassert>

namespace mqttstack {

std::unique_ptr<Middleware> Registry::make(std::string_view type, Setup& setup,
                                           const OptionValues& values,
                                           const std::filesystem::path& base,
                                           Diagnostics& diagnostics) const {
  assert(has(type));
  return types_.find(type)->second.make(setup, values, base, diagnostics);
}

std::vector<std::string> Registry::names() const {
  std::vector<std::string> names;
  for (const auto& [name, type] : types_) names.push_back(name);
  return names;
}

std::vector<std::string> Registry::handlersOf(std::string_view callback) const {
  std::vector<std::string> names;
  for (const auto& [name, type] : types_)
    if (std::find(type.info.handles.begin(), type.info.handles.end(), callback) !=
        type.info.handles.end())
      names.push_back(name);
  return names;
}

void Registry::insert(Type type) {
  std::string name = type.info.name;
  if (!types_.try_emplace(name, std::move(type)).second)
    throw std::logic_error{"middleware registered twice: " + name};
}

void detail::reportUnknownOption(std::string_view name, const std::vector<std::string>& known,
                                 Diagnostics& diagnostics) {
  std::string help;
  if (const std::string_view meant = closestName(name, known); !meant.empty()) {
    help = "did you mean \"" + std::string{meant} + "\"?";
  } else if (known.empty()) {
    help = "it has no options";
  } else {
    help = "its options are:";
    for (const std::string& option : known) help += (&option == &known[0] ? " " : ", ") + option;
  }
  diagnostics.errorAt(name, "unknown option \"" + std::string{name} + "\"", std::move(help));
}

}  // namespace mqttstack
