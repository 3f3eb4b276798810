#pragma once

#include <filesystem>
#include <fstream>
#include <sstream>
#include <string>
#include <string_view>
#include <unistd.h>

#include "app/config.hpp"
#include "app/config_report.hpp"
#include "app/daemon.hpp"
#include "tests/app/test_middlewares.hpp"

namespace mqttstack::test {

/// A directory of its own, removed with everything in it.
class TemporaryDirectory {
public:
  TemporaryDirectory() {
    std::string pattern = (std::filesystem::temp_directory_path() / "mqtt-stackd-XXXXXX").string();
    path_ = ::mkdtemp(pattern.data());
  }
  TemporaryDirectory(const TemporaryDirectory&) = delete;
  TemporaryDirectory& operator=(const TemporaryDirectory&) = delete;
  ~TemporaryDirectory() { std::filesystem::remove_all(path_); }

  const std::filesystem::path& path() const { return path_; }
  std::filesystem::path write(const std::string& name, std::string_view text) const {
    std::ofstream{path_ / name} << text;
    return path_ / name;
  }

private:
  std::filesystem::path path_;
};

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
