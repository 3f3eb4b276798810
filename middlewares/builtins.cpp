#include "middlewares/builtins.hpp"

#include "middlewares/backends/memory_backend.hpp"
#include "middlewares/backends/sqlite_backend.hpp"
#include "middlewares/operations/packet_emitter.hpp"
#include "middlewares/operations/packet_log.hpp"
#include "middlewares/protocol/connection.hpp"
#include "middlewares/protocol/inbound_manager.hpp"
#include "middlewares/protocol/keep_alive.hpp"
#include "middlewares/protocol/last_will.hpp"
#include "middlewares/protocol/outbound_manager.hpp"
#include "middlewares/protocol/retain_manager.hpp"
#include "middlewares/protocol/session_manager.hpp"
#include "middlewares/protocol/subscription_manager.hpp"
#include "middlewares/security/acl_file.hpp"
#include "middlewares/security/auth_backoff.hpp"
#include "middlewares/security/authentication.hpp"
#include "middlewares/security/authorization.hpp"
#include "middlewares/security/client_certificate.hpp"
#include "middlewares/security/flapping_detect.hpp"
#include "middlewares/security/http_auth.hpp"
#include "middlewares/security/jwt_auth.hpp"
#include "middlewares/security/password_file.hpp"
#include "middlewares/security/rate_limit.hpp"

namespace mqttstack {

void registerBuiltins(Registry& registry) {
  registry.add<AclFile>();
  registry.add<AuthBackoff>();
  registry.add<Authentication>();
  registry.add<Authorization>();
  registry.add<ClientCertificate>();
  registry.add<Connection>();
  registry.add<FlappingDetect>();
  registry.add<HttpAuth>();
  registry.add<InboundManager>();
  registry.add<JwtAuth>();
  registry.add<KeepAlive>();
  registry.add<LastWill>();
  registry.add<MemoryBackend>();
  registry.add<OutboundManager>();
  registry.add<PacketEmitter>();
  registry.add<PacketLog>();
  registry.add<PasswordFile>();
  registry.add<RateLimit>();
  registry.add<RetainManager>();
  registry.add<SessionManager>();
  registry.add<SqliteBackend>();
  registry.add<SubscriptionManager>();
}

}  // namespace mqttstack
