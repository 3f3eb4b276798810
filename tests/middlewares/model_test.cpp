#include <cstdint>
#include <deque>
#include <fmt/format.h>
#include <map>
#include <optional>
#include <random>
#include <set>

#include <catch2/catch.hpp>

#include "tests/middlewares/protocol_broker.hpp"

/// A broker and six clients that do at random what the standard allows, and a
/// model of what has to come of it. Each seed is a world of its own; a failure
/// names its seed.
namespace mqttstack::test {
namespace {

using namespace std::chrono_literals;

constexpr unsigned kPublishers = 3;
constexpr unsigned kSubscribers = 3;
constexpr unsigned kTopics = 2;

/// What a payload says: who sent it, and which of his messages on that topic at
/// that QoS it is.
struct Stamp {
  unsigned publisher = 0;
  unsigned topic = 0;
  unsigned qos = 0;
  unsigned number = 0;
  auto operator<=>(const Stamp&) const = default;
};

std::string textOf(const Stamp& stamp) {
  return fmt::format("{}.{}.{}.{}", stamp.publisher, stamp.topic, stamp.qos, stamp.number);
}
Stamp stampOf(const std::string& text) {
  Stamp stamp;
  if (std::sscanf(text.c_str(), "%u.%u.%u.%u", &stamp.publisher, &stamp.topic, &stamp.qos,
                  &stamp.number) != 4)
    throw std::runtime_error{"not a stamp: " + text};
  return stamp;
}
/// Messages of one of these come in order.
using Stream = std::tuple<unsigned, unsigned, unsigned>;
Stream streamOf(const Stamp& stamp) { return {stamp.publisher, stamp.topic, stamp.qos}; }

class World {
public:
  explicit World(std::uint32_t seed) : random_{seed}, broker_{parts()} {
    for (unsigned i = 0; i < kPublishers; ++i) {
      publishers_[i].version = anyVersion();
      publishers_[i].name = fmt::format("publisher{}", i);
    }
    for (unsigned i = 0; i < kSubscribers; ++i) {
      subscribers_[i].version = anyVersion();
      subscribers_[i].name = fmt::format("subscriber{}", i);
      subscribers_[i].granted = 1 + below(2);
      connect(subscribers_[i]);
      for (unsigned topic = 0; topic < kTopics; ++topic)
        subscribe(*subscribers_[i].peer, fmt::format("topic/{}", topic), subscribers_[i].granted);
    }
  }

  void live(unsigned steps) {
    for (unsigned i = 0; i < steps; ++i) step();
    settle();
    judge();
  }

private:
  /// A message that its publisher has not seen through.
  struct Unsettled {
    unsigned id;
    Stamp stamp;
    bool released = false;  ///< PUBREC has come, PUBCOMP is due
  };
  struct Publisher {
    std::string name;
    Version version{};
    std::optional<Peer> peer;
    std::deque<Unsettled> unsettled;
    std::map<Stream, unsigned> numbers;
    unsigned lastId = 0;
  };
  struct Subscriber {
    std::string name;
    Version version{};
    unsigned granted = 0;
    std::optional<Peer> peer;
    std::vector<Bytes> owed;                      ///< acknowledgements that it has not sent yet
    std::set<unsigned> received;                  ///< QoS 2 ids between PUBLISH and PUBREL
    std::vector<Stamp> got;                       ///< in order, what the application saw
    std::vector<std::pair<Stamp, bool>> arrived;  ///< with the DUP flag
  };

  std::uint32_t below(std::uint32_t bound) {
    return std::uniform_int_distribution<std::uint32_t>{0, bound - 1}(random_);
  }
  bool chance(std::uint32_t inHundred) { return below(100) < inHundred; }
  Version anyVersion() { return static_cast<Version>(3 + below(3)); }

  /// Windows of a few messages, and somebody who defers every fourth message.
  Parts parts() {
    Parts parts;
    parts.outbound.maxInflight = static_cast<std::uint16_t>(1 + below(4));
    parts.inbound.reportNoSubscribers = false;
    parts.second = [this](TestBroker& broker) {
      broker.on<RelayMessage>([this](RelayMessage&, Next next, Done) {
        if (!chance(25)) return next();
        return next.defer([this](Deferred later) { deferred_.push_back(std::move(later)); });
      });
    };
    parts.behindBackend = [this](TestBroker& broker) {
      broker.on<RelayMessage>([this](RelayMessage& relay, Next next, Done) {
        // As a store does that has to write it first.
        if (relay.acknowledgement && chance(30)) taken_.push_back(std::move(relay.acknowledgement));
        return next();
      });
    };
    return parts;
  }

  template <class Client>
  void connect(Client& client) {
    Connect connect = persistent(client.version, client.name);
    connect.keepAlive = 0;
    client.peer = join(broker_, client.version, connect);
  }

  void step() {
    const std::uint32_t what = below(100);
    Publisher& publisher = publishers_[below(kPublishers)];
    Subscriber& subscriber = subscribers_[below(kSubscribers)];
    if (what < 40) {
      publishOne(publisher);
    } else if (what < 60) {
      listen(subscriber);
    } else if (what < 75) {
      listen(publisher);
    } else if (what < 80) {
      cut(publisher);
    } else if (what < 88) {
      cut(subscriber);
    } else if (what < 94) {
      undefer();
    } else if (what < 98) {
      letGo();
    } else {
      broker_.advance(std::chrono::milliseconds{below(5000)});
    }
  }

  void publishOne(Publisher& publisher) {
    if (!publisher.peer) return comeBack(publisher);
    if (publisher.unsettled.size() >= 8) return;
    Stamp stamp{static_cast<unsigned>(&publisher - publishers_), below(kTopics), below(3), 0};
    stamp.number = ++publisher.numbers[streamOf(stamp)];
    publisher.lastId = publisher.lastId % 1000 + 1;
    if (stamp.qos != 0) publisher.unsettled.push_back({publisher.lastId, stamp});
    transmit(publisher, publisher.lastId, stamp, false);
  }
  void transmit(Publisher& publisher, unsigned id, const Stamp& stamp, bool dup) {
    publisher.peer->send(
        publishPacket(publisher.version, {.topic = fmt::format("topic/{}", stamp.topic),
                                          .payload = textOf(stamp),
                                          .qos = stamp.qos,
                                          .id = stamp.qos == 0 ? 0 : id,
                                          .dup = dup}));
  }

  /// Reads what came for the publisher and does what follows.
  void listen(Publisher& publisher) {
    if (!publisher.peer) return comeBack(publisher);
    for (const std::string& packet : split(publisher.peer->received())) {
      const Ack ack = readAck(publisher.version, packet);
      const auto found = std::find_if(publisher.unsettled.begin(), publisher.unsettled.end(),
                                      [&](const Unsettled& each) { return each.id == ack.id; });
      if (found == publisher.unsettled.end()) continue;  // of the connection before
      if (ack.firstByte >> 4U == 5) {
        found->released = true;
        acknowledged_.insert(found->stamp);
        publisher.peer->send(pubrelPacket(ack.id));
      } else {
        acknowledged_.insert(found->stamp);
        publisher.unsettled.erase(found);
      }
    }
  }
  void comeBack(Publisher& publisher) {
    connect(publisher);
    for (const Unsettled& each : std::deque<Unsettled>{publisher.unsettled}) {
      if (!publisher.peer || publisher.peer->closed()) return;
      if (each.released)
        publisher.peer->send(pubrelPacket(each.id));
      else
        transmit(publisher, each.id, each.stamp, true);
    }
  }

  void listen(Subscriber& subscriber) {
    if (!subscriber.peer) return connect(subscriber);
    read(subscriber);
    // Acknowledges some of it, in order.
    std::size_t count = below(4);
    while (count-- > 0 && !subscriber.owed.empty()) {
      const Bytes next = subscriber.owed.front();
      subscriber.owed.erase(subscriber.owed.begin());
      subscriber.peer->send(next);
    }
  }
  void read(Subscriber& subscriber) {
    for (const std::string& packet : split(subscriber.peer->received())) {
      const unsigned type = static_cast<unsigned char>(packet.front()) >> 4U;
      if (type == 6) {
        const unsigned id = readAck(subscriber.version, packet).id;
        subscriber.received.erase(id);
        subscriber.owed.push_back(pubcompPacket(id));
        continue;
      }
      const Publish publish = readPublish(subscriber.version, packet);
      const Stamp stamp = stampOf(publish.payload);
      if (publish.qos == 0) continue;
      subscriber.arrived.emplace_back(stamp, publish.dup);
      if (publish.qos == 1) {
        subscriber.owed.push_back(pubackPacket(publish.id));
        subscriber.got.push_back(stamp);
      } else {
        subscriber.owed.push_back(pubrecPacket(publish.id));
        if (subscriber.received.insert(publish.id).second) subscriber.got.push_back(stamp);
      }
    }
  }

  template <class Client>
  void cut(Client& client) {
    if (!client.peer) return;
    // A message that is still deferred when its publisher is back again comes after
    // the next ones: its place is where the pipeline let it through.
    if constexpr (std::is_same_v<Client, Publisher>)
      while (!deferred_.empty()) undefer();
    // What is on its way to the client is lost half of the time.
    if (chance(50)) listen(client);
    if (chance(50))
      client.peer->reset();
    else
      client.peer->end();
    client.peer.reset();
    if constexpr (std::is_same_v<Client, Subscriber>) client.owed.clear();
  }

  void undefer() {
    if (deferred_.empty()) return;
    const auto which = deferred_.begin() + below(static_cast<std::uint32_t>(deferred_.size()));
    Deferred later = std::move(*which);
    deferred_.erase(which);
    later.next();
    broker_.run();
  }
  void letGo() {
    if (taken_.empty()) return;
    taken_.erase(taken_.begin() + below(static_cast<std::uint32_t>(taken_.size())));
    broker_.run();
  }

  /// Lets everybody come back and finish.
  void settle() {
    for (int round = 0; round < 400; ++round) {
      while (!deferred_.empty()) undefer();
      while (!taken_.empty()) letGo();
      for (Publisher& each : publishers_) listen(each);
      for (Subscriber& each : subscribers_) listen(each);
    }
  }

  void judge() {
    for (const Publisher& each : publishers_) {
      INFO(each.name);
      CHECK(each.unsettled.empty());
    }
    for (const Subscriber& each : subscribers_) {
      INFO(each.name << ", " << each.version << ", QoS " << each.granted);
      judge(each);
    }
  }
  void judge(const Subscriber& subscriber) {
    const std::set<Stamp> seen{subscriber.got.begin(), subscriber.got.end()};
    std::vector<std::string> lost;
    for (const Stamp& stamp : acknowledged_)
      if (seen.count(stamp) == 0) lost.push_back(textOf(stamp));
    CHECK(lost == std::vector<std::string>{});

    if (subscriber.granted == 2) {
      std::vector<std::string> twice;
      std::set<Stamp> once;
      for (const Stamp& stamp : subscriber.got)
        if (stamp.qos == 2 && !once.insert(stamp).second) twice.push_back(textOf(stamp));
      CHECK(twice == std::vector<std::string>{});
    }

    // First deliveries come in order. A publisher's QoS 1 message that was sent
    // again is a new one to the broker, so it may come late, but not a first time.
    std::map<Stream, unsigned> last;
    std::set<Stamp> before;
    std::vector<std::string> disordered;
    for (const Stamp& stamp : subscriber.got) {
      if (!before.insert(stamp).second) continue;
      unsigned& number = last[streamOf(stamp)];
      if (stamp.number < number) disordered.push_back(textOf(stamp));
      number = std::max(number, stamp.number);
    }
    CHECK(disordered == std::vector<std::string>{});
  }

  std::mt19937 random_;
  std::vector<Deferred> deferred_;
  std::set<Stamp> acknowledged_;
  ProtocolBroker broker_;
  std::vector<Acknowledgement> taken_;  // refer to clients of the broker
  Publisher publishers_[kPublishers];
  Subscriber subscribers_[kSubscribers];
};

TEST_CASE(
    "whatever happens, what was acknowledged arrives, in order, and at QoS 2 once "
    "[v5:4.3.3-1] [v5:4.4.0-1] [v5:4.6.0-5] [v311:4.6.0-6]",
    "[model]") {
  for (std::uint32_t seed = 1; seed <= 200; ++seed) {
    INFO("seed " << seed);
    World{seed}.live(300);
  }
}

}  // namespace
}  // namespace mqttstack::test
