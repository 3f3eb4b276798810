#include "app/listeners.hpp"

#include <algorithm>
#include <arpa/inet.h>
#include <array>
#include <fmt/format.h>
#include <optional>

#include "core/mqtt/text.hpp"
#include "core/util/file_access.hpp"

namespace mqttstack {
namespace {

/// A numeric host as IPv6, where IPv4 addresses have their mapped form.
std::optional<std::array<unsigned char, 16>> numericAddress(const std::string& host) {
  std::array<unsigned char, 16> bytes{};
  if (::inet_pton(AF_INET6, host.c_str(), bytes.data()) == 1) return bytes;
  bytes = {0, 0, 0, 0, 0, 0, 0, 0, 0, 0, 0xff, 0xff};
  if (::inet_pton(AF_INET, host.c_str(), bytes.data() + 12) == 1) return bytes;
  return std::nullopt;
}

bool isV4(const std::array<unsigned char, 16>& address) {
  constexpr std::array<unsigned char, 12> kMapped{0, 0, 0, 0, 0, 0, 0, 0, 0, 0, 0xff, 0xff};
  return std::equal(kMapped.begin(), kMapped.end(), address.begin());
}

bool isEveryAddress(const std::array<unsigned char, 16>& address) {
  const auto first = address.begin() + (isV4(address) ? 12 : 0);
  return std::all_of(first, address.end(), [](unsigned char byte) { return byte == 0; });
}

class Planner {
public:
  Planner(const Config& config, const Pipelines& pipelines, ConfigReport& report)
      : config_{config},
        pipelines_{pipelines},
        report_{report} {}

  std::vector<std::unique_ptr<ListenerPlan>> plan() {
    for (std::size_t i = 0; i < config_.listeners.size(); ++i) plan(config_.listeners[i], i);
    warnOfUnusedPipelines();
    return std::move(plans_);
  }

private:
  void plan(const ListenerConfig& listener, std::size_t index) {
    const ListenerSettings& settings = listener.settings;
    auto plan = std::make_unique<ListenerPlan>();
    plan->policy.name = plan->socket.name = settings.name;
    plan->policy.maximumPacketSize = settings.maximumPacketSize.count;
    plan->policy.maximumConnectSize =
        std::min(plan->policy.maximumConnectSize, plan->policy.maximumPacketSize);
    plan->pipeline = findPipeline(listener);
    checkName(listener, index);
    loadTls(listener, *plan);
    if (!settings.bind.empty()) {
      if (auto endpoint = net::parseEndpoint(settings.bind)) {
        plan->socket.endpoint = *endpoint;
        checkBind(listener, *endpoint);
        decideAnonymous(listener, *plan);
      } else {
        report_.error(listener.section.valueAt("bind"), endpoint.error());
      }
    }
    plans_.push_back(std::move(plan));
  }

  const Pipeline* findPipeline(const ListenerConfig& listener) {
    const std::string& name = listener.settings.pipeline;
    if (const Pipeline* found = pipelines_.find(name)) return found;
    std::vector<std::string> names;
    for (const PipelineConfig& pipeline : config_.pipelines) names.push_back(pipeline.name);
    if (!names.empty())
      report_.error(listener.section.valueAt("pipeline"),
                    listener.section.says("pipeline")
                        ? fmt::format("unknown pipeline \"{}\"", mqtt::printable(name))
                        : "there is no pipeline \"default\" for this listener",
                    helpWithName(name, names, "add pipeline = \"…\" with one of:"));
    return nullptr;
  }

  void checkName(const ListenerConfig& listener, std::size_t index) {
    if (!listener.section.says("name")) return;
    for (std::size_t i = 0; i < index; ++i)
      if (config_.listeners[i].settings.name == listener.settings.name)
        return report_.error(
            listener.section.valueAt("name"),
            fmt::format("two listeners are called \"{}\"", mqtt::printable(listener.settings.name)),
            fmt::format("the first one is in line {}; give one another name",
                        config_.listeners[i].section.at.line));
  }

  void checkBind(const ListenerConfig& listener, const net::Endpoint& endpoint) {
    for (std::size_t i = 0; i < plans_.size(); ++i)
      if (overlap(plans_[i]->socket.endpoint, endpoint))
        return report_.error(
            listener.section.valueAt("bind"),
            fmt::format("listener \"{}\" listens on {} already",
                        mqtt::printable(plans_[i]->policy.name), plans_[i]->socket.endpoint.text()),
            "choose another port, or take one of the two out");
  }

  /// Clients without credentials come in only where the file says so, or where
  /// they are on this machine and there is nobody to ask for any.
  void decideAnonymous(const ListenerConfig& listener, ListenerPlan& plan) {
    const ConfigSection& section = listener.section;
    const bool said = section.says("allow_anonymous");
    const bool loopback = isLoopback(plan.socket.endpoint);
    plan.policy.allowAnonymous = listener.settings.allowAnonymous;
    if (!plan.pipeline || plan.pipeline->authenticates) return;

    const std::string nobody =
        fmt::format("pipeline \"{}\" authenticates nobody", mqtt::printable(plan.pipeline->name));
    const std::string remedies =
        "add \"authentication\" and for example \"password_file\" to the pipeline, or say "
        "allow_anonymous = true in this listener";
    if (!said && loopback)
      plan.policy.allowAnonymous = plan.anonymousOnLoopback = true;
    else if (!plan.policy.allowAnonymous && loopback)
      report_.warning(section.valueAt("allow_anonymous"),
                      nobody +
                          ", so that no client without credentials gets in and none with "
                          "credentials is checked",
                      remedies);
    else if (!plan.policy.allowAnonymous)
      report_.error(section.valueAt("bind"),
                    fmt::format("listener \"{}\" can be reached from the network, and {}",
                                mqtt::printable(plan.policy.name), nobody),
                    remedies);
  }

  void loadTls(const ListenerConfig& listener, ListenerPlan& plan) {
    if (!listener.tls) return;
    const TlsSettings& tls = *listener.tls;
    const ConfigSection& section = listener.tlsSection;
    const auto readable = [&](std::string_view key, const std::filesystem::path& file) {
      if (file.empty()) return true;
      const auto trouble = findFileTrouble(file);
      if (trouble)
        report_.error(section.valueAt(key),
                      fmt::format("cannot read \"{}\": {}", file.string(), trouble->why),
                      trouble->help, trouble->forbidden ? Fault::permission : Fault::configuration);
      return !trouble;
    };
    bool good = readable("certificate", tls.certificate);
    good = readable("key", tls.key) && good;
    good = readable("client_ca", tls.clientCa) && good;
    if (!tls.clientCa.empty() && tls.clientCertificates == net::ClientCertificates::none)
      report_.error(section.keyAt("client_ca"),
                    "\"client_ca\" has no effect: clients are not "
                    "asked for a certificate",
                    "add client_certificates = \"required\"");
    if (good && isReadableByAll(tls.key))
      report_.warning(section.valueAt("key"),
                      fmt::format("everybody on this machine can read \"{}\"", tls.key.string()),
                      fmt::format("chmod 640 {}", tls.key.string()));
    if (!good || !listener.usable) return;

    plan.clientCertificates = tls.clientCertificates;
    auto context = net::TlsContext::load({.certificateFile = tls.certificate.string(),
                                          .keyFile = tls.key.string(),
                                          .clientCaFile = tls.clientCa.string(),
                                          .clientCertificates = tls.clientCertificates});
    if (context) {
      plan.socket.tls = *context;
      return;
    }
    const std::string& why = context.error();
    const std::string_view key = why.starts_with("TLS certificate") ? "certificate"
                                 : why.starts_with("TLS key")       ? "key"
                                 : section.says("client_ca")        ? "client_ca"
                                                                    : "client_certificates";
    report_.error(section.valueAt(key), why, {},
                  key == "client_certificates" ? Fault::configuration : Fault::data);
  }

  void warnOfUnusedPipelines() {
    for (const PipelineConfig& pipeline : config_.pipelines) {
      const bool used = std::any_of(
          config_.listeners.begin(), config_.listeners.end(),
          [&](const auto& listener) { return listener.settings.pipeline == pipeline.name; });
      if (!used && pipeline.at.line != 0)
        report_.warning(
            pipeline.at,
            fmt::format("no listener uses pipeline \"{}\"", mqtt::printable(pipeline.name)),
            "say pipeline = \"…\" in a [[listener]], or take it out");
    }
  }

  const Config& config_;
  const Pipelines& pipelines_;
  ConfigReport& report_;
  std::vector<std::unique_ptr<ListenerPlan>> plans_;
};

}  // namespace

std::string describePolicy(const ListenerPlan& plan) {
  std::string text = fmt::format(
      "pipeline \"{}\", anonymous {}, {}", mqtt::printable(plan.pipeline->name),
      plan.policy.allowAnonymous ? "allowed" : "refused", plan.socket.tls ? "TLS" : "no TLS");
  if (plan.clientCertificates == net::ClientCertificates::optional)
    text += ", client certificates optional";
  if (plan.clientCertificates == net::ClientCertificates::required)
    text += ", client certificates required";
  return text;
}

std::vector<std::unique_ptr<ListenerPlan>> planListeners(const Config& config,
                                                         const Pipelines& pipelines,
                                                         ConfigReport& report) {
  return Planner{config, pipelines, report}.plan();
}

bool isLoopback(const net::Endpoint& endpoint) {
  const auto address = numericAddress(endpoint.host);
  if (!address) return endpoint.host == "localhost";
  if (isV4(*address)) return (*address)[12] == 127;
  return std::all_of(address->begin(), address->end() - 1, [](auto byte) { return byte == 0; }) &&
         address->back() == 1;
}

bool overlap(const net::Endpoint& a, const net::Endpoint& b) {
  if (a.port != b.port || a.port == 0) return false;
  if (a.host == b.host || a.host == "*" || b.host == "*") return true;
  const auto first = numericAddress(a.host);
  const auto second = numericAddress(b.host);
  if (!first || !second) return false;
  if (*first == *second) return true;
  return isV4(*first) == isV4(*second) && (isEveryAddress(*first) || isEveryAddress(*second));
}

}  // namespace mqttstack
