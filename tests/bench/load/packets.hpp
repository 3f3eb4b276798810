#pragma once

#include <cstddef>
#include <cstdint>
#include <span>
#include <string>
#include <string_view>
#include <vector>

/// The little of MQTT that a load generator writes. It has a codec of its own: the broker's would
/// not notice its own mistakes, and does more than is needed here.
namespace mqttstack::load {

enum class Version : std::uint8_t { v311 = 4, v5 = 5 };

enum class PacketType : std::uint8_t {
  connect = 1,
  connack = 2,
  publish = 3,
  puback = 4,
  pubrec = 5,
  pubrel = 6,
  pubcomp = 7,
  subscribe = 8,
  suback = 9,
  unsubscribe = 10,
  unsuback = 11,
  pingreq = 12,
  pingresp = 13,
  disconnect = 14,
};

/// How a client introduces itself.
struct Login {
  std::string clientId{};
  bool persistent = false;  ///< keep the session that is there, and leave it behind for an hour
  std::uint16_t keepAlive = 0;
};

/// Packets are appended to what `out` holds.
void appendConnect(std::string& out, Version version, const Login& login);
void appendSubscribe(std::string& out, Version version, std::uint16_t packetId,
                     std::span<const std::string> filters, unsigned qos);
void appendUnsubscribe(std::string& out, Version version, std::uint16_t packetId,
                       std::span<const std::string> filters);
/// PUBACK, PUBREC, PUBREL or PUBCOMP.
void appendAnswer(std::string& out, PacketType type, std::uint16_t packetId);
void appendPing(std::string& out);
void appendDisconnect(std::string& out);

/// What the first 16 bytes of each payload say. Both ends are this process: the machine's own
/// representation will do.
struct Stamp {
  std::uint64_t time = 0;  ///< when it was sent or, at a fixed rate, due; nanoseconds
  std::uint32_t publisher = 0;
  std::uint32_t sequence = 0;  ///< from 1
};
static_assert(sizeof(Stamp) == 16);

/// Where a topic contains this, each message gets a number of its own in its place.
inline constexpr std::string_view kNumberPlace = "0000000";

/// What the messages of a publisher have in common.
struct PublishForm {
  std::string topic{};
  unsigned qos = 0;
  bool retain = false;
  std::size_t payload = 64;  ///< bytes; sizeof(Stamp) at least
};

/// Ready-made copies of one PUBLISH, one behind the other. To send some is to stamp them and to
/// write a piece of memory.
class PublishBatch {
public:
  /// As many copies as asked for, or as fit into kMaxBytes, but one at least.
  PublishBatch(Version version, const PublishForm& form, std::size_t copies);

  std::size_t copies() const noexcept { return copies_; }
  /// The first `count` packets. Valid as long as the batch.
  std::string_view packets(std::size_t count) const noexcept {
    return {bytes_.data(), count * stride_};
  }

  /// Makes the copy number `index` a message of its own. `number` is what its topic gets in
  /// kNumberPlace, if it contains that.
  void stamp(std::size_t index, std::uint16_t packetId, const Stamp& stamp,
             std::uint32_t number = 0) noexcept;

private:
  static constexpr std::size_t kMaxBytes = 256 * 1024;

  std::vector<char> bytes_;
  std::size_t copies_;
  std::size_t stride_;
  std::size_t packetIdAt_;  // 0: has none
  std::size_t payloadAt_;
  std::size_t numberAt_;  // 0: has none
};

}  // namespace mqttstack::load
