#include <catch2/catch.hpp>

#include "tests/scenario/support/daemon.hpp"
#include "tests/scenario/support/raw_client.hpp"

using namespace mqttstack;

TEST_CASE("more messages than the server's Receive Maximum end the connection [v5:3.3.4-7]",
          "[flow_control]") {
  DaemonProcess daemon(plainConfig("[middleware.inbound_manager]\nreceive_maximum = 2\n"));
  RawClient client(daemon.endpoint(), Version::v5);
  client.connect();
  client.publish({.topic = "t", .payload = "x", .qos = 2, .id = 1});
  client.publish({.topic = "t", .payload = "x", .qos = 2, .id = 2});
  client.expectAck(kPubrec, 1);
  client.expectAck(kPubrec, 2);
  client.publish({.topic = "t", .payload = "x", .qos = 2, .id = 3});
  client.expectDisconnected(0x93);
}

TEST_CASE("finished messages make room in the server's Receive Maximum [v5:3.3.4-7]",
          "[flow_control]") {
  DaemonProcess daemon(plainConfig("[middleware.inbound_manager]\nreceive_maximum = 2\n"));
  RawClient client(daemon.endpoint(), Version::v5);
  client.connect();
  client.publish({.topic = "t", .payload = "x", .qos = 2, .id = 1});
  client.expectAck(kPubrec, 1);
  for (unsigned id = 2; id < 10; ++id) {
    client.publishFully({.topic = "t", .payload = "x", .qos = 1 + id % 2, .id = id});
  }
  // A repeated message is not a new one, and QoS 0 is not counted.
  client.publish({.topic = "t", .payload = "x", .qos = 2, .id = 1, .dup = true});
  client.expectAck(kPubrec, 1);
  for (int i = 0; i < 10; ++i) client.publish({.topic = "t", .payload = "x"});
  client.expectNothing();
}

TEST_CASE("an MQTT 3 publisher may have any number of QoS 2 messages open", "[flow_control]") {
  DaemonProcess daemon(plainConfig("[middleware.inbound_manager]\nreceive_maximum = 10\n"));
  const auto version = GENERATE(Version::v31, Version::v311);
  CAPTURE(version);
  RawClient client(daemon.endpoint(), version);
  client.connect();
  constexpr unsigned kCount = 50;
  Bytes publishes;
  for (unsigned id = 1; id <= kCount; ++id) {
    publishes += publishPacket(version, {.topic = "t", .payload = "x", .qos = 2, .id = id});
  }
  client.send(publishes);
  for (unsigned id = 1; id <= kCount; ++id) client.expectAck(kPubrec, id);
  for (unsigned id = 1; id <= kCount; ++id) client.send(pubrelPacket(id));
  for (unsigned id = 1; id <= kCount; ++id) client.expectAck(kPubcomp, id);
}

TEST_CASE(
    "the client's Receive Maximum is respected, and the rest follows in order [v5:3.3.4-9] "
    "[v5:4.9.0-1] [v5:4.9.0-2] [v5:4.9.0-3] [v5:3.3.4-10]",
    "[flow_control]") {
  DaemonProcess daemon;
  RawClient client(daemon.endpoint(), Version::v5);
  client.connect({.properties = {property(PropertyId::receiveMaximum, 2)}});
  client.subscribe({{"t", 2}});
  RawClient publisher(daemon.endpoint(), Version::v5);
  publisher.connect({.clientId = "publisher"});
  for (unsigned i = 1; i <= 6; ++i) {
    publisher.publishFully({.topic = "t", .payload = std::to_string(i), .qos = 1, .id = 1});
  }
  auto first = client.expectPublish({.topic = "t", .payload = "1", .qos = 1}).id;
  auto second = client.expectPublish({.topic = "t", .payload = "2", .qos = 1}).id;
  client.expectNothing();
  // QoS 0 passes a full window.
  publisher.publish({.topic = "t", .payload = "zero"});
  client.expectPublish({.topic = "t", .payload = "zero"});
  for (unsigned i = 3; i <= 6; ++i) {
    client.send(pubackPacket(first));
    first = second;
    second = client.expectPublish({.topic = "t", .payload = std::to_string(i), .qos = 1}).id;
    client.expectNothing();
  }
}

TEST_CASE(
    "PUBREC alone does not make room in the client's Receive Maximum, PUBCOMP does "
    "[v5:4.9.0-2]",
    "[flow_control]") {
  DaemonProcess daemon;
  RawClient client(daemon.endpoint(), Version::v5);
  client.connect({.properties = {property(PropertyId::receiveMaximum, 1)}});
  client.subscribe({{"t", 2}});
  RawClient publisher(daemon.endpoint(), Version::v5);
  publisher.connect({.clientId = "publisher"});
  for (const std::string payload : {"1", "2"}) {
    publisher.publishFully({.topic = "t", .payload = payload, .qos = 2, .id = 1});
  }
  const auto id = client.expectPublish({.topic = "t", .payload = "1", .qos = 2}).id;
  client.send(pubrecPacket(id));
  client.expectAck(kPubrel, id);
  client.expectNothing();
  client.send(pubcompPacket(id));
  client.expectPublish({.topic = "t", .payload = "2", .qos = 2});
}

TEST_CASE("a PUBREC with an error makes room in the client's Receive Maximum [v5:4.9.0-2]",
          "[flow_control]") {
  DaemonProcess daemon;
  RawClient client(daemon.endpoint(), Version::v5);
  client.connect({.properties = {property(PropertyId::receiveMaximum, 1)}});
  client.subscribe({{"t", 2}});
  RawClient publisher(daemon.endpoint(), Version::v5);
  publisher.connect({.clientId = "publisher"});
  for (const std::string payload : {"1", "2"}) {
    publisher.publishFully({.topic = "t", .payload = payload, .qos = 2, .id = 1});
  }
  const auto id = client.expectPublish({.topic = "t", .payload = "1", .qos = 2}).id;
  client.send(packet(kPubrec, u16(id) + u8(0x80) + u8(0)));
  client.expectPublish({.topic = "t", .payload = "2", .qos = 2});
}

TEST_CASE("the server's own window bounds what an MQTT 3 client has open", "[flow_control]") {
  DaemonProcess daemon(plainConfig("[middleware.outbound_manager]\nmax_inflight = 3\n"));
  const auto version = GENERATE(Version::v31, Version::v311, Version::v5);
  CAPTURE(version);
  RawClient client(daemon.endpoint(), version);
  client.connect();
  client.subscribe({{"t", 1}});
  RawClient publisher(daemon.endpoint(), version);
  publisher.connect({.clientId = "publisher"});
  for (unsigned i = 1; i <= 5; ++i) {
    publisher.publishFully({.topic = "t", .payload = std::to_string(i), .qos = 1, .id = 1});
  }
  const auto id = client.expectPublish({.topic = "t", .payload = "1", .qos = 1}).id;
  client.expectPublish({.topic = "t", .payload = "2", .qos = 1});
  client.expectPublish({.topic = "t", .payload = "3", .qos = 1});
  client.expectNothing();
  client.send(pubackPacket(id));
  client.expectPublish({.topic = "t", .payload = "4", .qos = 1});
  client.expectNothing();
}

TEST_CASE("a packet larger than the server's maximum ends the connection [v5:3.2.2-15]",
          "[flow_control]") {
  DaemonProcess daemon(plainConfig("max_packet_size = 2000\n"));
  const auto version = GENERATE(Version::v31, Version::v311, Version::v5);
  CAPTURE(version);
  RawClient client(daemon.endpoint(), version);
  client.connect();
  const auto overhead =
      publishPacket(version, {.topic = "t", .payload = Bytes(1000, 'x')}).size() - 1000;
  const auto largest = 2000 - overhead;
  client.subscribe({{"t", 0}});
  client.publish({.topic = "t", .payload = Bytes(largest, 'x')});
  client.expectPublish({.topic = "t", .payload = Bytes(largest, 'x')});
  // The header alone tells: the rest need not come.
  client.send(
      publishPacket(version, {.topic = "t", .payload = Bytes(largest + 1, 'x')}).substr(0, 3));
  client.expectDisconnected(0x95);
}

TEST_CASE(
    "a packet larger than the client's maximum is not sent, and counts as delivered "
    "[v5:3.1.2-24] [v5:3.1.2-25]",
    "[flow_control]") {
  DaemonProcess daemon;
  const unsigned qos = GENERATE(0U, 1U, 2U);
  CAPTURE(qos);
  RawClient client(daemon.endpoint(), Version::v5);
  client.connect({.properties = {property(PropertyId::maximumPacketSize, 100)}});
  client.subscribe({{"t", qos}});
  RawClient publisher(daemon.endpoint(), Version::v5);
  publisher.connect({.clientId = "publisher"});
  const Bytes small(80, 's');
  publisher.publishFully({.topic = "t", .payload = Bytes(150, 'b'), .qos = qos, .id = 1});
  publisher.publishFully({.topic = "t", .payload = small, .qos = qos, .id = 1});
  client.expectPublishFully({.topic = "t", .payload = small, .qos = qos});
  client.expectNothing();
}
