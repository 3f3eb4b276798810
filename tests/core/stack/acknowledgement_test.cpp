#include "core/stack/acknowledgement.hpp"

#include <algorithm>
#include <string>
#include <vector>

#include <catch2/catch.hpp>

#include "tests/support/client_fixture.hpp"

namespace mqttstack {
namespace {

using broker::IncomingState;
using mqtt::ProtocolVersion;
using mqtt::Qos;
using mqtt::ReasonCode;
using test::AcceptConnect;
using test::hex;
using test::Peer;
using test::TestBroker;

/// A connected client with a session.
struct Publisher {
  explicit Publisher(ProtocolVersion version) {
    broker.use<AcceptConnect>();
    peer = std::make_unique<Peer>(broker.connect(version));
    session = broker::SessionPtr{new broker::Session{"client", client().identity()}};
    client().setSession(session);
  }
  Client& client() const { return peer->client(); }
  Acknowledgement open(std::uint16_t packetId, Qos qos) {
    if (qos == Qos::exactlyOnce) session->incoming().addPending(packetId);
    return client().acknowledgements().open(client(), packetId, qos);
  }
  std::string received() {
    broker.run();
    return peer->received();
  }

  broker::SessionPtr session;
  TestBroker broker;
  std::unique_ptr<Peer> peer;
};

TEST_CASE("PUBACK and PUBREC leave when the acknowledgement is let go", "[acknowledgement]") {
  Publisher p{GENERATE(ProtocolVersion::v31, ProtocolVersion::v311, ProtocolVersion::v5)};
  {
    const Acknowledgement one = p.open(1, Qos::atLeastOnce);
    Acknowledgement two = p.open(2, Qos::exactlyOnce);
    CHECK(one);
    CHECK(p.client().acknowledgements().size() == 2);
    CHECK(p.client().acknowledgements().pendingQos1() == 1);
    CHECK(p.received().empty());
  }
  CHECK(p.received() == hex("40 02 0001 50 02 0002"));
  CHECK(p.client().acknowledgements().empty());
  CHECK(p.client().acknowledgements().pendingQos1() == 0);
  CHECK(p.session->incoming().state(2) == IncomingState::received);
}

TEST_CASE(
    "acknowledgements leave in the order of the PUBLISHes, however they were let go "
    "[v311:4.6.0-2] [v311:4.6.0-3] [v5:4.6.0-2] [v5:4.6.0-3]",
    "[acknowledgement]") {
  std::vector<std::size_t> order{0, 1, 2, 3};
  std::size_t orders = 0;
  do {
    Publisher p{ProtocolVersion::v5};
    std::vector<Acknowledgement> open;
    for (std::uint16_t id = 1; id <= 4; ++id)
      open.push_back(p.open(id, id % 2 != 0 ? Qos::atLeastOnce : Qos::exactlyOnce));
    std::string all;
    for (const std::size_t which : order) {
      open[which].release();
      all += p.received();
    }
    CHECK(all == hex("40 02 0001 50 02 0002 40 02 0003 50 02 0004"));
    ++orders;
  } while (std::next_permutation(order.begin(), order.end()));
  CHECK(orders == 24);
}

TEST_CASE("one that is held holds up those behind it", "[acknowledgement]") {
  Publisher p{ProtocolVersion::v311};
  Acknowledgement one = p.open(1, Qos::atLeastOnce);
  p.open(2, Qos::atLeastOnce).release();
  p.open(3, Qos::atLeastOnce).release();
  CHECK(p.received().empty());
  CHECK(p.client().acknowledgements().pendingQos1() == 3);
  one.release();
  CHECK(p.received() == hex("40 02 0001 40 02 0002 40 02 0003"));
}

TEST_CASE("a shared acknowledgement waits for the last holder", "[acknowledgement]") {
  Publisher p{ProtocolVersion::v5};
  Acknowledgement first = p.open(1, Qos::atLeastOnce);
  Acknowledgement second = first.share();
  Acknowledgement third = second.share();
  first.release();
  CHECK_FALSE(first);
  CHECK_FALSE(first.share());
  second = {};
  CHECK(p.received().empty());
  SECTION("which agrees") {
    third.release();
    CHECK(p.received() == hex("40 02 0001"));
  }
  SECTION("which refuses") {
    third.fail(ReasonCode::quotaExceeded);
    CHECK(p.received() == hex("40 04 0001 97 00"));
  }
}

TEST_CASE("the first refusal counts", "[acknowledgement]") {
  Publisher p{ProtocolVersion::v5};
  Acknowledgement first = p.open(1, Qos::atLeastOnce);
  Acknowledgement second = first.share();
  Acknowledgement third = first.share();
  first.release(ReasonCode::noMatchingSubscribers);
  second.fail(ReasonCode::quotaExceeded);
  third.fail(ReasonCode::notAuthorized);
  CHECK(p.received() == hex("40 04 0001 97 00"));
}

TEST_CASE("an MQTT 5 peer hears that nobody subscribed, an MQTT 3 peer doesn't",
          "[acknowledgement]") {
  const auto version = GENERATE(ProtocolVersion::v311, ProtocolVersion::v5);
  Publisher p{version};
  Acknowledgement ack = p.open(1, Qos::exactlyOnce);
  ack.release(ReasonCode::noMatchingSubscribers);
  CHECK(p.received() ==
        (version == ProtocolVersion::v5 ? hex("50 04 0001 10 00") : hex("50 02 0001")));
  CHECK(p.session->incoming().state(1) == IncomingState::received);
}

TEST_CASE("a refused QoS 2 message is forgotten, so that its id is free [v5:4.3.3-9]",
          "[acknowledgement]") {
  Publisher p{ProtocolVersion::v5};
  p.open(1, Qos::exactlyOnce).fail(ReasonCode::notAuthorized);
  CHECK(p.received() == hex("50 04 0001 87 00"));
  CHECK(p.session->incoming().state(1) == IncomingState::absent);
  CHECK_FALSE(p.peer->closed());
}

TEST_CASE("what an MQTT 3 client may not publish is acknowledged [v311:3.3.5-2]",
          "[acknowledgement]") {
  Publisher p{GENERATE(ProtocolVersion::v31, ProtocolVersion::v311)};
  p.open(1, Qos::atLeastOnce).fail(ReasonCode::notAuthorized);
  p.open(2, Qos::exactlyOnce).fail(ReasonCode::notAuthorized);
  CHECK(p.received() == hex("40 02 0001 50 02 0002"));
  CHECK(p.session->incoming().state(2) == IncomingState::received);
  CHECK_FALSE(p.peer->closed());
}

TEST_CASE("what was not taken from an MQTT 3 client is never acknowledged: it is closed",
          "[acknowledgement]") {
  Publisher p{GENERATE(ProtocolVersion::v31, ProtocolVersion::v311)};
  const auto qos = GENERATE(Qos::atLeastOnce, Qos::exactlyOnce);
  Acknowledgement before = p.open(1, Qos::atLeastOnce);
  Acknowledgement failing = p.open(2, qos);
  Acknowledgement behind = p.open(3, Qos::exactlyOnce);
  before.release();
  failing.fail(ReasonCode::quotaExceeded);
  CHECK(p.client().closing());
  CHECK(p.client().closeReason() == ReasonCode::quotaExceeded);
  behind.release();
  CHECK(p.received() == hex("40 02 0001"));
  CHECK(p.peer->closed());
  CHECK(p.session->incoming().state(2) == IncomingState::absent);
  // It was taken: when the client comes back and sends it again it is a duplicate.
  CHECK(p.session->incoming().state(3) == IncomingState::received);
}

TEST_CASE("an acknowledgement may outlive its connection", "[acknowledgement]") {
  Publisher p{ProtocolVersion::v5};
  Acknowledgement one = p.open(1, Qos::atLeastOnce);
  Acknowledgement two = p.open(2, Qos::exactlyOnce);
  Acknowledgement three = p.open(3, Qos::exactlyOnce);
  p.peer->reset();
  CHECK(p.broker.context.clients() == 0);
  CHECK_FALSE(p.peer->gone());
  two.release();
  CHECK(p.session->incoming().state(2) == IncomingState::pending);
  one.release();
  CHECK(p.session->incoming().state(2) == IncomingState::received);
  three.fail(ReasonCode::quotaExceeded);
  CHECK(p.session->incoming().state(3) == IncomingState::absent);
  CHECK(p.received().empty());
  CHECK(p.peer->gone());
}

TEST_CASE("a QoS 2 message is acknowledged on the connection that its session has by now",
          "[acknowledgement]") {
  const auto version = GENERATE(ProtocolVersion::v311, ProtocolVersion::v5);
  Publisher p{ProtocolVersion::v5};
  p.session->attach(p.client(), p.broker.stack(), p.client().identity());
  Acknowledgement one = p.open(1, Qos::atLeastOnce);
  Acknowledgement two = p.open(2, Qos::exactlyOnce);
  Acknowledgement three = p.open(3, Qos::exactlyOnce);
  p.peer->reset();
  p.session->detach(p.broker.scheduler.now());
  Peer again = p.broker.connect(version);
  again.client().setSession(p.session);
  p.session->attach(again.client(), p.broker.stack(), again.client().identity());

  one.release();
  two.release();
  p.broker.run();
  CHECK(again.received() == hex("50 02 0002"));
  three.fail(ReasonCode::quotaExceeded);
  p.broker.run();
  CHECK(p.session->incoming().state(3) == IncomingState::absent);
  CHECK(again.received() ==
        (version == ProtocolVersion::v5 ? hex("50 04 0003 97 00") : std::string{}));
  CHECK(again.closed() == (version != ProtocolVersion::v5));
}

TEST_CASE("a code that PUBACK doesn't have is told as unspecified [v5:3.4.2-1]",
          "[acknowledgement]") {
  Publisher p{ProtocolVersion::v5};
  p.open(1, Qos::atLeastOnce).fail(ReasonCode::serverShuttingDown);
  CHECK(p.received() == hex("40 04 0001 80 00"));
}

TEST_CASE("an acknowledgement that is moved over lets go of what it held", "[acknowledgement]") {
  Publisher p{ProtocolVersion::v311};
  Acknowledgement one = p.open(1, Qos::atLeastOnce);
  Acknowledgement two = p.open(2, Qos::atLeastOnce);
  one = std::move(two);
  CHECK_FALSE(two);
  CHECK(p.received() == hex("40 02 0001"));
  auto& same = one;
  one = std::move(same);
  CHECK(one);
  CHECK(p.received().empty());
  one.release();
  one.release();
  CHECK(p.received() == hex("40 02 0002"));
}

TEST_CASE("an empty acknowledgement does nothing", "[acknowledgement]") {
  Acknowledgement none;
  CHECK_FALSE(none);
  CHECK_FALSE(none.share());
  none.release();
  none.fail(ReasonCode::quotaExceeded);
}

TEST_CASE("ten thousand acknowledgements in turn take no more memory than a few",
          "[acknowledgement]") {
  Publisher p{ProtocolVersion::v311};
  std::vector<Acknowledgement> open;
  for (int i = 0; i < 10'000; ++i) {
    open.push_back(p.open(static_cast<std::uint16_t>(i % 60'000 + 1), Qos::atLeastOnce));
    if (open.size() == 10) open.erase(open.begin());
    REQUIRE(p.client().acknowledgements().size() <= 10);
    REQUIRE(p.client().acknowledgements().capacity() <= 16);
    if (i % 100 == 0) p.received();
  }
}

TEST_CASE("memory for ten thousand acknowledgements at once is given back", "[acknowledgement]") {
  Publisher p{ProtocolVersion::v311};
  std::vector<Acknowledgement> open;
  for (std::uint16_t id = 1; id <= 10'000; ++id) open.push_back(p.open(id, Qos::atLeastOnce));
  CHECK(p.client().acknowledgements().pendingQos1() == 10'000);
  while (!open.empty()) open.pop_back();  // the last first
  CHECK(p.client().acknowledgements().empty());
  CHECK(p.client().acknowledgements().capacity() <= 16);
  std::string expected;
  for (std::uint16_t id = 1; id <= 10'000; ++id)
    expected += hex("40 02") + static_cast<char>(id >> 8U) + static_cast<char>(id & 0xffU);
  CHECK(p.received() == expected);
}

}  // namespace
}  // namespace mqttstack
