#include "app/reload.hpp"

#include <algorithm>
#include <fmt/format.h>

#include "core/mqtt/text.hpp"

namespace mqttstack {
namespace {

bool sameTable(const ConfigTable& a, const ConfigTable& b);

bool sameValue(const ConfigValue& a, const ConfigValue& b) {
  if (a.value.index() != b.value.index()) return false;
  if (const auto* table = a.as<ConfigTable>()) return sameTable(*table, *b.as<ConfigTable>());
  if (const auto* list = a.as<ConfigList>())
    return std::equal(list->begin(), list->end(), b.as<ConfigList>()->begin(),
                      b.as<ConfigList>()->end(), sameValue);
  if (const auto* value = a.as<bool>()) return *value == *b.as<bool>();
  if (const auto* value = a.as<std::int64_t>()) return *value == *b.as<std::int64_t>();
  if (const auto* value = a.as<double>())
    return !(*value < *b.as<double>()) && !(*value > *b.as<double>());
  if (const auto* value = a.as<std::string>()) return *value == *b.as<std::string>();
  return true;
}

bool sameTable(const ConfigTable& a, const ConfigTable& b) {
  return a.entries.size() == b.entries.size() &&
         std::all_of(a.entries.begin(), a.entries.end(), [&](const ConfigEntry& entry) {
           const ConfigEntry* other = b.find(entry.key);
           return other && sameValue(entry.value, other->value);
         });
}

bool same(const ListenerConfig& a, const ListenerConfig& b) {
  return sameTable(a.section.table, b.section.table);
}

bool same(const PipelineConfig& a, const PipelineConfig& b) {
  return std::equal(a.instances.begin(), a.instances.end(), b.instances.begin(), b.instances.end(),
                    [](const auto& one, const auto& other) { return one.name == other.name; });
}

bool same(const InstanceConfig& a, const InstanceConfig& b) {
  return sameTable(a.section.table, b.section.table);
}

const std::string& nameOf(const ListenerConfig& listener) { return listener.settings.name; }
const std::string& nameOf(const PipelineConfig& pipeline) { return pipeline.name; }
const std::string& nameOf(const InstanceConfig& instance) { return instance.name; }

template <class Part>
const Part* findIn(const std::vector<Part>& parts, const std::string& name) {
  const auto found = std::find_if(parts.begin(), parts.end(),
                                  [&](const Part& part) { return nameOf(part) == name; });
  return found == parts.end() ? nullptr : &*found;
}

/// Compares the parts of one kind by their names.
template <class Part>
void compare(std::string_view what, const std::vector<Part>& running,
             const std::vector<Part>& wanted, std::vector<std::string>& changes) {
  const auto note = [&](const std::string& name, std::string_view how) {
    changes.push_back(fmt::format("{} \"{}\" {}", what, mqtt::printable(name), how));
  };
  for (const Part& part : running) {
    const Part* now = findIn(wanted, nameOf(part));
    if (!now)
      note(nameOf(part), "was removed");
    else if (!same(part, *now))
      note(nameOf(part), "changed");
  }
  for (const Part& part : wanted)
    if (!findIn(running, nameOf(part))) note(nameOf(part), "was added");
}

}  // namespace

std::vector<std::string> changesThatNeedRestart(const Config& running, const Config& wanted) {
  std::vector<std::string> changes;
  if (running.limits.maximumConnections != wanted.limits.maximumConnections)
    changes.emplace_back("[limits] changed");
  compare("listener", running.listeners, wanted.listeners, changes);
  compare("pipeline", running.pipelines, wanted.pipelines, changes);
  compare("middleware", running.instances, wanted.instances, changes);
  return changes;
}

}  // namespace mqttstack
