#include "middlewares/operations/packet_emitter.hpp"

#include <cstddef>
#include <exception>
#include <utility>

#include "core/stack/client.hpp"

namespace mqttstack {

PacketEmitter::PacketEmitter(Setup& setup, const Options&)
    : Middleware{setup},
      subscribers_{setup.clientFields} {}

void PacketEmitter::setClientHandler(ClientHandler handler, mqtt::PacketTypes types) {
  clientHandler_ = std::move(handler);
  types_ = types;
}

void PacketEmitter::listen(Client& client, mqtt::PacketTypes types, Listener listener) {
  subscribers_(client).push_back({types, std::move(listener)});
}

void PacketEmitter::install(Client& client) {
  if (clientHandler_) guarded([&] { clientHandler_(client); });
}

Flow PacketEmitter::handle(Client& client, Packet& packet, Next next, Done) {
  Subscribers& subscribers = subscribers_(client);
  auto subscriber = subscribers.begin();
  for (std::size_t left = subscribers.size(); left > 0; --left, ++subscriber)
    if (subscriber->types.contains(packet.type()))
      guarded([&] { subscriber->listener(client, packet); });
  return next();
}

template <class Call>
void PacketEmitter::guarded(Call&& call) const {
  try {
    call();
  } catch (const std::exception& exception) {
    log().error("a listener threw: {}", exception.what());
  } catch (...) {
    log().error("a listener threw");
  }
}

}  // namespace mqttstack
