#pragma once

#include <functional>
#include <list>
#include <string_view>

#include "core/stack/middleware.hpp"
#include "core/stack/options.hpp"
#include "core/stack/packet.hpp"
#include "core/stack/per_client.hpp"

namespace mqttstack {

/// Turns the packets of each client into events, for code that would rather
/// listen than be a middleware: an embedder's, or another middleware's that
/// keeps one as a member (packet_log does).
///
///     emitter.setClientHandler([&](Client& client) {
///       emitter.listen(client, PacketType::publish, [](Client&, const Packet& packet) { … });
///     });
///
/// It only watches: every packet goes on to the next middleware. It sees what
/// reaches its place in the pipeline, so last in the list it sees what nobody
/// consumed, and right behind connection nearly everything.
///
/// Listed in a file without any code that uses it, it does nothing and is never
/// visited.
class PacketEmitter final : public Middleware, public HandlesPackets {
public:
  static constexpr std::string_view kName = "packet_emitter";
  static constexpr std::string_view kSummary =
      "Emits the packets of each client as events, for programs that embed the broker.";
  using Options = NoOptions;

  using ClientHandler = std::function<void(Client&)>;
  using Listener = std::function<void(Client&, const Packet&)>;

  PacketEmitter(Setup& setup, const Options& options);

  /// Has `handler` called for every new connection, before its first packet;
  /// `types` are all that anybody will listen to.
  /// REQUIRES: no pipeline has been wired with this middleware yet.
  void setClientHandler(ClientHandler handler, mqtt::PacketTypes types = mqtt::PacketTypes::all());

  /// Has `listener` called for each packet of these types from this client, as
  /// long as the connection lasts. May be called from a listener; the new one
  /// hears the next packet. What a listener throws is logged, and the packet
  /// goes on.
  void listen(Client& client, mqtt::PacketTypes types, Listener listener);

  void install(Client& client) override;
  mqtt::PacketTypes packets() const noexcept override { return types_; }
  Flow handle(Client& client, Packet& packet, Next next, Done done) override;

private:
  struct Subscriber {
    mqtt::PacketTypes types;
    Listener listener;
  };
  using Subscribers = std::list<Subscriber>;  // one stays put while others are added

  template <class Call>
  void guarded(Call&& call) const;

  ClientHandler clientHandler_;
  mqtt::PacketTypes types_;
  PerClient<Subscribers> subscribers_;
};

}  // namespace mqttstack
