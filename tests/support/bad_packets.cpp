#include <array>

#include "tests/support/packet_parts.hpp"
#include "tests/support/packets.hpp"

namespace mqttstack::test {
namespace {

using mqtt::PacketType;
using mqtt::PropertyId;
using mqtt::PropertyPlace;
using mqtt::ReasonCode;
using mqtt::Sender;

constexpr auto v31 = mqtt::ProtocolVersion::v31;
constexpr auto v311 = mqtt::ProtocolVersion::v311;
constexpr auto v5 = mqtt::ProtocolVersion::v5;
constexpr std::array kVersions{v31, v311, v5};

constexpr auto kMalformed = ReasonCode::malformedPacket;
constexpr auto kProtocol = ReasonCode::protocolError;

class Collection {
public:
  void add(std::string name, mqtt::ProtocolVersion version, Sender sender, std::string bytes,
           ReasonCode reason) {
    packets_.push_back({std::string{mqtt::toString(version)} + ": " + std::move(name), version,
                        sender, std::move(bytes), reason});
  }
  void client(std::string name, mqtt::ProtocolVersion version, std::string_view text,
              ReasonCode reason) {
    add(std::move(name), version, Sender::client, hex(text), reason);
  }
  void server(std::string name, mqtt::ProtocolVersion version, std::string_view text,
              ReasonCode reason) {
    add(std::move(name), version, Sender::server, hex(text), reason);
  }
  /// In every version; the properties of MQTT 5 go where a `*` stands.
  void always(const std::string& name, unsigned first, std::string_view text, ReasonCode reason,
              Sender sender = Sender::client) {
    const std::size_t star = text.find('*');
    for (const auto version : kVersions) {
      std::string body{text};
      if (star != std::string_view::npos) body.replace(star, 1, version == v5 ? "00" : "");
      add(name, version, sender, frame(first, hex(body)), reason);
    }
  }

  std::vector<BadPacket> take() { return std::move(packets_); }

private:
  std::vector<BadPacket> packets_;
};

/// Texts that are no UTF-8 or hold U+0000.
constexpr std::array kBadTexts{"C0 80",
                               "C1 BF",
                               "E0 9F BF",
                               "F0 8F BF BF",
                               "ED A0 80",
                               "ED BF BF",
                               "F4 90 80 80",
                               "F5 80 80 80",
                               "80",
                               "BF",
                               "C3",
                               "E4 B8",
                               "F0 AA 9B",
                               "C3 28",
                               "FF",
                               "00",
                               "'abcdefgh' 00 'abcdefgh'",
                               "'abcdefghij' FF"};

std::string lengthPrefixed(std::string_view text) {
  const std::string bytes = hex(text);
  std::string result(1, '\0');
  result.push_back(static_cast<char>(bytes.size()));
  return result + bytes;
}

void addFixedHeaders(Collection& all) {
  all.always("type 0", 0x00, "", kMalformed);
  all.always("type 0 with flags", 0x0F, "", kMalformed);
  for (const auto version : {v31, v311}) {
    all.client("AUTH", version, "F0 00", kMalformed);
    all.server("AUTH", version, "F0 00", kMalformed);
    all.server("DISCONNECT", version, "E0 00", kProtocol);
  }
  // The wrong direction.
  all.always("CONNACK from a client", 0x20, "00 00 *", kProtocol);
  all.always("SUBACK from a client", 0x90, "00 0A * 00", kProtocol);
  all.always("UNSUBACK from a client", 0xB0, "00 0A *", kProtocol);
  all.always("PINGRESP from a client", 0xD0, "", kProtocol);
  all.always("CONNECT from the server", 0x10, "00 04 'MQTT' 04 02 00 3C 00 01 'a'", kProtocol,
             Sender::server);
  all.always("SUBSCRIBE from the server", 0x82, "00 0A * 00 01 'a' 00", kProtocol, Sender::server);
  all.always("UNSUBSCRIBE from the server", 0xA2, "00 0A * 00 01 'a'", kProtocol, Sender::server);
  all.always("PINGREQ from the server", 0xC0, "", kProtocol, Sender::server);

  // Flags.
  for (const GoodPacket& good : goodPackets()) {
    if (!good.canonical || good.packet.index() == 2 || good.bytes.size() > 20) continue;
    const PacketType type = mqtt::typeOf(good.packet);
    const bool qosOne = type == PacketType::pubrel || type == PacketType::subscribe ||
                        type == PacketType::unsubscribe;
    for (unsigned flags = 0; flags < 16; ++flags) {
      const bool legal =
          qosOne ? (good.version == v31 ? (flags & 6U) == 2 : flags == 2) : flags == 0;
      if (legal) continue;
      std::string bytes = good.bytes;
      bytes[0] = static_cast<char>((static_cast<unsigned>(type) << 4U) | flags);
      all.add(good.name.substr(good.name.find(' ') + 1) +
                  " with flags [v311:2.2.2-1] [v5:2.1.3-1] " + std::to_string(flags),
              good.version, good.sender, bytes, kMalformed);
    }
  }

  // The remaining length.
  all.client("a padded length [v5:1.5.5-1]", v5, "C0 80 00", kMalformed);
  all.client("CONNECT with a padded length", v5, "10 8E 00 00 04 'MQTT' 05 02 00 3C 00 00 01 'a'",
             kMalformed);
  for (const auto version : kVersions) {
    all.client("a length of five bytes", version, "C0 80 80 80 80 00", kMalformed);
    all.client("a length that is too small", version, "C0 00 00", kMalformed);
    all.client("a length that is too large", version, "C0 01", kMalformed);
    all.client("a length that has no end", version, "C0 80", kMalformed);
    all.client("no length", version, "C0", kMalformed);
    all.client("nothing", version, "", kMalformed);
  }
  // Bytes left over.
  all.always("PINGREQ and more", 0xC0, "00", kMalformed);
  all.always("PINGRESP and more", 0xD0, "00", kMalformed, Sender::server);
  for (const unsigned first : {0x40U, 0x50U, 0x62U, 0x70U}) {
    all.always("no packet id", first, "", kMalformed);
    all.always("half a packet id", first, "00", kMalformed);
    all.always("packet id 0 [v311:2.3.1-1] [v5:2.2.1-3]", first, "00 00", kMalformed);
    for (const auto version : {v31, v311}) {
      all.add("an acknowledgement with a code", version, Sender::client,
              frame(first, hex("00 0A 00")), kMalformed);
    }
    all.add("an acknowledgement and more", v5, Sender::client, frame(first, hex("00 0A 00 00 00")),
            kMalformed);
  }
  for (const auto version : {v31, v311}) {
    all.client("DISCONNECT with a code", version, "E0 01 00", kMalformed);
    all.server("UNSUBACK with a code", version, "B0 03 00 0A 00", kMalformed);
    all.server("CONNACK and more", version, "20 03 00 00 00", kMalformed);
  }
  all.client("DISCONNECT and more", v5, "E0 03 00 00 00", kMalformed);
  all.server("CONNACK and more", v5, "20 04 00 00 00 00", kMalformed);
}

void addConnects(Collection& all) {
  const auto connect = [&all](const std::string& name, mqtt::ProtocolVersion version,
                              const std::string& rest, ReasonCode reason) {
    std::string start = version == v31 ? "00 06 'MQIsdp' 03" : "00 04 'MQTT' 04";
    if (version == v5) start = "00 04 'MQTT' 05";
    all.add("CONNECT " + name, version, Sender::client, frame(0x10, hex(start + rest)), reason);
  };
  constexpr auto kUnsupported = ReasonCode::unsupportedProtocolVersion;
  for (const char* protocol :
       {"00 04 'MQTT' 03", "00 04 'MQTT' 06", "00 04 'MQTT' 00", "00 04 'MQTT' FF",
        "00 04 'MQTT' 84", "00 06 'MQIsdp' 04", "00 06 'MQIsdp' 05", "00 06 'MQIsdp' 83",
        "00 04 'mqtt' 04", "00 00 04", "00 05 'MQTTX' 04", "00 04 'HTTP' 04"}) {
    all.client(std::string{"CONNECT by another protocol: "} + protocol, v311,
               toHex(frame(0x10, hex(std::string{protocol} + "02 00 3C 00 01 'a'"))), kUnsupported);
  }
  for (const auto version : {v311, v5}) {
    const std::string section = version == v5 ? "00" : "";
    connect("with the reserved flag [v311:3.1.2-3] [v5:3.1.2-3]", version,
            "03 00 3C" + section + "00 01 'a'", kMalformed);
  }
  for (const auto version : kVersions) {
    const std::string section = version == v5 ? "00" : "";
    const std::string id = " 00 3C " + section + " 00 01 'a' ";
    connect("with will QoS but no will [v311:3.1.2-11] [v5:3.1.2-11]", version, "0A" + id,
            kMalformed);
    connect("with will retain but no will [v311:3.1.2-15] [v5:3.1.2-13]", version, "22" + id,
            kMalformed);
    connect("with will QoS 3 [v311:3.1.2-14] [v5:3.1.2-12]", version,
            "1E" + id + section + "00 01 'w' 00 00", kMalformed);
    connect("with an empty will topic", version, "06" + id + section + "00 00 00 00",
            ReasonCode::topicNameInvalid);
    connect("with a wildcard will topic", version, "06" + id + section + "00 03 'w/#' 00 00",
            ReasonCode::topicNameInvalid);
    connect("with a wildcard will topic of one level", version,
            "06" + id + section + "00 01 '+' 00 00", ReasonCode::topicNameInvalid);
    connect("whose will is missing [v311:3.1.2-9] [v5:3.1.2-9]", version, "06" + id, kMalformed);
    connect("whose will payload is missing", version, "06" + id + section + "00 01 'w'",
            kMalformed);
    connect("without a client id [v311:3.1.3-3] [v5:3.1.3-3]", version, "02 00 3C " + section,
            kMalformed);
    connect("and more", version, "02" + id + "00", kMalformed);
    connect("with a user name but no flag for it", version, "02" + id + "00 01 'u'", kMalformed);
    connect("whose user name is cut", version, "82" + id + "00 02 'u'", kMalformed);
    connect("whose password is cut", version, "C2" + id + "00 01 'u' 00 02 'p'", kMalformed);
    if (version != v5)
      connect("with a password but no user name [v311:3.1.2-22]", version, "42" + id + "00 01 'p'",
              kMalformed);
    if (version != v31) {
      connect("whose user name is missing [v311:3.1.2-19] [v5:3.1.2-17]", version, "82" + id,
              kMalformed);
      connect("whose password is missing [v311:3.1.2-21] [v5:3.1.2-19]", version,
              "C2" + id + "00 01 'u'", kMalformed);
    }
    for (const char* text : kBadTexts) {
      const std::string bad = toHex(lengthPrefixed(text));
      connect(std::string{"with a bad client id [v5:3.1.3-4] "} + text, version,
              "02 00 3C" + section + bad, kMalformed);
      connect(std::string{"with a bad will topic [v311:3.1.3-10] [v5:3.1.3-11] "} + text, version,
              "06" + id + section + bad + "00 00", kMalformed);
      connect(std::string{"with a bad user name [v311:3.1.3-11] [v5:3.1.3-12] "} + text, version,
              "82" + id + bad, kMalformed);
    }
  }
  connect("with authentication data but no method", v5, "02 00 3C 04 16 00 01 'd' 00 01 'a'",
          kProtocol);
}

void addPublishes(Collection& all) {
  all.always("PUBLISH with QoS 3 [v311:3.3.1-4] [v5:3.3.1-4]", 0x36, "00 01 'a' 00 0A *",
             kMalformed);
  all.always("PUBLISH with DUP and QoS 0 [v311:3.3.1-2] [v5:3.3.1-2]", 0x38, "00 01 'a' *",
             kMalformed);
  all.always("PUBLISH with packet id 0", 0x32, "00 01 'a' 00 00 *", kMalformed);
  all.always("PUBLISH without a packet id", 0x34, "00 01 'a'", kMalformed);
  all.always("PUBLISH without a topic", 0x30, "", kMalformed);
  all.always("PUBLISH whose topic is cut", 0x30, "00 02 'a'", kMalformed);
  all.always("PUBLISH to nowhere [v311:4.7.3-1] [v5:4.7.3-1]", 0x30, "00 00 *", kProtocol);
  for (const char* topic : {"'#'", "'+'", "'a/+'", "'a/#'", "'a#b'", "'+a'", "'abcdefgh/+'",
                            "'abcdefghijklmno#'", "'+/abcdefghijklmno'", "E4 B8 AD '/+'"}) {
    all.always(std::string{"PUBLISH to a wildcard [v311:3.3.2-2] [v5:3.3.2-2] "} + topic, 0x30,
               toHex(lengthPrefixed(topic)) + "* 'x'", ReasonCode::topicNameInvalid);
  }
  for (const char* text : kBadTexts) {
    all.always(
        std::string{
            "PUBLISH to a bad topic [v311:3.3.2-1] [v311:4.7.3-2] [v5:3.3.2-1] [v5:4.7.3-2] "} +
            text,
        0x30, toHex(lengthPrefixed(text)) + "* 'x'", kMalformed);
    all.client(std::string{"PUBLISH with a bad content type [v5:3.3.2-19] "} + text, v5,
               toHex(frame(0x30, hex("00 01 'a'") + variable(lengthPrefixed(text).size() + 1) +
                                     "\x03" + lengthPrefixed(text))),
               kMalformed);
    const std::string pair = lengthPrefixed("'k'");
    for (const std::string& user : {lengthPrefixed(text) + pair, pair + lengthPrefixed(text)}) {
      all.client(std::string{"PUBLISH with a bad user property [v5:1.5.7-1] "} + text, v5,
                 toHex(frame(0x30, hex("00 01 'a'") + variable(user.size() + 1) + "\x26" + user)),
                 kMalformed);
    }
  }
  all.client("PUBLISH with an identifier [v5:3.3.4-6]", v5, "30 06 00 01 'a' 02 0B 01", kProtocol);
}

void addSubscriptions(Collection& all) {
  for (const unsigned first : {0x82U, 0xA2U}) {
    const std::string options = first == 0x82 ? "00" : "";
    const std::string name = first == 0x82 ? "SUBSCRIBE " : "UNSUBSCRIBE ";
    all.always(name + "to nothing [v311:3.8.3-3] [v311:3.10.3-2] [v5:3.8.3-2] [v5:3.10.3-2]", first,
               "00 0A *", kProtocol);
    all.always(name + "without a packet id", first, "", kMalformed);
    all.always(name + "with packet id 0", first, "00 00 * 00 01 'a'" + options, kMalformed);
    all.always(name + "whose filter is cut", first, "00 0A * 00 02 'a'", kMalformed);
    all.always(name + "whose second filter is cut", first, "00 0A * 00 01 'a'" + options + "00",
               kMalformed);
    for (const char* filter :
         {"", "'a#'", "'a/#/b'", "'#/'", "'##'", "'+a'", "'a+'", "'++'", "'a/b+/c'", "'/#a'",
          "'$share/'", "'$share/g'", "'$share/g/'", "'$share//a'", "'$share/g+/a'", "'$share/+/a'",
          "'$share/#'", "'$share/g/a#'", "'$share/#/a'"}) {
      all.always(name + "to a bad filter " + filter, first,
                 "00 0A *" + toHex(lengthPrefixed(filter)) + options, kMalformed);
    }
    for (const char* text : kBadTexts) {
      all.always(name + "to a bad text " + text, first,
                 "00 0A *" + toHex(lengthPrefixed(text)) + options, kMalformed);
    }
  }
  all.always("SUBSCRIBE without options", 0x82, "00 0A * 00 01 'a'", kMalformed);
  all.always("SUBSCRIBE with QoS 3 [v311:3.8.3-4]", 0x82, "00 0A * 00 01 'a' 03", kProtocol);
  for (const char* options : {"40", "80", "C0", "81"}) {
    all.always(std::string{"SUBSCRIBE with reserved bits [v311:3.8.3-4] [v5:3.8.3-5] "} + options,
               0x82, std::string{"00 0A * 00 01 'a'"} + options, kMalformed);
  }
  for (const char* options : {"04", "08", "10", "20", "30"}) {
    for (const auto version : {v31, v311}) {
      all.client(std::string{"SUBSCRIBE with reserved bits [v311:3.8.3-4] "} + options, version,
                 std::string{"82 06 00 0A 00 01 'a'"} + options, kMalformed);
    }
  }
  all.client("SUBSCRIBE with retain handling 3", v5, "82 07 00 0A 00 00 01 'a' 30", kProtocol);
  all.client("SUBSCRIBE to a share without its own messages [v5:3.8.3-4]", v5,
             "82 10 00 0A 00 00 0A '$share/g/a' 05", kProtocol);
  all.always("SUBACK without codes", 0x90, "00 0A *", kProtocol, Sender::server);
  all.always("SUBACK with packet id 0", 0x90, "00 00 * 00", kMalformed, Sender::server);
  all.server("SUBACK with a failure of MQTT 5", v311, "90 03 00 0A 87", kProtocol);
  all.server("SUBACK with QoS 3", v311, "90 03 00 0A 03", kProtocol);
  all.server("SUBACK with a failure", v31, "90 03 00 0A 80", kProtocol);
  all.server("UNSUBACK without codes", v5, "B0 03 00 0A 00", kProtocol);
  all.always("UNSUBACK with packet id 0", 0xB0, "00 00 *", kMalformed, Sender::server);
}

void addConnacks(Collection& all) {
  all.server("CONNACK with reserved flags", v5, "20 03 02 00 00", kMalformed);
  all.server("CONNACK with reserved flags", v311, "20 02 80 00", kMalformed);
  all.server("CONNACK that refuses but has a session", v5, "20 03 01 87 00", kProtocol);
  all.server("CONNACK that refuses but has a session", v311, "20 02 01 05", kProtocol);
  all.server("CONNACK without properties", v5, "20 02 00 00", kMalformed);
  for (const auto version : {v31, v311}) {
    all.server("CONNACK with a reserved code", version, "20 02 00 06", kProtocol);
    all.server("CONNACK without a code", version, "20 01 00", kMalformed);
  }
}

void addReasonCodes(Collection& all) {
  for (const LegalCodes& legal : legalCodes()) {
    for (unsigned code = 0; code < 0x100; ++code) {
      if (legal.codes.find(static_cast<char>(code)) != std::string::npos) continue;
      all.add(std::string{mqtt::toString(legal.type)} + " with code " + std::to_string(code), v5,
              legal.sender, packetWithCode(legal.type, static_cast<std::uint8_t>(code)), kProtocol);
    }
  }
  all.client("AUTH with a flag [v5:3.15.1-1]", v5, "F1 08 18 06 15 00 03 'm-1'", kMalformed);
  all.client("AUTH with the success that a server says [v5:3.15.2-1]", v5,
             "F0 08 00 06 15 00 03 'm-1'", kProtocol);
  all.client("AUTH without a method", v5, "F0 02 18 00", kProtocol);
  all.client("AUTH with nothing", v5, "F0 00", kProtocol);
  all.client("AUTH with a code alone", v5, "F0 01 18", kProtocol);
}

void addProperties(Collection& all) {
  for (const Surroundings& around : surroundings()) {
    const auto add = [&all, &around](const std::string& name, const std::string& section,
                                     ReasonCode reason) {
      all.add(around.name + " with " + name, v5, around.sender, packetWith(around, section),
              reason);
    };
    for (unsigned id = 0; id < 0x100; ++id) {
      bool known = false;
      for (const PropertySample& sample : propertySamples())
        known |= static_cast<unsigned>(sample.id) == id;
      if (!known)
        add("unknown property " + std::to_string(id),
            std::string(1, static_cast<char>(id)) + hex("00 00 00 00"), kMalformed);
    }
    add("a property id of two bytes", hex("A6 00 00 01 'k' 00 01 'v'"), kMalformed);
    for (const PropertySample& sample : propertySamples()) {
      if (!isLegalIn(sample, around.place)) {
        add("misplaced " + sample.name, sample.bytes, kMalformed);
        continue;
      }
      for (std::size_t size = 1; size < sample.bytes.size(); ++size) {
        // A prefix of a variable byte integer or of nothing else is complete in itself.
        add(sample.name + " cut to " + std::to_string(size), sample.bytes.substr(0, size),
            kMalformed);
      }
      if (!isFromThisSide(sample, around)) {
        add(sample.name + " from the wrong side", sample.bytes, kProtocol);
        continue;
      }
      const bool repeatable = sample.id == PropertyId::userProperty ||
                              (sample.id == PropertyId::subscriptionIdentifier &&
                               around.place == PropertyPlace::publish);
      if (!repeatable) add(sample.name + " twice", sample.bytes + sample.bytes, kProtocol);
      for (const std::string& value : sample.outOfRange) {
        add(sample.name + " out of range: " + toHex(value), value, sample.outOfRangeReason);
      }
    }
    // The section's own length.
    if (around.section.empty()) {
      all.add(around.name + " with a padded property length [v5:1.5.5-1]", v5, around.sender,
              frame(around.firstByte, around.before + hex("80 00") + around.behind), kMalformed);
      all.add(around.name + " with a property length of five bytes", v5, around.sender,
              frame(around.firstByte, around.before + hex("80 80 80 80 00") + around.behind),
              kMalformed);
      all.add(around.name + " with properties that run over the end", v5, around.sender,
              frame(around.firstByte, around.before + hex("7F") + around.behind), kMalformed);
    }
  }
  all.client("SUBSCRIBE with an identifier of five bytes", v5,
             "82 0D 00 0A 06 0B 80 80 80 80 01 00 01 'a' 00", kMalformed);
  all.client("SUBSCRIBE with a padded identifier", v5, "82 0A 00 0A 03 0B 81 00 00 01 'a' 00",
             kMalformed);
}

}  // namespace

const std::vector<BadPacket>& badPackets() {
  static const std::vector<BadPacket> packets = [] {
    Collection all;
    addFixedHeaders(all);
    addConnects(all);
    addConnacks(all);
    addPublishes(all);
    addSubscriptions(all);
    addReasonCodes(all);
    addProperties(all);
    return all.take();
  }();
  return packets;
}

}  // namespace mqttstack::test
