#include <algorithm>
#include <filesystem>
#include <fstream>
#include <sstream>

#include <catch2/catch.hpp>

#include "middlewares/builtins.hpp"
#include "tests/app/config_fixture.hpp"
#include "tests/support/test_certificates.hpp"

using namespace mqttstack;
using namespace mqttstack::test;
using Catch::Matchers::Contains;

namespace {

const std::filesystem::path kShipped = std::filesystem::path{MQTTSTACK_SOURCES} / "config";

std::string contentOf(const std::filesystem::path& path) {
  std::ostringstream text;
  text << std::ifstream{path}.rdbuf();
  return text.str();
}

/// A directory with the files that the shipped configurations name, as their
/// comments tell the reader to make them.
class Installed {
public:
  Installed() {
    std::filesystem::create_directory(directory_.path() / "certs");
    writeTestCertificates(directory_.path() / "certs");
    directory_.write("passwd", contentOf(kShipped / "passwd.example"));
    directory_.write("acl", contentOf(kShipped / "acl.example"));
  }

  /// What is wrong with a configuration in this directory.
  std::string problemsOf(const std::string& text) const {
    Registry registry;
    registerBuiltins(registry);
    ConfigReport report;
    const Config config = readConfig({(directory_.path() / "broker.toml").string(), text}, report);
    const LogSink silent;
    const Daemon daemon{config, registry, silent, report};
    std::ostringstream out;
    report.print(out, config.source);
    for (const auto& plan : daemon.listeners())
      if (plan->pipeline) policies_ += describePolicy(*plan) + "\n";
    return out.str();
  }
  const std::string& policies() const { return policies_; }

private:
  TemporaryDirectory directory_;
  mutable std::string policies_;
};

/// The file with everything that is commented out put in force. Prose has a
/// space after the hash, what is meant for the broker has none.
std::string uncommented(const std::string& text) {
  std::istringstream in{text};
  std::string all;
  for (std::string line; std::getline(in, line);) {
    if (line.size() > 1 && line[0] == '#' && line[1] != ' ') line.erase(0, 1);
    all += line + "\n";
  }
  return all;
}

}  // namespace

TEST_CASE("every configuration that is shipped is good", "[config]") {
  std::size_t files = 0;
  for (const auto& entry : std::filesystem::directory_iterator{kShipped}) {
    if (entry.path().extension() != ".toml") continue;
    ++files;
    INFO(entry.path().filename().string());
    CHECK(Installed{}.problemsOf(contentOf(entry.path())) == "");
  }
  CHECK(files >= 2);
}

TEST_CASE("the packaged configuration opens nothing but loopback", "[config]") {
  const Installed installed;
  CHECK(installed.problemsOf(contentOf(kShipped / "mqtt-stackd.toml")) == "");
  CHECK(installed.policies() == "pipeline \"default\", anonymous allowed, no TLS\n");
}

TEST_CASE("everything that is commented out in the packaged configuration is good", "[config]") {
  const Installed installed;
  CHECK(installed.problemsOf(uncommented(contentOf(kShipped / "mqtt-stackd.toml"))) == "");
  CHECK_THAT(installed.policies(), Contains("pipeline \"secure\", anonymous refused, TLS"));
}

TEST_CASE("the packaged configuration shows every option of every middleware", "[config]") {
  Registry registry;
  registerBuiltins(registry);
  const std::string text = contentOf(kShipped / "mqtt-stackd.toml");
  for (const std::string& name : registry.names()) {
    const MiddlewareInfo& info = registry.info(name);
    const auto begin = text.find("#[middleware." + name + "]\n");
    if (info.options.empty()) continue;
    INFO(name);
    REQUIRE(begin != std::string::npos);
    const std::string section = text.substr(begin, text.find("\n\n", begin) - begin);
    for (const OptionInfo& option : info.options) {
      INFO(option.name);
      const std::string expected = option.required
                                       ? "\n#" + option.name + " = "
                                       : "\n#" + option.name + " = " + option.defaultValue + "\n";
      CHECK_THAT(section, Contains(expected));
    }
  }
}

TEST_CASE("the secure configuration lets in nobody unknown, and nobody in the clear", "[config]") {
  const Installed installed;
  CHECK(installed.problemsOf(contentOf(kShipped / "secure.toml")) == "");
  CHECK(installed.policies() == "pipeline \"default\", anonymous refused, TLS\n");
}
