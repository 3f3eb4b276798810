#include "core/stack/client.hpp"

#include <catch2/catch.hpp>

#include "tests/support/client_fixture.hpp"

namespace mqttstack {
namespace {

using mqtt::PacketType;
using mqtt::ProtocolVersion;
using mqtt::ReasonCode;
using test::AcceptConnect;
using test::hex;
using test::Peer;
using test::TestBroker;

TEST_CASE("a client is accepted, answered and lets go", "[client]") {
  TestBroker broker;
  broker.use<AcceptConnect>();
  const auto version = GENERATE(ProtocolVersion::v31, ProtocolVersion::v311, ProtocolVersion::v5);
  Peer peer = broker.connect(version);
  CHECK(peer.client().connected());
  CHECK(peer.client().version() == version);
  peer.send(mqtt::Pingreq{});
  CHECK(peer.received() == hex("D0 00"));
  peer.send(mqtt::Disconnect{});
  CHECK(peer.closed());
  CHECK(peer.gone());
  CHECK(broker.context.clients() == 0);
}

}  // namespace
}  // namespace mqttstack
