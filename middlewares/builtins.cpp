#include "middlewares/builtins.hpp"

#include "middlewares/backends/memory_backend.hpp"
#include "middlewares/protocol/connection.hpp"
#include "middlewares/protocol/inbound_manager.hpp"
#include "middlewares/protocol/keep_alive.hpp"
#include "middlewares/protocol/last_will.hpp"
#include "middlewares/protocol/outbound_manager.hpp"
#include "middlewares/protocol/retain_manager.hpp"
#include "middlewares/protocol/session_manager.hpp"
#include "middlewares/protocol/subscription_manager.hpp"

namespace mqttstack {

void registerBuiltins(Registry& registry) {
  registry.add<Connection>();
  registry.add<InboundManager>();
  registry.add<KeepAlive>();
  registry.add<LastWill>();
  registry.add<MemoryBackend>();
  registry.add<OutboundManager>();
  registry.add<RetainManager>();
  registry.add<SessionManager>();
  registry.add<SubscriptionManager>();
}

}  // namespace mqttstack
