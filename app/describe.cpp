#include "app/describe.hpp"

#include <algorithm>
#include <array>
#include <fmt/format.h>

#include "app/config.hpp"

namespace mqttstack {
namespace {

constexpr std::size_t kWidth = 88;

template <class Settings>
std::vector<OptionInfo> optionsOf() {
  OptionTable<Settings> table;
  Settings::declare(table);
  std::vector<OptionInfo> options;
  for (const auto& entry : table.entries()) options.push_back(entry.info);
  return options;
}

/// A table whose keys are names that the file itself gives.
struct NamesTable {
  std::string_view name;
  std::string_view summary;
};
constexpr std::array<NamesTable, 2> kNamesTables{
    {{"pipeline",
      "Which middlewares clients meet, in this order: NAME = [\"connection\", …] for each "
      "pipeline. A listener that names none has the one called \"default\"."},
     {"middleware",
      "[middleware.NAME] has the options of the instance NAME that pipelines list; use = \"…\" in "
      "it says which middleware that is. Left out: the one of that name."}}};

std::string describeOptions(const std::vector<OptionInfo>& options) {
  if (options.empty()) return "\nIt has no options.\n";
  std::string text = "\nOptions:\n";
  for (const OptionInfo& option : options) {
    text += fmt::format("  {} ({}", option.name, option.type);
    if (option.required)
      text += ", required";
    else if (hasDefault(option))
      text += fmt::format(", default {}", option.defaultValue);
    if (!option.range.empty()) text += fmt::format(", {}", option.range);
    text += ")\n" + wrapped(option.text, "      ");
  }
  return text;
}

std::string describeCallbacks(std::string_view what, const std::vector<std::string>& callbacks) {
  if (callbacks.empty()) return {};
  return fmt::format("\n{}:\n{}", what,
                     wrapped(fmt::format("{}", fmt::join(callbacks, ", ")), "  "));
}

}  // namespace

std::vector<ConfigTableInfo> configTables() {
  std::vector<ConfigTableInfo> all{
      {"listener", "[[listener]]", "Where clients connect: one [[listener]] for each address.",
       optionsOf<ListenerSettings>()},
      {"tls", "[listener.tls]",
       "How a listener speaks TLS: tls = { certificate = \"…\", key = \"…\" } in it.",
       optionsOf<TlsSettings>()},
      {"sni", "[[listener.tls.sni]]",
       "A further certificate, for clients that ask for one of its names. Who asks for none, or "
       "for one that no certificate has, gets that of [listener.tls].",
       optionsOf<SniSettings>()},
      {"limits", "[limits]", "What holds for the broker as a whole: one [limits].",
       optionsOf<LimitSettings>()},
      {"log", "[log]", "What is written to stderr: one [log].", optionsOf<LogSettings>()}};
  all.front().options.push_back(
      {"tls", "table", "", "", "Clients speak TLS, at least 1.2. Left out: they speak plain MQTT.",
       false});
  return all;
}

bool hasDefault(const OptionInfo& option) {
  return !option.defaultValue.empty() && option.defaultValue != "\"\"";
}

std::string wrapped(std::string_view text, std::string_view indent) {
  std::string all;
  std::string line;
  const auto finish = [&] {
    all += std::string{indent} + line + '\n';
    line.clear();
  };
  for (std::size_t begin = 0; begin < text.size();) {
    const std::size_t end = std::min(text.find(' ', begin), text.size());
    const std::string_view word = text.substr(begin, end - begin);
    if (!line.empty() && indent.size() + line.size() + 1 + word.size() > kWidth) finish();
    if (!line.empty()) line += ' ';
    line += word;
    begin = end + 1;
  }
  if (!line.empty()) finish();
  return all;
}

std::string describeAll(const Registry& registry) {
  const std::vector<std::string> names = describableNames(registry);
  std::size_t width = 0;
  for (const std::string& name : names) width = std::max(width, name.size());
  std::string text = "Middlewares:\n";
  for (const std::string& name : registry.names())
    text += fmt::format("  {:{}}  {}\n", name, width, registry.info(name).summary);
  text += "\nOther tables of the file:\n";
  for (const ConfigTableInfo& section : configTables())
    text += fmt::format("  {:{}}  {}\n", section.name, width, section.summary);
  for (const NamesTable& table : kNamesTables)
    text += fmt::format("  {:{}}  {}\n", table.name, width, table.summary);
  return text;
}

std::string describe(const Registry& registry, std::string_view name) {
  for (const ConfigTableInfo& section : configTables())
    if (section.name == name)
      return fmt::format("{}\n\n{}{}", section.name, wrapped(section.summary, ""),
                         describeOptions(section.options));
  for (const NamesTable& table : kNamesTables)
    if (table.name == name) return fmt::format("{}\n\n{}", name, wrapped(table.summary, ""));
  if (!registry.has(name)) return {};
  const MiddlewareInfo& info = registry.info(name);
  return fmt::format("{}\n\n{}", info.name, wrapped(info.summary, "")) +
         describeOptions(info.options) + describeCallbacks("Handles", info.handles) +
         describeCallbacks("Executes (somebody has to handle it)", info.executes) +
         describeCallbacks("Executes (nobody needs to handle it)", info.mayExecute);
}

std::vector<std::string> describableNames(const Registry& registry) {
  std::vector<std::string> names = registry.names();
  for (const ConfigTableInfo& section : configTables()) names.push_back(section.name);
  for (const NamesTable& table : kNamesTables) names.emplace_back(table.name);
  return names;
}

}  // namespace mqttstack
