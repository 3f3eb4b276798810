#include <array>
#include <cstdlib>
#include <new>
#include <string>

#include <catch2/catch.hpp>

#include "tests/support/client_fixture.hpp"

namespace {

std::size_t allocations = 0;

void* allocate(std::size_t size) {
  ++allocations;
  if (void* const memory = std::malloc(size)) return memory;
  std::abort();
}

}  // namespace

// The whole test program counts what it allocates.
void* operator new(std::size_t size) { return allocate(size); }
void* operator new[](std::size_t size) { return allocate(size); }
void* operator new(std::size_t size, const std::nothrow_t&) noexcept { return allocate(size); }
void* operator new[](std::size_t size, const std::nothrow_t&) noexcept { return allocate(size); }
void operator delete(void* memory) noexcept { std::free(memory); }
void operator delete[](void* memory) noexcept { std::free(memory); }
void operator delete(void* memory, std::size_t) noexcept { std::free(memory); }
void operator delete[](void* memory, std::size_t) noexcept { std::free(memory); }

namespace mqttstack {
namespace {

using mqtt::PacketType;
using mqtt::ProtocolVersion;
using test::AcceptConnect;
using test::hex;
using test::Peer;
using test::TestBroker;

/// As inbound_manager: turns each PUBLISH into a relayMessage.
class Inbound final : public Middleware, public HandlesPackets {
public:
  using Middleware::Middleware;
  mqtt::PacketTypes packets() const noexcept override { return PacketType::publish; }
  Flow handle(Client& client, Packet& packet, Next next, Done) override {
    return client.stack().call(RelayMessage{packet.message, {}, &client}, next,
                               [](std::error_code error, RelayMessage&, Next on,
                                  Done done) -> Flow { return error ? on(error) : done(); });
  }
};

/// As authorization: asks a deciding callback about each message.
class Authorize final : public Middleware, public Handles<RelayMessage> {
public:
  using Middleware::Middleware;
  Flow on(RelayMessage& relay, Next next, Done) override {
    return relay.client->stack().call(
        AuthorizePacket{*relay.message->author(), Action::publish, relay.message->topic()}, next,
        [](std::error_code, AuthorizePacket& asked, Next on, Done done) -> Flow {
          return asked.verdict.allowed() ? on() : done();
        });
  }
};

class Allow final : public Middleware, public Handles<AuthorizePacket> {
public:
  using Middleware::Middleware;
  Flow on(AuthorizePacket& asked, Next, Done done) override {
    asked.verdict.allow(name());
    return done();
  }
};

/// As a backend: gives each message to one client.
class Deliver final : public Middleware, public Handles<RelayMessage> {
public:
  using Middleware::Middleware;
  Flow on(RelayMessage& relay, Next next, Done) override {
    OutgoingPublish out;
    out.message = relay.message;
    receiver->send(std::move(out));
    ++relay.matched;
    return next();
  }
  Client* receiver = nullptr;
};

/// Sees every packet and lets it pass.
class Passes final : public Middleware, public HandlesPackets {
public:
  using Middleware::Middleware;
  Flow handle(Client&, Packet&, Next next, Done) override { return next(); }
};

TEST_CASE("a warm pipeline allocates nothing for a QoS 0 PUBLISH", "[allocation]") {
  TestBroker broker;
  broker.use<AcceptConnect>();
  for (int i = 0; i < 8; ++i) broker.use<Passes>();
  broker.use<Authorize>();
  broker.use<Allow>();
  broker.use<Inbound>();
  auto& deliver = broker.use<Deliver>();
  const auto version = GENERATE(ProtocolVersion::v311, ProtocolVersion::v5);
  Peer publisher = broker.connect(version, "publisher");
  Peer subscriber = broker.connect(version, "subscriber");
  deliver.receiver = &subscriber.client();

  mqtt::Publish publish;
  publish.topic = "a/topic/of/some/length";
  publish.payload = "a payload that does not fit into a string's own buffer";
  const std::string bytes = test::encoded(publish, version);
  const auto exchange = [&] {
    publisher.push(bytes);
    broker.flushList.run();
  };
  constexpr std::size_t kTimes = 10;
  for (int i = 0; i < 200; ++i) exchange();
  // The wire is a std::string in the tests, and may not grow while it counts.
  const std::string& wire = subscriber.record().written;
  while (wire.capacity() - wire.size() <= kTimes * bytes.size()) exchange();
  const std::size_t sentBefore = wire.size();

  // push() copies into a string of its own, and hands it on: two allocations at
  // most, each of the test's.
  const auto testsOwn = [&] {
    const std::size_t before = allocations;
    std::string input;
    input.append(bytes);
    return allocations - before;
  }();

  const std::size_t before = allocations;
  for (std::size_t i = 0; i < kTimes; ++i) exchange();
  CHECK(allocations - before == kTimes * testsOwn);
  CHECK(wire.size() == sentBefore + kTimes * bytes.size());
}

TEST_CASE("walking and calling back allocate nothing once the pool is warm", "[allocation]") {
  TestBroker broker;
  for (int i = 0; i < 12; ++i) broker.use<Passes>();
  broker.use<Inbound>();
  broker.use<Authorize>();
  broker.use<Allow>();
  Peer peer = broker.open();
  broker::MessageFields fields;
  fields.topic = "a/b";
  fields.author = peer.client().identity();
  Packet packet{mqtt::Publish{}, broker::Message::create(std::move(fields))};
  std::size_t ends = 0;
  const auto process = [&] {
    broker.stack().process(peer.client(), packet, PacketType::publish,
                           [&](std::error_code, bool) { ++ends; });
  };
  process();
  const std::size_t before = allocations;
  for (int i = 0; i < 1'000; ++i) process();
  CHECK(allocations == before);
  CHECK(ends == 1'001);
  CHECK(broker.stack().walkBlocks() == 3);
}

TEST_CASE("a PINGREQ and a PUBACK cost no memory", "[allocation]") {
  TestBroker broker;
  broker.use<AcceptConnect>();
  Peer peer = broker.connect();
  const auto exchange = [&] {
    peer.push({"\xc0\0", 2});  // short enough to stay in the string
    Acknowledgement ack =
        peer.client().acknowledgements().open(peer.client(), 1, mqtt::Qos::atLeastOnce);
    ack.release();
    broker.flushList.run();
  };
  for (int i = 0; i < 300; ++i) exchange();
  peer.received();
  for (int i = 0; i < 100; ++i) exchange();
  const std::size_t before = allocations;
  for (int i = 0; i < 20; ++i) exchange();
  CHECK(allocations - before <= 1);  // the wire's string may grow
  CHECK(peer.received().size() == 120 * 6);
}

TEST_CASE("a claim of 256 MB costs what was sent, not what was said", "[allocation]") {
  TestBroker broker;
  broker.use<AcceptConnect>();
  broker.listener.maximumPacketSize = mqtt::kMaxPacketBytes;
  Peer peer = broker.connect();
  peer.send(hex("30 FF FF FF 7F 0001 't'"));
  for (int i = 0; i < 10; ++i) peer.send("0123456789");
  CHECK_FALSE(peer.closed());
  const std::size_t before = allocations;
  peer.send("0123456789");
  // The string that collects them doubles, and the test's own.
  CHECK(allocations - before <= 3);
}

}  // namespace
}  // namespace mqttstack
