#pragma once

#include <cstdint>
#include <iosfwd>
#include <optional>
#include <string>
#include <string_view>
#include <utility>
#include <vector>

/// Packets as the scenario tests write and read them: byte by byte, sharing no code with the codec
/// under test, so that a mistake in the codec can't hide itself. Builders also build what is not
/// allowed; readers throw `std::runtime_error` on anything they can't parse to its last byte.
namespace mqttstack {

/// A run of bytes. `std::string`, since its literals and operators are what tests need.
using Bytes = std::string;

/// "10 0D 00" -> three bytes. Blanks are skipped; anything else that isn't a digit throws.
[[nodiscard]] Bytes hex(std::string_view digits);

/// The reverse of `hex`, cut after 64 bytes: for messages.
[[nodiscard]] std::string toHex(std::string_view bytes);

enum class Version : std::uint8_t { v31 = 3, v311 = 4, v5 = 5 };

std::ostream& operator<<(std::ostream& out, Version version);

/// The property identifiers of MQTT 5.0.
enum class PropertyId : std::uint8_t {
  payloadFormat = 0x01,
  messageExpiry = 0x02,
  contentType = 0x03,
  responseTopic = 0x08,
  correlationData = 0x09,
  subscriptionId = 0x0B,
  sessionExpiry = 0x11,
  assignedClientId = 0x12,
  serverKeepAlive = 0x13,
  authMethod = 0x15,
  authData = 0x16,
  requestProblem = 0x17,
  willDelay = 0x18,
  requestResponse = 0x19,
  responseInfo = 0x1A,
  serverReference = 0x1C,
  reasonString = 0x1F,
  receiveMaximum = 0x21,
  topicAliasMaximum = 0x22,
  topicAlias = 0x23,
  maximumQos = 0x24,
  retainAvailable = 0x25,
  user = 0x26,
  maximumPacketSize = 0x27,
  wildcardAvailable = 0x28,
  subscriptionIdAvailable = 0x29,
  sharedAvailable = 0x2A,
};

/// One property: its identifier and its value as it stands on the wire.
struct Property {
  PropertyId id{};
  Bytes value{};
  bool operator==(const Property&) const = default;
};
using Properties = std::vector<Property>;

[[nodiscard]] Property property(PropertyId id, std::uint32_t number);
[[nodiscard]] Property property(PropertyId id, std::string_view text);
[[nodiscard]] Property userProperty(std::string_view name, std::string_view value);

/// The value of the first property `id` as a number; nothing if there is none.
[[nodiscard]] std::optional<std::uint32_t> numberOf(const Properties& properties, PropertyId id);
[[nodiscard]] std::optional<std::string> textOf(const Properties& properties, PropertyId id);

// Pieces of a packet.
[[nodiscard]] Bytes u8(unsigned value);
[[nodiscard]] Bytes u16(unsigned value);
[[nodiscard]] Bytes u32(std::uint32_t value);
[[nodiscard]] Bytes varint(std::uint32_t value);
/// A two-byte length and the bytes themselves: strings and binary data.
[[nodiscard]] Bytes field(std::string_view value);
/// A property length and the properties; nothing before MQTT 5.
[[nodiscard]] Bytes section(Version version, const Properties& properties);
/// First byte, remaining length, body.
[[nodiscard]] Bytes packet(unsigned firstByte, std::string_view body);

struct Will {
  std::string topic{};
  Bytes payload{};
  unsigned qos = 0;
  bool retain = false;
  Properties properties{};
};

struct Connect {
  std::string clientId = "client";
  bool clean = true;
  unsigned keepAlive = 60;
  std::optional<Will> will{};
  std::optional<std::string> userName{};
  std::optional<Bytes> password{};
  Properties properties{};
};

/// A PUBLISH, to send, to expect, or as received. `id` 0 in an expectation stands for any.
struct Publish {
  std::string topic{};
  Bytes payload{};
  unsigned qos = 0;
  unsigned id = 0;
  bool retain = false;
  bool dup = false;
  Properties properties{};
};

struct Filter {
  std::string text{};
  /// The options byte: the QoS, and from MQTT 5 on also the flags below.
  unsigned options = 0;
};
constexpr unsigned kNoLocal = 0x04;
constexpr unsigned kRetainAsPublished = 0x08;
constexpr unsigned kSendRetainedIfNew = 0x10;
constexpr unsigned kSendNoRetained = 0x20;

[[nodiscard]] Bytes connectPacket(Version version, const Connect& connect);
[[nodiscard]] Bytes publishPacket(Version version, const Publish& publish);
[[nodiscard]] Bytes subscribePacket(Version version, unsigned id,
                                    const std::vector<Filter>& filters,
                                    const Properties& properties = {});
[[nodiscard]] Bytes unsubscribePacket(Version version, unsigned id,
                                      const std::vector<std::string>& filters);
[[nodiscard]] Bytes pubackPacket(unsigned id);
[[nodiscard]] Bytes pubrecPacket(unsigned id);
[[nodiscard]] Bytes pubrelPacket(unsigned id);
[[nodiscard]] Bytes pubcompPacket(unsigned id);
[[nodiscard]] Bytes disconnectPacket(Version version, unsigned reason = 0,
                                     const Properties& properties = {});
[[nodiscard]] Bytes pingreqPacket();
[[nodiscard]] Bytes pingrespPacket();

struct Connack {
  bool sessionPresent = false;
  unsigned code = 0;
  Properties properties{};
};

/// PUBACK, PUBREC, PUBREL, PUBCOMP.
struct Ack {
  unsigned firstByte = 0;
  unsigned id = 0;
  unsigned reason = 0;
  Properties properties{};
};

/// SUBACK and UNSUBACK.
struct CodeList {
  unsigned id = 0;
  std::vector<unsigned> codes{};
  Properties properties{};
};

[[nodiscard]] Connack readConnack(Version version, std::string_view packet);
[[nodiscard]] Publish readPublish(Version version, std::string_view packet);
[[nodiscard]] Ack readAck(Version version, std::string_view packet);
[[nodiscard]] CodeList readSuback(Version version, std::string_view packet);
[[nodiscard]] CodeList readUnsuback(Version version, std::string_view packet);
[[nodiscard]] unsigned readDisconnect(Version version, std::string_view packet);

}  // namespace mqttstack
