#include "middlewares/backends/sqlite_backend.hpp"

#include <cerrno>
#include <cstdlib>
#include <fmt/format.h>
#include <system_error>
#include <unistd.h>
#include <utility>

#include "middlewares/backends/journal_thread.hpp"

namespace mqttstack {

namespace {

constexpr const char* kLetWrite =
    "let the user that the broker runs as write the file and its directory";

/// Where the store is if nobody says. systemd names the directory of a service;
/// others have theirs at the usual places.
std::filesystem::path stateDirectory() {
  const auto named = [](const char* variable) {
    const char* value = std::getenv(variable);
    return std::filesystem::path{value ? value : ""};
  };
  if (const auto state = named("STATE_DIRECTORY"); !state.empty()) {
    const std::string first = state.string();  // several stand with colons between them
    return first.substr(0, first.find(':'));
  }
  if (::geteuid() == 0) return "/var/lib/mqtt-stackd";
  if (const auto state = named("XDG_STATE_HOME"); !state.empty()) return state / "mqtt-stackd";
  if (const auto home = named("HOME"); !home.empty()) return home / ".local/state/mqtt-stackd";
  return "/var/lib/mqtt-stackd";
}

std::filesystem::path directoryOf(const std::filesystem::path& file) {
  return file.has_parent_path() ? file.parent_path() : ".";
}

bool isMissing(const std::filesystem::path& directory) {
  return ::access(directory.c_str(), F_OK) != 0 && errno == ENOENT;
}

std::string makeOrCorrect(const std::filesystem::path& directory) {
  return fmt::format(
      "the directory \"{}\" does not exist; make it, owned by the broker's user, or correct the "
      "path",
      directory.string());
}

/// Whether this user may not write a store there.
bool isForbidden(const std::filesystem::path& file) {
  const auto refuses = [](const std::filesystem::path& path, int wanted) {
    return ::access(path.c_str(), wanted) != 0 && errno == EACCES;
  };
  return refuses(directoryOf(file), W_OK | X_OK) || refuses(file, R_OK | W_OK);
}

}  // namespace

void SqliteBackend::Options::declare(OptionTable<Options>& table) {
  table.add("path", &Options::path,
            "The file. Left out, it is mqtt-stackd.db in the directory that the environment "
            "variable STATE_DIRECTORY names (systemd sets it), in /var/lib/mqtt-stackd for root, "
            "or in ~/.local/state/mqtt-stackd, which is made if there is none.");
  table.addChoice(
      "durability", &Options::durability,
      {{"sync", Durability::sync}, {"relaxed", Durability::relaxed}, {"none", Durability::none}},
      "What is acknowledged survives: \"sync\" the loss of power; \"relaxed\" the end "
      "of the process, and the loss of power but for the last second; \"none\" the "
      "end of the process.");
  table
      .add("commit_interval", &Options::commitInterval,
           "How long what is to be stored waits at most, under load, so that it is stored together "
           "with more.")
      .range(std::chrono::milliseconds{0}, std::chrono::seconds{1});
  BackendLimits::declare(table);
}

SqliteBackend::SqliteBackend(Setup& setup, const Options& options)
    : DurableBackend{setup, options},
      options_{options},
      loop_{setup.loop},
      thorough_{setup.thorough} {
  if (options_.path.empty()) options_.path = stateDirectory() / "mqtt-stackd.db";
}

SqliteBackend::~SqliteBackend() { SqliteBackend::stop(); }

void SqliteBackend::validate(const Stack& stack, Diagnostics& diagnostics) const {
  DurableBackend::validate(stack, diagnostics);
  // Otherwise start() will tell.
  if (!thorough_ || std::exchange(examined_, true)) return;
  const std::filesystem::path directory = directoryOf(options_.path);
  if (directory != stateDirectory() && isMissing(directory))
    return diagnostics.errorAt("path", fmt::format("cannot make \"{}\"", options_.path.string()),
                               makeOrCorrect(directory));
  if (isForbidden(options_.path))
    return diagnostics.errorAt("path",
                               fmt::format("this user cannot write \"{}\"", options_.path.string()),
                               kLetWrite, Fault::permission);
  if (const std::string wrong = SqliteStore::examine(options_.path); !wrong.empty())
    diagnostics.errorAt("path", wrong);
}

void SqliteBackend::start(Diagnostics& diagnostics) {
  std::error_code error;
  const std::filesystem::path directory = directoryOf(options_.path);
  if (directory == stateDirectory() && !std::filesystem::exists(directory, error)) {
    std::filesystem::create_directories(directory, error);
    std::filesystem::permissions(directory, std::filesystem::perms::owner_all, error);
  }
  auto store = std::make_unique<SqliteStore>(options_.path, options_.durability);
  JournalPace pace;
  pace.interval = options_.commitInterval;
  auto thread = std::make_unique<JournalThread>(*store, loop_);
  if (std::string wrong = startWith(*store, std::move(thread), pace, StoreClock::readBootId());
      !wrong.empty()) {
    const bool missing = isMissing(directory);
    const bool forbidden = !missing && isForbidden(options_.path);
    return diagnostics.errorAt("path", std::move(wrong),
                               missing     ? makeOrCorrect(directory)
                               : forbidden ? kLetWrite
                                           : "",
                               forbidden ? Fault::permission : Fault::configuration);
  }
  store_ = std::move(store);
}

void SqliteBackend::stop() {
  DurableBackend::stop();
  store_.reset();
}

}  // namespace mqttstack
