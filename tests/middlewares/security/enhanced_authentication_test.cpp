#include <functional>
#include <optional>
#include <stdexcept>
#include <string>
#include <utility>

#include <catch2/catch.hpp>

#include "middlewares/security/authentication.hpp"
#include "tests/middlewares/protocol_broker.hpp"

namespace mqttstack {
namespace {

using mqtt::ReasonCode;
using test::clean;
using test::dial;
using test::Lines;
using test::Peer;
using test::ProtocolBroker;
using test::said;

/// How far an exchange of the method under test has come.
struct Asked final : AuthenticationState {
  int questions = 0;
};

/// A method that asks for a word until it gets "enough"; "wrong" is refused,
/// "broken" fails, "later" waits for the test.
class Riddle {
public:
  Flow operator()(ContinueAuthentication& step, Next next, Done done) {
    if (step.method != "RIDDLE") return next();
    if (step.data == "broken") return next(std::make_error_code(std::errc::io_error));
    if (step.data == "busy") return next(ReasonCode::serverBusy);
    if (step.data == "throws") throw std::runtime_error{"oops"};
    if (step.data == "later")
      return next.defer([&](Deferred deferred) {
        waiting = std::move(deferred);
        pending = &step;
      });
    return answer(step, step.data, done);
  }
  /// Settles a step that waits, as if `word` had been its data.
  void settle(std::string_view word) {
    Deferred deferred = std::move(*waiting);
    waiting.reset();
    deferred.settleWith([&] { return answer(*pending, word, Done{}); });
  }

  std::optional<Deferred> waiting;
  ContinueAuthentication* pending = nullptr;

private:
  static Flow answer(ContinueAuthentication& step, std::string_view word, Done done) {
    if (word == "wrong") {
      step.verdict.deny("riddle", ReasonCode::badUserNameOrPassword);
    } else if (word == "enough" || word == "as bob") {
      step.verdict.allow("riddle");
      step.principal = word == "enough" ? "alice" : "bob";
      step.reply = "welcome";
    } else {
      if (!step.state) step.state = std::make_unique<Asked>();
      step.proceeds = true;
      step.reply = "question " + std::to_string(++static_cast<Asked&>(*step.state).questions);
    }
    return done();
  }
};

struct Door {
  Door()
      : broker{{.second = [this](test::TestBroker& all) {
          all.use<Authentication>();
          all.on<ContinueAuthentication>([this](ContinueAuthentication& step, Next next,
                                                Done done) { return riddle(step, next, done); });
        }}} {
    broker.listener.allowAnonymous = true;
  }

  Peer knock(std::string_view data, std::string_view method = "RIDDLE",
             Connect connect = clean("a")) {
    connect.properties.push_back(property(PropertyId::authMethod, method));
    connect.properties.push_back(property(PropertyId::authData, data));
    return dial(broker, Version::v5, connect);
  }

  Riddle riddle;
  ProtocolBroker broker;
};

constexpr unsigned kContinue = 0x18;
constexpr unsigned kAgain = 0x19;

/// An AUTH, as either side writes it.
Bytes auth(unsigned code, std::string_view data, std::string_view method = "RIDDLE") {
  Properties properties{property(PropertyId::authMethod, method)};
  if (!data.empty()) properties.push_back(property(PropertyId::authData, data));
  return packet(0xF0, u8(code) + section(Version::v5, properties));
}

/// Takes a CONNACK off, which has to accept the client.
Properties accepted(Peer& peer) {
  const Connack connack = readConnack(Version::v5, peer.receivedPacket());
  REQUIRE(connack.code == 0);
  return connack.properties;
}

/// A client that has come in by the method.
Peer admitted(Door& door, Connect connect = clean("a")) {
  Peer peer = door.knock("enough", "RIDDLE", std::move(connect));
  accepted(peer);
  return peer;
}

}  // namespace

TEST_CASE("an authentication method that nobody knows is refused [v5:4.12.0-1]",
          "[enhanced_authentication]") {
  Door door;
  Peer peer = door.knock("enough", GENERATE("PUZZLE", "riddle", ""));
  CHECK(said(peer) == Lines{"CONNACK 140"});
  CHECK(peer.gone());
  CHECK(door.broker.metrics.value("auth_refused") == 1);
  std::string text;
  for (const auto& line : door.broker.log)
    if (line.component == "authentication") text += line.text;
  CHECK_THAT(text, Catch::Matchers::Contains("refused, since no authenticator offers this method"));
}

TEST_CASE("a method is refused where nothing authenticates [v5:4.12.0-1]",
          "[enhanced_authentication]") {
  ProtocolBroker broker;
  Connect connect = clean("a");
  connect.properties.push_back(property(PropertyId::authMethod, "SCRAM-SHA-256"));
  Peer peer = dial(broker, Version::v5, connect);
  CHECK(said(peer) == Lines{"CONNACK 140"});
  CHECK(peer.gone());
}

TEST_CASE(
    "the server asks with AUTH 0x18, and the CONNACK brings the last word [v5:4.12.0-2] "
    "[v5:4.12.0-5]",
    "[enhanced_authentication]") {
  Door door;
  Peer peer = door.knock("hello");
  CHECK(peer.received() == auth(kContinue, "question 1"));
  CHECK_FALSE(peer.client().connected());
  peer.send(auth(kContinue, "hm"));
  CHECK(peer.received() == auth(kContinue, "question 2"));
  peer.send(auth(kContinue, "enough"));
  const Properties properties = accepted(peer);
  CHECK(textOf(properties, PropertyId::authMethod) == "RIDDLE");
  CHECK(textOf(properties, PropertyId::authData) == "welcome");
  CHECK(peer.client().identity()->principal() == "alice");
  CHECK_FALSE(peer.client().identity()->anonymous());
  CHECK(door.broker.metrics.value("auth_accepted{by=\"riddle\"}") == 1);

  peer.send(pingreqPacket());
  CHECK(said(peer) == Lines{"PINGRESP"});
}

TEST_CASE("a method may be content with what the CONNECT brings [v5:4.12.0-5]",
          "[enhanced_authentication]") {
  Door door;
  Peer peer = door.knock("enough");
  const Properties properties = accepted(peer);
  CHECK(textOf(properties, PropertyId::authMethod) == "RIDDLE");
  CHECK(textOf(properties, PropertyId::authData) == "welcome");
  CHECK(peer.client().identity()->principal() == "alice");
}

TEST_CASE("who names no method gets no AUTH and no method [v5:4.12.0-6]",
          "[enhanced_authentication]") {
  Door door;
  Peer peer = dial(door.broker, Version::v5, clean("a"));
  const Properties properties = accepted(peer);
  CHECK_FALSE(textOf(properties, PropertyId::authMethod));
  CHECK_FALSE(textOf(properties, PropertyId::authData));
  CHECK(peer.received().empty());
}

TEST_CASE("who named no method may send no AUTH [v5:4.12.0-7]", "[enhanced_authentication]") {
  Door door;
  Peer peer = dial(door.broker, Version::v5, clean("a"));
  accepted(peer);
  peer.send(auth(GENERATE(kContinue, kAgain), "enough"));
  CHECK(said(peer) == Lines{"DISCONNECT 0x82"});
  CHECK(peer.gone());
}

TEST_CASE("an AUTH in front of CONNECT is closed without a word [v5:3.1.0-1]",
          "[enhanced_authentication]") {
  Door door;
  Peer peer = door.broker.open(mqtt::ProtocolVersion::v5);
  peer.send(auth(kContinue, "enough"));
  CHECK(peer.received().empty());
  CHECK(peer.gone());
}

TEST_CASE("the server may refuse at any point of an exchange [v5:4.12.0-4]",
          "[enhanced_authentication]") {
  Door door;
  SECTION("at once") {
    Peer peer = door.knock("wrong");
    CHECK(said(peer) == Lines{"CONNACK 134"});
    CHECK(peer.gone());
  }
  SECTION("later") {
    Peer peer = door.knock("hello");
    peer.received();
    peer.send(auth(kContinue, "hm"));
    peer.received();
    peer.send(auth(kContinue, "wrong"));
    CHECK(said(peer) == Lines{"CONNACK 134"});
    CHECK(peer.gone());
  }
  CHECK(door.broker.metrics.value("auth_refused{by=\"riddle\"}") == 1);
}

TEST_CASE("an exchange goes on with code 0x18 only [v5:4.12.0-3] [v5:3.15.2-1]",
          "[enhanced_authentication]") {
  Door door;
  Peer peer = door.knock("hello");
  peer.received();
  SECTION("not with 0x19, which is for later") {
    peer.send(auth(kAgain, "enough"));
    CHECK(said(peer) == Lines{"CONNACK 130"});
  }
  SECTION("not with 0x00, which the server says") {
    peer.send(auth(0, "enough"));
    CHECK(said(peer) == Lines{"CONNACK 130"});
  }
  SECTION("not with one that there isn't") {
    peer.send(auth(0x17, "enough"));
    CHECK(said(peer).size() == 1);
  }
  CHECK(peer.gone());
}

TEST_CASE("an exchange keeps its method [v5:4.12.0-5]", "[enhanced_authentication]") {
  Door door;
  Peer peer = door.knock("hello");
  peer.received();
  SECTION("another one") { peer.send(auth(kContinue, "enough", "PUZZLE")); }
  SECTION("none") { peer.send(packet(0xF0, u8(kContinue) + section(Version::v5, {}))); }
  SECTION("the short form, which has none") { peer.send(hex("F0 00")); }
  CHECK(said(peer) == Lines{"CONNACK 130"});
  CHECK(peer.gone());
}

TEST_CASE("nothing but AUTH and DISCONNECT may come during the exchange [v5:3.1.2-30]",
          "[enhanced_authentication]") {
  Door door;
  Peer peer = door.knock("hello", "RIDDLE");
  peer.received();
  SECTION("not a PINGREQ") { peer.send(pingreqPacket()); }
  SECTION("not a PUBLISH") {
    peer.send(publishPacket(Version::v5, {.topic = "t", .payload = "x"}));
  }
  SECTION("not a SUBSCRIBE") { peer.send(subscribePacket(Version::v5, 1, {{"#", 0}})); }
  SECTION("not a second CONNECT") { peer.send(connectPacket(Version::v5, clean("b"))); }
  SECTION("not what is no packet at all") { peer.send(hex("00 00")); }
  CHECK(said(peer).front().starts_with("CONNACK 1"));
  CHECK(peer.gone());
}

TEST_CASE("a packet behind the CONNECT in the same segment is one of the exchange [v5:3.1.2-30]",
          "[enhanced_authentication]") {
  Door door;
  Connect connect = clean("a");
  connect.properties.push_back(property(PropertyId::authMethod, "RIDDLE"));
  connect.properties.push_back(property(PropertyId::authData, "hello"));
  Peer peer = door.broker.open(mqtt::ProtocolVersion::v5);
  SECTION("the right one goes on") {
    peer.send(connectPacket(Version::v5, connect) + auth(kContinue, "enough") + pingreqPacket());
    CHECK(peer.receivedPacket() == auth(kContinue, "question 1"));
    accepted(peer);
    CHECK(said(peer) == Lines{"PINGRESP"});
  }
  SECTION("a wrong one ends it") {
    peer.send(connectPacket(Version::v5, connect) + pingreqPacket());
    CHECK(peer.receivedPacket() == auth(kContinue, "question 1"));
    CHECK(said(peer) == Lines{"CONNACK 130"});
    CHECK(peer.gone());
  }
}

TEST_CASE("a client may leave during the exchange, without a will [v5:3.1.2-30]",
          "[enhanced_authentication]") {
  Door door;
  Peer watcher = dial(door.broker, Version::v5, clean("watcher"));
  accepted(watcher);
  test::subscribe(watcher, "#");
  Connect connect = clean("a");
  connect.will = Will{.topic = "will", .payload = "x"};
  Peer peer = door.knock("hello", "RIDDLE", connect);
  peer.received();
  SECTION("with DISCONNECT") { peer.send(disconnectPacket(Version::v5)); }
  SECTION("with a DISCONNECT that asks for the will") {
    peer.send(disconnectPacket(Version::v5, 4));
  }
  SECTION("with the end of its input") { peer.end(); }
  SECTION("with a reset") { peer.reset(); }
  CHECK(peer.received().empty());
  CHECK(peer.gone());
  CHECK(said(watcher).empty());
}

TEST_CASE("the time to connect holds for the exchange as well", "[enhanced_authentication]") {
  Door door;
  Peer peer = door.knock("hello");
  for (int i = 0; i < 9; ++i) {
    door.broker.advance(std::chrono::seconds{1});
    peer.send(auth(kContinue, "hm"));
  }
  CHECK_FALSE(peer.closed());
  door.broker.advance(std::chrono::milliseconds{1100});
  CHECK(peer.closed());
}

TEST_CASE("an AUTH has flags of zero [v5:3.15.1-1]", "[enhanced_authentication]") {
  Door door;
  Bytes wrong = auth(kContinue, "enough");
  wrong[0] = static_cast<char>(0xF0 + GENERATE(1, 2, 8, 15));
  SECTION("during the exchange") {
    Peer peer = door.knock("hello");
    peer.received();
    peer.send(wrong);
    CHECK(said(peer) == Lines{"CONNACK 129"});
    CHECK(peer.gone());
  }
  SECTION("later") {
    Peer peer = admitted(door);
    peer.send(wrong);
    CHECK(said(peer) == Lines{"DISCONNECT 0x81"});
    CHECK(peer.gone());
  }
}

TEST_CASE("an AUTH that the client has no room for is not sent [v5:3.15.2-2] [v5:3.15.2-3]",
          "[enhanced_authentication]") {
  Door door;
  Connect connect = clean("a");
  connect.properties.push_back(property(PropertyId::maximumPacketSize, 20));
  Peer peer = door.knock("hello", "RIDDLE", connect);
  CHECK(said(peer) == Lines{"CONNACK 149"});
  CHECK(peer.gone());
}

TEST_CASE("a client authenticates itself again with AUTH 0x19 [v5:4.12.1-1]",
          "[enhanced_authentication]") {
  Door door;
  Peer peer = admitted(door);
  const broker::IdentityPtr before = peer.client().identity();
  SECTION("in one step") {
    peer.send(auth(kAgain, "enough"));
    CHECK(peer.received() == auth(0, "welcome"));
  }
  SECTION("in several, between which it does what it likes") {
    peer.send(auth(kAgain, "hello"));
    CHECK(peer.received() == auth(kContinue, "question 1"));
    peer.send(pingreqPacket());
    CHECK(said(peer) == Lines{"PINGRESP"});
    peer.send(auth(kContinue, "hm"));
    CHECK(peer.received() == auth(kContinue, "question 2"));
    peer.send(auth(kContinue, "enough"));
    CHECK(peer.received() == auth(0, "welcome"));
  }
  CHECK(peer.client().identity() == before);  // what hangs on it stays
  peer.send(auth(kAgain, "hello"));
  CHECK(peer.received() == auth(kContinue, "question 1"));
}

TEST_CASE("a second authentication that fails ends the connection [v5:4.12.1-2]",
          "[enhanced_authentication]") {
  Door door;
  Peer peer = admitted(door);
  SECTION("refused") { peer.send(auth(kAgain, "wrong")); }
  SECTION("refused later") {
    peer.send(auth(kAgain, "hello"));
    peer.received();
    peer.send(auth(kContinue, "wrong"));
  }
  SECTION("as somebody else") { peer.send(auth(kAgain, "as bob")); }
  CHECK(said(peer) == Lines{"DISCONNECT 0x87"});
  CHECK(peer.gone());
  CHECK(door.broker.metrics.value("auth_refused{by=\"riddle\"}") == 1);
}

TEST_CASE("a second authentication has to be one [v5:4.12.1-1]", "[enhanced_authentication]") {
  Door door;
  Peer peer = admitted(door);
  SECTION("with the method of the first") { peer.send(auth(kAgain, "enough", "PUZZLE")); }
  SECTION("begun with 0x19") { peer.send(auth(kContinue, "enough")); }
  SECTION("and one at a time") {
    peer.send(auth(kAgain, "hello"));
    peer.received();
    peer.send(auth(kAgain, "hello"));
  }
  CHECK(said(peer) == Lines{"DISCONNECT 0x82"});
  CHECK(peer.gone());
}

// The cases of a method that answers later. There is no failing open.

TEST_CASE("a step of an exchange may be answered later", "[enhanced_authentication]") {
  Door door;
  Peer peer = door.knock("later");
  CHECK(peer.received().empty());
  peer.send(auth(kContinue, "hm"));  // too early: waits behind the CONNECT
  CHECK(peer.received().empty());
  door.riddle.settle("hello");
  door.broker.run();
  CHECK(peer.receivedPacket() == auth(kContinue, "question 1"));
  CHECK(peer.receivedPacket() == auth(kContinue, "question 2"));
  peer.send(auth(kContinue, "later") + auth(kContinue, "enough"));
  CHECK(peer.received().empty());
  SECTION("with another question") {
    door.riddle.settle("hm");
    door.broker.run();
    CHECK(peer.receivedPacket() == auth(kContinue, "question 3"));
    accepted(peer);
  }
  SECTION("with yes, after which one more AUTH is one too many") {
    door.riddle.settle("enough");
    door.broker.run();
    accepted(peer);
    CHECK(said(peer) == Lines{"DISCONNECT 0x82"});
  }
  SECTION("with no") {
    door.riddle.settle("wrong");
    door.broker.run();
    CHECK(said(peer) == Lines{"CONNACK 134"});
    CHECK(peer.gone());
  }
}

TEST_CASE("a second authentication may be answered later", "[enhanced_authentication]") {
  Door door;
  Peer peer = admitted(door);
  peer.send(auth(kAgain, "later") + pingreqPacket());
  CHECK(peer.received().empty());
  SECTION("with yes") {
    door.riddle.settle("enough");
    door.broker.run();
    CHECK(peer.receivedPacket() == auth(0, "welcome"));
    CHECK(said(peer) == Lines{"PINGRESP"});
  }
  SECTION("with no") {
    door.riddle.settle("wrong");
    door.broker.run();
    CHECK(said(peer) == Lines{"DISCONNECT 0x87"});
  }
  SECTION("when the client is gone") {
    peer.reset();
    CHECK_FALSE(peer.gone());  // pinned by its walk
    door.riddle.settle("enough");
    door.broker.run();
    CHECK(peer.gone());
  }
}

TEST_CASE("a method that fails lets nobody in", "[enhanced_authentication]") {
  Door door;
  const auto [word, first, again] = GENERATE(
      table<const char*, const char*, const char*>({{"broken", "CONNACK 136", "DISCONNECT 0x87"},
                                                    {"busy", "CONNACK 137", "DISCONNECT 0x89"},
                                                    {"throws", "CONNACK 131", "DISCONNECT 0x83"}}));
  SECTION("at once") {
    Peer peer = door.knock(word);
    CHECK(said(peer) == Lines{first});
    CHECK(peer.gone());
  }
  SECTION("later") {
    Peer peer = door.knock("hello");
    peer.received();
    peer.send(auth(kContinue, word));
    CHECK(said(peer) == Lines{first});
    CHECK(peer.gone());
  }
  SECTION("again") {
    Peer peer = admitted(door);
    peer.send(auth(kAgain, word));
    CHECK(said(peer) == Lines{again});
    CHECK(peer.gone());
  }
  SECTION("by dropping its promise") {
    Peer peer = door.knock("later");
    door.riddle.waiting.reset();
    door.broker.run();
    CHECK(said(peer) == Lines{"CONNACK 136"});
    CHECK(peer.gone());
  }
}

TEST_CASE("the answer for a client that is gone is discarded", "[enhanced_authentication]") {
  Door door;
  Peer peer = door.knock(GENERATE("later", "hello"));
  if (!door.riddle.waiting) {
    peer.received();
    peer.send(auth(kContinue, "later"));
  }
  peer.reset();
  CHECK_FALSE(peer.gone());  // pinned by its walk
  door.riddle.settle(GENERATE("enough", "wrong", "hm"));
  door.broker.run();
  CHECK(peer.received().empty());
  CHECK(peer.gone());
  CHECK(door.broker.context.clients() == 0);
}

TEST_CASE("an exchange may be cut short by the end of everything", "[enhanced_authentication]") {
  // The broker goes while a step waits; a sanitizer would tell.
  Door door;
  Peer peer = door.knock(GENERATE("later", "hello"));
  if (!door.riddle.waiting) peer.send(auth(kContinue, "later"));
  CHECK(door.riddle.waiting);
}

TEST_CASE("an MQTT 3 client has no methods", "[enhanced_authentication]") {
  Door door;
  Peer peer = dial(door.broker, GENERATE(Version::v31, Version::v311), clean("a"));
  peer.received();
  peer.send(auth(kContinue, "enough"));
  CHECK(peer.gone());
}

}  // namespace mqttstack
