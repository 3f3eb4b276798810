#include "tests/middlewares/protocol_broker.hpp"

#include <fmt/format.h>
#include <stdexcept>

namespace mqttstack::test {
namespace {

std::string nameOf(mqttstack::PropertyId id) {
  using enum mqttstack::PropertyId;
  switch (id) {
    case messageExpiry:
      return "messageExpiry";
    case contentType:
      return "contentType";
    case responseTopic:
      return "responseTopic";
    case subscriptionId:
      return "id";
    case sessionExpiry:
      return "sessionExpiry";
    case assignedClientId:
      return "assignedClientId";
    case serverKeepAlive:
      return "serverKeepAlive";
    case receiveMaximum:
      return "receiveMaximum";
    case topicAliasMaximum:
      return "topicAliasMaximum";
    case topicAlias:
      return "topicAlias";
    case maximumQos:
      return "maximumQos";
    case retainAvailable:
      return "retainAvailable";
    case user:
      return "user";
    case maximumPacketSize:
      return "maximumPacketSize";
    case wildcardAvailable:
      return "wildcardAvailable";
    case subscriptionIdAvailable:
      return "subscriptionIdAvailable";
    case sharedAvailable:
      return "sharedAvailable";
    default:
      return fmt::format("property{}", static_cast<unsigned>(id));
  }
}

bool isText(mqttstack::PropertyId id) {
  using enum mqttstack::PropertyId;
  return id == contentType || id == responseTopic || id == correlationData ||
         id == assignedClientId || id == reasonString;
}

std::string describe(const mqttstack::Properties& properties) {
  std::string text;
  for (const mqttstack::Property& each : properties) {
    if (each.id == mqttstack::PropertyId::reasonString) continue;  // words, for people
    text += ' ' + nameOf(each.id) + '=';
    if (each.id == mqttstack::PropertyId::user) {  // two strings
      const std::size_t name = (static_cast<unsigned char>(each.value[0]) << 8U) +
                               static_cast<unsigned char>(each.value[1]);
      text += each.value.substr(2, name) + ':' + each.value.substr(name + 4);
    } else if (isText(each.id)) {
      text += textOf({each}, each.id).value();
    } else {
      text += fmt::format("{}", numberOf({each}, each.id).value());
    }
  }
  return text;
}

std::string describeCode(unsigned code) { return code == 0 ? "" : fmt::format(" 0x{:02X}", code); }

std::string describeCodes(const mqttstack::CodeList& list) {
  std::string text = fmt::format(" #{}", list.id);
  for (const unsigned code : list.codes)
    text += code < 0x10 ? fmt::format(" {}", code) : describeCode(code);
  return text + describe(list.properties);
}

}  // namespace

std::string described(Version version, std::string_view packet) {
  switch (static_cast<unsigned char>(packet.front()) >> 4U) {
    case 2: {
      const auto connack = readConnack(version, packet);
      return fmt::format("CONNACK {}{}{}", connack.code, connack.sessionPresent ? " present" : "",
                         describe(connack.properties));
    }
    case 3: {
      const auto publish = readPublish(version, packet);
      std::string text = fmt::format("PUBLISH {} '{}'", publish.topic, publish.payload);
      if (publish.qos != 0) text += fmt::format(" q{} #{}", publish.qos, publish.id);
      if (publish.dup) text += " dup";
      if (publish.retain) text += " retain";
      return text + describe(publish.properties);
    }
    case 4:
    case 5:
    case 6:
    case 7: {
      static constexpr const char* kNames[] = {"PUBACK", "PUBREC", "PUBREL", "PUBCOMP"};
      const auto ack = readAck(version, packet);
      return kNames[(ack.firstByte >> 4U) - 4] +
             fmt::format(" #{}{}{}", ack.id, describeCode(ack.reason), describe(ack.properties));
    }
    case 9:
      return "SUBACK" + describeCodes(readSuback(version, packet));
    case 11:
      return "UNSUBACK" + describeCodes(readUnsuback(version, packet));
    case 13:
      if (packet != pingrespPacket()) break;
      return "PINGRESP";
    case 14:
      if (version != Version::v5) break;
      return fmt::format("DISCONNECT 0x{:02X}", readDisconnect(version, packet));
    default:
      break;
  }
  throw std::runtime_error{"no packet of a broker: " + mqttstack::toHex(packet)};
}

std::vector<std::string> split(std::string_view bytes) {
  std::vector<std::string> packets;
  while (!bytes.empty()) {
    const mqtt::Frame frame = mqtt::nextFrame(bytes, mqtt::kMaxPacketBytes);
    if (frame.state != mqtt::Frame::State::complete)
      throw std::runtime_error{"not a whole packet: " + mqttstack::toHex(bytes)};
    packets.emplace_back(bytes.substr(0, frame.size));
    bytes.remove_prefix(frame.size);
  }
  return packets;
}

Peer dial(TestBroker& broker, Stack& stack, Version version, const mqttstack::Connect& connect) {
  Peer peer = broker.open(stack, versionOf(version));
  peer.send(connectPacket(version, connect));
  return peer;
}
Peer dial(TestBroker& broker, Version version, const mqttstack::Connect& connect) {
  return dial(broker, broker.stack(), version, connect);
}

Peer join(TestBroker& broker, Stack& stack, Version version, const mqttstack::Connect& connect) {
  Peer peer = dial(broker, stack, version, connect);
  const std::string answer = peer.receivedPacket();
  if (answer.empty() || readConnack(version, answer).code != 0 || peer.closed())
    throw std::runtime_error{"\"" + connect.clientId + "\" was not accepted"};
  return peer;
}
Peer join(TestBroker& broker, Version version, const mqttstack::Connect& connect) {
  return join(broker, broker.stack(), version, connect);
}

void subscribe(Peer& peer, const std::string& filter, unsigned options, std::uint32_t identifier) {
  mqttstack::Properties properties;
  if (identifier != 0)
    properties.push_back(property(mqttstack::PropertyId::subscriptionId, identifier));
  peer.send(subscribePacket(versionOf(peer), 77, {{filter, options}}, properties));
  const auto wanted = fmt::format("SUBACK #77 {}", options & 3U);
  for (const std::string& line : said(peer))
    if (line == wanted) return;
  throw std::runtime_error{"the subscription to " + filter + " was not granted"};
}

void publish(Peer& peer, const mqttstack::Publish& publish) {
  mqttstack::Publish packet = publish;
  if (packet.qos != 0 && packet.id == 0) packet.id = 99;
  peer.send(publishPacket(versionOf(peer), packet));
  if (packet.qos == 0) return;
  const std::string wanted = packet.qos == 1 ? "PUBACK" : "PUBREC";
  bool answered = false;
  for (const std::string& line : said(peer)) answered |= line.starts_with(wanted);
  if (!answered) throw std::runtime_error{"no " + wanted};
  if (packet.qos == 1) return;
  peer.send(pubrelPacket(packet.id));
  said(peer);
}

Lines said(Peer& peer) {
  Lines lines;
  for (const std::string& packet : split(peer.received()))
    lines.push_back(described(versionOf(peer), packet));
  return lines;
}

Lines publishes(Peer& peer) {
  Lines lines = said(peer);
  std::erase_if(lines, [](const std::string& line) { return !line.starts_with("PUBLISH"); });
  return lines;
}

Lines receiveAll(Peer& peer) {
  Lines lines;
  while (true) {
    const auto packets = split(peer.received());
    if (packets.empty()) return lines;
    for (const std::string& packet : packets) {
      const unsigned type = static_cast<unsigned char>(packet.front()) >> 4U;
      if (type == 3) {
        lines.push_back(described(versionOf(peer), packet));
        const auto publish = readPublish(versionOf(peer), packet);
        if (publish.qos == 1) peer.send(pubackPacket(publish.id));
        if (publish.qos == 2) peer.send(pubrecPacket(publish.id));
      } else if (type == 6) {
        peer.send(pubcompPacket(readAck(versionOf(peer), packet).id));
      }
    }
  }
}

}  // namespace mqttstack::test
