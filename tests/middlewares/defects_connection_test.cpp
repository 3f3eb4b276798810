#include <catch2/catch.hpp>

#include "middlewares/security/authentication.hpp"
#include "tests/middlewares/defects_scene.hpp"

namespace mqttstack::test {
namespace {

using namespace std::chrono_literals;

/// Lets in who gives "secret" as password; "anonymous" too, if told to.
Parts guarded() {
  return {.second = [](TestBroker& broker) {
    broker.use<Authentication>();
    broker.on<AuthenticateConnection>([](AuthenticateConnection& login, Next, Done done) {
      if (login.password == "secret")
        login.verdict.allow("test");
      else if (login.userName == "banned")
        login.verdict.deny("test", mqtt::ReasonCode::notAuthorized);
      return done();
    });
  }};
}
Connect knocking(std::string user, std::string password) {
  Connect connect = clean("a");
  connect.userName = std::move(user);
  connect.password = std::move(password);
  return connect;
}

TEST_CASE(
    "D-1: who is refused is cut off, and nothing else it sent is looked at "
    "[v311:3.1.4-5] [v311:3.2.2-5]",
    "[defects]") {
  Scene broker{guarded()};
  Peer watcher = join(broker, Version::v311, [] {
    Connect connect = knocking("alice", "secret");
    connect.clientId = "watcher";
    return connect;
  }());
  subscribe(watcher, "#");
  const auto version = GENERATE(Version::v311, Version::v5);
  Peer peer = broker.open(versionOf(version));
  peer.send(connectPacket(version, knocking("alice", "wrong")) +
            subscribePacket(version, 1, {{"#", 0}}) + publishPacket(version, {.topic = "t"}));
  CHECK(said(peer) == Lines{version == Version::v5 ? "CONNACK 134" : "CONNACK 4"});
  CHECK(peer.gone());
  CHECK(said(watcher) == Lines{});
}

TEST_CASE("D-2: bad credentials and missing rights are told apart", "[defects]") {
  Scene broker{guarded()};
  Peer wrong = dial(broker, Version::v311, knocking("alice", "wrong"));
  CHECK(said(wrong) == Lines{"CONNACK 4"});
  Peer banned = dial(broker, Version::v311, knocking("banned", "x"));
  CHECK(said(banned) == Lines{"CONNACK 5"});
}

TEST_CASE("D-9: a client without a will leaves as completely as one with", "[defects]") {
  std::size_t heard = 0;
  Scene broker{{.last = [&](TestBroker& b) {
    b.on<UncleanDisconnect>([&](UncleanDisconnect&, Next next, Done) {
      ++heard;
      return next();
    });
  }}};
  Peer peer = broker.with("a");
  peer.send(connectPacket(Version::v311, clean("a")));
  CHECK(heard == 1);
  CHECK(peer.gone());
}

TEST_CASE("D-20: nothing comes before the CONNACK [v311:3.2.0-1]", "[defects]") {
  Scene broker;
  Peer peer = broker.resume("a");
  subscribe(peer, "t", 1);
  peer.reset();
  Peer publisher = broker.with("publisher");
  publish(publisher, {.topic = "t", .payload = "x", .qos = 1, .retain = true});
  peer = dial(broker, Version::v311, persistent(Version::v311, "a"));
  CHECK(said(peer) == Lines{"CONNACK 0 present", "PUBLISH t 'x' q1 #1"});
}

TEST_CASE("D-21: a session without subscriptions is present, too", "[defects]") {
  Scene broker;
  Peer peer = broker.resume("a");
  peer.reset();
  peer = dial(broker, Version::v311, persistent(Version::v311, "a"));
  CHECK(said(peer) == Lines{"CONNACK 0 present"});
}

TEST_CASE("D-22: resuming does not send retained messages again", "[defects]") {
  Scene broker;
  Peer publisher = broker.with("publisher");
  publish(publisher, {.topic = "t", .payload = "x", .retain = true});
  Peer peer = broker.resume("a");
  subscribe(peer, "t", 1);
  peer.reset();
  peer = broker.resume("a");
  broker.advance(1s);
  CHECK(said(peer) == Lines{});
}

TEST_CASE("D-23: the new connection of a client ends the old one", "[defects]") {
  Scene broker;
  Peer v3 = broker.with("a");
  Peer v5 = join(broker, Version::v5, "a");
  CHECK(v3.gone());
  Peer last = broker.with("a");
  CHECK(v5.gone());
  CHECK(said(v5) == Lines{"DISCONNECT 0x8E"});
}

TEST_CASE("D-24: a CONNECT that cannot be accepted is told why [v311:3.1.3-8] [v311:3.1.2-2]",
          "[defects]") {
  Scene broker;
  Peer peer = dial(broker, Version::v311, persistent(Version::v311, ""));
  CHECK(peer.received() == mqttstack::hex("20 02 00 02"));
  Peer level = broker.open();
  level.send(mqttstack::hex("10 0D 0004 4D515454 09 02 0000 0001 61"));
  CHECK(level.gone());
  const Bytes answer = level.received();
  CHECK((answer == mqttstack::hex("20 02 00 01") || answer == mqttstack::hex("20 03 00 84 00")));
}

TEST_CASE("D-25: a will is published once, however many things go wrong", "[defects]") {
  Scene broker;
  Peer watcher = broker.with("watcher");
  subscribe(watcher, "will");
  Connect connect = clean("a");
  connect.will = Will{.topic = "will", .payload = "x"};
  Peer peer = join(broker, Version::v311, connect);
  CloseClient close{peer.client(), mqtt::ReasonCode::unspecifiedError};
  peer.push(connectPacket(Version::v311, connect));
  broker.stack().run(close);
  peer.reset();
  broker.advance(1000s);
  CHECK(publishes(watcher) == Lines{"PUBLISH will 'x'"});
}

TEST_CASE("D-26: after DISCONNECT no timer is left that publishes the will", "[defects]") {
  Scene broker;
  Connect listener = clean("watcher");
  listener.keepAlive = 0;
  Peer watcher = join(broker, Version::v311, listener);
  subscribe(watcher, "will");
  Connect connect = clean("a");
  connect.keepAlive = 10;
  connect.will = Will{.topic = "will"};
  Peer peer = join(broker, Version::v311, connect);
  peer.send(disconnectPacket(Version::v311));
  broker.advance(1000s);
  CHECK(said(watcher) == Lines{});
}

TEST_CASE("D-27: who never was connected does not disconnect", "[defects]") {
  std::size_t heard = 0;
  Scene broker{{.last = [&](TestBroker& b) {
    b.on<UncleanDisconnect>([&](UncleanDisconnect&, Next next, Done) {
      ++heard;
      return next();
    });
  }}};
  Peer peer = broker.open();
  peer.send(pingreqPacket());
  CHECK(peer.gone());
  CHECK(heard == 0);
}

TEST_CASE("D-28: a will is no packet of its dead client", "[defects]") {
  std::size_t packets = 0;
  Scene broker{{.second = [&](TestBroker& b) {
    b.onPackets(mqtt::PacketType::publish, [&](Client&, Packet&, Next next, Done) {
      ++packets;
      return next();
    });
  }}};
  Peer watcher = broker.with("watcher");
  subscribe(watcher, "will", 1);
  Connect connect = clean("a");
  connect.will = Will{.topic = "will", .payload = "x", .qos = 1};
  Peer peer = join(broker, Version::v311, connect);
  peer.reset();
  CHECK(said(watcher) == Lines{"PUBLISH will 'x' q1 #1"});
  CHECK(peer.received() == "");
  CHECK(packets == 0);
}

TEST_CASE("D-29: the grace is one and a half times the interval [v311:3.1.2-24]", "[defects]") {
  Scene broker;
  Connect connect = clean("a");
  connect.keepAlive = 65'535;
  Peer peer = join(broker, Version::v311, connect);
  broker.advance(std::chrono::seconds{98'302});
  CHECK_FALSE(peer.closed());
  broker.advance(1s);
  CHECK(peer.closed());
}

}  // namespace
}  // namespace mqttstack::test
