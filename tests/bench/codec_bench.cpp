#include <cstdlib>
#include <string>
#include <vector>

#include "core/mqtt/decoder.hpp"
#include "core/mqtt/encoder.hpp"
#include "core/mqtt/frame_reader.hpp"
#include "core/mqtt/topic.hpp"
#include "core/mqtt/utf8.hpp"
#include "tests/bench/measure.hpp"

/// Prints what the codec's hot paths take.
namespace {

using namespace mqttstack;
using bench::keep;
using bench::measure;
using mqtt::ProtocolVersion;

std::string encoded(const mqtt::Packet& packet, ProtocolVersion version) {
  std::string bytes(mqtt::encodedSize(packet, version), '\0');
  mqtt::encode(packet, version, bytes.data());
  return bytes;
}

void measureDecode(const char* name, const mqtt::Packet& packet, ProtocolVersion version) {
  std::string bytes = encoded(packet, version);
  std::string_view view = bytes;
  mqtt::Packet into;
  measure(name, [&] {
    keep(view);
    if (mqtt::decodeInto(into, view, version)) std::abort();
    keep(into);
  });
}

template <class P>
void measureEncode(const char* name, P packet, ProtocolVersion version) {
  std::vector<char> out(mqtt::encodedSize(packet, version));
  char* position = out.data();
  measure(name, [&] {
    keep(packet);
    keep(position);
    char* end = mqtt::encode(packet, version, position);
    keep(end);
  });
}

}  // namespace

int main() {
  using mqtt::Qos;
  constexpr auto v311 = ProtocolVersion::v311;
  constexpr auto v5 = ProtocolVersion::v5;

  const std::string topic = "site/7/building/3/sensors/temp";  // 30 bytes
  const std::string chinese =
      "\xE4\xB8\xAD\xE6\x96\x87/\xE4\xB8\xAD\xE6\x96\x87/\xE4\xB8\xAD\xE6\x96\x87/"
      "\xE4\xB8\xAD\xE6\x96\x87/x";
  const std::string payload(64, 'x');
  const mqtt::Publish qos0{.topic = topic, .payload = payload};
  const mqtt::Publish qos1{
      .topic = topic, .payload = payload, .packetId = 7, .qos = Qos::atLeastOnce};
  mqtt::PropertyWriter writer;
  writer.add(mqtt::PropertyId::messageExpiryInterval, 60)
      .add(mqtt::PropertyId::contentType, "application/json")
      .addUserProperty("trace", "0123456789abcdef");
  const mqtt::Publish rich{.topic = topic,
                           .payload = payload,
                           .properties = writer.properties(),
                           .packetId = 7,
                           .qos = Qos::atLeastOnce};
  std::string entries;
  mqtt::appendEntry(entries, {"site/+/building/#", {.qos = Qos::atLeastOnce}});
  const mqtt::Subscribe subscribe{.packetId = 7, .entries = mqtt::SubscribeEntries{entries}};
  const mqtt::Connect connect{.version = v5,
                              .keepAlive = 60,
                              .clientId = "sensor-0123456789",
                              .userName = "user",
                              .password = "password"};
  const mqtt::Puback puback{.packetId = 7};

  measureDecode("decode PUBLISH QoS 0, 30-byte topic, 3.1.1", qos0, v311);
  measureDecode("decode PUBLISH QoS 1, 30-byte topic, 3.1.1", qos1, v311);
  measureDecode("decode PUBLISH QoS 0, 30-byte topic, 5.0", qos0, v5);
  measureDecode("decode PUBLISH QoS 1 with three properties, 5.0", rich, v5);
  measureDecode("decode PUBLISH QoS 0, 29-byte Chinese topic, 3.1.1",
                mqtt::Publish{.topic = chinese, .payload = payload}, v311);
  measureDecode("decode PUBACK, 3.1.1", puback, v311);
  measureDecode("decode PUBACK, 5.0", puback, v5);
  measureDecode("decode SUBSCRIBE, one filter, 5.0", subscribe, v5);
  measureDecode("decode CONNECT with credentials, 5.0", connect, v5);
  measureDecode("decode PINGREQ", mqtt::Pingreq{}, v311);

  measureEncode("encode PUBLISH QoS 0, 3.1.1", qos0, v311);
  measureEncode("encode PUBLISH QoS 1, 5.0", qos1, v5);
  measureEncode("encode PUBLISH QoS 1 with three properties, 5.0", rich, v5);
  measureEncode("encode PUBACK, 3.1.1", puback, v311);
  measureEncode("encode PUBACK, 5.0", puback, v5);

  std::string_view frame = "0\x60";
  measure("nextFrame", [&] {
    keep(frame);
    mqtt::Frame next = mqtt::nextFrame(frame, 1'000'000);
    keep(next);
  });
  std::string_view filter = "site/+/building/+/#";
  std::string_view name = topic;
  measure("matches, five levels", [&] {
    keep(filter);
    bool matched = mqtt::matches(filter, name);
    keep(matched);
  });
  std::string_view outer = "site/#";
  measure("contains, two levels", [&] {
    keep(outer);
    bool contained = mqtt::contains(outer, filter);
    keep(contained);
  });
  std::string_view text = topic;
  measure("isValidUtf8, 30 bytes", [&] {
    keep(text);
    bool valid = mqtt::isValidUtf8(text);
    keep(valid);
  });
}
