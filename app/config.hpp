#pragma once

#include <filesystem>
#include <optional>
#include <string>
#include <string_view>
#include <vector>

#include "app/config_document.hpp"
#include "app/config_report.hpp"
#include "app/source_text.hpp"
#include "core/net/tls_context.hpp"
#include "core/stack/options.hpp"
#include "core/util/log.hpp"

/// The configuration file, typed. Reading it knows no middleware: what their
/// tables hold is checked when the pipelines are made of it.
namespace mqttstack {

enum class LogFormat : std::uint8_t { automatic, text, json, journal };

/// `[log]`
struct LogSettings {
  LogLevel level = LogLevel::info;
  LogFormat format = LogFormat::automatic;

  static void declare(OptionTable<LogSettings>& table);
};

/// `[limits]`
struct LimitSettings {
  std::uint32_t maximumConnections = 0;

  static void declare(OptionTable<LimitSettings>& table);
};

/// `[[listener]]`
struct ListenerSettings {
  std::string name;
  std::string bind;
  std::string pipeline = "default";
  bool allowAnonymous = false;
  ByteCount maximumPacketSize{1024 * 1024};
  std::uint16_t maximumTopicBytes = 4096;
  std::uint16_t maximumTopicLevels = 128;
  std::uint32_t maximumUserProperties = 64;
  ByteCount maximumUserPropertyBytes{8 * 1024};
  std::uint32_t maximumConnections = 0;
  std::uint32_t connectionsPerAddress = 1000;
  std::uint32_t connectionRatePerAddress = 100;
  bool limitLoopback = false;
  TimeSpan writeTimeout = std::chrono::seconds{60};

  static void declare(OptionTable<ListenerSettings>& table);
};

/// `tls = { … }` of a listener
struct TlsSettings {
  std::filesystem::path certificate;
  std::filesystem::path key;
  std::filesystem::path clientCa;
  std::filesystem::path clientCrl;
  net::ClientCertificates clientCertificates = net::ClientCertificates::none;
  net::TlsVersion minimumVersion = net::TlsVersion::v1_2;
  std::string ciphers;
  std::string ciphersuites;

  static void declare(OptionTable<TlsSettings>& table);
};

/// `[[listener.tls.sni]]`
struct SniSettings {
  std::filesystem::path certificate;
  std::filesystem::path key;

  static void declare(OptionTable<SniSettings>& table);
};

/// A table of the file and where it stood.
struct ConfigSection {
  SourceSpan at;
  ConfigTable table;

  /// Where the value of a key stands; the section itself if it doesn't say it.
  SourceSpan valueAt(std::string_view key) const noexcept;
  SourceSpan keyAt(std::string_view key) const noexcept;
  bool says(std::string_view key) const noexcept { return table.find(key) != nullptr; }
};

/// A further certificate of a listener.
struct SniConfig {
  SniSettings settings;
  ConfigSection section;
};

struct ListenerConfig {
  ListenerSettings settings;
  std::optional<TlsSettings> tls;
  std::vector<SniConfig> sni;
  ConfigSection section;
  ConfigSection tlsSection;
  bool usable = false;  ///< nothing was wrong with its options
};

/// An instance as a pipeline lists it.
struct InstanceRef {
  std::string name;
  SourceSpan at;
};

struct PipelineConfig {
  std::string name;
  SourceSpan at;
  std::vector<InstanceRef> instances;
};

/// `[middleware.NAME]`
struct InstanceConfig {
  std::string name;
  std::string type;  ///< what `use` says, or the name
  ConfigSection section;
};

struct Config {
  SourceText source;
  std::filesystem::path base;  ///< what relative paths are relative to
  LogSettings log;
  LimitSettings limits;
  std::vector<ListenerConfig> listeners;
  std::vector<PipelineConfig> pipelines;
  std::vector<InstanceConfig> instances;

  const PipelineConfig* pipeline(std::string_view name) const noexcept;
  const InstanceConfig* instance(std::string_view name) const noexcept;
};

/// Reads a configuration. Everything that is wrong goes to `report`; the result
/// holds what could be read all the same. A file without `[[listener]]` listens
/// on loopback, one without `[pipeline]` has the built-in default pipeline.
Config readConfig(SourceText source, ConfigReport& report);

/// What runs without a file: the safe default, and nothing but loopback.
SourceText builtInConfig();

/// The pipeline of a file that has none: every part of the protocol, and the
/// store in memory.
const std::vector<std::string>& builtInPipeline();

}  // namespace mqttstack
