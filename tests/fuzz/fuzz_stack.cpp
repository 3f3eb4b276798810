#include <algorithm>
#include <cstdint>
#include <deque>
#include <map>
#include <optional>
#include <set>
#include <string>
#include <string_view>

#include "core/mqtt/decoder.hpp"
#include "core/mqtt/topic.hpp"
#include "tests/fuzz/check.hpp"
#include "tests/middlewares/protocol_broker.hpp"

// The input is a program for two clients of a whole broker, which connect, send legal packets and
// any bytes, stall, vanish and take each other over, while a middleware defers some messages. A
// third client subscribes to everything and behaves. Whatever they do:
//
// - what the broker sends is legal, fits the client's limits, begins with CONNACK, and ends with
//   DISCONNECT if that comes;
// - it answers only what was asked, and sends nobody what he did not subscribe to;
// - a QoS 2 message arrives once;
// - when all have gone and time has passed, nothing is left of them.

using namespace mqttstack;
using namespace mqttstack::test;
using fuzz::check;

namespace {

/// Reads the input to its end, and zeros from there on.
class Program {
public:
  Program(const std::uint8_t* data, std::size_t size) : data_{data}, size_{size} {}
  bool over() const { return at_ >= size_; }
  unsigned next() { return over() ? 0 : data_[at_++]; }
  unsigned below(unsigned bound) { return next() % bound; }
  std::string bytes(std::size_t count) {
    std::string result;
    while (count-- > 0 && !over()) result += static_cast<char>(next());
    return result;
  }

private:
  const std::uint8_t* data_;
  std::size_t size_;
  std::size_t at_ = 0;
};

constexpr std::size_t kMaxOutput = 4096;
constexpr std::size_t kMaxQueued = 20;
constexpr const char* kIds[] = {"a", "b", "a", ""};
constexpr const char* kTopics[] = {"t", "t/u", "v", "a/longer/topic"};
constexpr const char* kFilters[] = {"t", "t/#", "+", "#", "a/+/topic", "$share/g/t"};

/// What outlives the connections of a client id.
struct Identity {
  std::set<std::string> filters;               ///< every one that it ever asked for
  std::map<unsigned, std::string> unreleased;  ///< its QoS 2 messages without PUBREL
};

class World {
public:
  explicit World(Program& program)
      : program_{program},
        broker_{parts()},
        witness_{join(broker_, Version::v5, honest())} {
    subscribe(witness_, "#", 2);
    for (Slot& slot : slots_) slot.version = static_cast<Version>(3 + program_.below(3));
  }

  void run() {
    while (!program_.over()) {
      step();
      judge();
    }
    for (Slot& slot : slots_) leave(slot);
    while (!deferred_.empty()) letGo();
    judge();
    witness_.reset();
    broker_.advance(std::chrono::hours{3});
    check(broker_.metrics.value("connections") == 0, "connections end");
    check(broker_.metrics.value("sessions") == 0, "sessions end");
    check(broker_.metrics.value("subscriptions") == 0, "subscriptions end with their sessions");
    check(broker_.metrics.value("queued_messages") == 0, "queues end with their sessions");
  }

private:
  struct Slot {
    Version version{};
    std::optional<Peer> peer;
    std::string sent;      ///< what was not looked at yet of what it sent
    std::string received;  ///< the same of what came
    bool garbage = false;  ///< it sent something illegal, and what follows doesn't count
    bool connectSeen = false;
    bool accepted = false;
    bool present = false;
    bool goodbye = false;
    std::string clientId;
    std::size_t maximumPacket = mqtt::kMaxPacketBytes;
    std::size_t receiveMaximum = 65'535;
    std::size_t aliasMaximum = 0;
    std::map<unsigned, std::string> aliases;
    std::map<unsigned, unsigned> open;  ///< id -> QoS of what came
    std::map<std::pair<mqtt::PacketType, unsigned>, int> asked;
    unsigned lastId = 0;
  };

  Parts parts() {
    Parts parts;
    parts.backend.maxQueuedMessages = kMaxQueued;
    parts.sessions.maxSessionExpiry = std::chrono::hours{1};
    parts.outbound.maxOutput = ByteCount{kMaxOutput};
    parts.outbound.maxInflight = 3;
    parts.inbound.receiveMaximum = 5;
    parts.inbound.topicAliasMaximum = 4;
    parts.second = [this](TestBroker& broker) {
      broker.on<RelayMessage>([this](RelayMessage& relay, Next next, Done) {
        if (!relay.message->payload().ends_with("slow")) return next();
        return next.defer([&](Deferred later) { deferred_.push_back(std::move(later)); });
      });
    };
    return parts;
  }
  static Connect honest() {
    Connect connect = clean("witness");
    connect.keepAlive = 0;
    return connect;
  }

  // What clients do.

  void step() {
    Slot& slot = slots_[program_.below(2)];
    const unsigned what = program_.below(16);
    if (!slot.peer || slot.peer->closed()) return begin(slot, what);
    switch (what) {
      case 0:
        return send(slot, program_.bytes(program_.next()));
      case 1:
      case 2:
      case 3:
      case 4:
        return publish(slot);
      case 5:
        return sendAgain(slot);
      case 6:
      case 7:
        return send(slot, subscribePacket(slot.version, newId(slot),
                                          {{kFilters[program_.below(6)], program_.below(3)}}));
      case 8:
        return send(slot,
                    unsubscribePacket(slot.version, newId(slot), {kFilters[program_.below(6)]}));
      case 9:
      case 10:
        return answer(slot);
      case 11:
        return send(slot, pubrelPacket(1 + program_.below(8)));
      case 12:
        return stall(slot);
      case 13:
        return program_.below(2) != 0 ? leave(slot) : send(slot, disconnectPacket(slot.version));
      case 14:
        return letGo();
      default:
        return broker_.advance(std::chrono::seconds{program_.next() * program_.next()});
    }
  }

  void begin(Slot& slot, unsigned what) {
    const Version version = slot.version;
    slot = Slot{};
    slot.version = version;
    slot.peer = broker_.open(versionOf(version));
    if (what == 0) return;  // whatever it says first comes as bytes
    Connect connect;
    connect.clientId = kIds[program_.below(4)];
    connect.clean = program_.below(2) != 0;
    connect.keepAlive = program_.below(3) * 10;
    if (program_.below(4) == 0) connect.will = Will{.topic = "t", .payload = "will", .qos = 1};
    if (version == Version::v5) {
      connect.properties.push_back(property(PropertyId::sessionExpiry, program_.below(3) * 100));
      connect.properties.push_back(property(PropertyId::receiveMaximum, 1 + program_.below(4)));
      connect.properties.push_back(property(PropertyId::topicAliasMaximum, program_.below(3)));
      if (program_.below(4) == 0)
        connect.properties.push_back(property(PropertyId::maximumPacketSize, 20 + program_.next()));
    }
    send(slot, connectPacket(version, connect));
  }

  void publish(Slot& slot) {
    Publish publish;
    publish.topic = kTopics[program_.below(4)];
    publish.qos = program_.below(3);
    publish.retain = program_.below(4) == 0;
    publish.payload = "#" + std::to_string(++stamps_) + std::string(program_.below(100), '.');
    if (program_.below(4) == 0) publish.payload += "slow";
    if (publish.qos != 0) publish.id = 1 + program_.below(8);
    if (publish.qos == 2) {
      stamped_.insert(publish.payload);
      if (slot.accepted) identities_[slot.clientId].unreleased.emplace(publish.id, publish.payload);
    }
    own_ = true;
    send(slot, publishPacket(slot.version, publish));
    own_ = false;
  }
  /// A QoS 2 message that is not released may be sent again, on whatever connection.
  void sendAgain(Slot& slot) {
    const auto& unreleased = identities_[slot.clientId].unreleased;
    if (!slot.accepted || unreleased.empty()) return;
    auto which = unreleased.begin();
    std::advance(which, program_.below(static_cast<unsigned>(unreleased.size())));
    own_ = true;
    send(slot,
         publishPacket(
             slot.version,
             {.topic = "t", .payload = which->second, .qos = 2, .id = which->first, .dup = true}));
    own_ = false;
  }
  void answer(Slot& slot) {
    if (slot.open.empty()) return;
    auto which = slot.open.begin();
    std::advance(which, program_.below(static_cast<unsigned>(slot.open.size())));
    const unsigned id = which->first;
    if (which->second == 1) return send(slot, pubackPacket(id));
    send(slot, program_.below(2) != 0 ? pubrecPacket(id) : pubcompPacket(id));
  }
  unsigned newId(Slot& slot) { return slot.lastId = slot.lastId % 100 + 1; }
  void stall(Slot& slot) {
    if (program_.below(2) != 0)
      slot.peer->transport().limitWrites(program_.next());
    else
      slot.peer->transport().allowWrites();
    broker_.run();
  }
  void leave(Slot& slot) {
    if (!slot.peer) return;
    if (program_.below(2) != 0 && !slot.peer->closed())
      slot.peer->end();
    else
      slot.peer->reset();
    read(slot);
    slot.peer.reset();
  }
  void letGo() {
    if (deferred_.empty()) return;
    Deferred later = std::move(deferred_.front());
    deferred_.pop_front();
    later.next();
    broker_.run();
  }
  void send(Slot& slot, const std::string& bytes) {
    slot.sent += bytes;
    follow(slot);
    slot.peer->send(bytes);
  }

  /// Understands what a client sends as far as it is legal.
  void follow(Slot& slot) {
    while (!slot.garbage) {
      const mqtt::Frame frame = mqtt::nextFrame(slot.sent, mqtt::kMaxPacketBytes);
      if (frame.state == mqtt::Frame::State::incomplete) return;
      const auto packet = frame.state == mqtt::Frame::State::complete
                              ? mqtt::decode(std::string_view{slot.sent}.substr(0, frame.size),
                                             versionOf(slot.version))
                              : Result<mqtt::Packet>{Unexpected{mqtt::ReasonCode::malformedPacket}};
      if (!packet) {
        slot.garbage = true;
        return;
      }
      note(slot, *packet);
      slot.sent.erase(0, frame.size);
    }
  }
  void note(Slot& slot, const mqtt::Packet& packet) {
    using enum mqtt::PacketType;
    const mqtt::PacketType type = mqtt::typeOf(packet);
    if (!slot.connectSeen) {
      if (type != connect) slot.garbage = true;
      slot.connectSeen = true;
      if (type == connect) return noteConnect(slot, std::get<mqtt::Connect>(packet));
    }
    Identity& identity = identities_[slot.clientId];
    if (const auto* sub = std::get_if<mqtt::Subscribe>(&packet)) {
      ++slot.asked[{suback, sub->packetId}];
      for (mqtt::SubscribeEntries entries = sub->entries; !entries.empty();)
        identity.filters.emplace(mqtt::splitSharedFilter(entries.takeFront().filter).filter);
    } else if (const auto* unsub = std::get_if<mqtt::Unsubscribe>(&packet)) {
      ++slot.asked[{unsuback, unsub->packetId}];
    } else if (type == pingreq) {
      ++slot.asked[{pingresp, 0}];
    } else if (const auto* published = std::get_if<mqtt::Publish>(&packet)) {
      if (published->qos == mqtt::Qos::atLeastOnce) ++slot.asked[{puback, published->packetId}];
      if (!own_) stamped_.erase(std::string{published->payload});  // said by somebody else, too
    } else if (const auto* release = std::get_if<mqtt::Pubrel>(&packet)) {
      ++slot.asked[{pubcomp, release->packetId}];
      identity.unreleased.erase(release->packetId);
    } else if (const auto* one = std::get_if<mqtt::Puback>(&packet)) {
      slot.open.erase(one->packetId);
    } else if (const auto* two = std::get_if<mqtt::Pubcomp>(&packet)) {
      slot.open.erase(two->packetId);
    } else if (const auto* refused = std::get_if<mqtt::Pubrec>(&packet)) {
      if (mqtt::isFailure(refused->code)) slot.open.erase(refused->packetId);
    }
  }
  void noteConnect(Slot& slot, const mqtt::Connect& connect) {
    slot.version = static_cast<Version>(connect.version);
    // A name that the broker assigns is nobody else's.
    slot.clientId = connect.clientId.empty() ? "assigned " + std::to_string(++assigned_)
                                             : std::string{connect.clientId};
    const auto number = [&](mqtt::PropertyId id, std::size_t otherwise) -> std::size_t {
      const auto found = connect.properties.number(id);
      return found ? *found : otherwise;
    };
    slot.maximumPacket = number(mqtt::PropertyId::maximumPacketSize, mqtt::kMaxPacketBytes);
    slot.receiveMaximum = number(mqtt::PropertyId::receiveMaximum, 65'535);
    slot.aliasMaximum = number(mqtt::PropertyId::topicAliasMaximum, 0);
    if (connect.cleanStart || slot.version == Version::v31)
      identities_[slot.clientId].unreleased.clear();
  }

  // What the broker does.

  void judge() {
    for (Slot& slot : slots_) {
      if (!slot.peer) continue;
      read(slot);
      if (slot.peer->gone()) continue;
      check(slot.peer->client().outputBytes() < 8 * kMaxOutput, "output is bounded");
      check(!slot.garbage || slot.peer->closed() || slot.peer->paused(),
            "garbage ends the connection");
    }
    check(broker_.metrics.value("queued_messages") <=
              static_cast<std::int64_t>(kMaxQueued) * broker_.metrics.value("sessions"),
          "queues are bounded");
    for (const std::string& packet : split(witness_.received())) witness(packet);
  }

  void witness(const std::string& packet) {
    const unsigned type = static_cast<unsigned char>(packet.front()) >> 4U;
    if (type == 6) return witness_.send(pubcompPacket(readAck(Version::v5, packet).id));
    check(type == 3, "a subscriber gets messages");
    const Publish publish = readPublish(Version::v5, packet);
    check(!publish.dup, "what was not sent before has no DUP");
    if (publish.qos == 1) witness_.send(pubackPacket(publish.id));
    if (publish.qos == 2) witness_.send(pubrecPacket(publish.id));
    if (publish.qos == 2 && stamped_.count(publish.payload) != 0)
      check(witnessed_.insert(publish.payload).second, "a QoS 2 message arrives once");
  }

  void read(Slot& slot) {
    slot.received += slot.peer->received();
    if (slot.garbage && !slot.accepted) return;  // a refusal may have the layout of another version
    while (true) {
      const mqtt::Frame frame = mqtt::nextFrame(slot.received, mqtt::kMaxPacketBytes);
      if (frame.state == mqtt::Frame::State::incomplete) return;
      check(frame.state == mqtt::Frame::State::complete, "packets have a length");
      check(frame.size <= slot.maximumPacket, "packets are no larger than the client wants");
      const std::string bytes = slot.received.substr(0, frame.size);
      slot.received.erase(0, frame.size);
      const auto packet = mqtt::decode(bytes, versionOf(slot.version), mqtt::Sender::server);
      check(packet.has_value(), "packets are legal");
      check(!slot.goodbye, "nothing follows a DISCONNECT");
      understand(slot, *packet);
    }
  }
  void understand(Slot& slot, const mqtt::Packet& packet) {
    using enum mqtt::PacketType;
    const mqtt::PacketType type = mqtt::typeOf(packet);
    if (const auto* connack = std::get_if<mqtt::Connack>(&packet)) {
      check(!slot.accepted && slot.connectSeen, "one CONNACK, for a CONNECT");
      slot.accepted = connack->code == mqtt::ReasonCode::success;
      slot.present = connack->sessionPresent;
      slot.goodbye = !slot.accepted;
      if (!slot.present) identities_[slot.clientId].unreleased.clear();
      return;
    }
    check(slot.accepted, "CONNACK comes first");
    const auto answers = [&](unsigned id) {
      check(slot.asked[{type, id}]-- > 0, "answers are for questions");
    };
    if (const auto* publish = std::get_if<mqtt::Publish>(&packet)) return arrive(slot, *publish);
    if (const auto* sub = std::get_if<mqtt::Suback>(&packet)) answers(sub->packetId);
    if (const auto* unsub = std::get_if<mqtt::Unsuback>(&packet)) answers(unsub->packetId);
    if (const auto* ack = std::get_if<mqtt::Puback>(&packet)) answers(ack->packetId);
    if (const auto* complete = std::get_if<mqtt::Pubcomp>(&packet)) answers(complete->packetId);
    if (type == pingresp) answers(0);
    if (type == mqtt::PacketType::disconnect) slot.goodbye = true;
    if (const auto* received = std::get_if<mqtt::Pubrec>(&packet))
      if (mqtt::isFailure(received->code))
        identities_[slot.clientId].unreleased.erase(received->packetId);
  }
  void arrive(Slot& slot, const mqtt::Publish& publish) {
    std::string topic{publish.topic};
    if (const auto alias = publish.properties.number(mqtt::PropertyId::topicAlias)) {
      check(*alias != 0 && *alias <= slot.aliasMaximum, "aliases are in the client's range");
      if (topic.empty()) {
        check(slot.aliases.count(*alias) != 0, "an alias is introduced first");
        topic = slot.aliases[*alias];
      }
      slot.aliases[*alias] = topic;
    }
    const auto& filters = identities_[slot.clientId].filters;
    check(std::any_of(filters.begin(), filters.end(),
                      [&](const std::string& filter) { return mqtt::matches(filter, topic); }),
          "messages go to who subscribed");
    if (publish.dup && slot.version != Version::v31)
      check(slot.present, "only a session that is resumed gets something again");
    if (publish.qos == mqtt::Qos::atMostOnce) return;
    check(slot.open.emplace(publish.packetId, static_cast<unsigned>(publish.qos)).second,
          "a packet id is used once at a time");
    check(slot.open.size() <= slot.receiveMaximum, "the receive maximum is kept");
  }

  Program& program_;
  std::deque<Deferred> deferred_;
  ProtocolBroker broker_;
  Peer witness_;
  Slot slots_[2];
  std::map<std::string, Identity> identities_;
  std::set<std::string> stamped_;  ///< payloads of QoS 2 messages that were said once
  std::set<std::string> witnessed_;
  unsigned stamps_ = 0;
  unsigned assigned_ = 0;
  bool own_ = false;
};

}  // namespace

extern "C" int LLVMFuzzerTestOneInput(const std::uint8_t* data, std::size_t size) {
  Program program{data, size};
  World{program}.run();
  return 0;
}
