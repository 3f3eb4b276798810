#pragma once

#include <cstdint>
#include <string>
#include <string_view>
#include <vector>

#include "core/stack/middleware.hpp"
#include "core/stack/options.hpp"
#include "core/stack/packet.hpp"
#include "middlewares/operations/packet_emitter.hpp"

namespace mqttstack {

/// Writes one line for each packet that a client sends:
///
///     "kitchen" (user "alice") at 192.0.2.7:50312: PUBLISH 7, "home/light", QoS 1, 12 bytes
///
/// Payloads, passwords and property values are never written. It sees what
/// reaches its place in the pipeline: listed right behind connection it sees
/// all, further back only what was let through.
class PacketLog final : public Middleware, public HandlesPackets {
public:
  static constexpr std::string_view kName = "packet_log";
  static constexpr std::string_view kSummary =
      "Writes a line for each packet that clients send: type, topic, sizes; no payload.";

  struct Options {
    LogLevel level = LogLevel::debug;
    std::vector<std::string> packets;

    static void declare(OptionTable<Options>& table);
  };

  PacketLog(Setup& setup, const Options& options, Diagnostics& diagnostics);

  void install(Client& client) override { emitter_.install(client); }
  mqtt::PacketTypes packets() const noexcept override { return emitter_.packets(); }
  Flow handle(Client& client, Packet& packet, Next next, Done done) override {
    return emitter_.handle(client, packet, next, done);
  }

private:
  void write(const Client& client, const Packet& packet) const;

  LogLevel level_;
  PacketEmitter emitter_;
};

/// A packet in a few words, safe to log: `PUBLISH 7, "home/light", QoS 1, 12 bytes`.
std::string summaryOf(const mqtt::Packet& packet);

}  // namespace mqttstack
