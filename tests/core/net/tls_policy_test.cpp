// What the options of TLS make of a handshake, seen from the peer.

#include <fstream>

#include <catch2/catch.hpp>

#include "core/net/tls_context.hpp"
#include "core/net/tls_error.hpp"
#include "core/net/tls_transport.hpp"
#include "tests/core/net/tls_fixture.hpp"

using namespace mqttstack::net;
using namespace mqttstack::net::test;

namespace {

struct SessionDeleter {
  void operator()(SSL_SESSION* session) const { SSL_SESSION_free(session); }
};
using SessionPtr = std::unique_ptr<SSL_SESSION, SessionDeleter>;

/// A listener whose options a test sets before it dials.
struct PolicyNet : Net {
  PolicyNet() {
    ca.save(directory.file("ca.crt"), "");
    options.certificates = {add("server", "localhost", "DNS:localhost")};
  }

  /// Files of a certificate for the names in `alternatives`.
  TlsCertificate add(const std::string& file, const std::string& name,
                     const std::string& alternatives) {
    const TlsCertificate files{directory.file(file + ".crt"), directory.file(file + ".key")};
    makeIdentity(name, &ca, alternatives).save(files.certificateFile, files.keyFile);
    return files;
  }
  void open() {
    auto context = TlsContext::load(options);
    if (!context) throw std::runtime_error{context.error()};
    if (listener)
      listener->setTls(*context);
    else
      port = listen(*context);
  }

  /// A peer after its handshake and one byte there and back, so that an alert or a
  /// ticket has come; or one that failed.
  std::unique_ptr<TlsPeer> dial(TlsPeer::Options with = {}) {
    if (port == 0) open();
    if (!with.trusted) with.trusted = &ca;
    prepare = [](Session& session) {
      session.whenData = [](Session& s) { REQUIRE(s.write("y")); };
    };
    auto peer = std::make_unique<TlsPeer>(port, with);
    peer->send("x");
    REQUIRE(until([&] {
      peer->poll();
      return peer->failed || peer->received == "y";
    }));
    return peer;
  }
  bool isLetIn(const TlsPeer::Options& with = {}) { return dial(with)->received == "y"; }

  TemporaryDirectory directory;
  Identity ca = makeIdentity("Test CA");
  TlsOptions options;
  std::uint16_t port = 0;
};

std::string shownName(TlsPeer& peer) {
  X509* certificate = SSL_get0_peer_certificate(peer.native());
  char name[256] = {};
  X509_NAME_get_text_by_NID(X509_get_subject_name(certificate), NID_commonName, name, sizeof name);
  return name;
}

/// Writes a list of what `ca` has taken back.
void writeRevocations(const std::string& file, const Identity& ca,
                      const std::vector<const Identity*>& revoked) {
  const std::shared_ptr<X509_CRL> list{X509_CRL_new(), &X509_CRL_free};
  const std::shared_ptr<ASN1_TIME> from{X509_gmtime_adj(nullptr, -3600), &ASN1_STRING_free};
  const std::shared_ptr<ASN1_TIME> to{X509_gmtime_adj(nullptr, 3600), &ASN1_STRING_free};
  X509_CRL_set_version(list.get(), 1);
  X509_CRL_set_issuer_name(list.get(), X509_get_subject_name(ca.certificate.get()));
  X509_CRL_set1_lastUpdate(list.get(), from.get());
  X509_CRL_set1_nextUpdate(list.get(), to.get());
  for (const Identity* each : revoked) {
    X509_REVOKED* entry = X509_REVOKED_new();
    X509_REVOKED_set_serialNumber(entry, X509_get_serialNumber(each->certificate.get()));
    X509_REVOKED_set_revocationDate(entry, from.get());
    X509_CRL_add0_revoked(list.get(), entry);
  }
  X509_CRL_sign(list.get(), ca.key.get(), EVP_sha256());
  std::FILE* out = std::fopen(file.c_str(), "w");
  PEM_write_X509_CRL(out, list.get());
  std::fclose(out);
}

}  // namespace

TEST_CASE("min_version 1.3 refuses TLS 1.2", "[tls_policy]") {
  PolicyNet net;
  CHECK(net.isLetIn({.version = TLS1_2_VERSION}));
  net.options.minimumVersion = TlsVersion::v1_3;
  net.open();
  CHECK_FALSE(net.isLetIn({.version = TLS1_2_VERSION}));
  CHECK(net.isLetIn({.version = TLS1_3_VERSION}));
}

TEST_CASE("ciphers and cipher suites are those of the options", "[tls_policy]") {
  PolicyNet net;
  net.options.ciphers = "ECDHE-ECDSA-CHACHA20-POLY1305";
  net.options.ciphersuites = "TLS_AES_128_GCM_SHA256";
  CHECK(std::string{SSL_get_cipher_name(net.dial({.version = TLS1_2_VERSION})->native())} ==
        "ECDHE-ECDSA-CHACHA20-POLY1305");
  CHECK(std::string{SSL_get_cipher_name(net.dial({.version = TLS1_3_VERSION})->native())} ==
        "TLS_AES_128_GCM_SHA256");
}

TEST_CASE("a cipher that nobody knows is found in a list of good ones", "[tls_policy]") {
  CHECK(findUnknownCipher("").empty());
  CHECK(findUnknownCipher("ECDHE+AESGCM:ECDHE-RSA-CHACHA20-POLY1305:!aNULL:@STRENGTH").empty());
  CHECK(findUnknownCipher("ECDHE+AESGCM:ECDHE-RSA-AES256-GCM-SHA385") ==
        "ECDHE-RSA-AES256-GCM-SHA385");
  CHECK(findUnknownCiphersuite("TLS_AES_256_GCM_SHA384:TLS_AES_128_GCM_SHA256").empty());
  CHECK(findUnknownCiphersuite("TLS_AES_256_GCM_SHA384:TLS_AES_512") == "TLS_AES_512");
}

TEST_CASE("the name that a peer asks for decides which certificate it gets", "[tls_policy]") {
  const int version = GENERATE(TLS1_2_VERSION, TLS1_3_VERSION);
  PolicyNet net;
  net.options.certificates.push_back(net.add("second", "second", "DNS:mqtt.example"));
  net.options.certificates.push_back(net.add("wild", "wild", "DNS:*.lab.example"));
  const auto nameFor = [&](const std::string& asked) {
    return shownName(*net.dial({.version = version, .serverName = asked}));
  };
  CHECK(nameFor("mqtt.example") == "second");
  CHECK(nameFor("MQTT.example") == "second");
  CHECK(nameFor("a.lab.example") == "wild");
  CHECK(nameFor("localhost") == "localhost");
  CHECK(nameFor("") == "localhost");
  CHECK(nameFor("nobody.example") == "localhost");
}

TEST_CASE("a client CA may be a directory, of which only certificates are read", "[tls_policy]") {
  PolicyNet net;
  const Identity other = makeIdentity("Other CA");
  const Identity stranger = makeIdentity("Third CA");
  std::filesystem::create_directory(net.directory.file("cas"));
  net.ca.save(net.directory.file("cas/a.pem"), "");
  other.save(net.directory.file("cas/b.crt"), "");
  std::ofstream{net.directory.file("cas/README")} << "no PEM here\n";
  net.options.clientCa = net.directory.file("cas");
  net.options.clientCertificates = ClientCertificates::required;
  const Identity one = makeIdentity("one", &net.ca);
  const Identity two = makeIdentity("two", &other);
  const Identity three = makeIdentity("three", &stranger);
  CHECK(net.isLetIn({.shown = &one}));
  CHECK(net.isLetIn({.shown = &two}));
  CHECK_FALSE(net.isLetIn({.shown = &three}));
  CHECK(filesOf(net.options).size() == 2 + 1 + 2);
}

TEST_CASE("a certificate that was taken back is refused", "[tls_policy]") {
  const auto mode = GENERATE(ClientCertificates::optional, ClientCertificates::required);
  const int version = GENERATE(TLS1_2_VERSION, TLS1_3_VERSION);
  PolicyNet net;
  const Identity good = makeIdentity("good", &net.ca);
  const Identity bad = makeIdentity("bad", &net.ca);
  writeRevocations(net.directory.file("ca.crl"), net.ca, {&bad});
  net.options.clientCa = net.directory.file("ca.crt");
  net.options.clientCrl = net.directory.file("ca.crl");
  net.options.clientCertificates = mode;
  CHECK(net.isLetIn({.version = version, .shown = &good}));
  CHECK_FALSE(net.isLetIn({.version = version, .shown = &bad}));
  CHECK(net.sessions.back()->why.category() == certificateCategory());
}

TEST_CASE("a CRL that holds none for a client's CA lets nobody of it in", "[tls_policy]") {
  PolicyNet net;
  const Identity other = makeIdentity("Other CA");
  const Identity good = makeIdentity("good", &net.ca);
  writeRevocations(net.directory.file("other.crl"), other, {});
  net.options.clientCa = net.directory.file("ca.crt");
  net.options.clientCrl = net.directory.file("other.crl");
  net.options.clientCertificates = ClientCertificates::required;
  CHECK_FALSE(net.isLetIn({.shown = &good}));
}

TEST_CASE("whoever signs between a client and its CA may be taken back too", "[tls_policy]") {
  PolicyNet net;
  const Identity between = makeIdentity("Intermediate CA", &net.ca, "", Signs::yes);
  const Identity client = makeIdentity("client", &between);
  std::filesystem::create_directory(net.directory.file("cas"));
  net.ca.save(net.directory.file("cas/root.pem"), "");
  between.save(net.directory.file("cas/between.pem"), "");
  net.options.clientCa = net.directory.file("cas");
  net.options.clientCrl = net.directory.file("both.crl");
  net.options.clientCertificates = ClientCertificates::required;
  const auto writeBoth = [&](const std::vector<const Identity*>& revokedByRoot) {
    writeRevocations(net.directory.file("root.crl"), net.ca, revokedByRoot);
    writeRevocations(net.directory.file("between.crl"), between, {});
    std::ofstream{net.options.clientCrl}
        << std::ifstream{net.directory.file("root.crl")}.rdbuf()
        << std::ifstream{net.directory.file("between.crl")}.rdbuf();
    net.open();
  };
  writeBoth({});
  CHECK(net.isLetIn({.shown = &client}));
  writeBoth({&between});
  CHECK_FALSE(net.isLetIn({.shown = &client}));
  CHECK(net.sessions.back()->why.category() == certificateCategory());

  // The root needs a list as well.
  writeRevocations(net.options.clientCrl, between, {});
  net.open();
  CHECK_FALSE(net.isLetIn({.shown = &client}));
}

TEST_CASE("a bad CRL or an empty directory of CAs is told with its place", "[tls_policy]") {
  PolicyNet net;
  net.options.clientCertificates = ClientCertificates::required;
  net.options.clientCa = net.directory.file("ca.crt");
  const auto error = [&] {
    const auto loaded = TlsContext::load(net.options);
    return loaded ? "" : loaded.error();
  };
  net.options.clientCrl = net.directory.file("nowhere.crl");
  CHECK_THAT(error(), Catch::Contains("nowhere.crl") && Catch::Contains("No such file"));
  net.options.clientCrl = net.directory.file("ca.crt");
  CHECK_THAT(error(), Catch::Contains("ca.crt") && Catch::Contains("revocation lists"));
  net.options.clientCrl.clear();
  std::filesystem::create_directory(net.directory.file("empty"));
  net.options.clientCa = net.directory.file("empty");
  CHECK_THAT(error(), Catch::Contains("empty\"") && Catch::Contains(".pem, .crt or .cer"));
}

TEST_CASE("a session is resumed by its ticket, and no longer after the files were read anew",
          "[tls_policy]") {
  const int version = GENERATE(TLS1_2_VERSION, TLS1_3_VERSION);
  PolicyNet net;
  const auto first = net.dial({.version = version});
  CHECK(SSL_session_reused(first->native()) == 0);
  const SessionPtr session{SSL_get1_session(first->native())};

  const auto second = net.dial({.version = version, .session = session.get()});
  CHECK(SSL_session_reused(second->native()) == 1);
  const SessionPtr again{SSL_get1_session(second->native())};

  net.open();
  const auto third = net.dial({.version = version, .session = again.get()});
  CHECK(SSL_session_reused(third->native()) == 0);
  CHECK(third->received == "y");
}

TEST_CASE("where certificates are asked for, no ticket takes the place of one", "[tls_policy]") {
  const auto mode = GENERATE(ClientCertificates::optional, ClientCertificates::required);
  const int version = GENERATE(TLS1_2_VERSION, TLS1_3_VERSION);
  PolicyNet net;
  net.options.clientCa = net.directory.file("ca.crt");
  net.options.clientCertificates = mode;
  const Identity client = makeIdentity("client", &net.ca);
  const auto first = net.dial({.version = version, .shown = &client});
  CHECK(first->received == "y");
  const SessionPtr session{SSL_get1_session(first->native())};
  CHECK(SSL_SESSION_has_ticket(session.get()) == 0);

  const auto second = net.dial({.version = version, .shown = &client, .session = session.get()});
  CHECK(SSL_session_reused(second->native()) == 0);
  CHECK(net.sessions.back()->transport->peer().tls()->commonName == "client");
}

TEST_CASE("connections outlive the certificates they were made with", "[tls_policy]") {
  PolicyNet net;
  const auto before = net.dial();
  net.options.certificates = {net.add("new", "new", "DNS:localhost")};
  net.open();
  CHECK(shownName(*net.dial()) == "new");
  before->received.clear();
  before->send("x");
  CHECK(net.until([&] {
    before->poll();
    return before->received == "y";
  }));
}
