#include "core/stack/outbox.hpp"

#include <chrono>
#include <cstddef>
#include <cstdio>
#include <string>
#include <utility>

#include "tests/bench/measure.hpp"

/// Prints what a packet takes from being added to an outbox to being handed to the transport, which
/// takes all and does nothing: how it depends on version, QoS, size, and how many leave together.
namespace {

using namespace mqttstack;
using mqtt::ProtocolVersion;
using mqtt::Qos;

constexpr TimePoint kNow{std::chrono::hours{1}};

class Sink final : public net::Transport {
public:
  void setHandler(net::TransportHandler&) override {}
  Result<std::size_t> write(std::span<const iovec> buffers) override {
    std::size_t bytes = 0;
    for (const iovec& buffer : buffers) bytes += buffer.iov_len;
    return bytes;
  }
  void pauseReading() override {}
  void resumeReading() override {}
  void close(net::CloseMode) override {}
  const net::PeerInfo& peer() const noexcept override { return peer_; }

private:
  net::PeerInfo peer_{};
};

broker::MessagePtr message(std::size_t payload) {
  const std::string bytes(payload, 'x');
  broker::MessageFields fields;
  fields.topic = "site/7/building/3/sensors/temp";
  fields.payload = bytes;
  fields.received = kNow;
  return broker::Message::create(fields);
}

struct Load {
  const char* name;
  ProtocolVersion version;
  Qos qos;
  std::size_t payload;
  std::uint16_t aliases;
};

void measureLoad(const Load& load, std::size_t together) {
  Sink sink;
  EncodeBuffer buffer;
  Outbox outbox;
  if (load.aliases) outbox.useTopicAliases(load.aliases);
  const broker::MessagePtr shared = message(load.payload);
  std::uint16_t packetId = 0;
  const std::string name =
      std::string{load.name} + (together == 1 ? ", alone" : ", " + std::to_string(together));
  bench::measure(
      name.c_str(),
      [&] {
        for (std::size_t i = 0; i < together; ++i) {
          OutgoingPublish publish;
          publish.message = shared;
          publish.qos = load.qos;
          publish.packetId = load.qos == Qos::atMostOnce ? std::uint16_t{0} : ++packetId;
          outbox.add(std::move(publish));
        }
        auto flushed = outbox.flush(sink, load.version, kNow, buffer);
        bench::keep(flushed);
      },
      together);
}

}  // namespace

int main() {
  constexpr Load kLoads[] = {
      {"PUBLISH QoS 0, 3.1.1", ProtocolVersion::v311, Qos::atMostOnce, 64, 0},
      {"PUBLISH QoS 1, 3.1.1", ProtocolVersion::v311, Qos::atLeastOnce, 64, 0},
      {"PUBLISH QoS 0, 5.0", ProtocolVersion::v5, Qos::atMostOnce, 64, 0},
      {"PUBLISH QoS 1, 5.0", ProtocolVersion::v5, Qos::atLeastOnce, 64, 0},
      {"PUBLISH QoS 0, 5.0, topic alias", ProtocolVersion::v5, Qos::atMostOnce, 64, 10},
      {"PUBLISH QoS 0, 3.1.1, 16 KiB", ProtocolVersion::v311, Qos::atMostOnce, 16'384, 0},
  };
  for (const Load& load : kLoads)
    for (const std::size_t together : {std::size_t{1}, std::size_t{64}})
      measureLoad(load, together);

  Sink sink;
  EncodeBuffer buffer;
  Outbox outbox;
  constexpr std::string_view kPuback{"\x40\x02\x00\x01", 4};
  bench::measure(
      "PUBACK, 64",
      [&] {
        for (int i = 0; i < 64; ++i) outbox.add(kPuback);
        auto flushed = outbox.flush(sink, ProtocolVersion::v311, kNow, buffer);
        bench::keep(flushed);
      },
      64);
  return 0;
}
