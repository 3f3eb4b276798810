#include "app/daemon.hpp"

#include <algorithm>
#include <csignal>
#include <cstring>

#include "app/process.hpp"
#include "core/mqtt/text.hpp"
#include "core/net/farewells.hpp"

namespace mqttstack {
namespace {

/// How long clients that are being told to go may take.
constexpr std::chrono::seconds kFarewellTime{2};
/// Turns of the loop that clients get to leave after their middlewares stopped.
constexpr int kLastTurns = 100;

/// Why a listener could not be opened, as its message says.
ExitCode exitCodeFor(const std::string& message) {
  const std::string refused = std::generic_category().message(EACCES);
  return message.find(refused) == std::string::npos ? ExitCode::addressInUse : ExitCode::permission;
}

}  // namespace

Daemon::Daemon(const Config& config, const Registry& registry, const LogSink& log,
               ConfigReport& report, Purpose purpose)
    : config_{config},
      log_{log, "daemon"},
      listenerLog_{log, "listener"},
      clients_{scheduler_, reactor_.flushList(), metrics_, log},
      pipelines_{config,
                 {registry, scheduler_, metrics_, log, executor_, [this] { giveUp(); },
                  purpose == Purpose::check},
                 report},
      plans_{planListeners(config, pipelines_, report)} {}

Daemon::~Daemon() = default;

ExitCode Daemon::run() {
  ignoreBrokenPipes();
  log_.debug("up to {} open files", raiseFileLimit());
  // Taken before anything is started, so that no signal finds things half done.
  signals_.add(SIGTERM);
  signals_.add(SIGINT);
  signals_.add(SIGHUP);
  awaitSignal();

  if (!startMiddlewares()) return ExitCode::io;
  const ExitCode opened = openListeners();
  if (opened == ExitCode::success && !gaveUp_) {
    io_.run();
    if (!gaveUp_) sayGoodbye();
  }
  pipelines_.stop();
  // Packets that waited for a middleware have failed by now, and so their clients can go.
  io_.restart();
  for (int turn = 0; turn < kLastTurns && clients_.clients() > 0; ++turn) io_.poll();
  if (opened == ExitCode::success) log_.info("stopped");
  return gaveUp_ ? ExitCode::io : opened;
}

/// A middleware cannot do its work any more: clients are not told that the server
/// shuts down, since it comes back at once.
void Daemon::giveUp() {
  gaveUp_ = true;
  io_.stop();
}

bool Daemon::startMiddlewares() {
  ConfigReport report;
  const bool started = pipelines_.start(report);
  for (const ConfigFinding& finding : report.findings()) {
    const std::string line =
        headline(finding, config_.source) + (finding.help.empty() ? "" : " (" + finding.help + ")");
    finding.severity == Severity::error ? log_.error("{}", line) : log_.warning("{}", line);
  }
  return started;
}

/// Opens all of them or none; every one that fails is told.
ExitCode Daemon::openListeners() {
  ExitCode worst = ExitCode::success;
  for (const auto& plan : plans_) {
    auto opened = net::Listener::open(
        reactor_, plan->socket,
        [this, &policy = plan->policy,
         &stack = *plan->pipeline->stack](std::unique_ptr<net::Transport> transport) {
          Client::accept(clients_, stack, policy, std::move(transport));
        },
        [this](std::string_view trouble) { listenerLog_.warning("{}", trouble); });
    if (opened) {
      listeners_.push_back(std::move(opened).value());
      continue;
    }
    listenerLog_.error("listener \"{}\": {}", mqtt::printable(plan->policy.name), opened.error());
    worst = std::max(worst, exitCodeFor(opened.error()));
  }
  if (worst != ExitCode::success) {
    listeners_.clear();
    return worst;
  }
  for (std::size_t i = 0; i < plans_.size(); ++i)
    listenerLog_.info("listener \"{}\": listening on {} ({})",
                      mqtt::printable(plans_[i]->policy.name), listeners_[i]->text(),
                      describePolicy(*plans_[i]));
  return worst;
}

void Daemon::awaitSignal() {
  signals_.async_wait([this](std::error_code error, int signal) {
    if (error) return;
    onSignal(signal);
    awaitSignal();
  });
}

void Daemon::onSignal(int signal) {
  if (signal == SIGHUP) {
    if (onReload_ && !stopping_) onReload_();
  } else if (stopping_) {
    log_.warning("{} again: stopping at once", ::strsignal(signal));
    atOnce_ = true;
  } else {
    log_.info("{}: stopping, clients: {}", ::strsignal(signal), clients_.clients());
    stopping_ = true;
    io_.stop();
  }
}

/// Tells the clients that the server shuts down, and runs the loop until they
/// are gone or have had their time.
void Daemon::sayGoodbye() {
  const auto deadline = std::chrono::steady_clock::now() + kFarewellTime;
  listeners_.clear();
  clients_.forEachClient(
      [](Client& client) { client.close(mqtt::ReasonCode::serverShuttingDown); });
  io_.restart();
  const auto somebodyIsLeft = [this] {
    return clients_.clients() > 0 || reactor_.farewells().size() > 0;
  };
  while (somebodyIsLeft() && !atOnce_ && io_.run_one_until(deadline) > 0) {
  }
}

}  // namespace mqttstack
