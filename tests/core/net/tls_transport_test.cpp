#include "core/net/tls_transport.hpp"

#include <catch2/catch.hpp>

#include "core/net/tls_context.hpp"
#include "core/net/tls_error.hpp"
#include "tests/core/net/tls_fixture.hpp"

using namespace mqttstack::net;
using namespace mqttstack::net::test;

namespace {

/// A listener that speaks TLS with certificates made for the test.
struct TlsNet : Net {
  explicit TlsNet(ClientCertificates mode = ClientCertificates::none) {
    server.save(directory.file("server.crt"), directory.file("server.key"));
    ca.save(directory.file("ca.crt"), "");
    options.certificates = {{directory.file("server.crt"), directory.file("server.key")}};
    options.clientCa = directory.file("ca.crt");
    options.clientCertificates = mode;
    port = listen(load());
  }

  /// What the options say now.
  std::shared_ptr<TlsContext> load() const {
    auto context = TlsContext::load(options);
    if (!context) throw std::runtime_error{context.error()};
    return *context;
  }

  std::unique_ptr<TlsPeer> dial(TlsPeer::Options with = {}) {
    const std::size_t before = sessions.size();
    if (!with.trusted) with.trusted = &ca;
    auto peer = std::make_unique<TlsPeer>(port, with);
    until([&] { return sessions.size() > before; });
    return peer;
  }
  bool handshake(TlsPeer& peer) {
    return until([&] {
             peer.poll();
             return peer.ready || peer.failed;
           }) &&
           peer.ready;
  }
  Session& session() { return *sessions.back(); }

  TemporaryDirectory directory;
  TlsOptions options;
  Identity ca = makeIdentity("Test CA");
  Identity server = makeIdentity("localhost", &ca, "DNS:localhost,IP:127.0.0.1");
  std::uint16_t port = 0;
};

std::string pattern(std::size_t size) {
  std::string bytes(size, '\0');
  for (std::size_t i = 0; i < size; ++i) bytes[i] = static_cast<char>(i * 31 + i / 251);
  return bytes;
}

}  // namespace

TEST_CASE("bytes go both ways over TLS 1.2 and 1.3", "[tls_transport]") {
  const int version = GENERATE(TLS1_2_VERSION, TLS1_3_VERSION);
  TlsNet net;
  net.prepare = [](Session& session) {
    CHECK(session.transport->peer().tls() == nullptr);
    session.whenData = [](Session& s) {
      REQUIRE(s.transport->peer().tls());
      REQUIRE(s.write(s.received));
    };
  };
  auto peer = net.dial({.version = version, .serverName = "localhost", .alpn = "mqtt"});
  peer->send("hello");
  REQUIRE(net.until([&] {
    peer->poll();
    return peer->received == "hello" || peer->failed;
  }));
  const TlsInfo& info = *net.session().transport->peer().tls();
  CHECK(info.protocol == (version == TLS1_2_VERSION ? "TLSv1.2" : "TLSv1.3"));
  CHECK(info.cipher == SSL_get_cipher_name(peer->native()));
  CHECK(info.serverName == "localhost");
  CHECK(info.alpn == "mqtt");
  CHECK_FALSE(info.hasCertificate);
}

TEST_CASE("a peer that offers other application protocols only is refused with an alert",
          "[tls_transport]") {
  TlsNet net;
  auto peer = net.dial({.alpn = "http/1.1"});
  CHECK_FALSE(net.handshake(*peer));
  CHECK(peer->problem.find("no application protocol") != std::string::npos);
  REQUIRE(net.until([&] { return net.session().closed; }));
  CHECK(net.session().received.empty());
}

TEST_CASE("a peer that offers no application protocol is served", "[tls_transport]") {
  TlsNet net;
  auto peer = net.dial();
  REQUIRE(net.handshake(*peer));
  CHECK(net.until([&] { return net.session().transport->peer().tls() != nullptr; }));
  CHECK(net.session().transport->peer().tls()->alpn.empty());
}

TEST_CASE("versions before TLS 1.2 are refused in words", "[tls_transport]") {
  TlsNet net;
  auto peer = net.dial({.version = TLS1_1_VERSION});
  CHECK_FALSE(net.handshake(*peer));
  REQUIRE(net.until([&] { return net.session().closed; }));
  CHECK(net.session().why.category() == tlsCategory());
  CHECK(net.session().why.message() == "the peer offered only TLS versions that are too old");
  CHECK(peer->problem.find("alert") != std::string::npos);
}

TEST_CASE("plain text on a TLS port is refused in words", "[tls_transport]") {
  TlsNet net;
  Peer peer{net.port};
  const auto [bytes, words] =
      GENERATE(std::pair{std::string{"\x10\x0c\x00\x04MQTT\x04\x02\x00\x3c\x00\x00", 14},
                         std::string{"the peer did not speak TLS (plain MQTT to a TLS port?)"}},
               std::pair{std::string{"GET / HTTP/1.1\r\nHost: x\r\n\r\n"},
                         std::string{"the peer sent plain HTTP to a TLS port"}});
  REQUIRE(peer.send(bytes));
  REQUIRE(net.until([&] { return !net.sessions.empty() && net.session().closed; }));
  CHECK(net.session().why.message() == words);
  CHECK(net.session().received.empty());
}

TEST_CASE("a peer that goes during the handshake is told as closed", "[tls_transport]") {
  TlsNet net;
  auto peer = std::make_unique<Peer>(net.port);
  REQUIRE(net.until([&] { return net.sessions.size() == 1; }));
  SECTION("silently") { peer->close(); }
  SECTION("with a reset") { peer->reset(); }
  SECTION("in the middle of a record") {
    REQUIRE(peer->send(std::string{"\x16\x03\x01\x02\x00\x01", 6}));
    net.settle();
    CHECK_FALSE(net.session().closed);
    peer->close();
  }
  REQUIRE(net.until([&] { return net.session().closed; }));
  CHECK(net.session().why);
  CHECK_FALSE(net.session().ended);
}

TEST_CASE("a peer that does not trust us is told as such", "[tls_transport]") {
  TlsNet net;
  const Identity stranger = makeIdentity("Other CA");
  auto peer = net.dial({.trusted = &stranger});
  CHECK_FALSE(net.handshake(*peer));
  REQUIRE(net.until([&] { return net.session().closed; }));
  CHECK(net.session().why.message() == "the peer does not trust our certificate");
}

TEST_CASE("a client certificate tells who the peer is", "[tls_transport]") {
  const auto mode = GENERATE(ClientCertificates::optional, ClientCertificates::required);
  const int version = GENERATE(TLS1_2_VERSION, TLS1_3_VERSION);
  TlsNet net{mode};
  const Identity client =
      makeIdentity("sensor-7", &net.ca,
                   "DNS:sensor.example,URI:urn:dev:7,email:seven@sensor.example,IP:10.0.0.1");
  auto peer = net.dial({.version = version, .shown = &client});
  peer->send("x");
  REQUIRE(net.until([&] {
    peer->poll();
    return net.session().received == "x" || net.session().closed;
  }));
  REQUIRE_FALSE(net.session().closed);
  const TlsInfo& info = *net.session().transport->peer().tls();
  CHECK(info.hasCertificate);
  CHECK(info.commonName == "sensor-7");
  CHECK(info.dnsNames == std::vector<std::string>{"sensor.example"});
  CHECK(info.uris == std::vector<std::string>{"urn:dev:7"});
  CHECK(info.emails == std::vector<std::string>{"seven@sensor.example"});
}

TEST_CASE("a peer without a certificate is let in if it is optional, else refused",
          "[tls_transport]") {
  const int version = GENERATE(TLS1_2_VERSION, TLS1_3_VERSION);
  SECTION("optional") {
    TlsNet net{ClientCertificates::optional};
    auto peer = net.dial({.version = version});
    REQUIRE(net.handshake(*peer));
    REQUIRE(net.until([&] {
      peer->poll();
      return net.session().transport->peer().tls() != nullptr;
    }));
    CHECK_FALSE(net.session().transport->peer().tls()->hasCertificate);
  }
  SECTION("required") {
    TlsNet net{ClientCertificates::required};
    auto peer = net.dial({.version = version});
    peer->send("x");
    REQUIRE(net.until([&] {
      peer->poll();
      return net.session().closed;
    }));
    CHECK(net.session().why.message() == "the peer showed no certificate");
    CHECK(net.session().received.empty());
  }
}

TEST_CASE("a certificate of a stranger's CA is refused, also where it is optional",
          "[tls_transport]") {
  const auto mode = GENERATE(ClientCertificates::optional, ClientCertificates::required);
  TlsNet net{mode};
  const Identity strangerCa = makeIdentity("Other CA");
  const Identity stranger = makeIdentity("sensor-7", &strangerCa);
  auto peer = net.dial({.shown = &stranger});
  peer->send("x");
  REQUIRE(net.until([&] {
    peer->poll();
    return net.session().closed;
  }));
  CHECK(net.session().why.category() == certificateCategory());
  CHECK(net.session().received.empty());
}

TEST_CASE("large transfers survive short writes in both directions", "[tls_transport]") {
  const int version = GENERATE(TLS1_2_VERSION, TLS1_3_VERSION);
  TlsNet net;
  auto peer = net.dial({.version = version, .receiveBuffer = 4096});
  REQUIRE(net.handshake(*peer));
  REQUIRE(net.until([&] {
    peer->poll();
    return net.session().transport->peer().tls() != nullptr;
  }));
  const std::string bytes = pattern(6'000'000);
  std::size_t sent = 0;
  int shortWrites = 0;
  const auto pump = [&](Session& session) {
    while (sent < bytes.size()) {
      // Odd pieces, as an outbox makes them: small ones and one that fills records.
      const std::string_view rest = std::string_view{bytes}.substr(sent);
      std::vector<iovec> buffers;
      for (std::size_t at = 0, size = 1; at < rest.size() && buffers.size() < 20;
           at += size, size = size * 3 + 1) {
        size = std::min(size, rest.size() - at);
        buffers.push_back({const_cast<char*>(rest.data() + at), size});
      }
      std::size_t given = 0;
      for (const auto& buffer : buffers) given += buffer.iov_len;
      const auto taken = session.transport->write(buffers);
      REQUIRE(taken);
      sent += *taken;
      if (*taken < given) {
        ++shortWrites;
        return;
      }
    }
  };
  net.session().whenWritable = pump;
  pump(net.session());
  CHECK(shortWrites == 1);
  peer->reading = false;
  net.settle();
  peer->reading = true;
  const std::string upward = pattern(1'000'000);
  peer->send(upward);
  REQUIRE(net.until([&] {
    peer->poll();
    return peer->failed || (peer->received.size() == bytes.size() &&
                            net.session().received.size() == upward.size());
  }));
  CHECK(peer->received == bytes);
  CHECK(net.session().received == upward);
  CHECK(shortWrites > 1);
  net.settle();
  net.io.restart();
  CHECK(net.io.poll() == 0);
}

TEST_CASE("one write of many small buffers makes one record", "[tls_transport]") {
  TlsNet net;
  auto peer = net.dial();
  REQUIRE(net.handshake(*peer));
  REQUIRE(net.until([&] {
    peer->poll();
    return net.session().transport->peer().tls() != nullptr;
  }));
  std::string piece = "0123456789";
  const std::vector<iovec> buffers(100, iovec{piece.data(), piece.size()});
  const auto taken = net.session().transport->write(buffers);
  REQUIRE(taken);
  CHECK(*taken == 1000);
  net.settle();
  char whole[2000];
  int got = -1;
  net.until([&] {
    got = SSL_read(peer->native(), whole, sizeof whole);
    return got > 0;
  });
  CHECK(got == 1000);
}

TEST_CASE("input in the TLS library's memory is delivered after a pause", "[tls_transport]") {
  TlsNet net;
  net.prepare = [](Session& session) {
    session.whenData = [](Session& s) { s.transport->pauseReading(); };
  };
  auto peer = net.dial();
  const std::string bytes = pattern(300'000);
  peer->send(bytes);
  REQUIRE(net.until([&] {
    peer->poll();
    return net.session().reads == 1 || peer->failed;
  }));
  while (net.session().received.size() < bytes.size()) {
    const int reads = net.session().reads;
    for (int i = 0; i < 5; ++i) {
      peer->poll();
      net.settle();
    }
    REQUIRE(net.session().reads == reads);
    net.session().transport->resumeReading();
    CHECK(net.session().reads == reads);
    REQUIRE(net.until([&] {
      peer->poll();
      return net.session().reads > reads;
    }));
  }
  CHECK(net.session().received == bytes);
}

TEST_CASE("bytes that the TLS library keeps in memory are not forgotten there", "[tls_transport]") {
  const bool pausing = GENERATE(false, true);
  TlsNet net;
  auto peer = net.dial();
  REQUIRE(net.handshake(*peer));
  REQUIRE(net.until([&] { return net.session().transport->peer().tls() != nullptr; }));
  Session& session = net.session();
  session.whenData = [&](Session& s) {
    if (pausing) s.transport->pauseReading();
  };
  // With some sizes of records the read buffer is full just when the library has
  // the last bytes in memory, and the socket is empty.
  for (std::size_t size = 300; size < 400; ++size) {
    INFO("records of " << size << " bytes");
    session.transport->pauseReading();
    session.received.clear();
    const std::string record = pattern(size);
    const std::size_t count = Reactor::kReadSize / size + 1;
    for (std::size_t i = 0; i < count; ++i) {
      peer->send(record);
      peer->poll();
    }
    REQUIRE(peer->allSent());
    session.transport->resumeReading();
    REQUIRE(net.until([&] {
      net.settle();
      if (pausing) session.transport->resumeReading();
      return session.received.size() == count * size;
    }));
  }
}

TEST_CASE("data and close_notify arriving together are delivered in order", "[tls_transport]") {
  TlsNet net;
  const bool paused = GENERATE(false, true);
  const bool keepOpen = GENERATE(false, true);
  auto peer = net.dial();
  REQUIRE(net.handshake(*peer));
  REQUIRE(net.until([&] { return net.session().transport->peer().tls() != nullptr; }));
  if (paused) net.session().transport->pauseReading();
  peer->send("publish");
  peer->poll();
  peer->send("disconnect");
  peer->poll();
  peer->finish(keepOpen);
  if (paused) {
    net.settle();
    CHECK(net.session().received.empty());
    net.session().transport->resumeReading();
  }
  REQUIRE(net.until([&] { return net.session().ended; }));
  CHECK(net.session().received == "publishdisconnect");
  CHECK_FALSE(net.session().outOfOrder);
  REQUIRE(net.session().write("answer"));
  CHECK(net.until([&] {
    peer->poll();
    return peer->received == "answer";
  }));
  CHECK_FALSE(net.session().closed);
  net.settle();
  net.io.restart();
  CHECK(net.io.poll() == 0);
}

TEST_CASE("FIN without close_notify is an end as well", "[tls_transport]") {
  TlsNet net;
  auto peer = net.dial();
  peer->send("disconnect");
  REQUIRE(net.until([&] {
    peer->poll();
    return peer->allSent();
  }));
  peer->raw().finish();
  REQUIRE(net.until([&] { return net.session().ended || net.session().closed; }));
  CHECK(net.session().received == "disconnect");
  CHECK(net.session().ended);
}

TEST_CASE("a graceful close sends what is left, close_notify and FIN", "[tls_transport]") {
  TlsNet net;
  auto peer = net.dial({.receiveBuffer = 4096});
  REQUIRE(net.handshake(*peer));
  REQUIRE(net.until([&] { return net.session().transport->peer().tls() != nullptr; }));
  peer->reading = false;
  const std::string bytes = pattern(20'000'000);
  const auto taken = net.session().write(bytes);
  REQUIRE(taken);
  REQUIRE(*taken < bytes.size());
  net.session().transport->close(CloseMode::graceful);
  net.session().transport.reset();
  CHECK(net.reactor.farewells().size() == 1);
  peer->reading = true;
  REQUIRE(net.until([&] {
    peer->poll();
    return peer->ended || peer->failed;
  }));
  CHECK(peer->ended);
  CHECK(peer->received == bytes.substr(0, *taken));
}

TEST_CASE("garbage instead of a record is an error, after what came before", "[tls_transport]") {
  TlsNet net;
  auto peer = net.dial();
  peer->send("good");
  REQUIRE(net.until([&] {
    peer->poll();
    return peer->allSent();
  }));
  REQUIRE(peer->raw().send("this is no record at all, as anybody can see"));
  REQUIRE(net.until([&] { return net.session().closed; }));
  CHECK(net.session().received == "good");
  CHECK(net.session().why);
  CHECK_FALSE(net.session().ended);
}

TEST_CASE("a write before the handshake waits for it", "[tls_transport]") {
  TlsNet net;
  std::size_t taken = 99;
  net.prepare = [&](Session& session) {
    taken = session.write("early").value();
    session.whenWritable = [](Session& s) { REQUIRE(s.write("early")); };
  };
  auto peer = net.dial();
  CHECK(taken == 0);
  net.settle();
  net.io.restart();
  CHECK(net.io.poll() == 0);
  CHECK(net.until([&] {
    peer->poll();
    return peer->received == "early";
  }));
}

TEST_CASE("a pause before the handshake does not hold it up", "[tls_transport]") {
  TlsNet net;
  net.prepare = [](Session& session) { session.transport->pauseReading(); };
  auto peer = net.dial();
  peer->send("x");
  REQUIRE(net.handshake(*peer));
  REQUIRE(net.until([&] {
    peer->poll();
    return net.session().transport->peer().tls() != nullptr;
  }));
  net.settle();
  CHECK(net.session().received.empty());
  net.session().transport->resumeReading();
  CHECK(net.until([&] { return net.session().received == "x"; }));
}

TEST_CASE("the handler may destroy a TLS transport in every call", "[tls_transport]") {
  TlsNet net;
  const auto destroy = [](Session& session) { session.transport.reset(); };
  SECTION("onData") {
    net.prepare = [&](Session& session) { session.whenData = destroy; };
    auto peer = net.dial();
    peer->send(pattern(200'000));
    CHECK(net.until([&] {
      peer->poll();
      return !net.session().transport;
    }));
  }
  SECTION("onEnd") {
    net.prepare = [&](Session& session) { session.whenEnd = destroy; };
    auto peer = net.dial();
    REQUIRE(net.handshake(*peer));
    peer->finish();
    CHECK(net.until([&] { return !net.session().transport; }));
  }
  SECTION("onClosed in the handshake") {
    net.prepare = [&](Session& session) { session.whenClosed = destroy; };
    Peer peer{net.port};
    REQUIRE(peer.send("no TLS"));
    CHECK(net.until([&] { return !net.sessions.empty() && !net.session().transport; }));
  }
  net.settle();
}

TEST_CASE("a peer resumes its session with the ticket it was given", "[tls_transport]") {
  const int version = GENERATE(TLS1_2_VERSION, TLS1_3_VERSION);
  TlsNet net;
  net.prepare = [](Session& session) {
    session.whenData = [](Session& s) { REQUIRE(s.write("ok")); };
  };
  SSL_SESSION* ticket = nullptr;
  for (int round = 0; round < 2; ++round) {
    auto peer = net.dial({.version = version, .session = ticket});
    peer->send("x");
    REQUIRE(net.until([&] {
      peer->poll();
      return peer->received == "ok" || peer->failed;
    }));
    CHECK(SSL_session_reused(peer->native()) == round);
    SSL_SESSION_free(ticket);
    ticket = SSL_get1_session(peer->native());
    SSL_set_shutdown(peer->native(), SSL_SENT_SHUTDOWN | SSL_RECEIVED_SHUTDOWN);
  }
  SSL_SESSION_free(ticket);
}

TEST_CASE("many handshakes at once all succeed", "[tls_transport]") {
  TlsNet net;
  std::vector<std::unique_ptr<TlsPeer>> peers;
  for (int i = 0; i < 40; ++i) peers.push_back(net.dial());
  CHECK(net.until([&] {
    bool all = true;
    for (auto& peer : peers) {
      peer->poll();
      all = all && peer->ready;
    }
    return all;
  }));
}
