#pragma once

#include <cstddef>
#include <cstdint>
#include <optional>
#include <string_view>
#include <variant>

#include "core/mqtt/properties.hpp"
#include "core/mqtt/protocol.hpp"
#include "core/mqtt/reason_code.hpp"

/// The fifteen packets, one struct each for all protocol versions: what a
/// version lacks keeps its default. Strings are views; a decoded packet is
/// valid as long as the bytes it was decoded from.
namespace mqttstack::mqtt {

/// What a client asks to be published when it vanishes. [v5:3.1.3.2]
struct Will {
  std::string_view topic{};
  std::string_view payload{};
  Qos qos = Qos::atMostOnce;
  bool retain = false;
  Properties properties{};
};

struct Connect {
  static constexpr PacketType kType = PacketType::connect;
  ProtocolVersion version = ProtocolVersion::v311;
  bool cleanStart = true;  ///< Clean Session in 3.1 and 3.1.1
  std::uint16_t keepAlive = 0;
  std::string_view clientId{};
  std::optional<Will> will{};
  std::optional<std::string_view> userName{};
  std::optional<std::string_view> password{};
  Properties properties{};
};

struct Connack {
  static constexpr PacketType kType = PacketType::connack;
  bool sessionPresent = false;
  ReasonCode code = ReasonCode::success;  ///< encoded as toConnackReturnCode() for 3.x
  Properties properties{};
};

struct Publish {
  static constexpr PacketType kType = PacketType::publish;
  std::string_view topic{};
  std::string_view payload{};
  Properties properties{};
  std::uint16_t packetId = 0;  ///< 0 for QoS 0
  Qos qos = Qos::atMostOnce;
  bool dup = false;
  bool retain = false;
};

/// PUBACK, PUBREC, PUBREL and PUBCOMP have the same shape.
template <PacketType Type>
struct PublishResponse {
  static constexpr PacketType kType = Type;
  std::uint16_t packetId = 0;
  ReasonCode code = ReasonCode::success;
  Properties properties{};
};
using Puback = PublishResponse<PacketType::puback>;
using Pubrec = PublishResponse<PacketType::pubrec>;
using Pubrel = PublishResponse<PacketType::pubrel>;
using Pubcomp = PublishResponse<PacketType::pubcomp>;

enum class RetainHandling : std::uint8_t { send = 0, sendIfNew = 1, doNotSend = 2 };

/// The options byte behind a topic filter; 3.x has only the QoS. [v5:3.8.3.1]
struct SubscriptionOptions {
  Qos qos = Qos::atMostOnce;
  bool noLocal = false;
  bool retainAsPublished = false;
  RetainHandling retainHandling = RetainHandling::send;

  /// As they stand on the wire; REQUIRES of the byte: no value that is reserved.
  static SubscriptionOptions fromByte(std::uint8_t byte) noexcept;
  std::uint8_t toByte() const noexcept;

  friend bool operator==(const SubscriptionOptions&, const SubscriptionOptions&) = default;
};

/// One filter of a SUBSCRIBE.
struct SubscribeEntry {
  std::string_view filter{};
  SubscriptionOptions options{};
};

/// The filters of a SUBSCRIBE, read one after the other from the packet's bytes
/// (validated when the packet was decoded).
class SubscribeEntries {
public:
  SubscribeEntries() = default;
  /// REQUIRES: `payload` is the validated payload of a SUBSCRIBE.
  explicit SubscribeEntries(std::string_view payload) : payload_{payload} {}

  /// Takes the next entry off the front; REQUIRES: !empty().
  SubscribeEntry takeFront() noexcept;
  bool empty() const noexcept { return payload_.empty(); }
  std::size_t count() const noexcept;
  std::string_view encoded() const noexcept { return payload_; }

private:
  std::string_view payload_;
};

struct Subscribe {
  static constexpr PacketType kType = PacketType::subscribe;
  std::uint16_t packetId = 0;
  SubscribeEntries entries{};
  Properties properties{};
};

/// The codes are one byte per filter, in the order of the filters.
struct Suback {
  static constexpr PacketType kType = PacketType::suback;
  std::uint16_t packetId = 0;
  std::string_view codes{};
  Properties properties{};
};

/// The filters of an UNSUBSCRIBE; see SubscribeEntries.
class UnsubscribeFilters {
public:
  UnsubscribeFilters() = default;
  explicit UnsubscribeFilters(std::string_view payload) : payload_{payload} {}

  std::string_view takeFront() noexcept;
  bool empty() const noexcept { return payload_.empty(); }
  std::size_t count() const noexcept;
  std::string_view encoded() const noexcept { return payload_; }

private:
  std::string_view payload_;
};

struct Unsubscribe {
  static constexpr PacketType kType = PacketType::unsubscribe;
  std::uint16_t packetId = 0;
  UnsubscribeFilters filters{};
  Properties properties{};
};

/// 3.x sends no codes; they are left out of the encoding.
struct Unsuback {
  static constexpr PacketType kType = PacketType::unsuback;
  std::uint16_t packetId = 0;
  std::string_view codes{};
  Properties properties{};
};

struct Pingreq {
  static constexpr PacketType kType = PacketType::pingreq;
};

struct Pingresp {
  static constexpr PacketType kType = PacketType::pingresp;
};

struct Disconnect {
  static constexpr PacketType kType = PacketType::disconnect;
  ReasonCode code = ReasonCode::success;
  Properties properties{};
};

struct Auth {
  static constexpr PacketType kType = PacketType::auth;
  ReasonCode code = ReasonCode::success;
  Properties properties{};
};

/// Any packet. The alternatives stand in the order of their type numbers, so
/// that index() + 1 is the type.
using Packet = std::variant<Connect, Connack, Publish, Puback, Pubrec, Pubrel, Pubcomp, Subscribe,
                            Suback, Unsubscribe, Unsuback, Pingreq, Pingresp, Disconnect, Auth>;

inline PacketType typeOf(const Packet& packet) noexcept {
  return static_cast<PacketType>(packet.index() + 1);
}

}  // namespace mqttstack::mqtt
