#pragma once

#include <sstream>
#include <string>

#include "app/config.hpp"
#include "app/config_report.hpp"
#include "app/daemon.hpp"
#include "tests/app/test_middlewares.hpp"
#include "tests/scenario/support/daemon.hpp"

namespace mqttstack::test {

/// What is wrong with a configuration that is called `name`, as it is printed.
inline std::string problemsOf(std::string text, const std::string& name = "test.toml") {
  Registry registry;
  registerTestMiddlewares(registry);
  ConfigReport report;
  const Config config = readConfig({name, std::move(text)}, report);
  const LogSink silent;
  const Daemon daemon{config, registry, silent, report};
  std::ostringstream out;
  report.print(out, config.source);
  return out.str();
}

}  // namespace mqttstack::test
