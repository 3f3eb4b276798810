#include "core/net/tls_context.hpp"

#include <fstream>

#include <catch2/catch.hpp>

#include "tests/core/net/tls_fixture.hpp"

using namespace mqttstack::net;
using namespace mqttstack::net::test;
using Catch::Matchers::Contains;

namespace {

struct Files {
  Files() {
    ca.save(directory.file("ca.crt"), "");
    makeIdentity("localhost", &ca).save(directory.file("server.crt"), directory.file("server.key"));
    makeIdentity("other", &ca).save(directory.file("other.crt"), directory.file("other.key"));
    std::ofstream{directory.file("garbage")} << "no PEM here\n";
    ::chmod(directory.file("garbage").c_str(), 0600);
  }
  TlsOptions options() const {
    TlsOptions made;
    made.certificates = {{directory.file("server.crt"), directory.file("server.key")}};
    return made;
  }
  TemporaryDirectory directory;
  Identity ca = makeIdentity("Test CA");
};

std::string errorOf(const TlsOptions& options) {
  const auto loaded = TlsContext::load(options);
  return loaded ? "" : loaded.error();
}

}  // namespace

TEST_CASE("good files make a context", "[tls_context]") {
  const Files files;
  CHECK(errorOf(files.options()).empty());
}

TEST_CASE("a bad certificate is told with its file", "[tls_context]") {
  const Files files;
  TlsOptions options = files.options();
  SECTION("missing") {
    options.certificates[0].certificateFile = files.directory.file("nowhere.crt");
    CHECK_THAT(errorOf(options), Contains("nowhere.crt") && Contains("No such file"));
  }
  SECTION("a directory") {
    options.certificates[0].certificateFile = files.directory.file("");
    CHECK_THAT(errorOf(options), Contains("is a directory"));
  }
  SECTION("garbage") {
    options.certificates[0].certificateFile = files.directory.file("garbage");
    CHECK_THAT(errorOf(options), Contains("garbage") && Contains("it holds none in PEM"));
  }
}

TEST_CASE("a bad key is told with its file and a remedy", "[tls_context]") {
  const Files files;
  TlsOptions options = files.options();
  SECTION("missing") {
    options.certificates[0].keyFile = files.directory.file("nowhere.key");
    CHECK_THAT(errorOf(options), Contains("nowhere.key"));
  }
  SECTION("one that everybody can change") {
    ::chmod(options.certificates[0].keyFile.c_str(), 0646);
    CHECK_THAT(errorOf(options), Contains("server.key") && Contains("chmod 640"));
  }
  SECTION("readable by its group") {
    ::chmod(options.certificates[0].keyFile.c_str(), 0640);
    CHECK(errorOf(options).empty());
  }
  SECTION("garbage") {
    options.certificates[0].keyFile = files.directory.file("garbage");
    CHECK_THAT(errorOf(options), Contains("garbage") && Contains("it holds no private key"));
  }
  SECTION("of another certificate") {
    options.certificates[0].keyFile = files.directory.file("other.key");
    CHECK_THAT(errorOf(options),
               Contains("other.key") && Contains("does not belong to") && Contains("server.crt"));
  }
  SECTION("with a passphrase") {
    std::FILE* out = std::fopen(options.certificates[0].keyFile.c_str(), "w");
    const Identity identity = makeIdentity("secret");
    PEM_write_PrivateKey(out, identity.key.get(), EVP_aes_128_cbc(), nullptr, 0, nullptr,
                         const_cast<char*>("secret"));
    std::fclose(out);
    CHECK_THAT(errorOf(options),
               Contains("server.key") && Contains("it is protected by a passphrase"));
  }
}

TEST_CASE("a bad client CA is told with its file", "[tls_context]") {
  const Files files;
  TlsOptions options = files.options();
  options.clientCertificates = ClientCertificates::required;
  SECTION("not given") { CHECK_THAT(errorOf(options), Contains("no client CA file")); }
  SECTION("missing") {
    options.clientCa = files.directory.file("nowhere.crt");
    CHECK_THAT(errorOf(options), Contains("nowhere.crt"));
  }
  SECTION("garbage") {
    options.clientCa = files.directory.file("garbage");
    CHECK_THAT(errorOf(options), Contains("garbage") && Contains("PEM"));
  }
  SECTION("good") {
    options.clientCa = files.directory.file("ca.crt");
    CHECK(errorOf(options).empty());
  }
}
