#include <algorithm>
#include <cstdlib>
#include <filesystem>
#include <fstream>
#include <regex>
#include <sstream>

#include <catch2/catch.hpp>

#include "app/manual.hpp"
#include "middlewares/builtins.hpp"
#include "tests/app/config_fixture.hpp"
#include "tests/scenario/support/test_certificates.hpp"

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
    writeTestCertificates(directory_.path());
    for (const char* name : {"passwd", "passwd.example"})
      directory_.write(name, contentOf(kShipped / "passwd.example") + "alice:$6$salt$" +
                                 std::string(86, 'x') + "\n");
    directory_.write("acl", contentOf(kShipped / "acl.example"));
    directory_.write("issuer.pem", contentOf(directory_.path() / "server.crt"));
    directory_.write("jwt.secret", "a secret that has 32 bytes or so\n");
    directory_.write(
        "jwks.json",
        R"({"keys":[{"kty":"oct","k":"YSBzZWNyZXQgdGhhdCBoYXMgMzIgYnl0ZXMgb3Igc28"}]})");
    directory_.write("http.token", "Bearer sesame\n");
    directory_.write("bench.acl", contentOf(kShipped / "bench.acl"));
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

/// The text with those lines put in force that are commented out by `mark` with
/// no space behind it.
std::string uncommented(const std::string& text, const std::string& mark) {
  return std::regex_replace(text, std::regex{"(^|\n)" + mark + "([^ #\n])"}, "$1$2");
}

/// What an editor makes of a file that is told to do so.
std::string sed(const std::string& script, const std::filesystem::path& file) {
  const TemporaryDirectory directory;
  const auto out = directory.path() / "out";
  REQUIRE(std::system(("sed '" + script + "' '" + file.string() + "' > " + out.string()).c_str()) ==
          0);
  return contentOf(out);
}

const std::string kTable = "##[middleware.";

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

TEST_CASE("what the packaged configuration comments out is safe on the network", "[config]") {
  const Installed installed;
  const std::string opened = sed("s/^#\\([^ #]\\)/\\1/", kShipped / "mqtt-stackd.toml");
  CHECK(installed.problemsOf(opened) == "");
  CHECK(installed.policies() ==
        "pipeline \"default\", anonymous allowed, no TLS\n"
        "pipeline \"secure\", anonymous refused, TLS\n");
}

TEST_CASE("the packaged configuration shows every option as it may be written", "[config]") {
  Registry registry;
  registerBuiltins(registry);
  const std::string text = contentOf(kShipped / "mqtt-stackd.toml");
  std::vector<std::string> shown;
  for (std::size_t at = 0; (at = text.find(kTable, at)) != std::string::npos; ++at) {
    const std::size_t begin = at + kTable.size();
    const std::string name = text.substr(begin, text.find(']', begin) - begin);
    const std::string table = text.substr(at, text.find("\n\n", at) - at);
    std::vector<std::string> pipeline = builtInPipeline();
    const auto add = [&pipeline](std::size_t place, const std::string& each) {
      if (std::find(pipeline.begin(), pipeline.end(), each) == pipeline.end())
        pipeline.insert(pipeline.begin() + static_cast<std::ptrdiff_t>(place), each);
    };
    const MiddlewareInfo& info = registry.info(name);
    if (info.onlyOne == "backend") std::erase(pipeline, "memory_backend");
    add(1, name);
    // Who asks, and somebody who answers.
    if (info.asks(AuthorizePacket::kName) || info.answers(AuthorizePacket::kName)) {
      add(2, "acl_file");
      add(2, "authorization");
    }
    if (info.asks(AuthenticateConnection::kName) || info.answers(AuthenticateConnection::kName) ||
        name == "auth_backoff") {
      add(2, "password_file");
      add(2, "authentication");
    }
    std::string more;
    for (const std::string each : {"acl_file", "password_file"})
      if (each != name && std::find(pipeline.begin(), pipeline.end(), each) != pipeline.end())
        more += "[middleware." + each + "]\npath = \"" + (each == "acl_file" ? "acl" : "passwd") +
                "\"\n";
    std::string list;
    for (const std::string& each : pipeline) list += '"' + each + "\", ";
    INFO(table);
    CHECK(Installed{}.problemsOf("[pipeline]\ndefault = [" + list + "]\n" +
                                 uncommented(table, "##") + "\n" + more) == "");
    for (const OptionInfo& option : registry.info(name).options)
      CHECK_THAT(table, Contains("\n##" + option.name + " = "));
    shown.push_back(name);
  }
  for (const std::string& name : registry.names())
    CHECK((registry.info(name).options.empty() ||
           std::find(shown.begin(), shown.end(), name) != shown.end()));
}

TEST_CASE("the packaged configuration is what the program generates", "[config]") {
  Registry registry;
  registerBuiltins(registry);
  INFO("run: mqtt-stackd describe --toml > config/mqtt-stackd.toml");
  CHECK(contentOf(kShipped / "mqtt-stackd.toml") == packagedConfig(registry));
}

TEST_CASE("docs/configuration.md is what the program generates", "[config]") {
  Registry registry;
  registerBuiltins(registry);
  INFO("run: mqtt-stackd describe --markdown > docs/configuration.md");
  CHECK(contentOf(std::filesystem::path{MQTTSTACK_SOURCES} / "docs/configuration.md") ==
        configurationManual(registry));
}

TEST_CASE("the secure configuration lets in nobody unknown, and nobody in the clear", "[config]") {
  const Installed installed;
  CHECK(installed.problemsOf(contentOf(kShipped / "secure.toml")) == "");
  CHECK(installed.policies() == "pipeline \"default\", anonymous refused, TLS\n");
}
