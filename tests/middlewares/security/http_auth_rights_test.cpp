#include <atomic>
#include <nlohmann/json.hpp>
#include <string>
#include <string_view>
#include <utility>
#include <vector>

#include <catch2/catch.hpp>

#include "middlewares/backends/memory_backend.hpp"
#include "middlewares/protocol/connection.hpp"
#include "middlewares/protocol/inbound_manager.hpp"
#include "middlewares/protocol/outbound_manager.hpp"
#include "middlewares/protocol/retain_manager.hpp"
#include "middlewares/protocol/session_manager.hpp"
#include "middlewares/protocol/subscription_manager.hpp"
#include "middlewares/security/authorization.hpp"
#include "middlewares/security/http_auth.hpp"
#include "tests/middlewares/security/http_service.hpp"
#include "tests/support/client_fixture.hpp"

// What http_auth knows of rights that the service was asked about, in a whole pipeline.
namespace mqttstack {
namespace {

using mqtt::ReasonCode;
using nlohmann::json;
using test::HttpService;
using test::Peer;
using test::TestBroker;

using Topics = std::vector<std::string>;

/// A pipeline whose rights a service knows, and somebody else if a test says so.
struct House {
  using OtherReads = test::CallbackStub<AuthorizeDelivery>::Answer;
  using OtherMay = test::CallbackStub<AuthorizePacket>::Answer;

  explicit House(OtherReads otherReads = {}, OtherMay otherMay = {}) {
    broker.use<Connection>();
    broker.use<Authorization>();
    if (otherReads) broker.on<AuthorizeDelivery>(std::move(otherReads));
    if (otherMay) broker.on<AuthorizePacket>(std::move(otherMay));
    HttpAuth::Options options;
    options.authorizeUrl = service.url();
    options.cache = TimeSpan{0};
    broker.use<HttpAuth>(options);
    broker.use<MemoryBackend>();
    broker.use<SessionManager>();
    broker.use<SubscriptionManager>();
    broker.use<RetainManager>();
    broker.use<InboundManager>();
    broker.use<OutboundManager>();
    broker.loop.hold();
  }

  static mqtt::Connect connectOf(std::string_view clientId) {
    mqtt::Connect connect;
    connect.clientId = clientId;
    connect.cleanStart = false;
    return connect;
  }
  /// Waits for the service.
  void settle(const Peer& peer) {
    while (!peer.gone() && peer.client().parked()) {
      broker.loop.await();
      broker.run();
    }
  }
  Peer come(std::string_view clientId) {
    Peer peer = broker.connectWith(connectOf(clientId));
    settle(peer);
    peer.received();
    return peer;
  }
  /// A session that is subscribed, and whose client is not there.
  void leave(std::string_view clientId, const std::string& filter) {
    Peer peer = come(clientId);
    subscribe(peer, filter);
    peer.send(mqtt::Disconnect{});
  }
  /// Subscribes at QoS 1; there are these retained messages.
  void subscribe(Peer& peer, const std::string& filter, const Topics& retained = {}) {
    peer.send(test::frame(0x82, test::hex("00 01") + text(filter) + '\1'));
    settle(peer);
    CHECK(topicsOf(peer) == retained);
  }
  void unsubscribe(Peer& peer, const std::string& filter) {
    peer.send(test::frame(0xA2, test::hex("00 01") + text(filter)));
    peer.received();
  }
  void publish(std::string_view topic, bool retain) {
    Peer writer = come("writer");
    mqtt::Publish packet;
    packet.topic = topic;
    packet.payload = "x";
    packet.retain = retain;
    writer.send(packet);
    settle(writer);
  }
  /// Publishes a message of the broker's own.
  void relay(std::string_view topic) {
    broker::MessageFields fields;
    fields.topic = topic;
    fields.qos = mqtt::Qos::atLeastOnce;
    broker.stack().execute(RelayMessage{broker::Message::create(std::move(fields))},
                           [](std::error_code error, RelayMessage&) { CHECK(!error); });
    broker.run();
  }
  /// The topics of the messages that it got.
  static Topics topicsOf(Peer& peer) {
    Topics topics;
    for (const auto& packet : peer.packets())
      if (const auto* message = std::get_if<mqtt::Publish>(&packet))
        topics.emplace_back(message->topic);
    return topics;
  }
  Opinion ask(std::string_view topic, const broker::IdentityPtr& who, bool asAuthor = false) {
    broker::MessageFields fields;
    fields.topic = topic;
    const auto message = broker::Message::create(std::move(fields));
    AuthorizeDelivery question{*who, *message, asAuthor};
    broker.stack().run(question);
    return question.verdict.opinion;
  }
  static std::string text(const std::string& filter) {
    return std::string{'\0', static_cast<char>(filter.size())} + filter;
  }

  // Before the service, whose thread reads them.
  std::atomic<bool> works{true};
  std::atomic<bool> allowsReading{true};
  HttpService service{[this](const std::string&, const std::string& body) {
    const bool reading = json::parse(body)["action"] == "subscribe";
    return !works ? HttpService::reply("", "500 Oops")
                  : HttpService::reply(!reading || allowsReading ? R"({"result":"allow"})"
                                                                 : R"({"result":"deny"})");
  }};
  TestBroker broker;
};

}  // namespace

TEST_CASE("a message for a session that is being resumed waits until the service was asked",
          "[http_auth]") {
  House house;
  house.leave("reader", "news/#");
  const bool allowed = GENERATE(true, false);
  house.allowsReading = allowed;
  // The loop is held: the service's answer is not looked at yet.
  Peer reader = house.broker.connectWith(House::connectOf("reader"));
  house.relay("news/today");
  CHECK(reader.client().parked());
  house.settle(reader);
  CHECK(House::topicsOf(reader) == (allowed ? Topics{"news/today"} : Topics{}));
}

TEST_CASE("a message for a session that could not be resumed waits for the next time",
          "[http_auth]") {
  House house;
  house.leave("reader", "news/#");
  house.works = false;
  Peer refused = house.broker.connectWith(House::connectOf("reader"));
  house.settle(refused);
  CHECK(refused.received() == test::hex("20 02 00 03"));
  house.relay("news/today");
  house.works = true;
  Peer reader = house.broker.connectWith(House::connectOf("reader"));
  house.settle(reader);
  CHECK(House::topicsOf(reader) == Topics{"news/today"});
}

TEST_CASE("what somebody else denies does not wait for the service", "[http_auth]") {
  House house{[](AuthorizeDelivery& question, SyncNext next, Done done) {
    if (question.message.topic() != "news/secret") return next();
    question.verdict.deny("other", ReasonCode::notAuthorized);
    return done();
  }};
  house.leave("reader", "news/#");
  house.works = false;
  Peer refused = house.broker.connectWith(House::connectOf("reader"));
  house.settle(refused);
  house.relay("news/secret");
  CHECK(house.broker.metrics.value("messages_dropped_not_authorized") == 1);
  CHECK(house.broker.metrics.value("queued_messages") == 0);
}

TEST_CASE("a client that is there gets nothing that the service has not allowed", "[http_auth]") {
  House house;
  Peer reader = house.come("reader");
  house.subscribe(reader, "news/#");
  house.relay("news/today");
  CHECK(House::topicsOf(reader) == Topics{"news/today"});
  CHECK(house.ask("other", reader.client().identity()) == Opinion::none);
}

TEST_CASE("http_auth lets go of what a client has unsubscribed from", "[http_auth]") {
  House house;
  Peer reader = house.come("reader");
  const broker::IdentityPtr who = reader.client().identity();
  house.subscribe(reader, "kept");
  house.subscribe(reader, "kept/#");
  house.subscribe(reader, "$share/group/shared/+");
  for (int i = 0; i < 200; ++i) {
    const std::string filter = "passing/" + std::to_string(i) + (i % 2 == 0 ? "" : "/#");
    house.subscribe(reader, filter);
    house.unsubscribe(reader, filter);
  }
  CHECK(house.ask("passing/0", who) == Opinion::none);
  CHECK(house.ask("passing/1", who) == Opinion::none);
  CHECK(house.ask("kept", who) == Opinion::allow);
  CHECK(house.ask("kept/a", who) == Opinion::allow);
  CHECK(house.ask("shared/a", who) == Opinion::allow);
  house.relay("kept/a");
  CHECK(House::topicsOf(reader) == Topics{"kept/a"});
}

TEST_CASE("http_auth answers for the author of a retained message if it has allowed it",
          "[http_auth]") {
  bool otherAllows = true;
  House house{[&](AuthorizeDelivery&, SyncNext next, Done) { return next(); },
              [&](AuthorizePacket& question, Next next, Done done) {
                if (!otherAllows || question.topic != "theirs") return next();
                question.verdict.allow("other");
                return done();
              }};
  house.publish("ours", true);
  house.publish("theirs", true);
  otherAllows = false;  // its right is gone, and nobody speaks for the message
  Peer reader = house.come("reader");
  house.subscribe(reader, "#", Topics{"ours"});
}

TEST_CASE("http_auth answers for the author of a retained message if nobody else does",
          "[http_auth]") {
  House house;
  house.publish("ours", true);
  Peer reader = house.come("reader");
  house.subscribe(reader, "#", Topics{"ours"});
  CHECK(house.ask("never heard of", reader.client().identity(), true) == Opinion::allow);
}

TEST_CASE("http_auth answers for the author of a message from before the start", "[http_auth]") {
  broker::MessageFields fields;
  fields.topic = "kept";
  const auto old = broker::Message::create(fields);
  House house{[](AuthorizeDelivery&, SyncNext next, Done) { return next(); }};
  Peer peer = house.come("reader");
  house.broker.loop.turn();
  const auto opinion = [&](const broker::Message& message) {
    AuthorizeDelivery question{*peer.client().identity(), message, true};
    house.broker.stack().run(question);
    return question.verdict.opinion;
  };
  CHECK(opinion(*old) == Opinion::allow);
  CHECK(opinion(*broker::Message::create(fields)) == Opinion::none);
}

}  // namespace mqttstack
