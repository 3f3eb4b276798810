#include <cstdint>
#include <cstdlib>
#include <deque>
#include <fmt/format.h>
#include <map>
#include <optional>
#include <random>
#include <set>

#include <catch2/catch.hpp>

#include "tests/middlewares/protocol_broker.hpp"

/// A broker and six clients that do at random what the standard allows, and a
/// model of what has to come of it. Each seed is a world of its own. A failure
/// names its seed and the command that runs it again:
///
///     MQTTSTACK_MODEL_SEED=17 build/dev/tests/middlewares_test "[model]"
///
/// MQTTSTACK_MODEL_SEEDS=100000 runs that many.
namespace mqttstack::test {
namespace {

using namespace std::chrono_literals;

constexpr unsigned kPublishers = 3;
constexpr unsigned kSubscribers = 3;
constexpr unsigned kTopics = 2;
/// What a publisher has under way at most, which is what the broker allows.
constexpr unsigned kWindow = 8;

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
      subscribers_[i].granted = below(3);
      connect(subscribers_[i]);
      for (unsigned topic = 0; topic < kTopics; ++topic)
        subscribe(*subscribers_[i].peer, fmt::format("topic/{}", topic), subscribers_[i].granted);
    }
  }

  void live(unsigned steps) {
    for (unsigned i = 0; i < steps; ++i) step();
    settle();
    // Nothing waits any more; what is on its way now gets lost with its connection.
    for (Publisher& each : publishers_) publishOne(each);
    for (Subscriber& each : subscribers_) lose(each);
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
    std::string unread;           ///< the beginning of a packet
    std::vector<Bytes> owed;      ///< acknowledgements that it has not sent yet
    std::set<unsigned> received;  ///< QoS 2 ids between PUBLISH and PUBREL
    std::vector<Stamp> got;       ///< in order, what the application saw
  };

  std::uint32_t below(std::uint32_t bound) {
    return std::uniform_int_distribution<std::uint32_t>{0, bound - 1}(random_);
  }
  bool chance(std::uint32_t inHundred) { return below(100) < inHundred; }
  Version anyVersion() { return static_cast<Version>(3 + below(3)); }

  /// Windows of a few messages, little room for output, and somebody who defers every
  /// fourth message.
  Parts parts() {
    Parts parts;
    parts.outbound.maxInflight = static_cast<std::uint16_t>(1 + below(4));
    parts.outbound.maxOutput = ByteCount{4096};
    parts.inbound.receiveMaximum = kWindow;
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
    if (client.version == Version::v5 && chance(30))
      connect.properties.push_back(property(PropertyId::receiveMaximum, 1 + below(4)));
    client.peer = join(broker_, client.version, connect);
  }

  void step() {
    const std::uint32_t what = below(100);
    Publisher& publisher = publishers_[below(kPublishers)];
    Subscriber& subscriber = subscribers_[below(kSubscribers)];
    if (what < 40) {
      publishOne(publisher);
    } else if (what < 56) {
      listen(subscriber);
    } else if (what < 70) {
      listen(publisher);
    } else if (what < 76) {
      cut(publisher);
    } else if (what < 82) {
      cut(subscriber);
    } else if (what < 84) {
      takeOver(publisher);
    } else if (what < 86) {
      takeOver(subscriber);
    } else if (what < 90) {
      stall(subscriber);
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
    if (publisher.unsettled.size() >= kWindow) return;
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
    if (publisher.peer->closed()) FAIL(publisher.name << " was cut off");
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
      if (each.released)
        publisher.peer->send(pubrelPacket(each.id));
      else
        transmit(publisher, each.id, each.stamp, true);
    }
  }

  void listen(Subscriber& subscriber) {
    if (!subscriber.peer) return connect(subscriber);
    if (subscriber.peer->closed()) FAIL(subscriber.name << " was cut off");
    read(subscriber);
    acknowledge(subscriber, below(4));
  }
  /// Some of what it owes, in order.
  static void acknowledge(Subscriber& subscriber, std::size_t count) {
    Bytes answers;
    const auto end = subscriber.owed.begin() +
                     static_cast<std::ptrdiff_t>(std::min(count, subscriber.owed.size()));
    for (auto each = subscriber.owed.begin(); each != end; ++each) answers += *each;
    subscriber.owed.erase(subscriber.owed.begin(), end);
    if (!answers.empty()) subscriber.peer->send(answers);
  }
  void read(Subscriber& subscriber) {
    for (const std::string& packet : wholePackets(subscriber)) {
      const unsigned type = static_cast<unsigned char>(packet.front()) >> 4U;
      if (type == 6) {
        const unsigned id = readAck(subscriber.version, packet).id;
        subscriber.received.erase(id);
        subscriber.owed.push_back(pubcompPacket(id));
        continue;
      }
      const Publish publish = readPublish(subscriber.version, packet);
      const Stamp stamp = stampOf(publish.payload);
      if (publish.qos == 0) {
        subscriber.got.push_back(stamp);
      } else if (publish.qos == 1) {
        subscriber.owed.push_back(pubackPacket(publish.id));
        subscriber.got.push_back(stamp);
      } else {
        subscriber.owed.push_back(pubrecPacket(publish.id));
        if (subscriber.received.insert(publish.id).second) subscriber.got.push_back(stamp);
      }
    }
  }

  /// What came to one who is stalled may end in the middle of a packet.
  static std::vector<std::string> wholePackets(Subscriber& subscriber) {
    std::string& all = subscriber.unread;
    all += subscriber.peer->received();
    std::size_t whole = 0;
    while (true) {
      const mqtt::Frame frame =
          mqtt::nextFrame(std::string_view{all}.substr(whole), mqtt::kMaxPacketBytes);
      if (frame.state != mqtt::Frame::State::complete) break;
      whole += frame.size;
    }
    const std::string packets = all.substr(0, whole);
    all.erase(0, whole);
    return split(packets);
  }

  template <class Client>
  void cut(Client& client) {
    if (!client.peer) return;
    // What is on its way to the client is lost half of the time.
    if (chance(50)) listen(client);
    if (chance(50))
      client.peer->reset();
    else
      client.peer->end();
    forget(client);
    // It comes back at once, or when messages have gathered.
    if (chance(50)) listen(client);
  }
  /// A second connection while there is one.
  template <class Client>
  void takeOver(Client& client) {
    if (!client.peer) return;
    if (chance(50)) listen(client);
    forget(client);
    listen(client);
  }
  static void forget(Publisher& publisher) { publisher.peer.reset(); }
  static void forget(Subscriber& subscriber) {
    subscriber.peer.reset();
    subscriber.owed.clear();
    subscriber.unread.clear();
  }

  /// The subscriber takes a few bytes only, or goes on.
  void stall(Subscriber& subscriber) {
    if (!subscriber.peer || subscriber.peer->closed()) return;
    if (chance(50))
      subscriber.peer->transport().limitWrites(below(200));
    else
      subscriber.peer->transport().allowWrites();
    broker_.run();
  }

  void lose(Subscriber& subscriber) {
    subscriber.peer->reset();
    forget(subscriber);
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
    constexpr int kEnough = 400;
    for (int round = 0, quiet = 0; round < kEnough && quiet < 3; ++round) {
      while (!deferred_.empty()) undefer();
      while (!taken_.empty()) letGo();
      const std::size_t before = progress();
      for (Publisher& each : publishers_) listen(each);
      for (Subscriber& each : subscribers_) {
        listen(each);
        each.peer->transport().allowWrites();
        broker_.run();
        acknowledge(each, each.owed.size());
      }
      quiet = progress() == before && nothingWaits() ? quiet + 1 : 0;
    }
  }
  std::size_t progress() const {
    std::size_t sum = acknowledged_.size();
    for (const Subscriber& each : subscribers_) sum += each.got.size();
    return sum;
  }
  bool nothingWaits() const {
    return deferred_.empty() && taken_.empty() &&
           std::all_of(std::begin(publishers_), std::end(publishers_),
                       [](const Publisher& each) { return each.unsettled.empty(); }) &&
           std::all_of(
               std::begin(subscribers_), std::end(subscribers_),
               [](const Subscriber& each) { return each.owed.empty() && each.received.empty(); });
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
      if (subscriber.granted != 0 && seen.count(stamp) == 0) lost.push_back(textOf(stamp));
    CHECK(lost == std::vector<std::string>{});

    if (subscriber.granted == 2) {
      std::vector<std::string> twice;
      std::set<Stamp> once;
      for (const Stamp& stamp : subscriber.got)
        if (stamp.qos == 2 && !once.insert(stamp).second) twice.push_back(textOf(stamp));
      CHECK(twice == std::vector<std::string>{});
    }

    // First deliveries come in order. A publisher's QoS 1 message that was sent
    // again is a new one to the broker, so it may come late, but not a first time;
    // unless the first was lost for who takes it at QoS 0.
    std::map<Stream, unsigned> last;
    std::set<Stamp> before;
    std::vector<std::string> disordered;
    for (const Stamp& stamp : subscriber.got) {
      if (subscriber.granted == 0 && stamp.qos == 1) continue;
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

/// A number that the environment gives.
std::optional<std::uint32_t> numberFrom(const char* variable) {
  const char* const text = std::getenv(variable);
  if (!text) return std::nullopt;
  return static_cast<std::uint32_t>(std::strtoul(text, nullptr, 10));
}

TEST_CASE(
    "whatever happens, what was acknowledged arrives, in order, and at QoS 2 once [v5:4.4.0-1] "
    "[v5:4.6.0-5] [v5:4.6.0-6] [v311:4.6.0-5] [v311:4.6.0-6]",
    "[model]") {
  constexpr std::uint32_t kSeeds = 2000;
  constexpr unsigned kSteps = 100;
  const auto only = numberFrom("MQTTSTACK_MODEL_SEED");
  const std::uint32_t first = only.value_or(1);
  const std::uint32_t last = only ? first : numberFrom("MQTTSTACK_MODEL_SEEDS").value_or(kSeeds);
  for (std::uint32_t seed = first; seed <= last; ++seed) {
    INFO("again: MQTTSTACK_MODEL_SEED=" << seed << " middlewares_test \"[model]\"");
    World{seed}.live(kSteps);
  }
}

}  // namespace
}  // namespace mqttstack::test
