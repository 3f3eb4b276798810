#include "tests/crash/peers.hpp"

#include <algorithm>
#include <cstdio>

namespace mqttstack::crash {

namespace {

/// Messages that a publisher has under way at most.
constexpr std::size_t kWindow = 60;

unsigned typeOf(const Bytes& packet) { return static_cast<unsigned char>(packet[0]) >> 4U; }

}  // namespace

// Peer.

void Peer::connect(std::uint16_t port) {
  established_ = false;
  if (!wire_.open(port)) return;
  Connect connect;
  connect.clientId = name_;
  connect.clean = false;
  connect.keepAlive = 0;
  if (version_ == Version::v5) connect.properties = {property(PropertyId::sessionExpiry, 3600)};
  wire_.send(connectPacket(version_, connect));
}

void Peer::cut() {
  wire_.reset();
  established_ = false;
}

bool Peer::work() {
  if (!wire_.pump()) {
    cut();
    return false;
  }
  for (Bytes packet = wire_.next(); !packet.empty(); packet = wire_.next()) {
    if (established_) {
      received(packet);
      continue;
    }
    const Connack connack = readConnack(version_, packet);
    if (connack.code != 0) throw Violation{name_ + " was refused"};
    if (known_ && !connack.sessionPresent) {
      ++faults_.sessionsLost;
      faults_.tell("the session of " + name_ + " is gone");
    }
    known_ = true;
    established_ = true;
    resumed(connack.sessionPresent);
  }
  return true;
}

// Publisher.

Publisher::Publisher(unsigned number, Version version, Faults& faults)
    : Peer{"publisher" + std::to_string(number), version, faults},
      number_{number} {}

void Publisher::send(const UnderWay& message, bool dup) {
  wire_.send(publishPacket(
      version_, {.topic = "t/" + std::to_string(number_) + "/" + std::to_string(message.qos),
                 .payload = std::to_string(message.sequence),
                 .qos = message.qos,
                 .id = message.id,
                 .dup = dup}));
}

void Publisher::publishMore(std::mt19937& random) {
  while (established() && underWay_.size() < kWindow && wire_.waiting() < 4096) {
    do lastId_ = lastId_ % 65'535 + 1;
    while (find(lastId_) != underWay_.end());
    const unsigned qos = 1 + random() % 2;
    underWay_.push_back({lastId_, qos, ++last_[qos]});
    send(underWay_.back(), false);
  }
}

std::deque<Publisher::UnderWay>::iterator Publisher::find(unsigned id) {
  return std::find_if(underWay_.begin(), underWay_.end(),
                      [id](const UnderWay& each) { return each.id == id; });
}

void Publisher::resumed(bool) {
  for (const UnderWay& each : underWay_)
    each.recorded ? wire_.send(pubrelPacket(each.id)) : send(each, true);
}

void Publisher::received(const Bytes& packet) {
  const unsigned type = typeOf(packet);
  if (type < 4 || type > 7) throw Violation{name_ + " got a packet that is not for a publisher"};
  const Ack ack = readAck(version_, packet);
  const auto message = find(ack.id);
  if (type == 7) {
    if (message != underWay_.end()) underWay_.erase(message);
    return;
  }
  if (message == underWay_.end()) return;
  if (ack.reason >= 0x80) {
    ++faults_.refused;
    faults_.tell(name_ + ": a message was refused");
  } else {
    acknowledged_[message->qos].insert(message->sequence);
  }
  if (type == 5) {
    message->recorded = true;
    wire_.send(pubrelPacket(ack.id));
  } else {
    underWay_.erase(message);
  }
}

// Subscriber.

Subscriber::Subscriber(unsigned number, Version version, Faults& faults)
    : Peer{"subscriber" + std::to_string(number), version, faults} {}

void Subscriber::resumed(bool present) {
  if (!present) incoming_.clear();
  if (!present || !subscribed_) wire_.send(subscribePacket(version_, 1, {{"t/#", 2}}));
}

bool Subscriber::got(unsigned publisher, unsigned qos, unsigned sequence) const {
  const auto stream = streams_.find({publisher, qos});
  return stream != streams_.end() && stream->second.got.count(sequence) != 0;
}

void Subscriber::received(const Bytes& packet) {
  switch (typeOf(packet)) {
    case 3: {
      const Publish publish = readPublish(version_, packet);
      if (publish.qos == 1) {
        take(publish);
        wire_.send(pubackPacket(publish.id));
      } else {
        if (incoming_.insert(publish.id).second) take(publish);
        wire_.send(pubrecPacket(publish.id));
      }
      return;
    }
    case 6: {
      const unsigned id = readAck(version_, packet).id;
      incoming_.erase(id);
      wire_.send(pubcompPacket(id));
      return;
    }
    case 9:
      subscribed_ = true;
      return;
    default:
      throw Violation{name_ + " got a packet that is not for a subscriber"};
  }
}

void Subscriber::take(const Publish& publish) {
  unsigned publisher = 0;
  unsigned qos = 0;
  if (std::sscanf(publish.topic.c_str(), "t/%u/%u", &publisher, &qos) != 2 || qos != publish.qos)
    throw Violation{name_ + " got what nobody published: " + publish.topic};
  const auto sequence = static_cast<unsigned>(std::stoul(publish.payload));
  Stream& stream = streams_[{publisher, qos}];
  ++messages_;
  if (!stream.got.insert(sequence).second) {
    ++repeated_;
    if (qos == 2) {
      ++faults_.twice;
      faults_.tell(name_ + " got " + publish.topic + " #" + publish.payload + " twice");
    }
    return;
  }
  if (sequence < stream.highest) {
    ++faults_.reordered;
    faults_.tell(name_ + " got " + publish.topic + " #" + publish.payload + " after #" +
                 std::to_string(stream.highest));
  }
  stream.highest = std::max(stream.highest, sequence);
}

}  // namespace mqttstack::crash
