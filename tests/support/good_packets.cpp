#include <array>

#include "tests/support/packet_parts.hpp"
#include "tests/support/packets.hpp"

namespace mqttstack::test {
namespace {

using namespace std::string_view_literals;
using mqtt::Auth;
using mqtt::Connack;
using mqtt::Connect;
using mqtt::Disconnect;
using mqtt::Packet;
using mqtt::PacketType;
using mqtt::Pingreq;
using mqtt::Pingresp;
using mqtt::Properties;
using mqtt::PropertyPlace;
using mqtt::Puback;
using mqtt::Pubcomp;
using mqtt::Publish;
using mqtt::Pubrec;
using mqtt::Pubrel;
using mqtt::Qos;
using mqtt::ReasonCode;
using mqtt::Sender;
using mqtt::Suback;
using mqtt::Subscribe;
using mqtt::SubscribeEntries;
using mqtt::Unsuback;
using mqtt::Unsubscribe;
using mqtt::UnsubscribeFilters;

constexpr auto v31 = mqtt::ProtocolVersion::v31;
constexpr auto v311 = mqtt::ProtocolVersion::v311;
constexpr auto v5 = mqtt::ProtocolVersion::v5;
constexpr std::array kVersions{v31, v311, v5};

std::string_view kept(std::string_view text) { return keep(hex(text)); }
Properties properties(std::string_view text) { return Properties{kept(text)}; }

class Collection {
public:
  enum class Form : std::uint8_t { canonical, other };

  void add(std::string name, mqtt::ProtocolVersion version, Sender sender, std::string bytes,
           Packet packet, Form form = Form::canonical) {
    packets_.push_back({std::string{mqtt::toString(version)} + ": " + std::move(name), version,
                        sender, std::move(bytes), packet, form == Form::canonical});
  }
  void client(std::string name, mqtt::ProtocolVersion version, std::string_view text, Packet packet,
              Form form = Form::canonical) {
    add(std::move(name), version, Sender::client, hex(text), packet, form);
  }
  void server(std::string name, mqtt::ProtocolVersion version, std::string_view text, Packet packet,
              Form form = Form::canonical) {
    add(std::move(name), version, Sender::server, hex(text), packet, form);
  }

  std::vector<GoodPacket> take() { return std::move(packets_); }

private:
  std::vector<GoodPacket> packets_;
};
constexpr auto kOther = Collection::Form::other;

void addConnects(Collection& all) {
  const mqtt::Will will{
      .topic = "w/t", .payload = "gone"sv, .qos = Qos::exactlyOnce, .retain = true};
  for (const auto version : {v311, v31}) {
    const std::string start = version == v311 ? "00 04 'MQTT' 04" : "00 06 'MQIsdp' 03";
    const auto bytes = [&start](std::string_view rest) {
      return frame(0x10, hex(start + std::string{rest}));
    };
    const Connect plain{.version = version, .keepAlive = 60, .clientId = "a"};

    all.add("CONNECT", version, Sender::client, bytes("02 00 3C 00 01 'a'"), plain);
    Connect packet = plain;
    packet.cleanStart = false;
    packet.keepAlive = 65'535;
    all.add("CONNECT that keeps its session", version, Sender::client, bytes("00 FF FF 00 01 'a'"),
            packet);
    packet = plain;
    packet.clientId = "";
    all.add("CONNECT without a client id", version, Sender::client, bytes("02 00 3C 00 00"),
            packet);
    packet = plain;
    packet.userName = "user";
    all.add("CONNECT with a user name", version, Sender::client,
            bytes("82 00 3C 00 01 'a' 00 04 'user'"), packet);
    packet.userName = "";
    packet.password = "";
    all.add("CONNECT with empty credentials", version, Sender::client,
            bytes("C2 00 3C 00 01 'a' 00 00 00 00"), packet);
    packet.will = will;
    packet.userName = "\xC3\xBC"sv;
    packet.password = "\0\xFF"sv;
    all.add("CONNECT with everything", version, Sender::client,
            bytes("F6 00 3C 00 01 'a' 00 03 'w/t' 00 04 'gone' 00 02 C3 BC 00 02 00 FF"), packet);
    packet = plain;
    packet.will = mqtt::Will{.topic = "w", .payload = ""sv, .qos = Qos::atLeastOnce};
    all.add("CONNECT with an empty will", version, Sender::client,
            bytes("0E 00 3C 00 01 'a' 00 01 'w' 00 00"), packet);
  }

  const Connect plain31{.version = v31, .keepAlive = 60, .clientId = "a"};
  all.client("CONNECT with the unused flag", v31, "10 0F 00 06 'MQIsdp' 03 03 00 3C 00 01 'a'",
             plain31, kOther);
  all.client("CONNECT whose user name is missing", v31,
             "10 0F 00 06 'MQIsdp' 03 82 00 3C 00 01 'a'", plain31, kOther);
  all.client("CONNECT whose credentials are missing", v31,
             "10 0F 00 06 'MQIsdp' 03 C2 00 3C 00 01 'a'", plain31, kOther);
  Connect packet = plain31;
  packet.userName = "u";
  all.client("CONNECT whose password is missing", v31,
             "10 12 00 06 'MQIsdp' 03 C2 00 3C 00 01 'a' 00 01 'u'", packet, kOther);
  all.client("CONNECT with a padded length", v311, "10 8D 00 00 04 'MQTT' 04 02 00 3C 00 01 'a'",
             Connect{.version = v311, .keepAlive = 60, .clientId = "a"}, kOther);

  const Connect plain{.version = v5, .keepAlive = 60, .clientId = "a"};
  all.client("CONNECT", v5, "10 0E 00 04 'MQTT' 05 02 00 3C 00 00 01 'a'", plain);
  packet = plain;
  packet.clientId = "";
  packet.cleanStart = false;
  all.client("CONNECT without a client id", v5, "10 0D 00 04 'MQTT' 05 00 00 3C 00 00 00", packet);
  packet = plain;
  packet.password = "p";
  all.client("CONNECT with a password and no user name", v5,
             "10 11 00 04 'MQTT' 05 42 00 3C 00 00 01 'a' 00 01 'p'", packet);
  packet.userName = "u";
  packet.will = will;
  packet.properties = properties("11 00 00 00 0A 21 00 14");
  packet.will->properties = properties("18 00 00 00 05 01 01");
  all.client("CONNECT with everything", v5,
             "10 2F 00 04 'MQTT' 05 F6 00 3C 08 11 00 00 00 0A 21 00 14 00 01 'a'"
             "07 18 00 00 00 05 01 01 00 03 'w/t' 00 04 'gone' 00 01 'u' 00 01 'p'",
             packet);
  packet = plain;
  packet.properties = properties("15 00 01 'm' 16 00 01 'd'");
  all.client("CONNECT that authenticates", v5,
             "10 16 00 04 'MQTT' 05 02 00 3C 08 15 00 01 'm' 16 00 01 'd' 00 01 'a'", packet);
}

void addConnacks(Collection& all) {
  const std::array refusals{ReasonCode::unsupportedProtocolVersion,
                            ReasonCode::clientIdentifierNotValid, ReasonCode::serverUnavailable,
                            ReasonCode::badUserNameOrPassword, ReasonCode::notAuthorized};
  for (const auto version : {v31, v311}) {
    all.server("CONNACK", version, "20 02 00 00", Connack{});
    for (std::size_t i = 0; i < refusals.size(); ++i) {
      std::string bytes = hex("20 02 00");
      bytes.push_back(static_cast<char>(i + 1));
      all.add("CONNACK that refuses", version, Sender::server, bytes, Connack{.code = refusals[i]});
    }
  }
  all.server("CONNACK with a session", v311, "20 02 01 00", Connack{.sessionPresent = true});
  all.server("CONNACK with the reserved byte", v31, "20 02 01 00", Connack{}, kOther);
  all.server("CONNACK", v5, "20 03 00 00 00", Connack{});
  all.server("CONNACK with a session", v5, "20 06 01 00 03 21 00 0A",
             Connack{.sessionPresent = true, .properties = properties("21 00 0A")});
}

void addPublishes(Collection& all) {
  const Publish plain{.topic = "a/b", .payload = "x"sv};
  const std::string_view large = keep(std::string(20'000, 'x'));
  for (const auto version : kVersions) {
    const std::string section = version == v5 ? "00" : "";
    const auto bytes = [&](unsigned first, std::string_view head, std::string_view payload) {
      return frame(first, hex(head) + hex(section) + std::string{payload});
    };
    for (const Sender sender : {Sender::client, Sender::server}) {
      all.add("PUBLISH QoS 0", version, sender, bytes(0x30, "00 03 'a/b'", "x"), plain);
      Publish packet = plain;
      packet.retain = true;
      packet.payload = ""sv;
      all.add("PUBLISH that removes what is retained", version, sender,
              bytes(0x31, "00 03 'a/b'", ""), packet);
      packet = plain;
      packet.qos = Qos::atLeastOnce;
      packet.packetId = 10;
      all.add("PUBLISH QoS 1", version, sender, bytes(0x32, "00 03 'a/b' 00 0A", "x"), packet);
      packet.dup = true;
      packet.packetId = 65'535;
      all.add("PUBLISH QoS 1 again", version, sender, bytes(0x3A, "00 03 'a/b' FF FF", "x"),
              packet);
      packet.qos = Qos::exactlyOnce;
      packet.packetId = 256;
      packet.retain = true;
      all.add("PUBLISH QoS 2 again, to be retained", version, sender,
              bytes(0x3D, "00 03 'a/b' 01 00", "x"), packet);
    }
    Publish packet = plain;
    packet.payload = large;
    all.add("PUBLISH of many bytes", version, Sender::client, bytes(0x30, "00 03 'a/b'", large),
            packet);
    packet.payload = large.substr(0, 123);
    all.add("PUBLISH around the length of one byte", version, Sender::client,
            bytes(0x30, "00 03 'a/b'", packet.payload), packet);
    packet = plain;
    packet.topic = "/\xEF\xBB\xBF\xE4\xB8\xAD/A\xF0\xAA\x9B\x94/";
    all.add("PUBLISH to a topic in many scripts [v5:1.5.4-3]", version, Sender::client,
            bytes(0x30, "00 0E '/' EF BB BF E4 B8 AD '/A' F0 AA 9B 94 '/'", "x"), packet);
  }
  all.client("PUBLISH with a padded length", v311, "30 86 80 00 00 03 'a/b' 'x'", plain, kOther);
  Publish packet = plain;
  packet.topic = "";
  packet.properties = properties("23 00 07");
  all.client("PUBLISH by alias", v5, "30 07 00 00 03 23 00 07 'x'", packet);
  packet.topic = "t";
  packet.properties = properties("0B 07 26 00 01 'k' 00 01 'v' 0B 07 26 00 01 'k' 00 01 'v'");
  all.server("PUBLISH for two subscriptions", v5,
             "30 17 00 01 't' 12 0B 07 26 00 01 'k' 00 01 'v' 0B 07 26 00 01 'k' 00 01 'v' 'x'",
             packet);
}

template <class P>
void addResponse(Collection& all, unsigned first, ReasonCode code) {
  const std::string name{mqtt::toString(P::kType)};
  const std::string plain = frame(first, hex("00 0A"));
  const std::string codeByte(1, static_cast<char>(code));
  for (const auto sender : {Sender::client, Sender::server}) {
    for (const auto version : kVersions) {
      all.add(name, version, sender, plain, P{.packetId = 10});
    }
    const P failed{.packetId = 10, .code = code};
    all.add(name + " with a code", v5, sender, frame(first, hex("00 0A") + codeByte + hex("00")),
            failed);
    all.add(name + " with a code alone", v5, sender, frame(first, hex("00 0A") + codeByte), failed,
            kOther);
    all.add(name + " with success spelt out", v5, sender, frame(first, hex("00 0A 00")),
            P{.packetId = 10}, kOther);
    all.add(name + " with all spelt out", v5, sender, frame(first, hex("00 0A 00 00")),
            P{.packetId = 10}, kOther);
    all.add(name + " with a property", v5, sender, frame(first, hex("00 0A 00 04 1F 00 01 'r'")),
            P{.packetId = 10, .properties = properties("1F 00 01 'r'")});
  }
}

void addSubscriptions(Collection& all) {
  const std::string_view two = kept("00 03 'a/b' 01 00 03 'c/d' 02");
  const Subscribe subscribe{.packetId = 10, .entries = SubscribeEntries{two}};
  const std::string_view filters = kept("00 03 'a/b' 00 02 '/#'");
  const Unsubscribe unsubscribe{.packetId = 10, .filters = UnsubscribeFilters{filters}};
  for (const auto version : {v31, v311}) {
    all.client("SUBSCRIBE", version, "82 0E 00 0A 00 03 'a/b' 01 00 03 'c/d' 02", subscribe);
    all.client("UNSUBSCRIBE", version, "A2 0B 00 0A 00 03 'a/b' 00 02 '/#'", unsubscribe);
    all.server("SUBACK", version, "90 05 00 0A 00 01 02",
               Suback{.packetId = 10, .codes = kept("00 01 02")});
    all.server("UNSUBACK", version, "B0 02 00 0A", Unsuback{.packetId = 10});
  }
  all.server("SUBACK that refuses", v311, "90 03 00 0A 80",
             Suback{.packetId = 10, .codes = kept("80")});
  for (const char* first : {"8A", "83", "8B"}) {
    all.client("SUBSCRIBE sent again", v31,
               std::string{first} + "0E 00 0A 00 03 'a/b' 01 00 03 'c/d' 02", subscribe, kOther);
  }
  all.client("UNSUBSCRIBE sent again", v31, "AA 0B 00 0A 00 03 'a/b' 00 02 '/#'", unsubscribe,
             kOther);
  all.client("PUBREL sent again", v31, "6A 02 00 0A", Pubrel{.packetId = 10}, kOther);

  Subscribe withId = subscribe;
  withId.properties = properties("0B 07");
  all.client("SUBSCRIBE with an identifier", v5,
             "82 11 00 0A 02 0B 07 00 03 'a/b' 01 00 03 'c/d' 02", withId);
  all.client("SUBSCRIBE with all options", v5, "82 0B 00 0A 00 00 05 '+/a/#' 2E",
             Subscribe{.packetId = 10, .entries = SubscribeEntries{kept("00 05 '+/a/#' 2E")}});
  all.client(
      "SUBSCRIBE to a share", v5, "82 13 00 0A 00 00 0D '$share/g//+/#' 1A",
      Subscribe{.packetId = 10, .entries = SubscribeEntries{kept("00 0D '$share/g//+/#' 1A")}});
  all.client("UNSUBSCRIBE", v5, "A2 0C 00 0A 00 00 03 'a/b' 00 02 '/#'", unsubscribe);
  all.server("SUBACK", v5, "90 05 00 0A 00 01 02", Suback{.packetId = 10, .codes = kept("01 02")});
  all.server("UNSUBACK", v5, "B0 05 00 0A 00 00 11",
             Unsuback{.packetId = 10, .codes = kept("00 11")});
}

void addOthers(Collection& all) {
  for (const auto version : kVersions) {
    all.client("PINGREQ", version, "C0 00", Pingreq{});
    all.server("PINGRESP", version, "D0 00", Pingresp{});
    all.client("DISCONNECT", version, "E0 00", Disconnect{});
  }
  all.client("PINGREQ with a padded length", v311, "C0 80 80 00", Pingreq{}, kOther);
  all.client("DISCONNECT with a code alone", v5, "E0 01 04",
             Disconnect{.code = ReasonCode::disconnectWithWill}, kOther);
  all.client("DISCONNECT with success spelt out", v5, "E0 02 00 00", Disconnect{}, kOther);
  all.server("DISCONNECT", v5, "E0 00", Disconnect{});
  all.server("DISCONNECT with a code alone", v5, "E0 01 8E",
             Disconnect{.code = ReasonCode::sessionTakenOver}, kOther);
  all.server("DISCONNECT with a code", v5, "E0 02 8E 00",
             Disconnect{.code = ReasonCode::sessionTakenOver});
  all.client("AUTH", v5, "F0 0A 18 08 15 00 01 'm' 16 00 01 'd'",
             Auth{.code = ReasonCode::continueAuthentication,
                  .properties = properties("15 00 01 'm' 16 00 01 'd'")});
  all.server("AUTH that is content", v5, "F0 06 00 04 15 00 01 'm'",
             Auth{.code = ReasonCode::success, .properties = properties("15 00 01 'm'")});
}

/// What `around` decodes to if it has these properties.
Packet packetOf(const Surroundings& around, Properties properties) {
  switch (around.place) {
    case PropertyPlace::connect:
      return Connect{.version = v5, .keepAlive = 60, .clientId = "a", .properties = properties};
    case PropertyPlace::will:
      return Connect{.version = v5,
                     .keepAlive = 60,
                     .clientId = "a",
                     .will = mqtt::Will{.topic = "w", .payload = ""sv, .properties = properties}};
    case PropertyPlace::connack:
      return Connack{.properties = properties};
    case PropertyPlace::publish:
      if (around.sender == Sender::server)
        return Publish{.topic = "a/b", .payload = "x"sv, .properties = properties};
      return Publish{.topic = "a/b",
                     .payload = "x"sv,
                     .properties = properties,
                     .packetId = 10,
                     .qos = Qos::atLeastOnce};
    case PropertyPlace::puback:
      return Puback{
          .packetId = 10, .code = ReasonCode::noMatchingSubscribers, .properties = properties};
    case PropertyPlace::pubrec:
      return Pubrec{.packetId = 10, .properties = properties};
    case PropertyPlace::pubrel:
      return Pubrel{
          .packetId = 10, .code = ReasonCode::packetIdentifierNotFound, .properties = properties};
    case PropertyPlace::pubcomp:
      return Pubcomp{
          .packetId = 10, .code = ReasonCode::packetIdentifierNotFound, .properties = properties};
    case PropertyPlace::subscribe:
      return Subscribe{.packetId = 10,
                       .entries = SubscribeEntries{kept("00 03 'a/b' 01")},
                       .properties = properties};
    case PropertyPlace::suback:
      return Suback{.packetId = 10, .codes = kept("01"), .properties = properties};
    case PropertyPlace::unsubscribe:
      return Unsubscribe{.packetId = 10,
                         .filters = UnsubscribeFilters{kept("00 03 'a/b'")},
                         .properties = properties};
    case PropertyPlace::unsuback:
      return Unsuback{.packetId = 10, .codes = kept("00"), .properties = properties};
    case PropertyPlace::disconnect:
      return Disconnect{.code = around.sender == Sender::client ? ReasonCode::disconnectWithWill
                                                                : ReasonCode::sessionTakenOver,
                        .properties = properties};
    case PropertyPlace::auth:
      return Auth{.code = ReasonCode::continueAuthentication, .properties = properties};
  }
  return Pingreq{};
}

void addProperties(Collection& all) {
  for (const Surroundings& around : surroundings()) {
    const auto add = [&all, &around](const std::string& name, const std::string& section) {
      all.add(around.name + " with " + name, v5, around.sender, packetWith(around, section),
              packetOf(around, Properties{keep(around.section + section)}));
    };
    std::string together;
    for (const PropertySample& sample : propertySamples()) {
      if (!isLegalIn(sample, around.place) || !isFromThisSide(sample, around)) continue;
      if (around.section.find(sample.bytes) != std::string::npos) continue;
      together += sample.bytes;
      if (sample.id == mqtt::PropertyId::authenticationData) continue;  // not without a method
      add(sample.name, sample.bytes);
      if (!sample.repeatableIn.empty() && around.place != PropertyPlace::subscribe) {
        add(sample.name + " twice", sample.bytes + sample.bytes);
      }
    }
    add("all its properties", together);
  }
}

void addReasonCodes(Collection& all) {
  const auto packet = [](PacketType type, ReasonCode code) -> Packet {
    switch (type) {
      case PacketType::connack:
        return Connack{.code = code};
      case PacketType::puback:
        return Puback{.packetId = 10, .code = code};
      case PacketType::pubrec:
        return Pubrec{.packetId = 10, .code = code};
      case PacketType::pubrel:
        return Pubrel{.packetId = 10, .code = code};
      case PacketType::pubcomp:
        return Pubcomp{.packetId = 10, .code = code};
      case PacketType::suback:
        return Suback{.packetId = 10, .codes = keep(std::string(1, static_cast<char>(code)))};
      case PacketType::unsuback:
        return Unsuback{.packetId = 10, .codes = keep(std::string(1, static_cast<char>(code)))};
      case PacketType::disconnect:
        return Disconnect{.code = code};
      default:
        return Auth{.code = code, .properties = properties("15 00 01 'm'")};
    }
  };
  const auto mayBeShort = [](PacketType type) {
    return (PacketType::puback | PacketType::pubrec | PacketType::pubrel | PacketType::pubcomp |
            PacketType::disconnect)
        .contains(type);
  };
  for (const LegalCodes& legal : legalCodes()) {
    for (const char byte : legal.codes) {
      const auto code = static_cast<ReasonCode>(byte);
      const Packet one = packet(legal.type, code);
      all.add(std::string{mqtt::toString(legal.type)} + " with " + toHex({&byte, 1}), v5,
              legal.sender, packetWithCode(legal.type, static_cast<std::uint8_t>(byte)), one,
              code == ReasonCode::success && mayBeShort(legal.type) ? kOther
                                                                    : Collection::Form::canonical);
    }
  }
}

}  // namespace

const std::vector<GoodPacket>& goodPackets() {
  static const std::vector<GoodPacket> packets = [] {
    Collection all;
    addConnects(all);
    addConnacks(all);
    addPublishes(all);
    addResponse<Puback>(all, 0x40, ReasonCode::noMatchingSubscribers);
    addResponse<Pubrec>(all, 0x50, ReasonCode::quotaExceeded);
    addResponse<Pubrel>(all, 0x62, ReasonCode::packetIdentifierNotFound);
    addResponse<Pubcomp>(all, 0x70, ReasonCode::packetIdentifierNotFound);
    addSubscriptions(all);
    addOthers(all);
    addProperties(all);
    addReasonCodes(all);
    return all.take();
  }();
  return packets;
}

}  // namespace mqttstack::test
