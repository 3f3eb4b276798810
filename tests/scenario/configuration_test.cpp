#include <regex>

#include <catch2/catch.hpp>

#include "tests/scenario/support/daemon.hpp"
#include "tests/scenario/support/raw_client.hpp"

using namespace mqttstack;

namespace {

constexpr int kUsage = 64;
constexpr int kUnavailable = 69;
constexpr int kConfiguration = 78;

const std::string kListener = "[[listener]]\nbind = \"127.0.0.1:0\"\n";

struct Mistake {
  const char* what;
  std::string config;
  /// "line:column" of the message; empty where only the message counts.
  std::string position;
  /// What the message must say.
  std::string says;
};

CommandResult check(const std::string& config, const std::string& command = "check") {
  const TemporaryDirectory directory;
  const auto path = directory.write("broker.toml", config);
  return runDaemon({command, "--config", path.string()});
}

bool contains(const std::string& text, const std::string& part) {
  return text.find(part) != std::string::npos;
}

}  // namespace

TEST_CASE("a listener is a complete configuration", "[configuration]") {
  const auto result = check(kListener);
  CAPTURE(result.output);
  CHECK(result.exitCode == 0);
}

TEST_CASE("each mistake in the configuration is told with its place and a remedy",
          "[configuration]") {
  const auto mistake = GENERATE(
      Mistake{"misspelt key of a listener", kListener + "max_packt_size = 4096\n", "3:1",
              "max_packet_size"},
      Mistake{"misspelt table", kListener + "[pipelin]\ndefault = []\n", "3:", "pipeline"},
      Mistake{"misspelt option", kListener + "[middleware.keep_alive]\ngrase = 1.5\n", "4:1",
              "grace"},
      Mistake{"unknown middleware", kListener + "[pipeline]\ndefault = [\"keep_alife\"]\n", "4:12",
              "keep_alive"},
      Mistake{"pipeline that does not exist", kListener + "pipeline = \"defalt\"\n", "3:12",
              "default"},
      Mistake{"text for a number", kListener + "max_packet_size = \"big\"\n", "3:19",
              "max_packet_size"},
      Mistake{"number out of range",
              kListener + "[middleware.inbound_manager]\nreceive_maximum = 70000\n", "4:19",
              "receive_maximum"},
      Mistake{"unknown unit", kListener + "[middleware.connection]\nconnect_timeout = \"1 era\"\n",
              "4:19", "connect_timeout"},
      Mistake{"not TOML", kListener + "name = \n", "3:", "broker.toml"},
      Mistake{"address that is none", "[[listener]]\nbind = \"somewhere\"\n", "2:8", "somewhere"},
      Mistake{"missing certificate",
              kListener + "tls = { certificate = \"none.crt\", key = \"none.key\" }\n",
              "3:", "none.crt"},
      Mistake{"missing password file",
              kListener + "[pipeline]\ndefault = [\"connection\", \"authentication\", "
                          "\"password_file\"]\n[middleware.password_file]\npath = \"none\"\n",
              "6:", "none"},
      Mistake{"open to the world without authentication", "[[listener]]\nbind = \"0.0.0.0:0\"\n",
              "", "allow_anonymous"},
      Mistake{"authentication that nobody carries out",
              kListener + "[pipeline]\ndefault = [\"connection\", \"authentication\"]\n", "",
              "authenticat"},
      Mistake{"name used twice",
              "[[listener]]\nname = \"a\"\nbind = \"127.0.0.1:0\"\n"
              "[[listener]]\nname = \"a\"\nbind = \"127.0.0.1:0\"\n",
              "5:", "\"a\""});
  const std::string command = GENERATE("check", "run");
  CAPTURE(mistake.what, command);
  const auto result = check(mistake.config, command);
  CAPTURE(result.output);
  CHECK(result.exitCode == kConfiguration);
  CHECK(contains(result.output, mistake.says));
  if (!mistake.position.empty()) {
    CHECK(contains(result.output, "broker.toml:" + mistake.position));
  }
  CHECK(std::regex_search(result.output, std::regex("broker\\.toml:[0-9]+:[0-9]+: ")));
}

TEST_CASE("all mistakes are told in one run", "[configuration]") {
  const auto result = check(kListener +
                            "max_packt_size = 1\n[middleware.keep_alive]\ngrase = 1.5\n"
                            "[middleware.inbound_manager]\nreceive_maximum = 0\n");
  CAPTURE(result.output);
  CHECK(result.exitCode == kConfiguration);
  CHECK(contains(result.output, "broker.toml:3:1: "));
  CHECK(contains(result.output, "broker.toml:5:1: "));
  CHECK(contains(result.output, "broker.toml:7:"));
}

TEST_CASE("a configuration that is not there is named", "[configuration]") {
  const auto result = runDaemon({"run", "--config", "/nonexistent/broker.toml"});
  CAPTURE(result.output);
  CHECK(result.exitCode != 0);
  CHECK(contains(result.output, "/nonexistent/broker.toml"));
}

TEST_CASE("a wrong command line is a usage error", "[configuration]") {
  const auto arguments = GENERATE(std::vector<std::string>{"--no-such-option"},
                                  std::vector<std::string>{"no-such-command"},
                                  std::vector<std::string>{"run", "--config"});
  const auto result = runDaemon(arguments);
  CAPTURE(result.output);
  CHECK(result.exitCode == kUsage);
}

TEST_CASE("--help and --version end well", "[configuration]") {
  const std::string option = GENERATE("--help", "--version");
  const auto result = runDaemon({option});
  CHECK(result.exitCode == 0);
  CHECK_FALSE(result.output.empty());
}

TEST_CASE("run is the default command", "[configuration]") {
  const TemporaryDirectory directory;
  const auto path = directory.write("broker.toml", kListener + "bnd = 1\n");
  const auto result = runDaemon({"--config", path.string()});
  CHECK(result.exitCode == kConfiguration);
}

TEST_CASE("an address in use is told; check does not mind", "[configuration]") {
  DaemonProcess daemon;
  const auto config =
      "[[listener]]\nbind = \"127.0.0.1:" + std::to_string(daemon.endpoint().port) + "\"\n";
  const auto checked = check(config);
  CAPTURE(checked.output);
  CHECK(checked.exitCode == 0);
  const auto run = check(config, "run");
  CAPTURE(run.output);
  CHECK(run.exitCode == kUnavailable);
  CHECK(contains(run.output, std::to_string(daemon.endpoint().port)));
}

TEST_CASE("a daemon may have several listeners, which share their messages", "[configuration]") {
  DaemonProcess daemon(
      "[[listener]]\nname = \"one\"\nbind = \"127.0.0.1:0\"\n"
      "[[listener]]\nname = \"two\"\nbind = \"127.0.0.1:0\"\n");
  RawClient subscriber(daemon.endpoint("one"));
  subscriber.connect({.clientId = "subscriber"});
  subscriber.subscribe({{"t", 1}});
  RawClient publisher(daemon.endpoint("two"));
  publisher.connect({.clientId = "publisher"});
  publisher.publishFully({.topic = "t", .payload = "x", .qos = 1, .id = 1});
  subscriber.expectPublish({.topic = "t", .payload = "x", .qos = 1});
}
