#pragma once

#include <cstddef>
#include <cstdint>
#include <string>
#include <string_view>
#include <utility>
#include <vector>

namespace mqttstack {

/// Where in the configuration something was found, in terms of the pipeline:
/// an instance, and maybe one of its options. Whoever read the file turns it
/// into line and column.
struct ConfigPlace {
  std::string pipeline;  ///< may be empty
  std::string instance;  ///< may be empty: a matter of the whole pipeline
  std::string option;    ///< may be empty: a matter of the whole instance
};

enum class Severity : std::uint8_t { warning, error };

/// What an error is about. It decides with which code a daemon ends that cannot
/// start because of it.
enum class Fault : std::uint8_t {
  configuration,  ///< what the configuration says
  data,           ///< what stands in a file that it names
  permission,     ///< what the user that the daemon runs as may not do
};

/// One finding. `help` says what to do, and may be empty.
struct Finding {
  Severity severity;
  ConfigPlace place;
  std::string message;
  std::string help;
  Fault fault = Fault::configuration;
};

/// Collects everything that is wrong with a configuration, so that one run
/// tells it all. Passed to constructors and validate(); nobody stops at the
/// first error.
class Diagnostics {
public:
  /// Findings are filed under this place until it is set again.
  void setPlace(ConfigPlace place) { place_ = std::move(place); }

  void error(std::string message, std::string help = {}, Fault fault = Fault::configuration) {
    add(Severity::error, {}, std::move(message), std::move(help), fault);
  }
  void errorAt(std::string_view option, std::string message, std::string help = {},
               Fault fault = Fault::configuration) {
    add(Severity::error, option, std::move(message), std::move(help), fault);
  }
  void warning(std::string message, std::string help = {}) {
    add(Severity::warning, {}, std::move(message), std::move(help));
  }
  void warningAt(std::string_view option, std::string message, std::string help = {}) {
    add(Severity::warning, option, std::move(message), std::move(help));
  }

  const std::vector<Finding>& findings() const noexcept { return findings_; }
  bool hasErrors() const noexcept { return errors_ != 0; }
  std::size_t errorCount() const noexcept { return errors_; }

private:
  void add(Severity severity, std::string_view option, std::string message, std::string help,
           Fault fault = Fault::configuration) {
    ConfigPlace place = place_;
    place.option = option;
    errors_ += severity == Severity::error;
    findings_.push_back({severity, std::move(place), std::move(message), std::move(help), fault});
  }

  ConfigPlace place_;
  std::vector<Finding> findings_;
  std::size_t errors_ = 0;
};

}  // namespace mqttstack
