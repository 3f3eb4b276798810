#include <exception>
#include <iostream>

#include "app/commands.hpp"
#include "middlewares/builtins.hpp"

int main(int argc, char** argv) {
  try {
    mqttstack::Registry registry;
    mqttstack::registerBuiltins(registry);
    return static_cast<int>(mqttstack::runCommandLine(argc, argv, registry));
  } catch (const std::exception& exception) {
    std::cerr << "mqtt-stackd: " << exception.what() << '\n';
    return static_cast<int>(mqttstack::ExitCode::internal);
  }
}
