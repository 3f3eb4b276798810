#include <algorithm>
#include <functional>
#include <map>
#include <memory>

#include <catch2/catch.hpp>

#include "core/stack/registry.hpp"
#include "middlewares/builtins.hpp"
#include "middlewares/operations/packet_emitter.hpp"
#include "middlewares/security/authentication.hpp"
#include "middlewares/security/authorization.hpp"
#include "middlewares/security/rate_limit.hpp"
#include "tests/middlewares/protocol_broker.hpp"

/// Every middleware can be left out, and replaced. What cannot work without it is
/// found before the first client comes; what can says what it lacks.
namespace mqttstack::test {
namespace {

using namespace std::chrono_literals;
using Names = std::vector<std::string>;
using Add = std::function<void(TestBroker&)>;

const Names kPipeline{"connection",     "keep_alive",      "last_will",
                      "memory_backend", "session_manager", "subscription_manager",
                      "retain_manager", "inbound_manager", "outbound_manager"};

template <class M>
Add adding() {
  return [](TestBroker& broker) { broker.use<M>(); };
}

const std::map<std::string, Add>& builtins() {
  static const std::map<std::string, Add> all{
      {"connection", adding<Connection>()},
      {"keep_alive", adding<KeepAlive>()},
      {"last_will", adding<LastWill>()},
      {"memory_backend", adding<MemoryBackend>()},
      {"session_manager", adding<SessionManager>()},
      {"subscription_manager", adding<SubscriptionManager>()},
      {"retain_manager", adding<RetainManager>()},
      {"inbound_manager", adding<InboundManager>()},
      {"outbound_manager", adding<OutboundManager>()},
      {"authentication", adding<Authentication>()},
      {"authorization", adding<Authorization>()},
      {"rate_limit", adding<RateLimit>()},
      {"packet_emitter", adding<PacketEmitter>()},
  };
  return all;
}

Names without(const std::string& name, Names from = kPipeline) {
  std::erase(from, name);
  return from;
}
Names with(const std::string& name, std::size_t place, Names list = kPipeline) {
  list.insert(list.begin() + static_cast<std::ptrdiff_t>(place), name);
  return list;
}

/// A broker of these middlewares, and of stand-ins for some of them.
void assemble(TestBroker& broker, const Names& names,
              const std::map<std::string, Add>& standIns = {}) {
  broker.listener.allowAnonymous = true;
  for (const std::string& name : names) {
    const auto standIn = standIns.find(name);
    standIn != standIns.end() ? standIn->second(broker) : builtins().at(name)(broker);
  }
}

/// The callbacks that the middlewares of a pipeline execute and nobody there
/// handles: what makes the daemon refuse it.
Names unanswered(const Names& names) {
  Registry registry;
  registerBuiltins(registry);
  Names missing;
  for (const std::string& name : names)
    for (const std::string& callback : registry.info(name).executes) {
      const bool handled = std::any_of(names.begin(), names.end(), [&](const std::string& other) {
        const auto& handles = registry.info(other).handles;
        return std::find(handles.begin(), handles.end(), callback) != handles.end();
      });
      if (!handled) missing.push_back(name + ": " + callback);
    }
  return missing;
}

/// Two clients talk to each other.
void checkItWorks(TestBroker& broker, Version version) {
  INFO(version);
  Peer one = join(broker, version, "one");
  Peer two = join(broker, version, "two");
  subscribe(one, "t");
  two.send(publishPacket(version, {.topic = "t", .payload = "x"}));
  CHECK(publishes(one) == Lines{"PUBLISH t 'x'"});
  one.send(pingreqPacket());
  CHECK(said(one) == Lines{"PINGRESP"});
  two.send(disconnectPacket(version));
  CHECK(two.closed());
  one.reset();
  CHECK(one.gone());
}
void checkItWorks(TestBroker& broker) {
  for (const Version version : {Version::v31, Version::v311, Version::v5})
    checkItWorks(broker, version);
}

std::string connackOf(TestBroker& broker) {
  Connect connect = clean("teller");
  connect.keepAlive = 0;
  Peer peer = dial(broker, Version::v5, connect);
  return said(peer).at(0);
}

// Left out.

TEST_CASE("the built-in pipeline lacks nothing", "[pipeline]") {
  CHECK(unanswered(kPipeline) == Names{});
  TestBroker broker;
  assemble(broker, kPipeline);
  CHECK(broker.validate().empty());
  checkItWorks(broker);
}

TEST_CASE("a pipeline without connection is refused: nobody could close a client", "[pipeline]") {
  CHECK(unanswered(without("connection")) ==
        Names{"keep_alive: closeClient", "memory_backend: closeClient"});
}

TEST_CASE("a pipeline without backend is refused", "[pipeline]") {
  const Names missing = unanswered(without("memory_backend"));
  for (const char* each :
       {"session_manager: openSession", "session_manager: suspendSession",
        "retain_manager: lookupRetainedMessages", "outbound_manager: storeOfflineMessage"})
    CHECK_THAT(missing, Catch::VectorContains(std::string{each}));
}

TEST_CASE("a pipeline without outbound_manager is refused", "[pipeline]") {
  CHECK(unanswered(without("outbound_manager")) ==
        Names{"memory_backend: forwardMessage", "retain_manager: forwardMessage"});
}

TEST_CASE("authentication and authorization without anybody who decides are refused",
          "[pipeline]") {
  CHECK(unanswered(with("authentication", 1)) == Names{"authentication: authenticateConnection"});
  CHECK(unanswered(with("authorization", 1)) == Names{"authorization: authorizePacket"});
  CHECK(unanswered(with("password_file", 2, with("authentication", 1))) == Names{});
  CHECK(unanswered(with("acl_file", 2, with("authorization", 1))) == Names{});
}

TEST_CASE("without session_manager nobody is accepted, and the log says why", "[pipeline]") {
  TestBroker broker;
  assemble(broker, without("session_manager"));
  Peer peer = dial(broker, Version::v5, clean("a"));
  CHECK(said(peer) == Lines{"CONNACK 131"});
  CHECK(peer.gone());
  REQUIRE(broker.logged(LogLevel::error) == 1);
}

TEST_CASE("without keep_alive there is none, and PINGREQ is not left without answer",
          "[pipeline]") {
  TestBroker broker;
  assemble(broker, without("keep_alive"));
  CHECK(unanswered(without("keep_alive")) == Names{});
  Peer peer = dial(broker, Version::v5, clean("a"));
  CHECK(said(peer).at(0).ends_with(" serverKeepAlive=0"));
  broker.advance(1000s);
  CHECK_FALSE(peer.closed());
  peer.send(pingreqPacket());
  CHECK(said(peer) == Lines{"DISCONNECT 0x83"});
  CHECK(peer.gone());
}

TEST_CASE("without last_will nobody has one, and all else works", "[pipeline]") {
  CHECK(unanswered(without("last_will")) == Names{});
  TestBroker broker;
  assemble(broker, without("last_will"));
  Peer watcher = join(broker, Version::v5, "watcher");
  subscribe(watcher, "#");
  Connect connect = clean("a");
  connect.will = Will{.topic = "will"};
  Peer peer = join(broker, Version::v5, connect);
  peer.reset();
  CHECK(said(watcher) == Lines{});
  watcher.reset();
  checkItWorks(broker);
}

TEST_CASE("without subscription_manager there are no subscriptions, and clients are told",
          "[pipeline]") {
  CHECK(unanswered(without("subscription_manager")) == Names{});
  TestBroker broker;
  assemble(broker, without("subscription_manager"));
  CHECK(connackOf(broker).ends_with(
      " wildcardAvailable=0 subscriptionIdAvailable=0 sharedAvailable=0"));
  const auto version = GENERATE(Version::v311, Version::v5);
  Peer peer = join(broker, version, "a");
  SECTION("SUBSCRIBE") { peer.send(subscribePacket(version, 1, {{"t", 0}})); }
  SECTION("UNSUBSCRIBE") { peer.send(unsubscribePacket(version, 1, {"t"})); }
  CHECK(peer.gone());
  CHECK(said(peer) == (version == Version::v5 ? Lines{"DISCONNECT 0x83"} : Lines{}));
}

TEST_CASE("without retain_manager nothing is retained, and clients are told [v5:3.2.2-14]",
          "[pipeline]") {
  CHECK(unanswered(without("retain_manager")) == Names{});
  TestBroker broker;
  assemble(broker, without("retain_manager"));
  CHECK(connackOf(broker).find(" retainAvailable=0") != std::string::npos);
  SECTION("a retained message of an MQTT 5 client is an error") {
    Peer peer = join(broker, Version::v5, "a");
    peer.send(publishPacket(Version::v5, {.topic = "t", .retain = true}));
    CHECK(said(peer) == Lines{"DISCONNECT 0x9A"});
  }
  SECTION("one of an MQTT 3 client, who cannot know, is an ordinary message") {
    Peer peer = join(broker, Version::v311, "a");
    subscribe(peer, "t");
    peer.send(publishPacket(Version::v311, {.topic = "t", .payload = "x", .retain = true}));
    CHECK(said(peer) == Lines{"PUBLISH t 'x'"});
    CHECK(broker.metrics.value("retained_messages") == 0);
  }
  SECTION("a retained will refuses the client [v5:3.2.2-13]") {
    Connect connect = clean("a");
    connect.will = Will{.topic = "w", .retain = true};
    Peer peer = dial(broker, Version::v5, connect);
    CHECK(said(peer) == Lines{"CONNACK 154"});
  }
  checkItWorks(broker);
}

TEST_CASE("without inbound_manager nobody publishes, and clients are told", "[pipeline]") {
  CHECK(unanswered(without("inbound_manager")) == Names{});
  TestBroker broker;
  assemble(broker, without("inbound_manager"));
  CHECK(connackOf(broker) == "CONNACK 0 maximumQos=0 maximumPacketSize=1048576");
  const auto version = GENERATE(Version::v311, Version::v5);
  Peer peer = join(broker, version, "a");
  subscribe(peer, "#");
  peer.send(publishPacket(version, {.topic = "t"}));
  CHECK(said(peer) == Lines{});
  CHECK_FALSE(peer.closed());
  peer.send(publishPacket(version, {.topic = "t", .qos = 1, .id = 1}));
  CHECK(peer.gone());  // rather than to let it wait for ever
}

TEST_CASE("rate_limit and packet_emitter only add something", "[pipeline]") {
  for (const char* name : {"rate_limit", "packet_emitter"}) {
    const Names names = with(name, 1);
    CHECK(unanswered(names) == Names{});
    TestBroker broker;
    assemble(broker, names);
    CHECK(broker.validate().empty());
    checkItWorks(broker);
  }
}

// Replaced.

void closesClients(TestBroker& broker) {
  broker.on<CloseClient>([](CloseClient& close, SyncNext next, Done) {
    close.client.close(close.reason);
    return next();
  });
  broker.onPackets(mqtt::PacketType::connect, [](Client& client, Packet& packet, Next next, Done) {
    broker::IdentityFields fields = client.identity()->fields();
    fields.clientId = packet.as<mqtt::Connect>().clientId;
    client.setIdentity(broker::makeIdentity(std::move(fields)));
    return next();
  });
  broker.onPackets(mqtt::PacketType::disconnect, [](Client& client, Packet&, Next next, Done) {
    client.closeSilently();
    return next();
  });
}

void answersPings(TestBroker& broker) {
  broker.on<NegotiateConnection>([](NegotiateConnection& negotiate, SyncNext next, Done) {
    negotiate.terms.keepAlive = negotiate.connect.keepAlive;
    return next();
  });
  broker.onPackets(mqtt::PacketType::pingreq, [](Client& client, Packet&, Next, Done done) {
    client.send(mqtt::Pingresp{});
    return done();
  });
}

void opensSessions(TestBroker& broker) {
  broker.onPackets(mqtt::PacketType::connect, [](Client& client, Packet& packet, Next next, Done) {
    return client.stack().call(
        OpenSession{client, client.clientId(), true}, next,
        [&client, &packet](std::error_code error, OpenSession& opened, Next goOn, Done) {
          if (error) return goOn(error);
          client.setSession(opened.session);
          client.sendAccepting({});
          const ConnectionTerms terms;
          SessionEstablished established{client, *opened.session, packet.as<mqtt::Connect>(), false,
                                         terms};
          client.stack().run(established);
          return goOn();
        });
  });
  broker.on<ConnectionLost>([](ConnectionLost& lost, SyncNext next, Done) {
    if (!lost.client.session() || lost.client.session()->client() != &lost.client) return next();
    SuspendSession suspend{*lost.client.session(), lost.client};
    lost.client.stack().run(suspend);
    return next();
  });
}

/// Grants QoS 0 to whoever asks for one filter.
void grantsOneFilter(TestBroker& broker) {
  broker.onPackets(
      mqtt::PacketType::subscribe, [](Client& client, Packet& packet, Next next, Done) {
        auto subscribe = packet.as<mqtt::Subscribe>();
        const auto id = subscribe.packetId;
        return client.stack().call(
            SubscribeTopic{client, *client.session(), subscribe.entries.takeFront().filter, {}},
            next, [&client, id](std::error_code error, SubscribeTopic&, Next goOn, Done done) {
              if (error) return goOn(error);
              client.send(mqtt::Suback{id, std::string_view{"\0", 1}, {}});
              return done();
            });
      });
}

void relaysQos0(TestBroker& broker) {
  broker.onPackets(mqtt::PacketType::publish, [](Client& client, Packet& packet, Next next, Done) {
    return client.stack().call(
        RelayMessage{packet.message, {}, &client}, next,
        [](std::error_code, RelayMessage&, Next, Done done) { return done(); });
  });
}

void sendsQos0(TestBroker& broker) {
  broker.on<ForwardMessage>([](ForwardMessage& forward, SyncNext next, Done) {
    OutgoingPublish publish;
    publish.message = forward.message;
    publish.retain = forward.retain;
    if (Client* client = forward.session.client()) {
      client->send(std::move(publish));
      forward.result = ForwardResult::sent;
    }
    return next();
  });
}

/// Knows no filters: whoever has subscribed to anything gets everything. Keeps
/// no session longer than its connection, nor anything else.
class Broadcast final : public Middleware,
                        public Handles<OpenSession>,
                        public Handles<SuspendSession>,
                        public Handles<SubscribeTopic>,
                        public Handles<UnsubscribeTopic>,
                        public Handles<RelayMessage> {
public:
  explicit Broadcast(const Setup& setup) : Middleware{setup} {}
  Flow on(OpenSession& open, Next next, Done) override {
    open.session = broker::SessionPtr{new broker::Session{open.clientId, open.client.identity()}};
    open.session->attach(open.client, open.client.stack(), open.client.identity());
    return next();
  }
  Flow on(SuspendSession& suspend, SyncNext next, Done) override {
    std::erase_if(subscribers_, [&](const auto& each) { return each.get() == &suspend.session; });
    suspend.session.detach(scheduler().now());
    return next();
  }
  Flow on(SubscribeTopic& subscribe, Next next, Done) override {
    subscribers_.emplace_back(&subscribe.session);
    return next();
  }
  Flow on(UnsubscribeTopic&, Next next, Done) override { return next(); }
  Flow on(RelayMessage& relay, Next next, Done) override {
    for (const broker::SessionPtr& session : subscribers_) {
      ForwardMessage forward{*session, relay.message, mqtt::Qos::atMostOnce, false, {}};
      session->stack()->run(forward);
      ++relay.matched;
    }
    return next();
  }

private:
  std::vector<broker::SessionPtr> subscribers_;
};

TEST_CASE("each middleware can be replaced by another that does what it does", "[pipeline]") {
  const std::map<std::string, Add> standIns{
      {"connection", closesClients},
      {"keep_alive", answersPings},
      {"last_will", [](TestBroker& broker) { broker.on<UncleanDisconnect>(); }},
      {"memory_backend", adding<Broadcast>()},
      {"session_manager", opensSessions},
      {"subscription_manager", grantsOneFilter},
      {"retain_manager", [](TestBroker& broker) { broker.on<StoreRetainedMessage>(); }},
      {"inbound_manager", relaysQos0},
      {"outbound_manager", sendsQos0},
  };
  for (const std::string& name : kPipeline) {
    INFO("a stand-in for " << name);
    TestBroker broker;
    assemble(broker, kPipeline, {{name, standIns.at(name)}});
    checkItWorks(broker);
  }
  INFO("stand-ins for all of them");
  TestBroker broker;
  assemble(broker, kPipeline, standIns);
  checkItWorks(broker);
}

TEST_CASE("a stand-in for last_will says something else", "[pipeline]") {
  TestBroker broker;
  assemble(broker, kPipeline,
           {{"last_will", [](TestBroker& b) {
               b.on<UncleanDisconnect>([](UncleanDisconnect& disconnect, Next next, Done) {
                 broker::MessageFields fields;
                 fields.topic = "obituary";
                 fields.payload = disconnect.client.clientId();
                 disconnect.client.stack().execute(
                     RelayMessage{broker::Message::create(std::move(fields))},
                     [](std::error_code, RelayMessage&) {});
                 return next();
               });
             }}});
  Peer watcher = join(broker, Version::v311, "watcher");
  subscribe(watcher, "obituary");
  Peer peer = join(broker, Version::v311, "a");
  peer.reset();
  CHECK(said(watcher) == Lines{"PUBLISH obituary 'a'"});
}

TEST_CASE("who decides can be replaced: credentials and rights", "[pipeline]") {
  TestBroker broker;
  assemble(
      broker,
      with("acl", 3, with("authorization", 2, with("passwords", 2, with("authentication", 1)))),
      {{"passwords",
        [](TestBroker& b) {
          b.on<AuthenticateConnection>([](AuthenticateConnection& login, Next, Done done) {
            if (login.password == "secret")
              login.verdict.allow("stub");
            else
              login.verdict.deny("stub", mqtt::ReasonCode::badUserNameOrPassword);
            return done();
          });
        }},
       {"acl", [](TestBroker& b) {
          b.on<AuthorizePacket>([](AuthorizePacket& question, Next, Done done) {
            if (question.identity.principal() == "alice" || question.topic == "t")
              question.verdict.allow("stub");
            return done();
          });
          b.on<AuthorizeDelivery>([](AuthorizeDelivery& question, SyncNext, Done done) {
            question.verdict.allow("stub");
            return done();
          });
        }}});
  checkItWorks(broker);
  Connect connect = clean("a");
  connect.userName = "alice";
  connect.password = "wrong";
  Peer refused = dial(broker, Version::v311, connect);
  CHECK(said(refused) == Lines{"CONNACK 4"});
  connect.password = "secret";
  Peer alice = join(broker, Version::v311, connect);
  subscribe(alice, "private");
  Peer nobody = join(broker, Version::v311, "nobody");
  nobody.send(subscribePacket(Version::v311, 1, {{"private", 0}, {"t", 0}}));
  CHECK(said(nobody) == Lines{"SUBACK #1 0x80 0"});
  nobody.send(publishPacket(Version::v311, {.topic = "private"}));
  CHECK(said(alice) == Lines{});
}

// Several.

TEST_CASE("clients of two pipelines with one backend reach each other, each by its own way",
          "[pipeline]") {
  TestBroker broker;
  Stack& lan = broker.stack();
  broker.use<Connection>();
  broker.use<KeepAlive>();
  LastWill& wills = broker.use<LastWill>();
  MemoryBackend& backend = broker.use<MemoryBackend>();
  broker.use<SessionManager>();
  broker.use<SubscriptionManager>();
  broker.use<RetainManager>();
  broker.use<InboundManager>();
  broker.use<OutboundManager>();

  Stack& wan = broker.addStack("wan");
  broker.useNamed<Connection>("connection2");
  broker.useNamed<KeepAlive>("keep_alive2");
  wan.use(wills);
  wan.use(backend);
  broker.useNamed<SessionManager>("session_manager2");
  broker.useNamed<SubscriptionManager>("subscription_manager2");
  broker.useNamed<RetainManager>("retain_manager2");
  broker.useNamed<InboundManager>("inbound_manager2");
  auto& watch = broker.on<ForwardMessage>([](ForwardMessage& forward, SyncNext next, Done done) {
    // This way out lets nothing secret through.
    return forward.message->topic() == "secret" ? done() : next();
  });
  broker.useNamed<OutboundManager>("outbound_manager2");

  Peer inside = join(broker, lan, Version::v311, persistent(Version::v311, "inside"));
  Peer outside = join(broker, wan, Version::v5, persistent(Version::v5, "outside"));
  subscribe(inside, "#", 1);
  subscribe(outside, "#", 1);
  publish(inside, {.topic = "t", .payload = "1", .qos = 1});
  CHECK(receiveAll(outside) == Lines{"PUBLISH t '1' q1 #1"});
  CHECK(watch.calls == 1);
  publish(outside, {.topic = "secret", .payload = "2", .qos = 1});
  receiveAll(inside);
  CHECK(watch.calls == 2);
  CHECK(said(outside) == Lines{});

  SECTION("also when it has to wait for its receiver") {
    outside.reset();
    publish(inside, {.topic = "t", .payload = "3", .qos = 1});
    publish(inside, {.topic = "secret", .payload = "4", .qos = 1});
    CHECK(watch.calls == 4);
    outside = join(broker, wan, Version::v5, persistent(Version::v5, "outside"));
    CHECK(receiveAll(outside) == Lines{"PUBLISH t '3' q1 #1"});
  }
  SECTION("a session moves to the other pipeline with its client") {
    outside = join(broker, lan, Version::v5, persistent(Version::v5, "outside"));
    publish(inside, {.topic = "secret", .payload = "5", .qos = 1});
    CHECK(receiveAll(outside) == Lines{"PUBLISH secret '5' q1 #1"});
  }
  SECTION("a retained will is kept by the store of its author's pipeline") {
    Connect connect = clean("dying");
    connect.will = Will{.topic = "will", .payload = "x", .retain = true};
    Peer dying = join(broker, wan, Version::v5, connect);
    dying.reset();
    CHECK(receiveAll(inside).back().starts_with("PUBLISH will 'x'"));
    CHECK(broker.metrics.value("retained_messages") == 1);
  }
}

}  // namespace
}  // namespace mqttstack::test
