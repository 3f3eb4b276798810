#include <catch2/catch.hpp>
#include <openssl/ssl.h>

#include "tests/scenario/support/daemon.hpp"
#include "tests/scenario/support/raw_client.hpp"
#include "tests/scenario/support/test_certificates.hpp"

using namespace mqttstack;

namespace {

/// A daemon with one TLS listener, and the certificates of both sides.
class TlsScenario {
public:
  explicit TlsScenario(const std::string& clientCertificates = "none")
      : daemon_(start(clientCertificates)) {}

  [[nodiscard]] Endpoint endpoint() const { return daemon_.endpoint(); }
  [[nodiscard]] bool logs(std::string_view text) const { return daemon_.logs(text); }
  [[nodiscard]] ClientTls client(const std::string& name = "") const {
    ClientTls tls{.authority = directory_.path() / "ca.crt"};
    if (!name.empty()) {
      tls.certificate = directory_.path() / (name + ".crt");
      tls.key = directory_.path() / (name + ".key");
    }
    return tls;
  }

private:
  DaemonProcess start(const std::string& clientCertificates) const {
    writeTestCertificates(directory_.path());
    std::string tls = R"(certificate = "server.crt", key = "server.key")";
    if (clientCertificates != "none") {
      tls += R"(, client_ca = "ca.crt", client_certificates = ")" + clientCertificates + "\"";
    }
    return DaemonProcess("[[listener]]\nbind = \"127.0.0.1:0\"\ntls = { " + tls + " }\n",
                         directory_.path());
  }

  TemporaryDirectory directory_;
  DaemonProcess daemon_;
};

/// Whether a client with this side of TLS gets as far as CONNACK. TLS 1.3 tells a client only
/// after its handshake that its certificate is refused.
bool isLetIn(const Endpoint& server, const ClientTls& tls) {
  try {
    RawClient client(server, Version::v311, tls);
    client.connect();
    return true;
  } catch (const std::runtime_error&) {
    return false;
  }
}

}  // namespace

TEST_CASE("clients connect and exchange messages over TLS 1.2 and 1.3", "[tls]") {
  const TlsScenario scenario;
  const auto version = GENERATE(Version::v31, Version::v311, Version::v5);
  const int tlsVersion = GENERATE(TLS1_2_VERSION, TLS1_3_VERSION);
  CAPTURE(version, tlsVersion);
  auto tls = scenario.client();
  tls.onlyVersion = tlsVersion;
  RawClient client(scenario.endpoint(), version, tls);
  client.connect();
  client.subscribe({{"t", 2}});
  for (const std::size_t size : {1U, 5'000U, 16'384U, 200'000U}) {
    const Bytes payload(size, 'x');
    RawClient publisher(scenario.endpoint(), version, tls);
    publisher.connect({.clientId = "publisher"});
    publisher.publishFully({.topic = "t", .payload = payload, .qos = 2, .id = 1});
    client.expectPublishFully({.topic = "t", .payload = payload, .qos = 2});
  }
  client.disconnect();
}

TEST_CASE("TLS older than 1.2 is refused (mosquitto 2722)", "[tls]") {
  const TlsScenario scenario;
  const int tlsVersion = GENERATE(TLS1_VERSION, TLS1_1_VERSION);
  auto tls = scenario.client();
  tls.onlyVersion = tlsVersion;
  CHECK_FALSE(isLetIn(scenario.endpoint(), tls));
  CHECK(isLetIn(scenario.endpoint(), scenario.client()));
}

TEST_CASE("many packets in one record are all processed", "[tls]") {
  const TlsScenario scenario;
  RawClient client(scenario.endpoint(), Version::v311, scenario.client());
  client.connect();
  client.subscribe({{"t", 0}});
  Bytes all;
  for (int i = 0; i < 800; ++i) {
    all += publishPacket(Version::v311, {.topic = "t", .payload = std::to_string(i)});
  }
  client.send(all);
  for (int i = 0; i < 800; ++i) {
    client.expectPublish({.topic = "t", .payload = std::to_string(i)});
  }
}

TEST_CASE("packets may come one byte to a record", "[tls]") {
  const TlsScenario scenario;
  RawClient client(scenario.endpoint(), Version::v311, scenario.client());
  for (const char byte : connectPacket(Version::v311, {}) + pingreqPacket()) {
    client.send(Bytes(1, byte));
  }
  CHECK(readConnack(Version::v311, client.receive()).code == 0);
  client.expect(pingrespPacket());
}

TEST_CASE("a TLS connection that breaks publishes the will", "[tls]") {
  const TlsScenario scenario;
  const auto version = GENERATE(Version::v311, Version::v5);
  const bool politely = GENERATE(true, false);
  CAPTURE(version, politely);
  RawClient watcher(scenario.endpoint(), version, scenario.client());
  watcher.connect({.clientId = "watcher"});
  watcher.subscribe({{"will", 0}});
  RawClient mortal(scenario.endpoint(), version, scenario.client());
  mortal.connect({.clientId = "mortal", .will = Will{.topic = "will", .payload = "gone"}});
  // Ending TLS in order is not a DISCONNECT either.
  if (politely) mortal.closeSending();
  mortal.drop();
  watcher.expectPublish({.topic = "will", .payload = "gone"});
}

TEST_CASE("who may come in depends on the client certificate (mosquitto 996)", "[tls]") {
  SECTION("none is asked for") {
    const TlsScenario scenario("none");
    CHECK(isLetIn(scenario.endpoint(), scenario.client()));
    CHECK(isLetIn(scenario.endpoint(), scenario.client("client")));
  }
  SECTION("it is optional") {
    const TlsScenario scenario("optional");
    CHECK(isLetIn(scenario.endpoint(), scenario.client()));
    CHECK(isLetIn(scenario.endpoint(), scenario.client("client")));
    CHECK_FALSE(isLetIn(scenario.endpoint(), scenario.client("stranger")));
  }
  SECTION("it is required") {
    const TlsScenario scenario("required");
    CHECK_FALSE(isLetIn(scenario.endpoint(), scenario.client()));
    CHECK(isLetIn(scenario.endpoint(), scenario.client("client")));
    CHECK_FALSE(isLetIn(scenario.endpoint(), scenario.client("stranger")));
  }
}

TEST_CASE("a client certificate is checked in TLS 1.2 too", "[tls]") {
  const TlsScenario scenario("required");
  auto without = scenario.client();
  without.onlyVersion = TLS1_2_VERSION;
  CHECK_FALSE(isLetIn(scenario.endpoint(), without));
  auto with = scenario.client("client");
  with.onlyVersion = TLS1_2_VERSION;
  CHECK(isLetIn(scenario.endpoint(), with));
}

TEST_CASE("the log says why a TLS handshake has failed", "[tls]") {
  const TlsScenario scenario("required");
  SECTION("no certificate") {
    CHECK_FALSE(isLetIn(scenario.endpoint(), scenario.client()));
    CHECK(scenario.logs("was not accepted: TLS: the peer showed no certificate"));
  }
  SECTION("a stranger's certificate") {
    CHECK_FALSE(isLetIn(scenario.endpoint(), scenario.client("stranger")));
    CHECK(scenario.logs("was not accepted: TLS: the peer's certificate was refused: "));
  }
  SECTION("an old version") {
    auto tls = scenario.client("client");
    tls.onlyVersion = TLS1_1_VERSION;
    CHECK_FALSE(isLetIn(scenario.endpoint(), tls));
    CHECK(scenario.logs("was not accepted: TLS: the peer offered only TLS versions that are too"));
  }
  SECTION("no TLS at all") {
    RawClient plain(scenario.endpoint());
    plain.send(connectPacket(Version::v311, {}));
    CHECK(scenario.logs("was not accepted: TLS: the peer did not speak TLS"));
  }
}

TEST_CASE("plain bytes on a TLS port are closed and disturb nobody", "[tls]") {
  const TlsScenario scenario;
  RawClient healthy(scenario.endpoint(), Version::v311, scenario.client());
  healthy.connect({.clientId = "healthy"});
  for (int i = 0; i < 20; ++i) {
    RawClient plain(scenario.endpoint());
    plain.send(connectPacket(Version::v311, {}));
    plain.closeSending();
    // A TLS alert may come before the end.
    try {
      static_cast<void>(plain.receive());
      FAIL("a packet came in the clear");
    } catch (const ExpectationFailed&) {
    }
    healthy.expectNothing();
  }
}

TEST_CASE("a client that never finishes its handshake is closed after the connect timeout",
          "[tls]") {
  TemporaryDirectory directory;
  writeTestCertificates(directory.path());
  DaemonProcess daemon(
      "[[listener]]\nbind = \"127.0.0.1:0\"\n"
      "tls = { certificate = \"server.crt\", key = \"server.key\" }\n"
      "[middleware.connection]\nconnect_timeout = \"1s\"\n",
      directory.path());
  RawClient silent(daemon.endpoint());
  silent.expectClosed();
}
