#include "middlewares/operations/packet_emitter.hpp"

#include <stdexcept>
#include <string>
#include <vector>

#include <catch2/catch.hpp>

#include "tests/support/client_fixture.hpp"

namespace mqttstack {
namespace {

using mqtt::PacketType;
using test::AcceptConnect;
using test::Peer;
using test::TestBroker;

}  // namespace

TEST_CASE("packet_emitter without anybody who uses it is never visited", "[packet_emitter]") {
  TestBroker broker;
  CHECK(broker.use<PacketEmitter>().packets().empty());
  broker.use<AcceptConnect>();
  CHECK(broker.connect().client().connected());
}

/// Wires an emitter whose clients are listened to by `listener`.
struct Listening {
  Listening(mqtt::PacketTypes types, PacketEmitter::Listener listener) {
    // Handlers are set before the pipeline is wired, so it is made by hand.
    Setup setup{"emitter",      broker.fields, broker.scheduler,
                broker.metrics, broker.sink,   broker.loop};
    emitter = Registry::construct<PacketEmitter>(setup, PacketEmitter::Options{});
    emitter->setClientHandler(
        [this, types, listener](Client& client) {
          ++clients;
          emitter->listen(client, types, listener);
        },
        types);
    broker.stack().use(*emitter);
    broker.use<AcceptConnect>();
  }
  std::unique_ptr<PacketEmitter> emitter;  // outlives the pipeline
  std::size_t clients = 0;
  TestBroker broker;
};

TEST_CASE(
    "packet_emitter calls listeners for the packets of their types and passes all on "
    "[original:8.30]",
    "[packet_emitter]") {
  std::vector<PacketType> heard;
  Listening listening{PacketType::connect | PacketType::pingreq,
                      [&](Client& client, const Packet& packet) {
                        CHECK(client.clientId().empty());
                        heard.push_back(packet.type());
                      }};
  Peer peer = listening.broker.connect();
  peer.send(mqtt::Pingreq{});
  peer.send(mqtt::Disconnect{});
  CHECK(heard == std::vector<PacketType>{PacketType::connect, PacketType::pingreq});
  CHECK(peer.packets().size() == 1);
  CHECK(peer.closed());
  listening.broker.connect();
  CHECK(listening.clients == 2);
}

TEST_CASE("packet_emitter tells clients apart", "[packet_emitter]") {
  std::vector<Client*> heard;
  Listening listening{PacketType::pingreq,
                      [&](Client& client, const Packet&) { heard.push_back(&client); }};
  listening.broker.connect();
  Peer two = listening.broker.connect();
  two.send(mqtt::Pingreq{});
  CHECK(heard == std::vector<Client*>{&two.client()});
}

TEST_CASE("a listener may add another, which hears the next packet", "[packet_emitter]") {
  std::size_t first = 0;
  std::size_t added = 0;
  PacketEmitter* emitter = nullptr;
  Listening listening{PacketType::pingreq, [&](Client& client, const Packet&) {
                        if (++first > 1) return;
                        for (int i = 0; i < 100; ++i)
                          emitter->listen(client, PacketType::pingreq,
                                          [&](Client&, const Packet&) { ++added; });
                      }};
  emitter = listening.emitter.get();
  Peer peer = listening.broker.connect();
  peer.send(mqtt::Pingreq{});
  CHECK(added == 0);
  peer.send(mqtt::Pingreq{});
  CHECK(first == 2);
  CHECK(added == 100);
}

TEST_CASE("what a listener throws is logged and the packet goes on", "[packet_emitter]") {
  Listening listening{PacketType::pingreq,
                      [](Client&, const Packet&) { throw std::runtime_error{"oops"}; }};
  Peer peer = listening.broker.connect();
  peer.send(mqtt::Pingreq{});
  CHECK(peer.packets().size() == 1);
  REQUIRE(listening.broker.logged(LogLevel::error) == 1);
  CHECK(listening.broker.log.back().text == "a listener threw: oops");
}

}  // namespace mqttstack
