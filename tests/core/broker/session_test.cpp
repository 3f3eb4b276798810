#include "core/broker/session.hpp"

#include <catch2/catch.hpp>

#include "tests/core/broker/support.hpp"

using namespace mqttstack;
using namespace mqttstack::broker;
using namespace mqttstack::broker::test;

TEST_CASE("a session belongs to the principal who made it", "[session]") {
  const SessionPtr session{new Session{"c", identityOf("c", "alice")}};
  CHECK(session->belongsTo(*identityOf("c", "alice")));
  CHECK_FALSE(session->belongsTo(*identityOf("c", "bob")));
  session->attach(someClient(), someStack(), identityOf("c", "alice"));
  CHECK(session->identity() != session->owner());
}

TEST_CASE("attaching and detaching makes a new generation each time", "[session]") {
  const SessionPtr session{new Session{"c", identityOf("c")}};
  CHECK_FALSE(session->connected());
  const std::uint32_t before = session->generation();
  session->attach(someClient(), someStack(), identityOf("c"));
  CHECK(session->connected());
  CHECK(session->client() == &someClient());
  const std::uint32_t connected = session->generation();
  session->detach(TimePoint{} + std::chrono::seconds{5});
  CHECK_FALSE(session->connected());
  CHECK(session->stack() == &someStack());
  CHECK(before != connected);
  CHECK(connected != session->generation());
}

TEST_CASE("a session ends its expiry interval after the connection [v5:3.1.2-23]", "[session]") {
  const SessionPtr session = connectedSession("c");
  session->setExpiryInterval(30);
  CHECK(session->expiresAt() == TimePoint::max());
  const TimePoint now = TimePoint{} + std::chrono::seconds{100};
  session->detach(now);
  CHECK(session->expiresAt() == now + std::chrono::seconds{30});
  CHECK(session->persistent());
  session->setExpiryInterval(0);
  CHECK(session->expiresAt() == now);
  CHECK_FALSE(session->persistent());
  session->setExpiryInterval(Session::kNeverExpires);
  CHECK(session->expiresAt() == TimePoint::max());
}

TEST_CASE("a session makes its queues on first use and frees them when idle", "[session]") {
  const SessionPtr session = connectedSession("c");
  CHECK(session->queueIfAny() == nullptr);
  CHECK(session->windowIfAny() == nullptr);
  CHECK(session->incomingIfAny() == nullptr);
  CHECK(session->queueEmpty());
  CHECK(session->outgoingBytes() == 0);

  Delivery delivery;
  delivery.message = makeMessage("t");
  session->queue().push(delivery);
  session->incoming().addPending(1);
  CHECK_FALSE(session->queueEmpty());
  CHECK(session->outgoingBytes() == delivery.bytes());
  session->detach({});
  session->releaseIdleMemory();
  CHECK(session->queueIfAny() != nullptr);
  CHECK(session->incomingIfAny() != nullptr);

  session->queue().popFront();
  session->incoming().remove(1);
  session->releaseIdleMemory();
  CHECK(session->queueIfAny() == nullptr);
  CHECK(session->incomingIfAny() == nullptr);
}

TEST_CASE("packet ids in use survive the release of idle memory", "[session]") {
  const SessionPtr session = connectedSession("c");
  session->window().beginConnection(10);
  Delivery delivery;
  delivery.message = makeMessage("t");
  delivery.qos = mqtt::Qos::atLeastOnce;
  session->window().send(delivery);
  session->detach({});
  session->releaseIdleMemory();
  REQUIRE(session->windowIfAny() != nullptr);
  CHECK(session->windowIfAny()->size() == 1);
}

TEST_CASE(
    "a received QoS 2 id is pending, received, released [v311:4.3.3-2] [v5:4.3.3-10] [v5:4.3.3-12]",
    "[session]") {
  IncomingIds ids;
  CHECK(ids.state(7) == IncomingState::absent);
  CHECK(ids.addPending(7));
  CHECK_FALSE(ids.addPending(7));
  CHECK(ids.state(7) == IncomingState::pending);
  CHECK(ids.pending() == 1);
  ids.markReceived(7);
  CHECK(ids.state(7) == IncomingState::received);
  CHECK_FALSE(ids.addPending(7));
  ids.markReceived(65'535);
  CHECK(ids.size() == 2);
  CHECK(ids.pending() == 0);
  int seen = 0;
  ids.forEach([&](std::uint16_t, IncomingState state) {
    CHECK(state == IncomingState::received);
    ++seen;
  });
  CHECK(seen == 2);
  CHECK(ids.remove(7) == IncomingState::received);
  CHECK(ids.remove(7) == IncomingState::absent);
  CHECK(ids.addPending(7));
  CHECK(ids.remove(7) == IncomingState::pending);
  ids.clear();
  CHECK(ids.size() == 0);
}
