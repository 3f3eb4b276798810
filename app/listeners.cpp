#include "app/listeners.hpp"

#include <algorithm>
#include <arpa/inet.h>
#include <array>
#include <fmt/format.h>
#include <optional>

#include "core/mqtt/text.hpp"
#include "core/net/tls_files.hpp"
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
    plan->policy.packets = {settings.maximumTopicBytes, settings.maximumTopicLevels,
                            settings.maximumUserProperties,
                            settings.maximumUserPropertyBytes.count};
    plan->socket.tcpUserTimeout = plan->policy.writeTimeout = settings.writeTimeout;
    plan->limits = {settings.maximumConnections, settings.connectionsPerAddress,
                    settings.connectionRatePerAddress, settings.limitLoopback};
    plan->pipeline = findPipeline(listener);
    checkName(listener, index);
    loadTls(listener, *plan);
    if (listener.usable || !settings.bind.empty()) {
      if (auto endpoint = net::parseEndpoint(settings.bind)) {
        plan->socket.endpoint = *endpoint;
        checkBind(listener, *endpoint);
        decideAnonymous(listener, *plan);
        checkCertificates(listener, *plan);
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
                    helpWithName(name, names, "write pipeline = \"…\" with one of:"));
    return nullptr;
  }

  void checkName(const ListenerConfig& listener, std::size_t index) {
    if (!listener.section.says("name")) return;
    for (std::size_t i = 0; i < index; ++i)
      if (config_.listeners[i].settings.name == listener.settings.name)
        return report_.error(
            listener.section.valueAt("name"),
            fmt::format("two listeners are called \"{}\"", mqtt::printable(listener.settings.name)),
            fmt::format("the first one is on line {}; give one another name",
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
      report_.error(section.valueAt("allow_anonymous"),
                    nobody + ", so that clients without credentials get in all the same", remedies);
    else if (!plan.policy.allowAnonymous)
      report_.error(section.valueAt("bind"),
                    fmt::format("listener \"{}\" can be reached from the network, and {}",
                                mqtt::printable(plan.policy.name), nobody),
                    remedies);
  }

  /// Nobody gets in by a certificate that nobody is asked for.
  void checkCertificates(const ListenerConfig& listener, const ListenerPlan& plan) {
    if (!plan.pipeline || !plan.pipeline->needsCertificates) return;
    if (listener.tls && listener.tls->clientCertificates != net::ClientCertificates::none) return;
    report_.warning(
        listener.section.valueAt("bind"),
        fmt::format("pipeline \"{}\" lets clients in by their certificates only, and listener "
                    "\"{}\" asks for none",
                    mqtt::printable(plan.pipeline->name), mqtt::printable(plan.policy.name)),
        "add client_certificates = \"required\" to its tls, or list another authenticator, for "
        "example \"password_file\"");
  }

  bool isReadable(const ConfigSection& section, std::string_view key,
                  const std::filesystem::path& file) {
    if (file.empty()) return true;
    const auto trouble = findFileTrouble(file);
    if (trouble)
      report_.error(section.valueAt(key), describe(file, *trouble), trouble->help,
                    trouble->forbidden ? Fault::permission : Fault::configuration);
    return !trouble;
  }

  /// Both files of a certificate.
  bool checkCertificate(const ConfigSection& section, const std::filesystem::path& certificate,
                        const std::filesystem::path& key) {
    const bool first = isReadable(section, "certificate", certificate);
    if (!isReadable(section, "key", key) || !first) return false;
    if (isReadableByAll(key))
      report_.warning(section.valueAt("key"),
                      fmt::format("everybody on this machine can read \"{}\"", key.string()),
                      fmt::format("chmod 640 {}", key.string()));
    return true;
  }

  /// Options that would do nothing, and ciphers that there are not.
  bool checkTlsOptions(const ConfigSection& section, const TlsSettings& tls) {
    const std::size_t before = report_.errorCount();
    const auto idle = [&](std::string_view key, std::string_view why, std::string help) {
      report_.error(section.keyAt(key), fmt::format("\"{}\" has no effect: {}", key, why),
                    std::move(help));
    };
    const bool asked = tls.clientCertificates != net::ClientCertificates::none;
    constexpr std::string_view kNotAsked = "clients are not asked for a certificate";
    const std::string ask = "add client_certificates = \"required\"";
    if (!tls.clientCa.empty() && !asked) idle("client_ca", kNotAsked, ask);
    if (!tls.clientCrl.empty() && !asked) idle("client_crl", kNotAsked, ask);
    if (!tls.ciphers.empty() && tls.minimumVersion == net::TlsVersion::v1_3)
      idle("ciphers", "they are those of TLS 1.2, which min_version excludes",
           "take it out, or choose those of TLS 1.3 with ciphersuites = \"…\"");
    const auto unknown = [&](std::string_view key, const std::string& word,
                             std::string_view command) {
      if (!word.empty())
        report_.error(section.valueAt(key),
                      fmt::format("OpenSSL knows no \"{}\" here", mqtt::printable(word)),
                      fmt::format("{} lists them", command));
    };
    unknown("ciphers", net::findUnknownCipher(tls.ciphers), "openssl ciphers -v -tls1_2");
    unknown("ciphersuites", net::findUnknownCiphersuite(tls.ciphersuites),
            "openssl ciphers -s -tls1_3");
    return report_.errorCount() == before;
  }

  void loadTls(const ListenerConfig& listener, ListenerPlan& plan) {
    if (!listener.tls) return;
    const TlsSettings& tls = *listener.tls;
    const ConfigSection& section = listener.tlsSection;
    bool good = checkCertificate(section, tls.certificate, tls.key);
    for (const SniConfig& each : listener.sni)
      good = checkCertificate(each.section, each.settings.certificate, each.settings.key) && good;
    for (const auto& file : net::certificatesIn(tls.clientCa))
      good = isReadable(section, "client_ca", file) && good;
    good = isReadable(section, "client_crl", tls.clientCrl) && good;
    good = checkTlsOptions(section, tls) && good;
    if (!good || !listener.usable) return;

    plan.tls = toOptions(listener);
    auto context = net::TlsContext::load(*plan.tls);
    if (context) {
      plan.socket.tls = *context;
      return;
    }
    reportTlsFile(listener, context.error());
  }

  static net::TlsOptions toOptions(const ListenerConfig& listener) {
    const TlsSettings& tls = *listener.tls;
    net::TlsOptions options;
    options.certificates.push_back({tls.certificate.string(), tls.key.string()});
    for (const SniConfig& each : listener.sni)
      options.certificates.push_back(
          {each.settings.certificate.string(), each.settings.key.string()});
    options.minimumVersion = tls.minimumVersion;
    options.ciphers = tls.ciphers;
    options.ciphersuites = tls.ciphersuites;
    options.clientCertificates = tls.clientCertificates;
    options.clientCa = tls.clientCa.string();
    options.clientCrl = tls.clientCrl.string();
    return options;
  }

  /// At the option whose file the error names.
  void reportTlsFile(const ListenerConfig& listener, const std::string& why) {
    const TlsSettings& tls = *listener.tls;
    const ConfigSection& section = listener.tlsSection;
    const auto says = [&](std::string_view what, const std::filesystem::path& file) {
      return why.starts_with(what) && why.find(file.string()) != std::string::npos;
    };
    const auto report = [&](SourceSpan at) { report_.error(at, why, {}, Fault::data); };
    for (const SniConfig& each : listener.sni) {
      if (says("TLS certificate", each.settings.certificate))
        return report(each.section.valueAt("certificate"));
      if (says("TLS key", each.settings.key)) return report(each.section.valueAt("key"));
    }
    if (why.starts_with("TLS certificate")) return report(section.valueAt("certificate"));
    if (why.starts_with("TLS key")) return report(section.valueAt("key"));
    if (says("TLS client CA", tls.clientCa)) return report(section.valueAt("client_ca"));
    if (says("TLS client CRL", tls.clientCrl)) return report(section.valueAt("client_crl"));
    if (why.starts_with("TLS ciphers")) return report(section.valueAt("ciphers"));
    if (why.starts_with("TLS cipher suites")) return report(section.valueAt("ciphersuites"));
    report_.error(section.valueAt("client_certificates"), why, "add client_ca = \"ca.crt\"");
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
  if (!plan.tls) return text;
  if (plan.tls->minimumVersion == net::TlsVersion::v1_3) text += " 1.3";
  if (plan.tls->clientCertificates == net::ClientCertificates::optional)
    text += ", client certificates optional";
  if (plan.tls->clientCertificates == net::ClientCertificates::required)
    text += ", client certificates required";
  return text;
}

Expected<std::shared_ptr<net::TlsContext>, std::string> loadTlsAnew(const ListenerPlan& plan) {
  for (const auto& file : net::filesOf(*plan.tls)) {
    std::error_code error;
    if (std::filesystem::is_directory(file, error)) continue;
    if (const auto trouble = findFileTrouble(file))
      return Unexpected{fmt::format("{}{}", describe(file, *trouble),
                                    trouble->help.empty() ? "" : " (" + trouble->help + ")")};
  }
  return net::TlsContext::load(*plan.tls);
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
  // One name of two addresses.
  if (a.host == "localhost" && b.host != a.host)
    return overlap({"127.0.0.1", a.port}, b) || overlap({"::1", a.port}, b);
  if (b.host == "localhost" && b.host != a.host) return overlap(b, a);
  if (a.host == b.host || a.host == "*" || b.host == "*") return true;
  const auto first = numericAddress(a.host);
  const auto second = numericAddress(b.host);
  if (!first || !second) return false;
  if (*first == *second) return true;
  return isV4(*first) == isV4(*second) && (isEveryAddress(*first) || isEveryAddress(*second));
}

}  // namespace mqttstack
