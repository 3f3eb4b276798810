#include "core/stack/registry.hpp"

#include <cassert>

namespace mqttstack {
namespace {

bool contains(const std::vector<std::string>& names, std::string_view name) {
  return std::find(names.begin(), names.end(), name) != names.end();
}

}  // namespace

bool MiddlewareInfo::answers(std::string_view callback) const {
  return contains(handles, callback) && !contains(filters, callback);
}

bool MiddlewareInfo::asks(std::string_view callback) const {
  return contains(executes, callback) || contains(mayExecute, callback);
}

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
  return namesWhere(
      [callback](const MiddlewareInfo& info) { return contains(info.handles, callback); });
}

std::vector<std::string> Registry::namesWhere(
    const std::function<bool(const MiddlewareInfo&)>& wanted) const {
  std::vector<std::string> names;
  for (const auto& [name, type] : types_)
    if (wanted(type.info)) names.push_back(name);
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
