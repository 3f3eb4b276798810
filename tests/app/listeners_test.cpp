#include "app/listeners.hpp"

#include <sys/stat.h>

#include <catch2/catch.hpp>

#include "tests/app/config_fixture.hpp"
#include "tests/scenario/support/test_certificates.hpp"

using namespace mqttstack;
using namespace mqttstack::test;
using Catch::Matchers::Contains;

namespace {

const std::string kAuthenticating =
    "[pipeline]\ndefault = [\"connection\", \"authentication\", \"password_file\"]\n"
    "[middleware.password_file]\npath = \"/\"\n";

/// The first listener's policy, or what is wrong.
std::string policyOf(const std::string& text) {
  Registry registry;
  registerTestMiddlewares(registry);
  ConfigReport report;
  const Config config = readConfig({"test.toml", text}, report);
  const LogSink silent;
  const Daemon daemon{config, registry, silent, report};
  if (report.hasErrors()) return report.findings().front().message;
  return describePolicy(*daemon.listeners().front());
}

std::string listener(const std::string& bind, const std::string& more = "") {
  return "[[listener]]\nbind = \"" + bind + "\"\n" + more + "\n";
}

}  // namespace

TEST_CASE(
    "clients without credentials get in by themselves only on loopback and where nobody "
    "could be asked",
    "[listeners]") {
  CHECK(policyOf(listener("127.0.0.1:1883")) == "pipeline \"default\", anonymous allowed, no TLS");
  CHECK(policyOf(listener("[::1]:1883")) == "pipeline \"default\", anonymous allowed, no TLS");
  CHECK(policyOf(listener("127.0.0.1:1883") + kAuthenticating) ==
        "pipeline \"default\", anonymous refused, no TLS");
  CHECK(policyOf(listener("127.0.0.1:1883", "allow_anonymous = true") + kAuthenticating) ==
        "pipeline \"default\", anonymous allowed, no TLS");
  CHECK(policyOf(listener("0.0.0.0:1883") + kAuthenticating) ==
        "pipeline \"default\", anonymous refused, no TLS");
  CHECK(policyOf(listener("0.0.0.0:1883", "allow_anonymous = true")) ==
        "pipeline \"default\", anonymous allowed, no TLS");
}

TEST_CASE(
    "a listener that the network can reach and that authenticates nobody is refused (mosquitto "
    "CVE-2018-20145, 2283)",
    "[listeners]") {
  CHECK(
      problemsOf("[[listener]]\nname = \"lan\"\nbind = \"0.0.0.0:1883\"\n") ==
      R"(test.toml:3:8: error: listener "lan" can be reached from the network, and pipeline "default" authenticates nobody
    bind = "0.0.0.0:1883"
           ^~~~~~~~~~~~~~
help: add "authentication" and for example "password_file" to the pipeline, or say allow_anonymous = true in this listener
test.toml: 1 error
)");
  for (const char* bind : {"*:1883", "[::]:1883", "192.0.2.1:1883", "broker.example:1883"}) {
    INFO(bind);
    CHECK_THAT(problemsOf(listener(bind)), Contains("can be reached from the network"));
    CHECK_THAT(problemsOf(listener(bind, "allow_anonymous = false")),
               Contains("can be reached from the network"));
    CHECK(problemsOf(listener(bind, "allow_anonymous = true")) == "");
  }
}

TEST_CASE("a loopback listener cannot keep out clients that nobody authenticates", "[listeners]") {
  CHECK_THAT(problemsOf(listener("127.0.0.1:1883", "allow_anonymous = false")),
             Contains("test.toml:3:19: error: pipeline \"default\" authenticates nobody, so that "
                      "clients without credentials get in all the same") &&
                 Contains("help: add \"authentication\""));
}

TEST_CASE("loopback is what only this machine can reach", "[listeners]") {
  for (const char* host : {"127.0.0.1", "127.1.2.3", "::1", "localhost", "::ffff:127.0.0.1"})
    CHECK(isLoopback({host, 1}));
  for (const char* host : {"0.0.0.0", "::", "*", "10.0.0.1", "fe80::1", "localhost.example", "::2"})
    CHECK_FALSE(isLoopback({host, 1}));
}

TEST_CASE("endpoints overlap where both cannot be had", "[listeners]") {
  CHECK(overlap({"127.0.0.1", 1}, {"127.0.0.1", 1}));
  CHECK(overlap({"::1", 1}, {"0:0::1", 1}));
  CHECK(overlap({"0.0.0.0", 1}, {"10.0.0.1", 1}));
  CHECK(overlap({"10.0.0.1", 1}, {"0.0.0.0", 1}));
  CHECK(overlap({"*", 1}, {"::1", 1}));
  CHECK(overlap({"::", 1}, {"::1", 1}));
  CHECK(overlap({"localhost", 1}, {"127.0.0.1", 1}));
  CHECK(overlap({"::1", 1}, {"localhost", 1}));
  CHECK(overlap({"localhost", 1}, {"0.0.0.0", 1}));
  CHECK(overlap({"localhost", 1}, {"localhost", 1}));
  CHECK_FALSE(overlap({"localhost", 1}, {"127.0.0.2", 1}));
  CHECK_FALSE(overlap({"127.0.0.1", 0}, {"127.0.0.1", 0}));
  CHECK_FALSE(overlap({"127.0.0.1", 1}, {"127.0.0.1", 2}));
  CHECK_FALSE(overlap({"127.0.0.1", 1}, {"127.0.0.2", 1}));
  CHECK_FALSE(overlap({"0.0.0.0", 1}, {"::1", 1}));
  CHECK_FALSE(overlap({"a.example", 1}, {"b.example", 1}));
}

TEST_CASE("two listeners have neither one name nor one address", "[listeners]") {
  const std::string problems = problemsOf(R"([[listener]]
name = "a"
bind = "127.0.0.1:1883"
[[listener]]
name = "a"
bind = "localhost:1884"
[[listener]]
bind = "127.0.0.1:1883"
)");
  CHECK_THAT(problems, Contains("test.toml:5:8: error: two listeners are called \"a\"") &&
                           Contains("help: the first one is on line 1; give one another name"));
  CHECK_THAT(problems, Contains("test.toml:8:8: error: listener \"a\" listens on 127.0.0.1:1883 "
                                "already"));
  CHECK_THAT(problems, Contains("test.toml: 2 errors"));
}

TEST_CASE("an unknown pipeline is told where it is named", "[listeners]") {
  CHECK_THAT(problemsOf(listener("127.0.0.1:1", "pipeline = \"defualt\"")),
             Contains("test.toml:3:12: error: unknown pipeline \"defualt\"") &&
                 Contains("did you mean \"default\"?"));
  CHECK_THAT(problemsOf(listener("127.0.0.1:1") + "[pipeline]\nmain = [\"connection\"]\n"),
             Contains("test.toml:1:1: error: there is no pipeline \"default\" for this listener") &&
                 Contains("help: write pipeline = \"…\" with one of: main"));
}

TEST_CASE("all TLS files that cannot be read are told", "[listeners]") {
  const TemporaryDirectory directory;
  directory.write("bad.key", "no key");
  const std::string name = (directory.path() / "test.toml").string();
  const std::string problems =
      problemsOf(listener("127.0.0.1:1",
                          "tls = { certificate = \"no.crt\", key = \"/\", client_ca = "
                          "\"no-ca.crt\", client_certificates = \"required\" }"),
                 name);
  CHECK_THAT(problems,
             Contains(name + ":3:23: error: cannot read \"" +
                      (directory.path() / "no.crt").string() + "\": No such file or directory"));
  CHECK_THAT(problems, Contains(name + ":3:39: error: cannot read \"/\": it is a directory"));
  CHECK_THAT(problems, Contains(name + ":3:56: error: cannot read \"" +
                                (directory.path() / "no-ca.crt").string()));
  CHECK_THAT(problems, Contains("help: make it, or correct the path\n"));
  CHECK_THAT(problems, Contains(": 3 errors"));
}

TEST_CASE("a key that everybody can read is warned of, and refused if everybody can change it",
          "[listeners]") {
  const TemporaryDirectory directory;
  const std::string key = directory.write("a", "", std::filesystem::perms{0644}).string();
  const std::string name = (directory.path() / "test.toml").string();
  const std::string text = listener("127.0.0.1:1", "tls = { certificate = \"a\", key = \"a\" }");
  CHECK_THAT(problemsOf(text, name),
             Contains(":3:34: warning: everybody on this machine can read \"" + key + "\"") &&
                 Contains("help: chmod 640 " + key));
  std::filesystem::permissions(key, std::filesystem::perms{0646});
  CHECK_THAT(problemsOf(text, name),
             Contains(":3:34: error: \"" + key +
                      "\" is refused: everybody on this machine can change it") &&
                 Contains("help: chmod o-w " + key));
}

TEST_CASE("a TLS file that holds something else is told at its option (mosquitto 2130)",
          "[listeners]") {
  const TemporaryDirectory directory;
  directory.write("bad.crt", "no certificate");
  directory.write("bad.key", "no key");
  const std::string name = (directory.path() / "test.toml").string();
  CHECK_THAT(problemsOf(listener("127.0.0.1:1",
                                 "tls = { certificate = \"bad.crt\", key = "
                                 "\"bad.key\" }"),
                        name),
             Contains(name + ":3:23: error: TLS certificate \""));
}

TEST_CASE("a client CA that nobody is checked against is an error", "[listeners]") {
  const TemporaryDirectory directory;
  directory.write("a", "");
  CHECK_THAT(problemsOf(listener("127.0.0.1:1",
                                 "tls = { certificate = \"a\", key = \"a\", "
                                 "client_ca = \"a\" }"),
                        (directory.path() / "test.toml").string()),
             Contains(":3:39: error: \"client_ca\" has no effect") &&
                 Contains("help: add client_certificates = \"required\""));
}

TEST_CASE("a CONNECT may not be larger than any other packet", "[listeners]") {
  Registry registry;
  registerTestMiddlewares(registry);
  ConfigReport report;
  const Config config =
      readConfig({"test.toml", listener("127.0.0.1:1", "max_packet_size = \"2KiB\"")}, report);
  const LogSink silent;
  const Daemon daemon{config, registry, silent, report};
  CHECK(daemon.listeners()[0]->policy.maximumPacketSize == 2048);
  CHECK(daemon.listeners()[0]->policy.maximumConnectSize == 2048);
}

TEST_CASE("ciphers that nobody knows or asks for are told", "[listeners]") {
  const TemporaryDirectory directory;
  directory.write("a", "");
  const auto problems = [&](const std::string& more) {
    return problemsOf(
        listener("127.0.0.1:1", "[listener.tls]\ncertificate = \"a\"\nkey = \"a\"\n" + more),
        (directory.path() / "test.toml").string());
  };
  CHECK_THAT(problems("ciphers = \"ECDHE+AESGCM:NO-SUCH\""),
             Contains(":6:11: error: OpenSSL knows no \"NO-SUCH\" here") &&
                 Contains("help: openssl ciphers -v -tls1_2 lists them"));
  CHECK_THAT(problems("ciphersuites = \"TLS_NO_SUCH\""),
             Contains(":6:16: error: OpenSSL knows no \"TLS_NO_SUCH\" here"));
  CHECK_THAT(problems("ciphers = \"ECDHE+AESGCM\"\nmin_version = \"1.3\""),
             Contains(":6:1: error: \"ciphers\" has no effect"));
  CHECK_THAT(problems("client_crl = \"a\""), Contains(":6:1: error: \"client_crl\" has no effect"));
  CHECK_THAT(problems("min_version = \"1.1\""), Contains("error"));
}

TEST_CASE("a further certificate is told at its own option", "[listeners]") {
  const TemporaryDirectory directory;
  writeTestCertificates(directory.path());
  directory.write("bad.crt", "no certificate");
  const std::string name = (directory.path() / "test.toml").string();
  const std::string tls =
      "[listener.tls]\ncertificate = \"server.crt\"\nkey = \"server.key\"\n[[listener.tls.sni]]\n";
  CHECK_THAT(
      problemsOf(listener("127.0.0.1:1", tls + "certificate = \"bad.crt\"\nkey = \"server.key\"\n"),
                 name),
      Contains(name + ":7:15: error: TLS certificate \""));
  CHECK_THAT(
      problemsOf(listener("127.0.0.1:1", tls + "certificate = \"none\"\nkey = \"client.key\"\n"),
                 name),
      Contains(name + ":7:15: error: cannot read \""));
  CHECK_THAT(problemsOf(listener("127.0.0.1:1", tls + "key = \"server.key\"\n"), name),
             Contains("certificate"));
}

TEST_CASE("TLS files that cannot even be looked at are told, and nothing is thrown",
          "[listeners]") {
  const TemporaryDirectory directory;
  const std::filesystem::path loop = directory.path() / "server.crt";
  std::filesystem::create_symlink(loop, loop);
  ListenerPlan plan{};
  plan.tls.emplace();
  plan.tls->certificates.push_back({loop.string(), loop.string()});
  const auto loaded = loadTlsAnew(plan);
  REQUIRE_FALSE(loaded);
  CHECK_THAT(loaded.error(), Contains("cannot read \"" + loop.string() + "\": "));
}

TEST_CASE("an address that is none is told, also one that is empty", "[listeners]") {
  CHECK_THAT(problemsOf(listener("")), Contains("test.toml:2:8: error: \"\" is no endpoint"));
  CHECK_THAT(problemsOf(listener("300.1.1.1:1883")),
             Contains("what stands before the port is no IPv4 address"));
}
