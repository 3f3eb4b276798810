#include "middlewares/builtins.hpp"

namespace mqttstack {

void registerBuiltins(Registry&) {}

}  // namespace mqttstack
