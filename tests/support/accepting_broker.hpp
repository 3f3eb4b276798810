#pragma once

#include <functional>
#include <string>
#include <string_view>
#include <utility>
#include <vector>

#include <catch2/catch.hpp>

#include "tests/support/client_fixture.hpp"

/// What the tests of clients share.
namespace mqttstack::test {

/// A broker that accepts clients and notes what reaches the end of its pipeline.
struct Accepting : TestBroker {
  Accepting() {
    use<AcceptConnect>();
    onPackets(mqtt::PacketTypes::all(), [this](Client&, Packet& packet, Next next, Done done) {
      if (packet.type() == mqtt::PacketType::publish) {
        const auto& publish = packet.as<mqtt::Publish>();
        seen.push_back(std::string{publish.topic} + ":" + std::string{publish.payload});
        messages.push_back(packet.message);
      } else {
        seen.emplace_back(toString(packet.type()));
      }
      if (defers(packet)) {
        return next.defer([this](Deferred later) { kept.push_back(std::move(later)); });
      }
      return packet.type() == mqtt::PacketType::connect ? next() : done();
    });
    on<ConnectionLost>([this](ConnectionLost&, SyncNext next, Done) {
      ++lost;
      return next();
    });
    on<ConnectionClosed>([this](ConnectionClosed&, Next next, Done) {
      CHECK(lost == closed + 1);
      ++closed;
      return next();
    });
  }
  /// Settles the packet that was deferred, and turns the loop.
  void settle() {
    Deferred later = std::move(kept.front());
    kept.erase(kept.begin());
    later.done();
    run();
  }
  std::vector<std::string> takeSeen() { return std::exchange(seen, {}); }

  std::function<bool(const Packet&)> defers = [](const Packet&) { return false; };
  std::vector<Deferred> kept;
  std::vector<std::string> seen;
  std::vector<broker::MessagePtr> messages;
  int lost = 0;
  int closed = 0;
};

using Seen = std::vector<std::string>;

inline std::string publishBytes(mqtt::ProtocolVersion version, std::string_view topic,
                                std::string_view payload) {
  mqtt::Publish publish;
  publish.topic = topic;
  publish.payload = payload;
  return encoded(publish, version);
}

inline bool isPublishTo(const Packet& packet, std::string_view topic) {
  return packet.type() == mqtt::PacketType::publish && packet.as<mqtt::Publish>().topic == topic;
}

}  // namespace mqttstack::test
