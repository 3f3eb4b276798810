#pragma once

#include <filesystem>
#include <functional>
#include <memory>
#include <string>
#include <string_view>
#include <vector>

#include "app/config.hpp"
#include "app/config_report.hpp"
#include "core/stack/registry.hpp"
#include "core/stack/stack.hpp"
#include "core/util/worker.hpp"

namespace mqttstack {

/// What the middlewares of a configuration stand on. Outlives them.
struct Services {
  const Registry& registry;
  Scheduler& scheduler;
  Metrics& metrics;
  const LogSink& log;
  LoopExecutor& loop;
  std::function<void()> giveUp{};  ///< see Setup, as the next
  bool thorough = false;
};

/// A pipeline that clients can be sent through.
struct Pipeline {
  struct Member {
    std::string instance;
    std::string type;
  };
  std::string name;
  std::vector<Member> members;  ///< in their order; those that could be made
  std::unique_ptr<Stack> stack;
  bool authenticates = false;      ///< somebody in it asks who a client is
  bool needsCertificates = false;  ///< who is asked judges by certificates only
};

/// "connection, keep_alive, passwords (password_file)"
std::string describeMembers(const Pipeline& pipeline);

/// All middleware instances of a configuration, and the pipelines that they are
/// wired to. An instance is made once, however many pipelines list it.
///
/// Making it has no effects and reports everything that is wrong with the
/// pipelines; between start() and stop() it may have clients. What was made with
/// errors is good for the rest of the checks only.
class Pipelines {
public:
  Pipelines(const Config& config, const Services& services, ConfigReport& report);
  Pipelines(const Pipelines&) = delete;
  Pipelines& operator=(const Pipelines&) = delete;
  ~Pipelines();

  /// Null if there is none of that name.
  const Pipeline* find(std::string_view name) const noexcept;
  const std::vector<Pipeline>& all() const noexcept { return pipelines_; }

  /// Starts every instance. If some cannot be, the others are stopped again, and
  /// `report` tells of all of them. REQUIRES: it was made without errors.
  bool start(ConfigReport& report);
  /// Has every instance read its files anew that can (Reloadable). What is wrong
  /// goes to `report`; who finds something wrong goes on as it was.
  void reload(ConfigReport& report);
  /// The instances that read files which may change while they run, with those
  /// files: what their options of the kind "path" name.
  struct Reader {
    std::string instance;
    std::vector<std::filesystem::path> files;
  };
  std::vector<Reader> readers() const;
  /// The same for one of readers().
  void reload(std::string_view instance, ConfigReport& report);
  /// Stops every instance that was started, the last one first.
  void stop() noexcept;

private:
  struct Instance {
    std::string name;
    std::string type;
    std::unique_ptr<Middleware> middleware;  // null: its options are wrong
    bool started = false;
  };

  /// `section` may be null; `at` is where to report what stands in none of its lines.
  void makeInstance(const std::string& name, const ConfigSection* section, SourceSpan at,
                    const std::string& type);
  bool isOption(const std::string& type, std::string_view name) const;
  void makeInstances();
  void wire(const PipelineConfig& pipeline);
  bool addMembers(const PipelineConfig& config, Pipeline& pipeline);
  void checkUnlisted();
  void checkStores();
  void checkListenerNames();
  void file(const Diagnostics& diagnostics, ConfigReport& report) const;
  SourceSpan locate(const ConfigPlace& place) const;
  const Instance* instance(std::string_view name) const noexcept;
  std::vector<std::filesystem::path> pathsOf(const Instance& instance) const;
  static void reload(const Instance& each, Diagnostics& diagnostics);
  const MiddlewareInfo& info(const Pipeline::Member& member) const {
    return services_.registry.info(member.type);
  }

  const Config& config_;
  Services services_;
  ConfigReport* report_;  // while it is made
  ClientFields fields_;
  std::vector<Instance> instances_;
  std::vector<Pipeline> pipelines_;
};

}  // namespace mqttstack
