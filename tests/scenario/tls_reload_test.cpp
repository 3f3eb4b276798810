#include <csignal>
#include <filesystem>
#include <fstream>

#include <catch2/catch.hpp>

#include "tests/scenario/support/daemon.hpp"
#include "tests/scenario/support/raw_client.hpp"
#include "tests/scenario/support/test_certificates.hpp"

using namespace mqttstack;
using Catch::Matchers::Contains;

namespace {

namespace fs = std::filesystem;

/// A daemon with TLS, and beside its certificates those of another authority.
struct Renewal {
  Renewal() {
    writeTestCertificates(own.path());
    writeTestCertificates(other.path());
    daemon = std::make_unique<DaemonProcess>(
        "[[listener]]\nname = \"tls\"\nbind = \"127.0.0.1:0\"\n"
        "tls = { certificate = \"server.crt\", key = \"server.key\" }\n",
        own.path());
    // What the daemon's files are replaced by must not take its authority away.
    fs::copy_file(own.path() / "ca.crt", own.path() / "first-ca.crt");
  }

  void replace(const std::string& name) const {
    const fs::path fresh = own.path() / (name + ".new");
    fs::copy_file(other.path() / name, fresh);
    fs::permissions(fresh, fs::perms(0600));
    fs::rename(fresh, own.path() / name);
  }
  bool isServedWith(const fs::path& authority) const {
    try {
      RawClient client(daemon->endpoint(), Version::v311, ClientTls{.authority = authority});
      client.connect();
      return true;
    } catch (const std::runtime_error&) {
      return false;
    }
  }
  bool showsOld() const { return isServedWith(own.path() / "first-ca.crt"); }
  bool showsNew() const { return isServedWith(other.path() / "ca.crt"); }
  bool logs(const std::string& text) const { return daemon->logs(text); }

  TemporaryDirectory own;
  TemporaryDirectory other;
  std::unique_ptr<DaemonProcess> daemon;
};

}  // namespace

TEST_CASE("a hangup signal brings a new certificate, and who is connected stays", "[tls]") {
  const Renewal scene;
  RawClient before(scene.daemon->endpoint(), Version::v311,
                   ClientTls{.authority = scene.own.path() / "first-ca.crt"});
  before.connect({.clientId = "before"});
  scene.replace("server.crt");
  scene.replace("server.key");
  scene.daemon->signal(SIGHUP);
  REQUIRE(scene.logs("reloaded"));
  CHECK(scene.showsNew());
  CHECK_FALSE(scene.showsOld());
  before.expectNothing();
}

TEST_CASE("files that are replaced are noticed without a signal", "[tls]") {
  const Renewal scene;
  RawClient before(scene.daemon->endpoint(), Version::v311,
                   ClientTls{.authority = scene.own.path() / "first-ca.crt"});
  before.connect({.clientId = "before"});
  scene.replace("server.crt");
  scene.replace("server.key");
  REQUIRE(scene.logs("listener \"tls\": TLS files have changed; new connections use them"));
  CHECK(scene.showsNew());
  before.expectNothing();
}

TEST_CASE("a certificate without its key leaves the old pair in place, until both are there",
          "[tls]") {
  const Renewal scene;
  scene.replace("server.crt");
  REQUIRE(scene.logs("listener \"tls\" goes on with the TLS files it has: TLS key"));
  CHECK(scene.showsOld());
  CHECK_FALSE(scene.showsNew());
  scene.replace("server.key");
  REQUIRE(scene.logs("TLS files have changed"));
  CHECK(scene.showsNew());
}

TEST_CASE("mosquitto CVE-2017-7652: a reload that finds no file opens nothing and closes nothing",
          "[tls]") {
  const Renewal scene;
  fs::remove(scene.own.path() / "server.key");
  scene.daemon->signal(SIGHUP);
  REQUIRE(scene.logs("hangup signal: not reloaded"));
  CHECK(scene.showsOld());
  REQUIRE(scene.logs("goes on with the TLS files it has: cannot read"));
  CHECK(scene.showsOld());
}

TEST_CASE("a listener shows the certificate of the name that a client asks for", "[tls]") {
  TemporaryDirectory directory;
  writeTestCertificates(directory.path());
  fs::create_directory(directory.path() / "lab");
  writeTestCertificates(directory.path() / "lab", "mqtt.lab.example");
  const DaemonProcess daemon(
      "[[listener]]\nbind = \"127.0.0.1:0\"\n"
      "[listener.tls]\ncertificate = \"server.crt\"\nkey = \"server.key\"\nmin_version = \"1.3\"\n"
      "[[listener.tls.sni]]\ncertificate = \"lab/server.crt\"\nkey = \"lab/server.key\"\n",
      directory.path());
  const auto asks = [&](const std::string& name, const fs::path& authority) {
    RawClient client(daemon.endpoint(), Version::v5,
                     ClientTls{.authority = authority, .serverName = name});
    client.connect();
  };
  CHECK_NOTHROW(asks("localhost", directory.path() / "ca.crt"));
  CHECK_NOTHROW(asks("mqtt.lab.example", directory.path() / "lab/ca.crt"));
  CHECK_THROWS(asks("mqtt.lab.example", directory.path() / "ca.crt"));
}
