#include "middlewares/builtins.hpp"

#include "middlewares/operations/packet_emitter.hpp"
#include "middlewares/operations/packet_log.hpp"
#include "middlewares/security/acl_file.hpp"
#include "middlewares/security/authentication.hpp"
#include "middlewares/security/authorization.hpp"
#include "middlewares/security/password_file.hpp"
#include "middlewares/security/rate_limit.hpp"

namespace mqttstack {

void registerBuiltins(Registry& registry) {
  registry.add<AclFile>();
  registry.add<Authentication>();
  registry.add<Authorization>();
  registry.add<PacketEmitter>();
  registry.add<PacketLog>();
  registry.add<PasswordFile>();
  registry.add<RateLimit>();
}

}  // namespace mqttstack
