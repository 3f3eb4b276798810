#include "app/pipelines.hpp"

#include <algorithm>
#include <fmt/format.h>

#include "app/pipeline_check.hpp"
#include "core/mqtt/text.hpp"
#include "core/stack/names_listeners.hpp"
#include "core/stack/reloadable.hpp"

namespace mqttstack {
namespace {

bool contains(const std::vector<std::string>& names, std::string_view name) {
  return std::find(names.begin(), names.end(), name) != names.end();
}

OptionValues optionValues(const ConfigSection& section, const MiddlewareInfo& info) {
  OptionValues values;
  for (const ConfigEntry& entry : section.table.entries) {
    if (entry.key == "use") continue;
    const auto option = std::find_if(info.options.begin(), info.options.end(),
                                     [&](const auto& each) { return each.name == entry.key; });
    const std::string type = option == info.options.end() ? "" : option->type;
    values.emplace_back(entry.key, toOptionValue(entry.value, type));
  }
  return values;
}

/// Takes out the options that something is wrong with.
OptionValues withoutWrong(OptionValues values, const Diagnostics& diagnostics) {
  for (const Finding& finding : diagnostics.findings())
    if (finding.severity == Severity::error)
      std::erase_if(values, [&](const auto& each) { return each.first == finding.place.option; });
  return values;
}

}  // namespace

std::string describeMembers(const Pipeline& pipeline) {
  std::string text;
  for (const auto& [instance, type] : pipeline.members) {
    if (!text.empty()) text += ", ";
    text += mqtt::printable(instance);
    if (instance != type) text += " (" + type + ")";
  }
  return text;
}

Pipelines::Pipelines(const Config& config, const Services& services, ConfigReport& report)
    : config_{config},
      services_{services},
      report_{&report} {
  makeInstances();
  for (const PipelineConfig& pipeline : config_.pipelines) wire(pipeline);
  checkUnlisted();
  checkStores();
  checkListenerNames();
  report_ = nullptr;
}

Pipelines::~Pipelines() {
  stop();
  pipelines_.clear();
  while (!instances_.empty()) instances_.pop_back();
}

const Pipeline* Pipelines::find(std::string_view name) const noexcept {
  const auto found = std::find_if(pipelines_.begin(), pipelines_.end(),
                                  [name](const auto& each) { return each.name == name; });
  return found == pipelines_.end() ? nullptr : &*found;
}

const Pipelines::Instance* Pipelines::instance(std::string_view name) const noexcept {
  const auto found = std::find_if(instances_.begin(), instances_.end(),
                                  [name](const auto& each) { return each.name == name; });
  return found == instances_.end() ? nullptr : &*found;
}

// Making.

void Pipelines::makeInstances() {
  const Registry& registry = services_.registry;
  // Instances that have a table; also those that nobody lists, to check their options.
  for (const InstanceConfig& each : config_.instances) {
    const SourceSpan typeAt = each.section.valueAt("use");
    if (registry.has(each.type)) {
      makeInstance(each.name, &each.section, each.section.at, each.type);
    } else if (each.section.says("use")) {
      report_->error(typeAt, fmt::format("unknown middleware \"{}\"", mqtt::printable(each.type)),
                     helpWithName(each.type, registry.names(), "there are:"));
    } else if (closestName(each.name, registry.names()).empty()) {
      report_->error(
          each.section.at,
          fmt::format("which middleware \"{}\" is, is not said", mqtt::printable(each.name)),
          helpWithName(each.name, registry.names(), "add use = \"…\" with one of:"));
    } else {
      report_->error(each.section.at,
                     fmt::format("unknown middleware \"{}\"", mqtt::printable(each.name)),
                     helpWithName(each.name, registry.names(), "there are:"));
    }
  }
  // Those without one have the name of their middleware.
  for (const PipelineConfig& pipeline : config_.pipelines)
    for (const InstanceRef& each : pipeline.instances)
      if (!config_.instance(each.name) && !instance(each.name) && registry.has(each.name))
        makeInstance(each.name, nullptr, each.at, each.name);
}

void Pipelines::makeInstance(const std::string& name, const ConfigSection* section, SourceSpan at,
                             const std::string& type) {
  const OptionValues values =
      section ? optionValues(*section, services_.registry.info(type)) : OptionValues{};
  Setup setup{name,          fields_,        services_.scheduler, services_.metrics,
              services_.log, services_.loop, services_.giveUp,    services_.thorough};
  Diagnostics diagnostics;
  diagnostics.setPlace({{}, name, {}});
  Instance made{name, type, nullptr, false};
  made.middleware = services_.registry.make(type, setup, values, config_.base, diagnostics);
  for (const Finding& finding : diagnostics.findings()) {
    const std::string& option = finding.place.option;
    const bool said = section && section->says(option);
    SourceSpan where = at;
    if (said) where = isOption(type, option) ? section->valueAt(option) : section->keyAt(option);
    report_->add(
        {finding.severity, where,
         said ? finding.message : fmt::format("\"{}\": {}", mqtt::printable(name), finding.message),
         finding.help, finding.fault});
  }
  // Its pipelines are checked all the same, with what is right of its options.
  if (!made.middleware) {
    Diagnostics ignored;
    made.middleware = services_.registry.make(type, setup, withoutWrong(values, diagnostics),
                                              config_.base, ignored);
  }
  instances_.push_back(std::move(made));
}

bool Pipelines::isOption(const std::string& type, std::string_view name) const {
  const std::vector<OptionInfo>& options = services_.registry.info(type).options;
  return std::any_of(options.begin(), options.end(),
                     [name](const OptionInfo& option) { return option.name == name; });
}

void Pipelines::wire(const PipelineConfig& config) {
  Pipeline pipeline{
      config.name,
      {},
      std::make_unique<Stack>(config.name, fields_, Logger{services_.log, config.name}),
      false};
  const bool complete = addMembers(config, pipeline);
  bool otherwise = false;
  for (const Pipeline::Member& member : pipeline.members) {
    if (info(member).asks(AuthenticateConnection::kName)) pipeline.authenticates = true;
    if (!info(member).answers(AuthenticateConnection::kName)) continue;
    (info(member).needsCertificate ? pipeline.needsCertificates : otherwise) = true;
  }
  pipeline.needsCertificates = pipeline.needsCertificates && !otherwise;
  if (complete) {
    Diagnostics diagnostics;
    checkPipeline(services_.registry, pipeline, diagnostics);
    file(diagnostics, *report_);
  }
  pipelines_.push_back(std::move(pipeline));
}

/// Returns whether every name was good.
bool Pipelines::addMembers(const PipelineConfig& config, Pipeline& pipeline) {
  bool complete = true;
  std::vector<std::string> seen;
  for (const InstanceRef& each : config.instances) {
    if (contains(seen, each.name)) {
      report_->error(each.at,
                     fmt::format("pipeline \"{}\" lists \"{}\" twice", mqtt::printable(config.name),
                                 mqtt::printable(each.name)),
                     "a packet meets an instance once; make a second one with [middleware.NAME] "
                     "and use = \"…\"");
      continue;
    }
    seen.push_back(each.name);
    if (const Instance* made = instance(each.name)) {
      pipeline.members.push_back({made->name, made->type});
      if (made->middleware) pipeline.stack->use(*made->middleware);
      continue;
    }
    complete = false;
    if (config_.instance(each.name)) continue;  // its table was found wrong
    std::vector<std::string> names = services_.registry.names();
    for (const InstanceConfig& other : config_.instances) names.push_back(other.name);
    std::string help = helpWithName(each.name, names, "there are:");
    if (each.at.line == 0) help = "this build lacks a middleware of the built-in pipeline";
    report_->error(each.at, fmt::format("unknown middleware \"{}\"", mqtt::printable(each.name)),
                   std::move(help));
  }
  return complete && !config.instances.empty();
}

// Checking.

/// An instance that was meant to protect something must not be forgotten.
void Pipelines::checkUnlisted() {
  for (const InstanceConfig& each : config_.instances) {
    const bool listed = std::any_of(
        config_.pipelines.begin(), config_.pipelines.end(), [&](const PipelineConfig& pipeline) {
          return std::any_of(pipeline.instances.begin(), pipeline.instances.end(),
                             [&](const InstanceRef& ref) { return ref.name == each.name; });
        });
    if (!listed)
      report_->error(each.section.at,
                     fmt::format("no pipeline lists \"{}\"", mqtt::printable(each.name)),
                     "add it to a pipeline, or take its table out");
  }
}

/// Who can read its file again lets others read it too; who cannot has it for itself.
void Pipelines::checkStores() {
  const auto owns = [this](const Instance& each) {
    const auto& options = services_.registry.info(each.type).options;
    return each.middleware && !dynamic_cast<const Reloadable*>(each.middleware.get()) &&
           std::any_of(options.begin(), options.end(),
                       [](const OptionInfo& option) { return option.type == "path"; });
  };
  const auto filesOf = [this](const Instance& each) {
    std::vector<std::filesystem::path> files = pathsOf(each);
    std::error_code ignored;
    for (auto& file : files) file = std::filesystem::weakly_canonical(file, ignored);
    return files;
  };
  for (auto each = instances_.begin(); each != instances_.end(); ++each) {
    if (!owns(*each)) continue;
    const auto other = std::find_if(instances_.begin(), each, [&](const Instance& earlier) {
      return earlier.type == each->type && owns(earlier) && filesOf(earlier) == filesOf(*each);
    });
    if (other == each) continue;
    report_->error(locate({{}, each->name, "path"}),
                   fmt::format("\"{}\" and \"{}\" would have the same file",
                               mqtt::printable(other->name), mqtt::printable(each->name)),
                   "give one of them another path, or let both pipelines list the same one");
  }
}

/// A rule about a listener that there is not holds for nobody, also one that denies.
void Pipelines::checkListenerNames() {
  std::vector<std::string> names;
  for (const ListenerConfig& listener : config_.listeners) names.push_back(listener.settings.name);
  for (const Instance& each : instances_) {
    const auto* about = dynamic_cast<const NamesListeners*>(each.middleware.get());
    if (!about) continue;
    for (const std::string& name : about->listenersNamed())
      if (!contains(names, name))
        report_->warning(
            locate({{}, each.name, "path"}),
            fmt::format("\"{}\" has rules about listener \"{}\", and there is none of that name",
                        mqtt::printable(each.name), mqtt::printable(name)),
            helpWithName(name, names, "there are:"));
  }
}

void Pipelines::file(const Diagnostics& diagnostics, ConfigReport& report) const {
  for (const Finding& finding : diagnostics.findings()) {
    const SourceSpan at = locate(finding.place);
    std::string message = finding.message;
    if (at.line == 0 && !finding.place.instance.empty())
      message = fmt::format("\"{}\": {}", mqtt::printable(finding.place.instance), message);
    report.add({finding.severity, at, std::move(message), finding.help, finding.fault});
  }
}

/// The option if the file says it, else where the pipeline lists the instance,
/// else its table, else the pipeline.
SourceSpan Pipelines::locate(const ConfigPlace& place) const {
  const InstanceConfig* table = config_.instance(place.instance);
  if (table && !place.option.empty() && table->section.says(place.option))
    return table->section.valueAt(place.option);
  const PipelineConfig* pipeline = config_.pipeline(place.pipeline);
  if (pipeline)
    for (const InstanceRef& each : pipeline->instances)
      if (each.name == place.instance && each.at.line != 0) return each.at;
  if (table) return table->section.at;
  if (pipeline) return pipeline->at;
  for (const PipelineConfig& any : config_.pipelines)
    for (const InstanceRef& each : any.instances)
      if (each.name == place.instance) return each.at;
  return {};
}

// Running.

bool Pipelines::start(ConfigReport& report) {
  Diagnostics diagnostics;
  for (Instance& each : instances_) {
    const std::size_t before = diagnostics.errorCount();
    diagnostics.setPlace({{}, each.name, {}});
    each.middleware->start(diagnostics);
    each.started = diagnostics.errorCount() == before;
  }
  file(diagnostics, report);
  if (diagnostics.hasErrors()) stop();
  return !diagnostics.hasErrors();
}

void Pipelines::reload(ConfigReport& report) {
  Diagnostics diagnostics;
  for (const Instance& each : instances_) reload(each, diagnostics);
  file(diagnostics, report);
}

void Pipelines::reload(std::string_view name, ConfigReport& report) {
  Diagnostics diagnostics;
  if (const Instance* found = instance(name)) reload(*found, diagnostics);
  file(diagnostics, report);
}

void Pipelines::reload(const Instance& each, Diagnostics& diagnostics) {
  diagnostics.setPlace({{}, each.name, {}});
  auto* const reloadable = dynamic_cast<Reloadable*>(each.middleware.get());
  if (!reloadable) return;
  try {
    reloadable->reload(diagnostics);
  } catch (const std::exception& exception) {
    // Whatever goes wrong with a file must not end who is being served.
    diagnostics.error(fmt::format("its files cannot be read anew: {}", exception.what()));
  }
}

std::vector<Pipelines::Reader> Pipelines::readers() const {
  std::vector<Reader> all;
  for (const Instance& each : instances_) {
    if (!dynamic_cast<const Reloadable*>(each.middleware.get())) continue;
    Reader reader{each.name, pathsOf(each)};
    if (!reader.files.empty()) all.push_back(std::move(reader));
  }
  return all;
}

/// What the file gives its options of the kind "path".
std::vector<std::filesystem::path> Pipelines::pathsOf(const Instance& instance) const {
  std::vector<std::filesystem::path> paths;
  const InstanceConfig* config = config_.instance(instance.name);
  if (!config) return paths;
  for (const OptionInfo& option : services_.registry.info(instance.type).options) {
    const ConfigEntry* entry = config->section.table.find(option.name);
    std::filesystem::path path;
    if (option.type == "path" && entry &&
        detail::convert(toOptionValue(entry->value, option.type), path, config_.base).empty())
      paths.push_back(std::move(path));
  }
  return paths;
}

void Pipelines::stop() noexcept {
  // What still waits for an answer gets none any more; its client can go then.
  for (const Pipeline& pipeline : pipelines_)
    if (pipeline.stack) pipeline.stack->cancelWalks();
  for (auto each = instances_.rbegin(); each != instances_.rend(); ++each)
    if (std::exchange(each->started, false)) each->middleware->stop();
}

}  // namespace mqttstack
