#include "core/net/socket_transport.hpp"

#include <sys/resource.h>

#include <catch2/catch.hpp>

#include "tests/core/net/net_fixture.hpp"

using namespace mqttstack::net;
using namespace mqttstack::net::test;
using namespace std::chrono_literals;

namespace {

/// Sends everything, going on as the transport allows.
struct Sender {
  std::string bytes;
  std::size_t sent = 0;
  std::size_t shortWrites = 0;

  void operator()(Session& session) {
    while (sent < bytes.size()) {
      const auto taken = session.write(std::string_view{bytes}.substr(sent));
      if (!taken) return;
      sent += *taken;
      if (sent < bytes.size()) {
        ++shortWrites;
        return;
      }
    }
  }
};

std::string pattern(std::size_t size) {
  std::string bytes(size, '\0');
  for (std::size_t i = 0; i < size; ++i) bytes[i] = static_cast<char>(i * 31 + i / 251);
  return bytes;
}

}  // namespace

TEST_CASE("a transport costs an idle connection less than 150 bytes", "[socket_transport]") {
  CHECK(sizeof(SocketTransport) + 16 + 16 <= 150);
}

TEST_CASE("what the peer sends arrives and what is written leaves", "[socket_transport]") {
  Net net;
  net.listen();
  net.prepare = [](Session& session) {
    session.whenData = [](Session& s) { REQUIRE(s.write(s.received)); };
  };
  auto [peer, session] = net.connect();
  REQUIRE(session);
  CHECK(session->transport->peer().listener() == "test");
  CHECK(session->transport->peer().address().host() == "127.0.0.1");
  CHECK(session->transport->peer().address().isLoopback());
  CHECK(session->transport->peer().tls() == nullptr);
  REQUIRE(peer->send("hello"));
  CHECK(net.until([&, p = peer.get()] {
    p->poll();
    return p->received == "hello";
  }));
}

TEST_CASE("several buffers leave in order, also more than the kernel takes at once",
          "[socket_transport]") {
  Net net;
  net.listen();
  auto [peer, session] = net.connect();
  std::vector<std::string> parts;
  std::vector<iovec> buffers;
  std::string all;
  for (int i = 0; i < 3000; ++i) parts.push_back(i % 7 == 0 ? "" : std::to_string(i) + ",");
  for (auto& part : parts) {
    buffers.push_back({part.data(), part.size()});
    all += part;
  }
  const auto taken = session->transport->write(buffers);
  REQUIRE(taken);
  CHECK(*taken == all.size());
  CHECK(net.until([&, p = peer.get()] {
    p->poll();
    return p->received == all;
  }));
  CHECK(session->writables == 0);
}

TEST_CASE("bytes and FIN in one go: all is delivered, then the end, and writing still works",
          "[socket_transport]") {
  Net net;
  net.listen();
  net.prepare = [](Session& session) {
    session.whenEnd = [](Session& s) { REQUIRE(s.write("answer")); };
  };
  Peer peer{net.listener->boundPort()};
  REQUIRE(peer.send("publish"));
  REQUIRE(peer.send("disconnect"));
  peer.finish();
  REQUIRE(net.until([&] { return net.sessions.size() == 1 && net.sessions[0]->ended; }));
  Session& session = *net.sessions[0];
  CHECK(session.received == "publishdisconnect");
  CHECK(net.until([&] {
    peer.poll();
    return peer.received == "answer";
  }));
  net.settle();
  CHECK_FALSE(session.closed);
  CHECK_FALSE(session.outOfOrder);
}

TEST_CASE("the end of a peer costs no more turns once it is told", "[socket_transport]") {
  Net net;
  net.listen();
  auto [peer, session] = net.connect();
  peer->finish();
  REQUIRE(net.until([s = session] { return s->ended; }));
  net.settle();
  net.io.restart();
  CHECK(net.io.poll() == 0);
}

TEST_CASE("while reading is paused nothing is delivered and nothing is lost",
          "[socket_transport]") {
  Net net;
  net.listen();
  auto [peer, session] = net.connect();
  session->transport->pauseReading();

  SECTION("bytes") {
    REQUIRE(peer->send("later"));
    net.settle();
    CHECK(session->received.empty());
    net.io.restart();
    CHECK(net.io.poll() == 0);
    session->transport->resumeReading();
    CHECK(session->received.empty());
    CHECK(net.until([s = session] { return s->received == "later"; }));
  }
  SECTION("bytes and FIN") {
    REQUIRE(peer->send("later"));
    peer->finish();
    net.settle();
    CHECK(session->received.empty());
    CHECK_FALSE(session->ended);
    session->transport->resumeReading();
    CHECK(net.until([s = session] { return s->ended; }));
    CHECK(session->received == "later");
  }
  SECTION("bytes and reset") {
    REQUIRE(peer->send("later"));
    net.settle();
    peer->reset();
    net.settle();
    CHECK_FALSE(session->closed);
    net.io.restart();
    CHECK(net.io.poll() == 0);
    session->transport->resumeReading();
    CHECK(net.until([s = session] { return s->closed; }));
    CHECK(session->received == "later");
    CHECK(session->why == std::errc::connection_reset);
    CHECK_FALSE(session->outOfOrder);
  }
  SECTION("bytes, reset, and a write that notices") {
    REQUIRE(peer->send("later"));
    net.settle();
    peer->reset();
    net.settle();
    CHECK_FALSE(session->write("x"));
    CHECK_FALSE(session->write("x"));
    session->transport->resumeReading();
    CHECK(net.until([s = session] { return s->closed; }));
    CHECK(session->received == "later");
    CHECK(session->why);
  }
  SECTION("pausing again before the loop runs") {
    REQUIRE(peer->send("later"));
    session->transport->resumeReading();
    session->transport->pauseReading();
    net.settle();
    CHECK(session->received.empty());
  }
  SECTION("destroyed while it waits") {
    REQUIRE(peer->send("later"));
    net.settle();
    session->transport->resumeReading();
    session->transport.reset();
    net.settle();
    CHECK(session->received.empty());
  }
}

TEST_CASE("a pause within the delivery holds back the next read", "[socket_transport]") {
  Net net;
  net.listen();
  net.prepare = [](Session& session) {
    session.whenData = [](Session& s) { s.transport->pauseReading(); };
  };
  auto [peer, session] = net.connect();
  const std::string bytes = pattern(300'000);
  std::size_t sent = 0;
  while (session->received.size() < bytes.size()) {
    const ssize_t now =
        ::send(peer->fd(), bytes.data() + sent, bytes.size() - sent, MSG_DONTWAIT | MSG_NOSIGNAL);
    if (now > 0) sent += static_cast<std::size_t>(now);
    const int reads = session->reads;
    REQUIRE(net.until([&, s = session] { return s->reads > reads; }));
    net.settle();
    REQUIRE(session->reads == reads + 1);
    session->transport->resumeReading();
  }
  CHECK(session->received == bytes);
  CHECK(session->reads >= 5);  // 64 KiB at most
}

TEST_CASE("a reset is told after what had arrived", "[socket_transport]") {
  Net net;
  net.listen();
  auto [peer, session] = net.connect();
  REQUIRE(peer->send("last words"));
  peer->reset();
  REQUIRE(net.until([s = session] { return s->closed; }));
  CHECK(session->received == "last words");
  CHECK(session->why == std::errc::connection_reset);
  CHECK_FALSE(session->ended);
}

TEST_CASE("a reset after the end is told", "[socket_transport]") {
  Net net;
  net.listen();
  auto [peer, session] = net.connect();
  peer->finish();
  REQUIRE(net.until([s = session] { return s->ended; }));
  REQUIRE(session->write("unread"));
  net.settle();
  peer->reset();
  CHECK(net.until([s = session] { return s->closed; }));
  CHECK(session->why);
}

TEST_CASE("a slow reader gets everything, and the handler hears when there is room",
          "[socket_transport]") {
  Net net;
  net.listen();
  auto [peer, session] = net.connect(4096);
  const int small = 4096;
  ::setsockopt(session->transport ? peer->fd() : -1, SOL_SOCKET, SO_SNDBUF, &small, sizeof small);
  Sender sender{.bytes = pattern(8'000'000)};
  session->whenWritable = std::ref(sender);
  sender(*session);
  REQUIRE(sender.shortWrites == 1);
  const std::size_t stuck = sender.sent;
  net.settle();
  // Nobody reads: no room, no call, no busy loop.
  CHECK(sender.sent < sender.bytes.size());
  CHECK(sender.sent - stuck < 4'000'000);
  REQUIRE(net.until([&, p = peer.get()] {
    p->poll();
    return p->received.size() == sender.bytes.size();
  }));
  CHECK(peer->received == sender.bytes);
  CHECK(sender.shortWrites > 1);
  net.settle();
  const int told = session->writables;
  net.settle();
  CHECK(session->writables == told);
  net.io.restart();
  CHECK(net.io.poll() == 0);  // EPOLLOUT is disarmed
}

TEST_CASE("closing gracefully sends everything and FIN, even to a peer that keeps talking",
          "[socket_transport]") {
  Net net;
  net.listen();
  net.prepare = [](Session& session) {
    session.whenData = [](Session& s) {
      REQUIRE(s.write("refused"));
      s.transport->close(CloseMode::graceful);
      CHECK_FALSE(s.closed);
      CHECK_FALSE(s.write("too late"));
    };
  };
  auto [peer, session] = net.connect();
  REQUIRE(peer->send("connect"));
  REQUIRE(net.until([s = session] { return s->closed; }));
  CHECK_FALSE(session->why);
  CHECK(net.reactor.farewells().size() == 1);
  for (int i = 0; i < 10; ++i) {
    REQUIRE(peer->send("chatter"));
    net.settle();
  }
  peer->poll();
  CHECK(peer->received == "refused");
  CHECK(peer->ended);
  CHECK(peer->error == 0);
  CHECK(session->received == "connect");
  peer->close();
  CHECK(net.until([&] { return net.reactor.farewells().size() == 0; }));
}

TEST_CASE("destroying a transport straight after close does not hurt the farewell",
          "[socket_transport]") {
  Net net;
  net.listen();
  net.prepare = [](Session& session) {
    session.whenData = [](Session& s) {
      REQUIRE(s.write("refused"));
      s.transport->close(CloseMode::graceful);
      s.transport.reset();
    };
  };
  auto [peer, session] = net.connect();
  REQUIRE(peer->send("connect"));
  REQUIRE(net.until([&, p = peer.get()] {
    p->poll();
    return p->ended;
  }));
  CHECK(peer->received == "refused");
  CHECK_FALSE(session->closed);
}

TEST_CASE("a peer that has finished already is not waited for", "[socket_transport]") {
  Net net;
  net.listen();
  net.prepare = [](Session& session) {
    session.whenEnd = [](Session& s) { s.transport->close(CloseMode::graceful); };
  };
  auto [peer, session] = net.connect();
  peer->finish();
  REQUIRE(net.until([s = session] { return s->closed; }));
  CHECK(net.reactor.farewells().size() == 0);
  peer->poll();
  CHECK(peer->ended);
}

TEST_CASE("closing abortively resets the connection", "[socket_transport]") {
  Net net;
  net.listen();
  auto [peer, session] = net.connect();
  REQUIRE(session->write("lost or not"));
  session->transport->close(CloseMode::abortive);
  session->transport->close(CloseMode::graceful);
  CHECK_FALSE(session->closed);
  REQUIRE(net.until([s = session] { return s->closed; }));
  CHECK_FALSE(session->why);
  CHECK(net.until([&, p = peer.get()] {
    p->poll();
    return p->error == ECONNRESET;
  }));
}

TEST_CASE("farewells end by time, by the peer and by number", "[farewells]") {
  Net net;
  net.listen();
  auto& farewells = net.reactor.farewells();

  SECTION("time") {
    farewells.setLimits({.time = 20ms});
    auto [peer, session] = net.connect();
    session->transport->close(CloseMode::graceful);
    CHECK(farewells.size() == 1);
    CHECK(net.until([&] { return farewells.size() == 0; }));
  }
  SECTION("the peer, however much it had to say") {
    farewells.setLimits({.time = 1h});
    auto [peer, session] = net.connect();
    REQUIRE(session->write("goodbye"));
    session->transport->close(CloseMode::graceful);
    const std::string flood(60 * 1024, 'x');
    for (int i = 0; i < 3; ++i) {
      REQUIRE(peer->send(flood));
      net.settle();
      CHECK(farewells.size() == 1);
    }
    // It is not read any more, and not reset either: it can still hear us.
    CHECK(net.until([&, p = peer.get()] {
      p->poll();
      return p->ended;
    }));
    CHECK(peer->received == "goodbye");
    CHECK(peer->error == 0);
    peer->finish();
    CHECK(net.until([&] { return farewells.size() == 0; }));
  }
  SECTION("number") {
    farewells.setLimits({.connections = 3});
    std::vector<std::unique_ptr<Peer>> peers;
    for (int i = 0; i < 10; ++i) {
      auto [peer, session] = net.connect();
      session->transport->close(CloseMode::graceful);
      peers.push_back(std::move(peer));
      CHECK(farewells.size() <= 3);
    }
    CHECK(farewells.size() == 3);
  }
}

TEST_CASE("the handler may destroy its transport in every call", "[socket_transport]") {
  Net net;
  net.listen();
  const auto destroy = [](Session& session) { session.transport.reset(); };
  SECTION("onData") {
    net.prepare = [&](Session& session) { session.whenData = destroy; };
    auto [peer, session] = net.connect();
    REQUIRE(peer->send("x"));
    CHECK(net.until([s = session] { return !s->transport; }));
  }
  SECTION("onEnd") {
    net.prepare = [&](Session& session) { session.whenEnd = destroy; };
    auto [peer, session] = net.connect();
    peer->finish();
    CHECK(net.until([s = session] { return !s->transport; }));
  }
  SECTION("onClosed") {
    net.prepare = [&](Session& session) { session.whenClosed = destroy; };
    auto [peer, session] = net.connect();
    peer->reset();
    CHECK(net.until([s = session] { return !s->transport; }));
  }
  SECTION("onClosed after close") {
    net.prepare = [&](Session& session) { session.whenClosed = destroy; };
    auto [peer, session] = net.connect();
    session->transport->close(CloseMode::graceful);
    CHECK(net.until([s = session] { return !s->transport; }));
  }
  SECTION("onWritable, with input waiting") {
    net.prepare = [&](Session& session) { session.whenWritable = destroy; };
    auto [peer, session] = net.connect(4096);
    session->transport->pauseReading();
    const std::string bytes = pattern(20'000'000);
    const auto taken = session->write(bytes);
    REQUIRE(taken);
    REQUIRE(*taken < bytes.size());
    REQUIRE(peer->send("waiting"));
    session->transport->resumeReading();
    CHECK(net.until([&, p = peer.get(), s = session] {
      p->poll();
      return !s->transport;
    }));
  }
  net.settle();
}

TEST_CASE("a connection may destroy others whose events wait in the same batch",
          "[socket_transport]") {
  Net net;
  net.listen();
  constexpr int kCount = 50;
  std::vector<std::unique_ptr<Peer>> peers;
  for (int i = 0; i < kCount; ++i) peers.push_back(net.connect().first);
  REQUIRE(net.sessions.size() == kCount);
  for (auto& session : net.sessions)
    session->whenData = [&net](Session& s) {
      for (auto& other : net.sessions)
        if (other.get() != &s) other->transport.reset();
    };
  for (auto& peer : peers) REQUIRE(peer->send("x"));
  net.settle();
  int reached = 0;
  for (auto& session : net.sessions) reached += session->reads;
  CHECK(reached == 1);
}

TEST_CASE("descriptors that are reused do not get the events of their predecessors",
          "[socket_transport]") {
  Net net;
  net.listen();
  auto [first, firstSession] = net.connect();
  auto [second, secondSession] = net.connect();
  std::unique_ptr<Peer> third;
  firstSession->whenData = [&, s = secondSession](Session&) { s->transport.reset(); };
  REQUIRE(first->send("x"));
  REQUIRE(second->send("y"));
  net.settle();
  third = net.connect().first;
  net.settle();
  CHECK(net.sessions.back()->received.empty());
  CHECK_FALSE(net.sessions.back()->closed);
}

TEST_CASE("two thousand connections are served at once", "[socket_transport]") {
  Net net;
  net.listen();
  rlimit limit{};
  ::getrlimit(RLIMIT_NOFILE, &limit);
  limit.rlim_cur = limit.rlim_max;
  ::setrlimit(RLIMIT_NOFILE, &limit);
  constexpr std::size_t kCount = 2000;
  net.prepare = [](Session& session) {
    session.whenData = [](Session& s) { REQUIRE(s.write(s.received)); };
  };
  std::vector<std::unique_ptr<Peer>> peers;
  for (std::size_t i = 0; i < kCount; ++i) {
    peers.push_back(std::make_unique<Peer>(net.listener->boundPort()));
    REQUIRE(*peers.back());
    if (i % 100 == 99) net.settle();
  }
  REQUIRE(net.until([&] { return net.sessions.size() == kCount; }));
  for (std::size_t i = 0; i < kCount; ++i) REQUIRE(peers[i]->send("ping " + std::to_string(i)));
  std::size_t answered = 0;
  REQUIRE(net.until([&] {
    for (; answered < kCount; ++answered) {
      peers[answered]->poll();
      if (peers[answered]->received != "ping " + std::to_string(answered)) return false;
    }
    return true;
  }));
  peers.clear();
  CHECK(net.until([&] {
    for (auto& session : net.sessions)
      if (!session->ended && !session->closed) return false;
    return true;
  }));
}
