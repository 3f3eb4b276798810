#include "middlewares/backends/fan_out.hpp"

#include <map>
#include <set>
#include <string>
#include <utility>

#include <catch2/catch.hpp>

#include "middlewares/backends/memory_backend.hpp"
#include "middlewares/protocol/connection.hpp"
#include "middlewares/protocol/session_manager.hpp"
#include "middlewares/protocol/subscription_manager.hpp"
#include "tests/support/client_fixture.hpp"

namespace mqttstack {
namespace {

using mqtt::ProtocolVersion;
using test::Peer;
using test::TestBroker;

/// A broker that notes who is given a message, and denies it to some.
struct House {
  House() {
    broker.use<Connection>();
    broker.on<ForwardMessage>([this](ForwardMessage& forward, SyncNext, Done done) {
      const std::string& who = forward.session.clientId();
      ++asked[who];
      forward.result = denied.count(who) != 0     ? ForwardResult::denied
                       : refusing.count(who) != 0 ? ForwardResult::dropped
                                                  : ForwardResult::sent;
      if (forward.result == ForwardResult::sent) ++got[who];
      if (const auto ends = std::exchange(ending, nullptr)) ends->reset();
      return done();
    });
    broker.use<MemoryBackend>();
    broker.use<SessionManager>();
    broker.use<SubscriptionManager>();
  }
  Peer member(std::string_view name, const std::string& filter, bool persistent = false) {
    Peer peer = broker.connect(ProtocolVersion::v311, name, !persistent);
    peer.send(test::frame(
        0x82,
        test::hex("00 01") + std::string{'\0', static_cast<char>(filter.size())} + filter + '\1'));
    peer.received();
    return peer;
  }
  std::size_t relay(int count = 1) {
    std::size_t matched = 0;
    for (; count > 0; --count) {
      broker::MessageFields fields;
      fields.topic = "a/secret";
      fields.qos = mqtt::Qos::atLeastOnce;
      broker.stack().execute(RelayMessage{broker::Message::create(std::move(fields))},
                             [&](std::error_code error, RelayMessage& relay) {
                               CHECK(!error);
                               matched += relay.matched;
                             });
    }
    broker.run();
    return matched;
  }

  TestBroker broker;
  std::map<std::string, int> asked;
  std::map<std::string, int> got;
  std::set<std::string> denied;
  std::set<std::string> refusing;
  Peer* ending = nullptr;
};

using Counts = std::map<std::string, int>;

}  // namespace

TEST_CASE("what one member of a shared group may not read goes to another", "[fan_out]") {
  House house;
  Peer victim = house.member("victim", "$share/g/a/#");
  Peer mallory = house.member("mallory", "$share/g/a/#");
  Peer trudy = house.member("trudy", "$share/g/a/#");
  Peer alone = house.member("alone", "$share/other/a/#");
  Peer plain = house.member("plain", "a/#");
  house.denied = {"mallory", "trudy"};
  CHECK(house.relay(20) == 60);
  CHECK(house.got == Counts{{"victim", 20}, {"alone", 20}, {"plain", 20}});
}

TEST_CASE("what no member of a shared group may read is offered to each of them once",
          "[fan_out]") {
  House house;
  Peer a = house.member("a", "$share/g/a/#");
  Peer b = house.member("b", "$share/g/a/#");
  Peer c = house.member("c", "$share/g/a/#", true);
  c.send(mqtt::Disconnect{});
  Peer plain = house.member("plain", "a/#");
  house.denied = {"a", "b", "c", "plain"};
  house.relay();
  CHECK(house.asked == Counts{{"a", 1}, {"b", 1}, {"c", 1}, {"plain", 1}});
}

TEST_CASE("a member of a shared group that is away gets what those who are there may not read",
          "[fan_out]") {
  House house;
  Peer victim = house.member("victim", "$share/g/a/#", true);
  victim.send(mqtt::Disconnect{});
  Peer mallory = house.member("mallory", "$share/g/a/#");
  house.denied = {"mallory"};
  house.relay(3);
  CHECK(house.got == Counts{{"victim", 3}});
}

TEST_CASE("what is dropped for any other reason is not for another member [v5:4.8.2-6]",
          "[fan_out]") {
  House house;
  Peer a = house.member("a", "$share/g/a/#");
  Peer b = house.member("b", "$share/g/a/#");
  house.refusing = {"a", "b"};
  house.relay();
  CHECK(house.asked.size() == 1);
}

TEST_CASE("a shared group may end while a message is on its way to it", "[fan_out]") {
  House house;
  Peer a = house.member("a", "$share/g/a/#");
  house.denied = {"a"};
  house.ending = &a;
  CHECK(house.relay() == 1);
  CHECK(house.asked == Counts{{"a", 1}});
}

}  // namespace mqttstack
