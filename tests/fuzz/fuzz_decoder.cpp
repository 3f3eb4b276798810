#include <cstdint>
#include <string>
#include <string_view>

#include "core/mqtt/decoder.hpp"
#include "core/mqtt/encoder.hpp"
#include "core/mqtt/text.hpp"
#include "core/mqtt/topic.hpp"
#include "core/mqtt/utf8.hpp"
#include "tests/fuzz/check.hpp"

// The first byte chooses version and sender, the rest is the packet. What is decoded is encoded,
// decoded and encoded again: both encodings are the same, and the first is no longer than the
// packet was, but for a property length of ours behind a reason code.

using namespace mqttstack;
using fuzz::check;
using mqtt::ProtocolVersion;

namespace {

std::string encoded(const mqtt::Packet& packet, ProtocolVersion version) {
  std::string bytes(mqtt::encodedSize(packet, version), '\0');
  const char* end = mqtt::encode(packet, version, bytes.data());
  check(end == bytes.data() + bytes.size(), "encode writes encodedSize bytes");
  return bytes;
}

void readProperties(mqtt::Properties properties) {
  std::size_t size = 0;
  for (auto it = properties.begin(); it != properties.end(); ++it) size += it.encoded().size();
  check(size == properties.encoded().size(), "the properties make up the section");
}

void readFurther(const mqtt::Connect& packet) {
  check(mqtt::isValidUtf8(packet.clientId), "a client id is valid");
  readProperties(packet.properties);
  if (!packet.will) return;
  check(mqtt::isValidUtf8(packet.will->topic) && mqtt::isValidTopicName(packet.will->topic),
        "a will topic is valid");
  readProperties(packet.will->properties);
}

void readFurther(const mqtt::Publish& packet) {
  check(packet.topic.empty() || mqtt::isValidTopicName(packet.topic), "a topic is valid");
  check(mqtt::isValidUtf8(packet.topic), "a topic is UTF-8");
  check((packet.packetId != 0) == (packet.qos != mqtt::Qos::atMostOnce), "QoS decides on the id");
  readProperties(packet.properties);
}

void readFurther(const mqtt::Subscribe& packet) {
  check(packet.packetId != 0, "there is an id");
  check(packet.entries.count() > 0, "there is an entry");
  for (mqtt::SubscribeEntries entries = packet.entries; !entries.empty();) {
    const mqtt::SubscribeEntry entry = entries.takeFront();
    check(mqtt::isValidTopicFilter(entry.filter), "a filter is valid");
    check(entry.options.qos <= mqtt::Qos::exactlyOnce, "a QoS is legal");
  }
  readProperties(packet.properties);
}

void readFurther(const mqtt::Unsubscribe& packet) {
  check(packet.filters.count() > 0, "there is a filter");
  for (mqtt::UnsubscribeFilters filters = packet.filters; !filters.empty();) {
    check(mqtt::isValidTopicFilter(filters.takeFront()), "a filter is valid");
  }
  readProperties(packet.properties);
}

template <class P>
void readFurther(const P& packet) {
  if constexpr (requires { packet.properties; }) readProperties(packet.properties);
}

}  // namespace

extern "C" int LLVMFuzzerTestOneInput(const std::uint8_t* data, std::size_t size) {
  if (size == 0) return 0;
  constexpr ProtocolVersion kVersions[] = {ProtocolVersion::v5, ProtocolVersion::v311,
                                           ProtocolVersion::v31, ProtocolVersion::v5};
  const auto chosen = kVersions[data[0] & 3U];
  const auto sender = (data[0] & 4U) != 0 ? mqtt::Sender::server : mqtt::Sender::client;
  const std::string_view bytes{reinterpret_cast<const char*>(data) + 1, size - 1};

  (void)mqtt::versionOfConnect(bytes).has_value();
  (void)mqtt::versionForRefusal(bytes).has_value();
  check(mqtt::printable(bytes).size() <= 128, "what is printed is short");

  const auto first = mqtt::decode(bytes, chosen, sender);
  if (!first) {
    check(mqtt::isFailure(mqtt::reasonOf(first.error())), "a failure has a reason");
    return 0;
  }
  std::visit([](const auto& packet) { readFurther(packet); }, *first);
  const auto* connect = std::get_if<mqtt::Connect>(&*first);
  const ProtocolVersion version = connect != nullptr ? connect->version : chosen;

  const std::string once = encoded(*first, version);
  check(once.size() <= bytes.size() + 1, "our encoding is not longer");
  const auto second = mqtt::decode(once, version, sender);
  check(second.has_value(), "what was encoded is legal");
  check(second->index() == first->index(), "it is the same packet");
  check(encoded(*second, version) == once, "and stays the same");
  return 0;
}
