#include "app/check_command.hpp"

#include <filesystem>
#include <fmt/format.h>
#include <iostream>
#include <netdb.h>
#include <optional>
#include <sys/socket.h>
#include <unistd.h>

#include "app/config.hpp"
#include "app/console.hpp"
#include "app/daemon.hpp"
#include "app/user_access.hpp"
#include "core/mqtt/text.hpp"
#include "core/net/tls_files.hpp"

namespace mqttstack {
namespace {

/// Who runs the broker where it was installed from a package.
constexpr const char* kServiceUser = "mqtt-stackd";

/// Warns of files that the configuration names and that a user can't read.
class AccessCheck {
public:
  AccessCheck(const Config& config, const UserIdentity& user, ConfigReport& report)
      : config_{config},
        user_{user},
        report_{report} {}

  void run(const Registry& registry) {
    check({}, config_.source.name());
    for (const ListenerConfig& listener : config_.listeners) {
      if (!listener.tls) continue;
      check(listener.tlsSection.valueAt("certificate"), listener.tls->certificate);
      check(listener.tlsSection.valueAt("key"), listener.tls->key);
      for (const auto& file : net::certificatesIn(listener.tls->clientCa))
        check(listener.tlsSection.valueAt("client_ca"), file);
      check(listener.tlsSection.valueAt("client_crl"), listener.tls->clientCrl);
      for (const SniConfig& each : listener.sni) {
        check(each.section.valueAt("certificate"), each.settings.certificate);
        check(each.section.valueAt("key"), each.settings.key);
      }
    }
    for (const InstanceConfig& instance : config_.instances)
      if (registry.has(instance.type)) checkPaths(instance.section, registry.info(instance.type));
  }

private:
  void checkPaths(const ConfigSection& section, const MiddlewareInfo& info) {
    for (const OptionInfo& option : info.options) {
      const ConfigEntry* entry = section.table.find(option.name);
      if (option.type != "path" || !entry) continue;
      std::filesystem::path path;
      if (detail::convert(toOptionValue(entry->value, option.type), path, config_.base).empty())
        check(entry->value.at, path);
    }
  }

  void check(SourceSpan at, const std::filesystem::path& file) {
    std::error_code error;
    if (!std::filesystem::is_regular_file(file, error)) return;
    const auto obstacle = findAccessObstacle(user_, file);
    if (!obstacle) return;
    const std::string where =
        obstacle->path == file || !obstacle->directory
            ? std::string{}
            : fmt::format(", since it may not enter \"{}\"", obstacle->path.string());
    report_.warning(
        at, fmt::format("user \"{}\" cannot read \"{}\"{}", user_.name, file.string(), where),
        remedyFor(*obstacle, user_));
  }

  const Config& config_;
  const UserIdentity& user_;
  ConfigReport& report_;
};

/// Listeners whose name no name server knows. Takes as long as these take.
void checkNames(const Config& config, const Daemon& daemon, ConfigReport& report) {
  for (std::size_t i = 0; i < daemon.listeners().size(); ++i) {
    const std::string& host = daemon.listeners()[i]->socket.endpoint.host;
    if (host.empty() || host == "*") continue;
    addrinfo hints{};
    hints.ai_socktype = SOCK_STREAM;
    hints.ai_flags = AI_PASSIVE;
    addrinfo* found = nullptr;
    const int failed = ::getaddrinfo(host.c_str(), nullptr, &hints, &found);
    if (failed != 0)
      report.error(config.listeners[i].section.valueAt("bind"),
                   fmt::format("no address of \"{}\" is known: {}", mqtt::printable(host),
                               ::gai_strerror(failed)),
                   "write an address of this machine");
    else
      ::freeaddrinfo(found);
  }
}

}  // namespace

ExitCode checkConfiguration(const CheckOptions& options, const Registry& registry) {
  std::optional<UserIdentity> user;
  if (!options.user.empty() || ::geteuid() == 0)
    user = findUser(options.user.empty() ? kServiceUser : options.user);
  if (!options.user.empty() && !user) {
    std::cerr << fmt::format("mqtt-stackd: there is no user \"{}\"\n",
                             mqtt::printable(options.user));
    return ExitCode::usage;
  }
  auto source = readSource(options.configFile);
  if (!source) {
    const auto [line, code] = describeUnreadable(options.configFile, source.error());
    std::cerr << line << '\n';
    return code;
  }
  ConfigReport report;
  const Config config = readConfig(std::move(source).value(), report);
  const LogSink silent;
  const Daemon daemon{config, registry, silent, report, Daemon::Purpose::check};
  if (user) AccessCheck{config, *user, report}.run(registry);
  checkNames(config, daemon, report);
  report.print(std::cerr, config.source, colourOf(STDERR_FILENO));
  if (report.hasErrors()) return report.exitCode();
  if (options.quiet) return ExitCode::success;
  for (const auto& plan : daemon.listeners())
    std::cout << fmt::format("listener \"{}\": {} ({})\n", mqtt::printable(plan->policy.name),
                             plan->socket.endpoint.text(), describePolicy(*plan));
  for (const Pipeline& pipeline : daemon.pipelines().all())
    std::cout << fmt::format("pipeline {}: {}\n", mqtt::printable(pipeline.name),
                             describeMembers(pipeline));
  std::cout << config.source.name() << ": OK\n";
  return ExitCode::success;
}

}  // namespace mqttstack
