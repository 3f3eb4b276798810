#include "app/config.hpp"

#include <algorithm>
#include <fmt/format.h>
#include <initializer_list>

#include "core/mqtt/text.hpp"
#include "core/stack/registry.hpp"

namespace mqttstack {
namespace {

constexpr std::string_view kDefaultBind = "127.0.0.1:1883";

/// Fills a settings struct from a table. Keys of `alsoKnown` belong to it too,
/// but are read by somebody else.
template <class Settings>
Settings readSettings(const ConfigSection& section, const std::filesystem::path& base,
                      ConfigReport& report, std::initializer_list<std::string> alsoKnown = {}) {
  OptionTable<Settings> options;
  Settings::declare(options);
  std::vector<std::string> known = alsoKnown;
  for (const auto& entry : options.entries()) known.push_back(entry.info.name);

  OptionValues values;
  for (const ConfigEntry& entry : section.table.entries) {
    const auto option = std::find_if(options.entries().begin(), options.entries().end(),
                                     [&](const auto& each) { return each.info.name == entry.key; });
    if (option != options.entries().end())
      values.emplace_back(entry.key, toOptionValue(entry.value, option->info.type));
    else if (std::find(known.begin(), known.end(), entry.key) == known.end())
      report.error(entry.at, fmt::format("unknown option \"{}\"", mqtt::printable(entry.key)),
                   helpWithName(entry.key, known, "the options here are:"));
  }
  Diagnostics diagnostics;
  const Settings settings = detail::parseOptions(options, values, base, diagnostics);
  for (const Finding& finding : diagnostics.findings())
    report.add(
        {finding.severity, section.valueAt(finding.place.option), finding.message, finding.help});
  return settings;
}

/// Reads the parts of the file one after the other.
class Reader {
public:
  Reader(Config& config, ConfigReport& report) : config_{config}, report_{report} {}

  void read(const ConfigTable& file) {
    static const std::vector<std::string> kKnown{"limits", "listener", "log", "middleware",
                                                 "pipeline"};
    for (const ConfigEntry& entry : file.entries) {
      if (entry.key == "limits")
        readLimits(entry);
      else if (entry.key == "listener")
        readListeners(entry);
      else if (entry.key == "log")
        readLog(entry);
      else if (entry.key == "middleware")
        readInstances(entry);
      else if (entry.key == "pipeline")
        readPipelines(entry);
      else
        unknownKey(entry, kKnown);
    }
  }

private:
  void unknownKey(const ConfigEntry& entry, const std::vector<std::string>& known) {
    static const std::vector<std::string> kOfListeners{"bind", "name", "allow_anonymous", "tls",
                                                       "max_packet_size"};
    const auto* list = entry.value.as<ConfigList>();
    const bool table = entry.value.as<ConfigTable>() ||
                       (list && !list->empty() && list->front().as<ConfigTable>());
    const std::string message =
        fmt::format("unknown {} \"{}\"", table ? "table" : "option", mqtt::printable(entry.key));
    if (std::find(kOfListeners.begin(), kOfListeners.end(), entry.key) != kOfListeners.end())
      return report_.error(entry.at, message, "write it below a [[listener]]");
    report_.error(entry.at, message, helpWithName(entry.key, known, "the file consists of:"));
  }

  void readLog(const ConfigEntry& entry) {
    const auto* table = entry.value.as<ConfigTable>();
    if (!table)
      return report_.error(entry.value.at, "\"log\" has to be a table",
                           "write [log] and below it, for example, level = \"info\"");
    config_.log = readSettings<LogSettings>({entry.at, *table}, config_.base, report_);
  }

  void readLimits(const ConfigEntry& entry) {
    const auto* table = entry.value.as<ConfigTable>();
    if (!table)
      return report_.error(entry.value.at, "\"limits\" has to be a table",
                           "write [limits] and below it, for example, max_connections = 10000");
    config_.limits = readSettings<LimitSettings>({entry.at, *table}, config_.base, report_);
  }

  void readListeners(const ConfigEntry& entry) {
    if (const auto* table = entry.value.as<ConfigTable>()) {
      report_.error(entry.at, "there may be several listeners", "write [[listener]]");
      return readListener({entry.at, *table});
    }
    const auto* list = entry.value.as<ConfigList>();
    for (const ConfigValue& item : list ? *list : ConfigList{}) {
      const auto* table = item.as<ConfigTable>();
      if (!table) {
        list = nullptr;
        break;
      }
      readListener({item.at, *table});
    }
    if (!list)
      report_.error(entry.value.at, "\"listener\" has to be a table",
                    "write [[listener]] and below it, for example, bind = \"127.0.0.1:1883\"");
  }

  void readListener(ConfigSection section) {
    const std::size_t before = report_.errorCount();
    ListenerConfig listener;
    listener.settings = readSettings<ListenerSettings>(section, config_.base, report_, {"tls"});
    if (listener.settings.name.empty()) listener.settings.name = listener.settings.bind;
    if (const ConfigEntry* tls = section.table.find("tls")) {
      if (const auto* table = tls->value.as<ConfigTable>()) {
        listener.tlsSection = {tls->at, *table};
        listener.tls =
            readSettings<TlsSettings>(listener.tlsSection, config_.base, report_, {"sni"});
        if (const ConfigEntry* sni = table->find("sni")) readSni(*sni, listener);
      } else {
        report_.error(tls->value.at, "\"tls\" has to be a table",
                      "write tls = { certificate = \"server.crt\", key = \"server.key\" }");
      }
    }
    listener.section = std::move(section);
    listener.usable = report_.errorCount() == before;
    config_.listeners.push_back(std::move(listener));
  }

  void readSni(const ConfigEntry& entry, ListenerConfig& listener) {
    const auto* list = entry.value.as<ConfigList>();
    for (const ConfigValue& item : list ? *list : ConfigList{}) {
      const auto* table = item.as<ConfigTable>();
      if (!table) {
        list = nullptr;
        break;
      }
      ConfigSection section{item.at, *table};
      auto settings = readSettings<SniSettings>(section, config_.base, report_);
      listener.sni.push_back({std::move(settings), std::move(section)});
    }
    if (!list)
      report_.error(entry.value.at, "\"sni\" has to be a list of tables",
                    "write [[listener.tls.sni]] and below it certificate = \"…\" and key = \"…\"");
  }

  void readPipelines(const ConfigEntry& entry) {
    const auto* table = entry.value.as<ConfigTable>();
    if (!table)
      return report_.error(entry.value.at, "\"pipeline\" has to be a table",
                           "write [pipeline] and below it default = [\"connection\", …]");
    for (const ConfigEntry& each : table->entries) readPipeline(each);
    if (table->entries.empty())
      report_.error(entry.at, "there is no pipeline in it",
                    "leave it out to get the built-in one, or add default = [\"connection\", …]");
  }

  void readPipeline(const ConfigEntry& entry) {
    PipelineConfig pipeline{entry.key, entry.at, {}};
    const auto* list = entry.value.as<ConfigList>();
    for (const ConfigValue& item : list ? *list : ConfigList{}) {
      if (const auto* name = item.as<std::string>())
        pipeline.instances.push_back({*name, item.at});
      else
        report_.error(item.at, "the name of a middleware has to be a string");
    }
    if (!list)
      report_.error(entry.value.at, fmt::format("pipeline \"{}\" has to be a list of middlewares",
                                                mqtt::printable(entry.key)));
    else if (list->empty())
      report_.error(entry.value.at,
                    fmt::format("pipeline \"{}\" is empty", mqtt::printable(entry.key)),
                    "list the middlewares that clients shall meet, in this order");
    config_.pipelines.push_back(std::move(pipeline));
  }

  void readInstances(const ConfigEntry& entry) {
    const auto* table = entry.value.as<ConfigTable>();
    if (!table)
      return report_.error(entry.value.at, "\"middleware\" has to be a table",
                           "write [middleware.NAME] and below it the options of that middleware");
    for (const ConfigEntry& each : table->entries) readInstance(each);
  }

  void readInstance(const ConfigEntry& entry) {
    const auto* table = entry.value.as<ConfigTable>();
    if (!table)
      return report_.error(entry.value.at,
                           fmt::format("\"{}\" has to be a table", mqtt::printable(entry.key)),
                           "write [middleware.NAME] and the options below it");
    InstanceConfig instance{entry.key, entry.key, {entry.at, *table}};
    if (const ConfigEntry* use = table->find("use")) {
      if (const auto* type = use->value.as<std::string>())
        instance.type = *type;
      else
        report_.error(use->value.at, "\"use\" has to be the name of a middleware");
    }
    config_.instances.push_back(std::move(instance));
  }

  Config& config_;
  ConfigReport& report_;
};

}  // namespace

void LogSettings::declare(OptionTable<LogSettings>& table) {
  table.addChoice("level", &LogSettings::level,
                  {{"trace", LogLevel::trace},
                   {"debug", LogLevel::debug},
                   {"info", LogLevel::info},
                   {"warning", LogLevel::warning},
                   {"error", LogLevel::error},
                   {"off", LogLevel::off}},
                  "Lines below this level are not written.");
  table.addChoice("format", &LogSettings::format,
                  {{"auto", LogFormat::automatic},
                   {"text", LogFormat::text},
                   {"json", LogFormat::json},
                   {"journal", LogFormat::journal}},
                  "Lines for people, one JSON object per line, or lines for the journal, which "
                  "begin with a level and leave the time to it. auto is journal where systemd "
                  "collects what the broker writes, and text elsewhere.");
}

void ListenerSettings::declare(OptionTable<ListenerSettings>& table) {
  table.add("name", &ListenerSettings::name,
            "What logs, counters and socket activation call it. Left out: what bind says.");
  table
      .add("bind", &ListenerSettings::bind,
           "Address and port to listen on: \"127.0.0.1:1883\", \"[::1]:1883\", "
           "\"localhost:1883\"; \"*:1883\" is every address of the machine.")
      .required();
  table.add("pipeline", &ListenerSettings::pipeline, "The pipeline that its clients go through.");
  table.add("allow_anonymous", &ListenerSettings::allowAnonymous,
            "Lets in clients that give no credentials. On loopback, and if the pipeline "
            "authenticates nobody, it is true unless the file says otherwise.");
  table
      .add("max_packet_size", &ListenerSettings::maximumPacketSize,
           "The largest packet that clients may send. Larger ones end the connection.")
      .range(ByteCount{1024}, ByteCount{256 * 1024 * 1024});
  table
      .add("max_topic_bytes", &ListenerSettings::maximumTopicBytes,
           "The longest topic name or filter. A longer one ends the connection (MQTT 5: reason "
           "0x90 or 0x8F).")
      .range(1, 65'535);
  table
      .add("max_topic_levels", &ListenerSettings::maximumTopicLevels,
           "How many levels a topic name or filter may have; more end the connection likewise.")
      .range(1, 65'535);
  table.add("max_user_properties", &ListenerSettings::maximumUserProperties,
            "How many user properties a packet of MQTT 5 may have, those of a will included. More "
            "end the connection (reason 0x95).");
  table.add("max_user_property_bytes", &ListenerSettings::maximumUserPropertyBytes,
            "The size of all user properties of a packet together; more ends it likewise.");
  table.add("max_connections", &ListenerSettings::maximumConnections,
            "How many connections there may be at once through this listener; 0: as many as "
            "[limits] has. Those beyond are reset when they are accepted.");
  table.add(
      "max_connections_per_address", &ListenerSettings::connectionsPerAddress,
      "How many connections there may be at once from one address; 0: any number. Of IPv6, an "
      "address is a /64 network. Behind a proxy all clients have one address.");
  table.add("connection_rate_per_address", &ListenerSettings::connectionRatePerAddress,
            "How many connections a second may come from one address, and as many at once; 0: any "
            "number.");
  table.add("limit_loopback", &ListenerSettings::limitLoopback,
            "Whether the limits per address hold for the addresses of this machine itself, too.");
  table
      .add("write_timeout", &ListenerSettings::writeTimeout,
           "A client that takes nothing of what was sent to it for so long is cut off.")
      .range(std::chrono::seconds{1}, std::chrono::hours{1});
}

void LimitSettings::declare(OptionTable<LimitSettings>& table) {
  table.add("max_connections", &LimitSettings::maximumConnections,
            "How many connections there may be at once through all listeners; 0: as many as the "
            "limit of open files leaves, less 64. Those beyond are reset when they are accepted.");
}

void TlsSettings::declare(OptionTable<TlsSettings>& table) {
  table
      .add("certificate", &TlsSettings::certificate,
           "PEM file: the server's certificate first, then the intermediate ones.")
      .required();
  table
      .add("key", &TlsSettings::key,
           "PEM file with the private key. It has no passphrase and should not be readable by "
           "everybody.")
      .required();
  table.addChoice("min_version", &TlsSettings::minimumVersion,
                  {{"1.2", net::TlsVersion::v1_2}, {"1.3", net::TlsVersion::v1_3}},
                  "The oldest version of TLS that clients may speak.");
  table.add("ciphers", &TlsSettings::ciphers,
            "The ciphers of TLS 1.2, separated by colons, as openssl ciphers has them. Left out: "
            "those with ephemeral keys and authenticated encryption "
            "(ECDHE+AESGCM:ECDHE+CHACHA20).");
  table.add(
      "ciphersuites", &TlsSettings::ciphersuites,
      "The cipher suites of TLS 1.3, separated by colons. Left out: all that OpenSSL has on.");
  table.add("client_ca", &TlsSettings::clientCa,
            "Who may sign the certificates of clients: a PEM file, or a directory whose .pem, .crt "
            "and .cer files are all read.");
  table.add("client_crl", &TlsSettings::clientCrl,
            "PEM file with the revocation lists of all who sign, up to the root. A client whose "
            "certificate, or that of who signed it, is in one, or for whom one is missing or out "
            "of date, is refused. Left out: nobody looks.");
  table.addChoice("client_certificates", &TlsSettings::clientCertificates,
                  {{"none", net::ClientCertificates::none},
                   {"optional", net::ClientCertificates::optional},
                   {"required", net::ClientCertificates::required}},
                  "Whether clients are asked for a certificate. A certificate that client_ca does "
                  "not vouch for is refused in either case.");
}

void SniSettings::declare(OptionTable<SniSettings>& table) {
  table
      .add("certificate", &SniSettings::certificate,
           "PEM file like that of the listener. The names that it is for decide who gets it.")
      .required();
  table.add("key", &SniSettings::key, "PEM file with its private key.").required();
}

SourceSpan ConfigSection::valueAt(std::string_view key) const noexcept {
  const ConfigEntry* entry = table.find(key);
  return entry ? entry->value.at : at;
}

SourceSpan ConfigSection::keyAt(std::string_view key) const noexcept {
  const ConfigEntry* entry = table.find(key);
  return entry ? entry->at : at;
}

const PipelineConfig* Config::pipeline(std::string_view name) const noexcept {
  const auto found = std::find_if(pipelines.begin(), pipelines.end(),
                                  [name](const auto& each) { return each.name == name; });
  return found == pipelines.end() ? nullptr : &*found;
}

const InstanceConfig* Config::instance(std::string_view name) const noexcept {
  const auto found = std::find_if(instances.begin(), instances.end(),
                                  [name](const auto& each) { return each.name == name; });
  return found == instances.end() ? nullptr : &*found;
}

Config readConfig(SourceText source, ConfigReport& report) {
  std::filesystem::path base = std::filesystem::path{source.name()}.parent_path();
  Config config{std::move(source), std::move(base), {}, {}, {}, {}, {}};
  const auto file = parseToml(config.source, report);
  if (!file) return config;
  Reader{config, report}.read(*file);

  if (!file->find("listener")) {
    ListenerConfig listener;
    listener.settings.name = listener.settings.bind = kDefaultBind;
    listener.usable = true;
    config.listeners.push_back(std::move(listener));
  }
  if (!file->find("pipeline")) {
    PipelineConfig pipeline{"default", {}, {}};
    for (const std::string& name : builtInPipeline()) pipeline.instances.push_back({name, {}});
    config.pipelines.push_back(std::move(pipeline));
  }
  return config;
}

SourceText builtInConfig() {
  return {"built-in configuration",
          "# What runs without --config.\n"
          "[[listener]]\n"
          "bind = \"127.0.0.1:1883\"\n"};
}

const std::vector<std::string>& builtInPipeline() {
  static const std::vector<std::string> kNames{
      "connection",     "keep_alive",      "last_will",
      "memory_backend", "session_manager", "subscription_manager",
      "retain_manager", "inbound_manager", "outbound_manager"};
  return kNames;
}

}  // namespace mqttstack
