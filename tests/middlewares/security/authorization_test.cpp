#include "middlewares/security/authorization.hpp"

#include <optional>
#include <set>
#include <string>
#include <utility>
#include <vector>

#include <catch2/catch.hpp>

#include "core/stack/rights_version.hpp"
#include "middlewares/backends/memory_backend.hpp"
#include "middlewares/protocol/connection.hpp"
#include "middlewares/protocol/inbound_manager.hpp"
#include "middlewares/protocol/last_will.hpp"
#include "middlewares/protocol/outbound_manager.hpp"
#include "middlewares/protocol/retain_manager.hpp"
#include "middlewares/protocol/session_manager.hpp"
#include "middlewares/protocol/subscription_manager.hpp"
#include "tests/support/client_fixture.hpp"

namespace mqttstack {
namespace {

using mqtt::PacketType;
using mqtt::ProtocolVersion;
using mqtt::Qos;
using mqtt::ReasonCode;
using test::hex;
using test::Peer;
using test::TestBroker;

/// Answers both questions from two lists that a test changes as it likes: what
/// is not in them is denied. Remembers what it was asked.
class Judge : public Middleware,
              public Handles<AuthorizePacket>,
              public Handles<AuthorizeDelivery> {
public:
  explicit Judge(const Setup& setup) : Middleware{setup} {}

  Flow on(AuthorizePacket& question, Next next, Done done) override {
    static constexpr const char* kActions[] = {"publish ", "subscribe ", "will "};
    asked.push_back(kActions[static_cast<int>(question.action)] + std::string{question.topic});
    if (defers) return next.defer([&](Deferred deferred) { later = std::move(deferred); });
    if (fails) return next(std::make_error_code(std::errc::io_error));
    const auto& list = question.action == Action::subscribe ? reads : writes;
    return answer(question.verdict, list.count(std::string{question.topic}) != 0, done);
  }
  Flow on(AuthorizeDelivery& question, SyncNext next, Done done) override {
    ++deliveries;
    askedAboutAuthor |= question.asAuthor;
    if (fails) return next(std::make_error_code(std::errc::io_error));
    const auto& list = question.asAuthor ? writes : reads;
    return answer(question.verdict, list.count(std::string{question.message.topic()}) != 0, done);
  }

  std::set<std::string> reads{"open", "#", "open/+"};
  std::set<std::string> writes{"open", "open/door"};
  std::vector<std::string> asked;
  std::size_t deliveries = 0;
  bool askedAboutAuthor = false;
  bool fails = false;
  bool defers = false;
  std::optional<Deferred> later;

private:
  Flow answer(Verdict& verdict, bool good, Done done) const {
    if (good)
      verdict.allow(name(), 7);
    else
      verdict.deny(name(), ReasonCode::notAuthorized, 8);
    return done();
  }
};

/// One that can also be asked about filters.
class FarsightedJudge final : public Judge, public Handles<AuthorizeReception> {
public:
  using Judge::Judge;
  using Judge::on;

  Flow on(AuthorizeReception& question, SyncNext, Done done) override {
    filters.emplace_back(question.filter);
    question.everything = wholes.count(filters.back()) != 0;
    return done();
  }

  std::set<std::string> wholes{"open"};
  std::vector<std::string> filters;
};

/// The whole pipeline, with authorization and a judge in it.
struct House {
  House() : House{false} {}
  explicit House(bool farsighted) {
    broker.use<Connection>();
    broker.use<Authorization>();
    judge =
        farsighted ? &broker.useNamed<FarsightedJudge>("judge") : &broker.useNamed<Judge>("judge");
    broker.use<LastWill>();
    broker.use<MemoryBackend>();
    broker.use<SessionManager>();
    broker.use<SubscriptionManager>();
    broker.use<RetainManager>();
    broker.use<InboundManager>();
    broker.use<OutboundManager>();
    dropped = &broker.on<MessageDropped>([this](MessageDropped& drop, SyncNext next, Done) {
      reasons.push_back(drop.reason);
      return next();
    });
  }
  std::int64_t denied() const { return broker.metrics.value("authorization_denied"); }

  TestBroker broker;
  FarsightedJudge& farsighted() const { return dynamic_cast<FarsightedJudge&>(*judge); }

  Judge* judge;
  test::CallbackStub<MessageDropped>* dropped;
  std::vector<DropReason> reasons;
};

mqtt::Publish publish(std::string_view topic, Qos qos = Qos::atMostOnce, bool retain = false) {
  mqtt::Publish packet;
  packet.topic = topic;
  packet.payload = "x";
  packet.qos = qos;
  packet.packetId = qos == Qos::atMostOnce ? 0 : 7;
  packet.retain = retain;
  return packet;
}

std::string subscribeTo(std::string_view filter, ProtocolVersion version) {
  const std::string size = std::string{'\0', static_cast<char>(filter.size())};
  std::string body = version == ProtocolVersion::v5 ? hex("00 01 00") : hex("00 01");
  body += size + std::string{filter} + '\0';
  return test::frame(0x82, body);
}

template <class P>
P only(Peer& peer) {
  const auto packets = peer.packets();
  REQUIRE(packets.size() == 1);
  REQUIRE(std::holds_alternative<P>(packets.front()));
  return std::get<P>(packets.front());
}

mqtt::Connect withWill(std::string_view topic, ProtocolVersion version) {
  mqtt::Connect connect;
  connect.version = version;
  connect.clientId = "testator";
  connect.will = mqtt::Will{topic, "gone", Qos::atMostOnce, false, {}};
  return connect;
}

}  // namespace

TEST_CASE("a message that its author may not publish is answered and goes no further",
          "[authorization]") {
  House house;
  Peer reader = house.broker.connect(ProtocolVersion::v311, "reader");
  reader.send(subscribeTo("#", ProtocolVersion::v311));
  reader.received();
  house.judge->reads = {"open", "secret"};

  SECTION("with the usual acknowledgement to MQTT 3 [v311:3.3.5-2]") {
    Peer writer = house.broker.connect(ProtocolVersion::v311, "writer");
    writer.send(publish("secret", Qos::atLeastOnce));
    CHECK(only<mqtt::Puback>(writer).packetId == 7);
    writer.send(publish("secret", Qos::exactlyOnce));
    CHECK(only<mqtt::Pubrec>(writer).packetId == 7);
    CHECK_FALSE(writer.closed());
  }
  SECTION("with 0x87 to MQTT 5") {
    Peer writer = house.broker.connect(ProtocolVersion::v5, "writer");
    writer.send(publish("secret", Qos::atLeastOnce));
    CHECK(only<mqtt::Puback>(writer).code == ReasonCode::notAuthorized);
    writer.send(publish("secret", Qos::exactlyOnce));
    CHECK(only<mqtt::Pubrec>(writer).code == ReasonCode::notAuthorized);
    CHECK_FALSE(writer.closed());
  }
  SECTION("with nothing at QoS 0") {
    Peer writer = house.broker.connect(ProtocolVersion::v5, "writer");
    writer.send(publish("secret"));
    CHECK(writer.received().empty());
    CHECK_FALSE(writer.closed());
  }
  CHECK(reader.received().empty());
  CHECK(house.judge->deliveries == 0);
  CHECK(house.denied() >= 1);
}

TEST_CASE("a message that its author may publish is delivered [original:8.13]", "[authorization]") {
  House house;
  Peer reader = house.broker.connect(ProtocolVersion::v311, "reader");
  reader.send(subscribeTo("#", ProtocolVersion::v311));
  reader.received();
  Peer writer = house.broker.connect(ProtocolVersion::v5, "writer");
  writer.send(publish("open", Qos::atLeastOnce));
  CHECK(only<mqtt::Puback>(writer).code == ReasonCode::success);
  CHECK(only<mqtt::Publish>(reader).topic == "open");
  CHECK(house.judge->asked == std::vector<std::string>{"subscribe #", "publish open"});
  CHECK(house.denied() == 0);
}

TEST_CASE("a message of the broker itself needs no permission", "[authorization]") {
  House house;
  Peer reader = house.broker.connect(ProtocolVersion::v311, "reader");
  reader.send(subscribeTo("#", ProtocolVersion::v311));
  reader.received();
  house.judge->asked.clear();
  broker::MessageFields fields;
  fields.topic = "open";
  house.broker.stack().execute(RelayMessage{broker::Message::create(std::move(fields))},
                               [](std::error_code error, RelayMessage&) { CHECK(!error); });
  house.broker.run();
  CHECK(only<mqtt::Publish>(reader).topic == "open");
  CHECK(house.judge->asked.empty());
}

TEST_CASE(
    "what a client may not read is not delivered to it, whatever its subscriptions match "
    "(CVE-2026-49186)",
    "[authorization]") {
  House house;
  house.judge->writes.insert("secret");
  Peer reader = house.broker.connect(ProtocolVersion::v311, "reader");
  reader.send(subscribeTo("#", ProtocolVersion::v311));
  reader.received();
  Peer writer = house.broker.connect(ProtocolVersion::v311, "writer");
  writer.send(publish("secret"));
  CHECK(reader.received().empty());
  CHECK(house.reasons == std::vector<DropReason>{DropReason::notAuthorized});
  writer.send(publish("open"));
  CHECK(only<mqtt::Publish>(reader).topic == "open");

  SECTION("nor when the right was taken away meanwhile") {
    house.judge->reads.erase("open");
    writer.send(publish("open"));
    CHECK(reader.received().empty());
  }
  SECTION("nor when nobody can say") {
    house.judge->fails = true;
    broker::MessageFields fields;
    fields.topic = "open";
    house.broker.stack().execute(RelayMessage{broker::Message::create(std::move(fields))},
                                 [](std::error_code, RelayMessage&) {});
    house.broker.run();
    CHECK(reader.received().empty());
  }
}

TEST_CASE("retained messages are judged when they are delivered (CVE-2018-12546)",
          "[authorization]") {
  House house;
  house.judge->writes.insert("secret");
  Peer writer = house.broker.connect(ProtocolVersion::v311, "writer");
  writer.send(publish("secret", Qos::atMostOnce, true));
  writer.send(publish("open", Qos::atMostOnce, true));
  Peer reader = house.broker.connect(ProtocolVersion::v311, "reader");
  reader.send(subscribeTo("#", ProtocolVersion::v311));
  std::vector<std::string> topics;
  for (const auto& packet : reader.packets())
    if (const auto* message = std::get_if<mqtt::Publish>(&packet))
      topics.emplace_back(message->topic);
  CHECK(topics == std::vector<std::string>{"open"});
  CHECK(house.judge->askedAboutAuthor);
}

TEST_CASE("a retained message is delivered only while its author may publish it (CVE-2018-12546)",
          "[authorization]") {
  House house;
  Peer writer = house.broker.connect(ProtocolVersion::v311, "writer");
  writer.send(publish("open", Qos::atMostOnce, true));
  house.judge->writes.erase("open");
  Peer reader = house.broker.connect(ProtocolVersion::v311, "reader");
  reader.send(subscribeTo("#", ProtocolVersion::v311));
  for (const auto& packet : reader.packets())
    CHECK_FALSE(std::holds_alternative<mqtt::Publish>(packet));
  CHECK(house.broker.metrics.value("authorization_denied{by=\"judge:8\"}") == 1);
}

TEST_CASE("who may read all that it subscribed to is asked about that once", "[authorization]") {
  House house{true};
  FarsightedJudge& judge = house.farsighted();
  Peer reader = house.broker.connect(ProtocolVersion::v311, "reader");
  reader.send(subscribeTo("$share/group/open", ProtocolVersion::v311));
  reader.packets();
  Peer writer = house.broker.connect(ProtocolVersion::v311, "writer");
  const auto delivered = [&](std::size_t count) {
    for (std::size_t i = 0; i < count; ++i) writer.send(publish("open"));
    return reader.packets().size();
  };
  CHECK(delivered(3) == 3);
  CHECK(judge.deliveries == 0);
  CHECK(judge.filters == std::vector<std::string>{"open"});

  SECTION("until a right changes") {
    judge.wholes.clear();
    judge.reads.erase("open");
    rightsHaveChanged();
    CHECK(delivered(2) == 0);
    CHECK(judge.deliveries == 2);
    CHECK(judge.filters.size() == 2);
  }
  SECTION("until it has another subscription, of which it may not read all") {
    reader.send(subscribeTo("open/+", ProtocolVersion::v311));
    reader.packets();
    writer.send(publish("open/door"));
    CHECK(reader.packets().empty());
    CHECK(judge.deliveries == 1);
    CHECK(judge.filters == std::vector<std::string>{"open", "open", "open/+"});
    CHECK(delivered(1) == 1);
    CHECK(judge.deliveries == 2);
  }
  SECTION("for each connection anew") {
    Peer again = house.broker.connect(ProtocolVersion::v311, "reader");
    again.send(subscribeTo("open", ProtocolVersion::v311));
    again.packets();
    writer.send(publish("open"));
    CHECK(again.packets().size() == 1);
    CHECK(judge.filters.size() == 2);
  }
  SECTION("and the author of a retained message is asked about all the same") {
    writer.send(publish("open", Qos::atMostOnce, true));
    reader.packets();
    judge.writes.erase("open");
    reader.send(subscribeTo("open", ProtocolVersion::v311));
    CHECK(reader.packets().size() == 1);  // the SUBACK
    CHECK(judge.askedAboutAuthor);
  }
}

TEST_CASE(
    "with one who cannot be asked about filters in the pipeline, each delivery is asked about",
    "[authorization]") {
  House house{true};
  Judge& other = house.broker.useNamed<Judge>("other");
  house.farsighted().wholes.insert("open");
  Peer reader = house.broker.connect(ProtocolVersion::v311, "reader");
  reader.send(subscribeTo("open", ProtocolVersion::v311));
  reader.packets();
  Peer writer = house.broker.connect(ProtocolVersion::v311, "writer");
  writer.send(publish("open"));
  CHECK(reader.packets().size() == 1);
  CHECK(house.judge->deliveries + other.deliveries == 1);
  CHECK(house.farsighted().filters.empty());
}

TEST_CASE("a QoS 2 message that was denied is not let through by its PUBREL (mosquitto 2.0.12)",
          "[authorization]") {
  House house;
  Peer reader = house.broker.connect(ProtocolVersion::v311, "reader");
  reader.send(subscribeTo("#", ProtocolVersion::v311));
  house.judge->reads.insert("secret");
  Peer writer = house.broker.connect(ProtocolVersion::v311, "writer", false);
  reader.received();
  writer.send(publish("secret", Qos::exactlyOnce));
  SECTION("at once") {}
  SECTION("after it was resumed") {
    writer.reset();
    writer = house.broker.connect(ProtocolVersion::v311, "writer", false);
  }
  writer.send(hex("62 02 00 01"));
  CHECK(reader.received().empty());
}

TEST_CASE("a filter that may not be subscribed to is refused", "[authorization]") {
  House house;
  SECTION("as 0x80 [v311:3.8.4-5]") {
    Peer peer = house.broker.connect(ProtocolVersion::v311);
    peer.send(subscribeTo("secret", ProtocolVersion::v311));
    CHECK(peer.received() == hex("90 03 00 01 80"));
  }
  SECTION("as 0x87 [v5:3.8.4-6]") {
    Peer peer = house.broker.connect(ProtocolVersion::v5);
    peer.send(subscribeTo("secret", ProtocolVersion::v5));
    CHECK(peer.received() == hex("90 04 00 01 00 87"));
    peer.send(subscribeTo("open", ProtocolVersion::v5));
    CHECK(peer.received() == hex("90 04 00 01 00 00"));
  }
  SECTION("a shared one by the filter behind the group") {
    Peer peer = house.broker.connect(ProtocolVersion::v5);
    peer.send(subscribeTo("$share/open/secret", ProtocolVersion::v5));
    CHECK(peer.received() == hex("90 04 00 01 00 87"));
    CHECK(house.judge->asked == std::vector<std::string>{"subscribe secret"});
  }
  SECTION("as 0x80 if nobody can say") {
    house.judge->fails = true;
    Peer peer = house.broker.connect(ProtocolVersion::v5);
    peer.send(subscribeTo("open", ProtocolVersion::v5));
    CHECK(peer.received() == hex("90 04 00 01 00 80"));
  }
  CHECK(house.broker.context.clients() == 1);
}

TEST_CASE("subscriptions of a resumed session are judged again (CVE-2021-34434)",
          "[authorization]") {
  House house;
  Peer before = house.broker.connect(ProtocolVersion::v311, "reader", false);
  before.send(subscribeTo("open", ProtocolVersion::v311));
  before.send(mqtt::Disconnect{});
  house.judge->asked.clear();

  SECTION("and withdrawn if they are not allowed any more") {
    house.judge->reads.erase("open");
    house.broker.connect(ProtocolVersion::v311, "reader", false);
    house.judge->reads.insert("open");
    Peer after = house.broker.connect(ProtocolVersion::v311, "reader", false);
    house.broker.connect(ProtocolVersion::v311, "writer").send(publish("open"));
    CHECK(after.received().empty());
  }
  SECTION("and kept, the client refused, if nobody can say") {
    house.judge->fails = true;
    mqtt::Connect connect;
    connect.clientId = "reader";
    connect.cleanStart = false;
    Peer refused = house.broker.connectWith(connect);
    CHECK(refused.received() == hex("20 02 00 03"));
    house.judge->fails = false;
    Peer after = house.broker.connect(ProtocolVersion::v311, "reader", false);
    house.broker.connect(ProtocolVersion::v311, "writer").send(publish("open"));
    CHECK(only<mqtt::Publish>(after).topic == "open");
  }
  CHECK(house.judge->asked.front() == "subscribe open");
}

TEST_CASE("a will that may not be published is refused with the client (GHSA-4cmx-hrq9-c23p)",
          "[authorization]") {
  House house;
  Peer v5 = house.broker.connectWith(withWill("secret", ProtocolVersion::v5));
  CHECK(only<mqtt::Connack>(v5).code == ReasonCode::notAuthorized);
  CHECK(v5.closed());
  Peer v3 = house.broker.connectWith(withWill("secret", ProtocolVersion::v311));
  CHECK(v3.received() == hex("20 02 00 05"));
  CHECK(v3.closed());
  Peer good = house.broker.connectWith(withWill("open", ProtocolVersion::v5));
  CHECK(only<mqtt::Connack>(good).code == ReasonCode::success);

  house.judge->fails = true;
  Peer unlucky = house.broker.connectWith(withWill("open", ProtocolVersion::v5));
  CHECK(only<mqtt::Connack>(unlucky).code == ReasonCode::serverUnavailable);
}

TEST_CASE("a will is judged again when it is published (GHSA-4cmx-hrq9-c23p)", "[authorization]") {
  House house;
  Peer reader = house.broker.connect(ProtocolVersion::v311, "reader");
  reader.send(subscribeTo("#", ProtocolVersion::v311));
  reader.received();
  Peer testator = house.broker.connectWith(withWill("open", ProtocolVersion::v311));
  SECTION("allowed") {
    testator.reset();
    CHECK(only<mqtt::Publish>(reader).payload == "gone");
  }
  SECTION("not any more") {
    house.judge->writes.clear();
    testator.reset();
    CHECK(reader.received().empty());
  }
}

TEST_CASE("pings, acknowledgements and goodbyes need no permission", "[authorization]") {
  House house;
  house.judge->reads.clear();
  house.judge->writes.clear();
  Peer peer = house.broker.connect(ProtocolVersion::v311);
  peer.send(hex("A2 05 00 02 00 01 'a'"));
  CHECK(peer.received() == hex("B0 02 00 02"));
  peer.send(mqtt::Disconnect{});
  CHECK(peer.closed());
  CHECK(house.judge->asked.empty());
}

TEST_CASE("a denial is written with who decided it, ten times a second at most",
          "[authorization]") {
  House house;
  Peer peer = house.broker.connect(ProtocolVersion::v311,
                                   "cli\x01"
                                   "ent");
  const auto lines = [&] {
    std::vector<std::string> found;
    for (const auto& line : house.broker.log)
      if (line.component == "authorization") found.push_back(line.text);
    return found;
  };
  peer.send(publish("sec\"ret"));
  REQUIRE(lines().size() == 1);
  CHECK(lines().front() ==
        "\"cli\\x01ent\" (user \"anonymous\") at local may not publish to \"sec\\\"ret\": denied "
        "by judge:8");
  for (int i = 0; i < 40; ++i) peer.send(publish("secret"));
  CHECK(lines().size() == 10);
  house.broker.advance(std::chrono::seconds{1});
  peer.send(publish("secret"));
  REQUIRE(lines().size() == 12);
  CHECK(lines()[10] == "31 more denials were not written");
  CHECK(house.denied() == 42);
}

// The cases of a middleware that answers later. There is no failing open.

TEST_CASE("a message waits for its permission", "[authorization]") {
  House house;
  Peer reader = house.broker.connect(ProtocolVersion::v311, "reader");
  reader.send(subscribeTo("#", ProtocolVersion::v311));
  reader.received();
  Peer writer = house.broker.connect(ProtocolVersion::v5, "writer");
  house.judge->defers = true;
  writer.send(publish("open", Qos::atLeastOnce));
  writer.send(mqtt::Puback{9, ReasonCode::success, {}});
  CHECK(writer.client().parked());
  CHECK(writer.received().empty());

  SECTION("that nobody gives in the end") {
    house.judge->later->next();
    house.broker.run();
    CHECK(only<mqtt::Puback>(writer).code == ReasonCode::notAuthorized);
    CHECK(reader.received().empty());
  }
  SECTION("that fails") {
    house.judge->later.reset();
    house.broker.run();
    CHECK(only<mqtt::Puback>(writer).code == ReasonCode::implementationSpecificError);
    CHECK(reader.received().empty());
  }
  SECTION("that comes when the publisher is gone") {
    writer.reset();
    house.judge->later->done();
    house.broker.run();
    CHECK(writer.gone());
    CHECK(reader.received().empty());
  }
  SECTION("that comes when everything is over") {}
}

TEST_CASE("a CONNECT with a will waits for its permission", "[authorization]") {
  House house;
  house.judge->defers = true;
  Peer peer = house.broker.connectWith(withWill("open", ProtocolVersion::v5));
  CHECK(peer.received().empty());
  SECTION("that fails") {
    house.judge->later.reset();
    house.broker.run();
    CHECK(only<mqtt::Connack>(peer).code == ReasonCode::serverUnavailable);
  }
  SECTION("that comes when the client is gone") {
    Peer other = house.broker.connect(ProtocolVersion::v5, "testator");
    peer.reset();
    house.judge->later->done();
    house.broker.run();
    CHECK(peer.gone());
    CHECK_FALSE(other.closed());  // the client of the same name keeps its session
  }
}

TEST_CASE("authorization has to stand before whoever acts", "[authorization]") {
  TestBroker broker;
  SECTION("right") {
    broker.use<Authorization>();
    broker.use<Judge>();
    broker.on<OpenSession>();
    broker.on<ForwardMessage>();
    CHECK(broker.validate().empty());
  }
  SECTION("behind the backend") {
    broker.useNamed<test::CallbackStub<OpenSession>>("store", nullptr);
    broker.use<Authorization>();
    broker.use<Judge>();
    const auto findings = broker.validate();
    REQUIRE(findings.size() == 1);
    CHECK(findings[0].severity == Severity::error);
    CHECK(findings[0].place.instance == "authorization");
    CHECK(findings[0].help == "move \"authorization\" before \"store\"");
  }
  SECTION("behind whoever delivers") {
    broker.on<ForwardMessage>();
    broker.use<Authorization>();
    broker.use<Judge>();
    CHECK(broker.validate().size() == 1);
  }
  SECTION("with somebody who judges deliveries") {
    broker.use<Authorization>();
    broker.on<AuthorizePacket>();
    const auto findings = broker.validate();
    REQUIRE(findings.size() == 1);
    CHECK(findings[0].severity == Severity::warning);
  }
}

}  // namespace mqttstack
