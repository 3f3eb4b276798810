#include "core/net/listener.hpp"

#include <cstdlib>
#include <sys/resource.h>
#include <sys/un.h>

#include <catch2/catch.hpp>

#include "tests/core/net/net_fixture.hpp"

using namespace mqttstack::net;
using namespace mqttstack::net::test;
using Catch::Matchers::Contains;

namespace {

ListenerOptions on(std::string_view endpoint) {
  ListenerOptions options;
  options.name = "test";
  options.endpoint = parseEndpoint(endpoint).value();
  return options;
}

bool hasV6() {
  const Descriptor socket{::socket(AF_INET6, SOCK_STREAM, 0)};
  sockaddr_in6 address{};
  address.sin6_family = AF_INET6;
  address.sin6_addr = in6addr_loopback;
  return ::bind(socket.get(), reinterpret_cast<sockaddr*>(&address), sizeof address) == 0;
}

/// Lowers the limit of open files so that a few more can be had; undone at the end.
class FewDescriptors {
public:
  explicit FewDescriptors(int more) {
    ::getrlimit(RLIMIT_NOFILE, &before_);
    const Descriptor next{::open("/dev/null", O_RDONLY)};
    rlimit few = before_;
    few.rlim_cur = static_cast<rlim_t>(next.get() + more);
    ::setrlimit(RLIMIT_NOFILE, &few);
  }
  FewDescriptors(const FewDescriptors&) = delete;
  FewDescriptors& operator=(const FewDescriptors&) = delete;
  ~FewDescriptors() { ::setrlimit(RLIMIT_NOFILE, &before_); }

private:
  rlimit before_{};
};

}  // namespace

TEST_CASE("a listener on both families serves both on one port", "[listener]") {
  if (!hasV6()) {
    WARN("no IPv6 here");
    return;
  }
  const std::string endpoint = GENERATE(as<std::string>{}, "*:0", "localhost:0");
  Net net;
  const std::uint16_t port = net.listen(nullptr, endpoint);
  REQUIRE(port != 0);
  const Peer v4{port};
  REQUIRE(v4);
  REQUIRE(net.until([&] { return net.sessions.size() == 1; }));
  CHECK(net.sessions[0]->transport->peer().address().host() == "127.0.0.1");
  if (net.listener->text().find('[') == std::string::npos) {
    WARN("localhost is IPv4 only here");
    return;
  }
  const Peer v6{port, AF_INET6};
  REQUIRE(v6);
  REQUIRE(net.until([&] { return net.sessions.size() == 2; }));
  const PeerAddress& address = net.sessions[1]->transport->peer().address();
  CHECK(address.host() == "::1");
  CHECK(address.isLoopback());
  CHECK(address.text() == "[::1]:" + std::to_string(address.port()));
}

TEST_CASE("two listeners may have one port in different families", "[listener]") {
  if (!hasV6()) return;
  Net net;
  const std::uint16_t port = net.listen(nullptr, "0.0.0.0:0");
  const auto second = Listener::open(net.reactor, on("[::]:" + std::to_string(port)), [](auto) {});
  CHECK(second.has_value());
}

TEST_CASE("accepted sockets do not delay small packets and survive exec by none", "[listener]") {
  Net net;
  const std::uint16_t port = net.listen();
  const Peer peer{port};
  REQUIRE(net.until([&] { return net.sessions.size() == 1; }));
  int inherited = 0;
  for (int fd = 3; fd < 64; ++fd) {
    sockaddr_in address{};
    socklen_t size = sizeof address;
    if (::getpeername(fd, reinterpret_cast<sockaddr*>(&address), &size) != 0) continue;
    sockaddr_in own{};
    size = sizeof own;
    ::getsockname(fd, reinterpret_cast<sockaddr*>(&own), &size);
    if (ntohs(own.sin_port) != port) continue;
    ++inherited;
    int noDelay = 0;
    int keepAlive = 0;
    int userTimeout = 0;
    size = sizeof noDelay;
    ::getsockopt(fd, IPPROTO_TCP, TCP_NODELAY, &noDelay, &size);
    ::getsockopt(fd, SOL_SOCKET, SO_KEEPALIVE, &keepAlive, &size);
    ::getsockopt(fd, IPPROTO_TCP, TCP_USER_TIMEOUT, &userTimeout, &size);
    CHECK(noDelay == 1);
    CHECK(keepAlive == 1);
    CHECK(userTimeout == 60'000);
    CHECK((::fcntl(fd, F_GETFD) & FD_CLOEXEC) != 0);
    CHECK((::fcntl(fd, F_GETFL) & O_NONBLOCK) != 0);
  }
  CHECK(inherited == 1);
}

TEST_CASE("a port that is taken is told with a remedy", "[listener]") {
  Net net;
  const std::uint16_t port = net.listen();
  const auto second =
      Listener::open(net.reactor, on("127.0.0.1:" + std::to_string(port)), [](auto) {});
  REQUIRE_FALSE(second);
  CHECK(second.error().code == std::errc::address_in_use);
  CHECK(second.error().address == "127.0.0.1:" + std::to_string(port));
  CHECK_THAT(second.error().text(), Contains("127.0.0.1:" + std::to_string(port)) &&
                                        Contains("already in use") && Contains("another port"));
}

TEST_CASE("an address of somebody else and a name of nobody are told", "[listener]") {
  Net net;
  const auto foreign = Listener::open(net.reactor, on("192.0.2.1:0"), [](auto) {});
  REQUIRE_FALSE(foreign);
  CHECK_THAT(foreign.error().text(), Contains("192.0.2.1:0") && Contains("no network interface"));
  const auto nobody = Listener::open(net.reactor, on("no-such-host.invalid:0"), [](auto) {});
  REQUIRE_FALSE(nobody);
  CHECK_THAT(nobody.error().text(), Contains("no-such-host.invalid") && Contains("check the name"));
}

TEST_CASE("the port is free again as soon as the listener is gone", "[listener]") {
  Net net;
  const std::uint16_t port = net.listen();
  auto [peer, session] = net.connect();
  session->transport->close(CloseMode::graceful);
  net.settle();
  net.listener.reset();
  CHECK_FALSE(Peer{port});
  const auto again =
      Listener::open(net.reactor, on("127.0.0.1:" + std::to_string(port)), [](auto) {});
  CHECK(again.has_value());
}

TEST_CASE("a listener may be destroyed while it accepts", "[listener]") {
  Net net;
  const std::uint16_t port = net.listen();
  net.prepare = [&net](Session&) { net.listener.reset(); };
  const Peer first{port};
  const Peer second{port};
  REQUIRE(net.until([&] { return net.sessions.size() == 1; }));
  net.settle();
  CHECK(net.sessions.size() == 1);
  CHECK(net.sessions[0]->transport->peer().listener() == "test");
}

TEST_CASE("a connection that is not wanted is dropped by letting go of it", "[listener]") {
  asio::io_context io;
  Reactor reactor{io};
  int seen = 0;
  const auto listener = Listener::open(reactor, on("127.0.0.1:0"), [&](auto) { ++seen; });
  REQUIRE(listener);
  Peer peer{(*listener)->boundPort()};
  while (seen == 0) io.run_one();
  peer.poll();
  CHECK(peer.ended);
}

TEST_CASE("without descriptors connections are dropped, in peace, until there are some again",
          "[listener]") {
  Net net;
  const std::uint16_t port = net.listen();
  std::vector<std::unique_ptr<Peer>> peers;
  for (int i = 0; i < 6; ++i) peers.push_back(std::make_unique<Peer>(port));
  Peer late{port};
  REQUIRE(late);
  {
    const FewDescriptors few{3};
    REQUIRE(net.until([&] { return net.listener->dropped() > 0; }));
    CHECK(net.sessions.size() == 3);
    CHECK(net.listener->dropped() == 4);
    REQUIRE(net.troubles.size() == 1);
    CHECK_THAT(net.troubles[0], Contains("test") && Contains("LimitNOFILE"));
    late.poll();
    CHECK((late.ended || late.error != 0));
    net.settle();
    net.io.restart();
    CHECK(net.io.poll() == 0);  // it rests

    peers.pop_back();  // its descriptor goes to the next
    const Peer tooSoon{port};
    REQUIRE(tooSoon);
    net.settle();
    CHECK(net.listener->dropped() == 4);

    // Those that are in are served meanwhile.
    REQUIRE(peers[0]->send("x"));
    REQUIRE(net.until([&] { return net.sessions[0]->received == "x"; }));
  }
  const Peer next{port};
  CHECK(net.until([&] { return net.sessions.size() >= 4; }));
  CHECK(net.troubles.size() == 1);
}

TEST_CASE("sockets that somebody else has opened are served like one's own", "[listener]") {
  Descriptor given{::socket(AF_INET, SOCK_STREAM, 0)};  // blocking, and open to child processes
  sockaddr_in address{};
  address.sin_family = AF_INET;
  address.sin_addr.s_addr = htonl(INADDR_LOOPBACK);
  REQUIRE(::bind(given.get(), reinterpret_cast<sockaddr*>(&address), sizeof address) == 0);
  REQUIRE(::listen(given.get(), 4) == 0);
  const int listening = given.get();

  Net net;
  std::vector<Descriptor> sockets;
  sockets.push_back(std::move(given));
  int noDelay = 0;
  auto adopted =
      Listener::adopt(net.reactor, on("192.0.2.1:1"), std::move(sockets),
                      [&](std::unique_ptr<Transport> transport) {
                        CHECK(transport->peer().listener() == "test");
                        CHECK(transport->peer().address().isLoopback());
                        net.sessions.push_back(std::make_unique<Session>(std::move(transport)));
                      });
  REQUIRE(adopted);
  const std::uint16_t port = (*adopted)->boundPort();
  CHECK((*adopted)->text() == "127.0.0.1:" + std::to_string(port));
  CHECK((*adopted)->isLoopback());
  CHECK((::fcntl(listening, F_GETFD) & FD_CLOEXEC) != 0);
  CHECK((::fcntl(listening, F_GETFL) & O_NONBLOCK) != 0);
  socklen_t size = sizeof noDelay;
  ::getsockopt(listening, IPPROTO_TCP, TCP_NODELAY, &noDelay, &size);
  CHECK(noDelay == 1);
  const Peer peer{port};
  REQUIRE(peer);
  CHECK(net.until([&] { return net.sessions.size() == 1; }));
}

TEST_CASE("a Unix socket that was passed is called by its path, and its peers are local",
          "[listener]") {
  char pattern[] = "/tmp/listener-test-XXXXXX";
  REQUIRE(::mkdtemp(pattern));
  sockaddr_un address{};
  address.sun_family = AF_UNIX;
  const std::string path = std::string{pattern} + "/socket";
  path.copy(address.sun_path, sizeof address.sun_path - 1);
  Descriptor given{::socket(AF_UNIX, SOCK_STREAM, 0)};
  REQUIRE(::bind(given.get(), reinterpret_cast<sockaddr*>(&address), sizeof address) == 0);
  REQUIRE(::listen(given.get(), 4) == 0);

  Net net;
  std::vector<Descriptor> sockets;
  sockets.push_back(std::move(given));
  PeerAddress::Family family = PeerAddress::Family::v4;
  auto adopted =
      Listener::adopt(net.reactor, on("127.0.0.1:1"), std::move(sockets),
                      [&](std::unique_ptr<Transport> transport) {
                        family = transport->peer().address().family();
                        net.sessions.push_back(std::make_unique<Session>(std::move(transport)));
                      });
  REQUIRE(adopted);
  CHECK((*adopted)->text() == path);
  CHECK((*adopted)->isLoopback());
  const Descriptor peer{::socket(AF_UNIX, SOCK_STREAM, 0)};
  REQUIRE(::connect(peer.get(), reinterpret_cast<sockaddr*>(&address), sizeof address) == 0);
  REQUIRE(::send(peer.get(), "hello", 5, MSG_NOSIGNAL) == 5);
  CHECK(net.until([&] { return !net.sessions.empty() && net.sessions[0]->received == "hello"; }));
  CHECK(family == PeerAddress::Family::local);
  ::unlink(path.c_str());
  ::rmdir(pattern);
}
