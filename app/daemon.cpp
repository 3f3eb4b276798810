#include "app/daemon.hpp"

#include <algorithm>
#include <csignal>
#include <cstdlib>
#include <cstring>
#include <fmt/format.h>

#include "app/counter_log.hpp"
#include "app/port_holder.hpp"
#include "app/process.hpp"
#include "core/mqtt/text.hpp"
#include "core/net/farewells.hpp"

namespace mqttstack {
namespace {

/// How long clients that are being told to go may take.
constexpr std::chrono::seconds kFarewellTime{2};
/// Turns of the loop that clients get to leave after their middlewares stopped.
constexpr int kLastTurns = 100;
/// What the service manager is asked to wait for one step of starting or ending,
/// which may have to read much or to wait for a name server.
constexpr std::chrono::seconds kStepTime{90};
/// How often files are looked at that may change while the broker runs.
constexpr std::chrono::seconds kFileWatchInterval{2};

ExitCode exitCodeFor(const net::ListenError& error) {
  return error.code == std::errc::permission_denied ? ExitCode::permission : ExitCode::addressInUse;
}

/// The error with the best remedy there is. Of a port that is taken that is who
/// has it, as often a broker that was installed before.
std::string describe(const net::ListenError& error) {
  const auto colon = error.address.rfind(':');
  if (error.code != std::errc::address_in_use || colon == std::string::npos) return error.text();
  const std::string port = error.address.substr(colon + 1);
  const std::string holder =
      describePortHolder(static_cast<std::uint16_t>(std::strtoul(port.c_str(), nullptr, 10)));
  return fmt::format(
      "{} ({} listens there; stop it or choose another port; ss -ltnp 'sport = :{}' shows it)",
      error.message, holder.empty() ? "another program, often another broker," : holder, port);
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
      plans_{planListeners(config, pipelines_, report)},
      inherited_(plans_.size()),
      fileWatch_{scheduler_, kFileWatchInterval} {
  watchFiles();
}

Daemon::~Daemon() = default;

void Daemon::inherit(std::vector<InheritedSocket> sockets, ConfigReport& report) {
  std::vector<std::string> names;
  for (const auto& plan : plans_) names.push_back(plan->policy.name);
  for (InheritedSocket& each : sockets) {
    const auto found = std::find(names.begin(), names.end(), each.name);
    if (found != names.end()) {
      inherited_[static_cast<std::size_t>(found - names.begin())].push_back(std::move(each.socket));
      continue;
    }
    report.error({},
                 fmt::format("socket activation: a socket called \"{}\" was passed, and no "
                             "listener has that name",
                             mqtt::printable(each.name)),
                 fmt::format("let FileDescriptorName= in the .socket unit be the name of a "
                             "listener: {}",
                             mqtt::printable(fmt::format("{}", fmt::join(names, ", ")))));
  }
}

ExitCode Daemon::run() {
  haveWritesFail();
  const auto openFiles = raiseFileLimit();
  log_.debug("up to {} open files", openFiles);
  limitConnections(openFiles);
  // Taken before anything is started, so that no signal finds things half done.
  signals_.add(SIGTERM);
  signals_.add(SIGINT);
  signals_.add(SIGHUP);
  signals_.add(SIGUSR1);
  awaitSignal();

  const ExitCode started = start();
  if (started != ExitCode::success) return started;
  heartbeat_.start();
  memoryReturn_.start();
  fileWatch_.start();
  if (!gaveUp_) io_.run();
  fileWatch_.stop();
  gaveUp_ ? dropClients() : sayGoodbye();
  heartbeat_.stop();
  if (!atOnce_) manager_.extendTimeout(kStepTime, "stopping the middlewares");
  stopMiddlewares();
  log_.info("stopped");
  return gaveUp_ ? ExitCode::io : ExitCode::success;
}

/// A middleware cannot do its work any more: clients are not told that the server
/// shuts down, since it comes back at once.
void Daemon::giveUp() {
  gaveUp_ = true;
  io_.stop();
}

/// Some descriptors are for files, for services, and for connections that are
/// being refused or said goodbye to.
void Daemon::limitConnections(std::uint64_t openFiles) {
  constexpr std::uint64_t kOtherFiles = 64;
  const std::uint64_t possible = openFiles > 2 * kOtherFiles ? openFiles - kOtherFiles : 0;
  const std::uint32_t wanted = config_.limits.maximumConnections;
  if (wanted > possible && possible > 0)
    log_.warning(
        "max_connections = {} of [limits] is more than the limit of {} open files leaves room for "
        "(raise LimitNOFILE=)",
        wanted, openFiles);
  budget_.maximum = static_cast<std::size_t>(wanted != 0 ? wanted : possible);
  for (const auto& plan : plans_) {
    admissions_.push_back(std::make_unique<net::Admissions>(plan->limits, budget_));
    plan->socket.admissions = admissions_.back().get();
  }
  for (const auto each :
       {net::Refusal::total, net::Refusal::listener, net::Refusal::address, net::Refusal::rate})
    refusals(each);
}

Metric& Daemon::refusals(net::Refusal refusal) {
  switch (refusal) {
    case net::Refusal::total:
      return metrics_.counter("connections_refused_full",
                              "connections beyond what the broker takes");
    case net::Refusal::listener:
      return metrics_.counter("connections_refused_listener_full",
                              "connections beyond what their listener takes");
    case net::Refusal::address:
      return metrics_.counter("connections_refused_address_full",
                              "connections beyond what one address may have");
    case net::Refusal::rate:
      break;
  }
  return metrics_.counter("connections_refused_rate",
                          "connections that came too fast from one address");
}

/// Leaves nothing behind if it fails. The reason is what is logged last.
ExitCode Daemon::start() {
  manager_.extendTimeout(kStepTime, "starting the middlewares");
  ConfigReport report;
  const bool started = pipelines_.start(report);
  report.log(log_, config_.source);
  if (!started) {
    manager_.status("cannot start: see the log");
    // What the file says was good; it is the machine that did not give something.
    const ExitCode code = report.exitCode();
    return code == ExitCode::badConfiguration ? ExitCode::io : code;
  }

  manager_.extendTimeout(kStepTime, "opening the listeners");
  const std::vector<Failure> failures = openListeners();
  if (failures.empty()) {
    tellListeners();
    return ExitCode::success;
  }
  listeners_.clear();
  stopMiddlewares();
  ExitCode worst = ExitCode::success;
  for (const Failure& failure : failures) {
    listenerLog_.error("{}", failure.line);
    worst = std::max(worst, failure.code);
  }
  manager_.status("cannot start: " + failures.back().line);
  return worst;
}

void Daemon::stopMiddlewares() {
  pipelines_.stop();
  // Packets that waited for a middleware have failed by now, and so their clients can go.
  io_.restart();
  for (int turn = 0; turn < kLastTurns && clients_.clients() > 0; ++turn) io_.poll();
}

/// Every one that fails is told, not only the first.
std::vector<Daemon::Failure> Daemon::openListeners() {
  std::vector<Failure> failures;
  for (std::size_t i = 0; i < plans_.size(); ++i) open(i, failures);
  return failures;
}

void Daemon::open(std::size_t index, std::vector<Failure>& failures) {
  const ListenerPlan& plan = *plans_[index];
  const auto accept = [this, &policy = plan.policy,
                       &stack = *plan.pipeline->stack](std::unique_ptr<net::Transport> transport) {
    Client::accept(clients_, stack, policy, std::move(transport));
  };
  const auto complain = [this](std::string_view trouble) { listenerLog_.warning("{}", trouble); };
  std::vector<net::Descriptor>& sockets = inherited_[index];
  const bool inherited = !sockets.empty();
  auto opened =
      inherited ? net::Listener::adopt(reactor_, plan.socket, std::move(sockets), accept, complain)
                : net::Listener::open(reactor_, plan.socket, accept, complain);
  if (!opened) {
    failures.push_back({exitCodeFor(opened.error()),
                        fmt::format("listener \"{}\": {}", mqtt::printable(plan.policy.name),
                                    describe(opened.error()))});
    return;
  }
  if (inherited) checkInherited(plan, **opened, failures);
  (*opened)->onRefused([this](net::Refusal refusal) { refusals(refusal).add(); });
  listeners_.push_back(std::move(opened).value());
}

/// The policy was made for the address in the file.
void Daemon::checkInherited(const ListenerPlan& plan, const net::Listener& listener,
                            std::vector<Failure>& failures) {
  const std::string name = mqtt::printable(plan.policy.name);
  if (plan.anonymousOnLoopback && !listener.isLoopback()) {
    failures.push_back(
        {ExitCode::badConfiguration,
         fmt::format("listener \"{}\": the socket that was passed, {}, can be reached from the "
                     "network, and pipeline \"{}\" authenticates nobody (let ListenStream= in the "
                     ".socket unit be an address of this machine, add \"authentication\" to the "
                     "pipeline, or say allow_anonymous = true in this listener)",
                     name, listener.text(), mqtt::printable(plan.pipeline->name))});
    return;
  }
  if (listener.text() != plan.socket.endpoint.text())
    listenerLog_.warning(
        "listener \"{}\": the socket that was passed listens on {}, so bind = \"{}\" has no effect",
        name, listener.text(), plan.socket.endpoint.text());
}

void Daemon::tellListeners() {
  for (std::size_t i = 0; i < plans_.size(); ++i)
    listenerLog_.info("listener \"{}\": listening on {} ({})",
                      mqtt::printable(plans_[i]->policy.name), listeners_[i]->text(),
                      describePolicy(*plans_[i]));
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
    if (!stopping_) reload();
  } else if (signal == SIGUSR1) {
    logCounters(metrics_, log_.named("metrics"));
  } else if (stopping_) {
    log_.warning("{} again: stopping at once", ::strsignal(signal));
    atOnce_ = true;
  } else {
    log_.info("{}: stopping, clients: {}", ::strsignal(signal), clients_.clients());
    stopping_ = true;
    manager_.stopping("telling the clients");
    io_.stop();
  }
}

void Daemon::reload() {
  if (!onReload_) return;
  manager_.reloading();
  heartbeat_.setNotice(onReload_());
  heartbeat_.start();
}

/// Files that change are read anew as for a hangup signal, but only those, and
/// nothing is said to the service manager.
void Daemon::watchFiles() {
  for (std::size_t i = 0; i < plans_.size(); ++i) {
    if (!plans_[i]->tls) continue;
    fileWatch_.add([this, i] { return net::filesOf(*plans_[i]->tls); },
                   [this, i, told = std::string{}]() mutable { return onTlsChanged(i, told); });
  }
  for (const Pipelines::Reader& reader : pipelines_.readers())
    fileWatch_.add([files = reader.files] { return files; },
                   [this, name = reader.instance, told = std::string{}]() mutable {
                     return onFilesChanged(name, told);
                   });
}

/// Returns whether they could be taken over. What went wrong is told when it is not
/// what was told before.
bool Daemon::onTlsChanged(std::size_t index, std::string& told) {
  const std::string problem = reloadTls(index);
  if (problem.empty())
    listenerLog_.info("listener \"{}\": TLS files have changed; new connections use them",
                      mqtt::printable(plans_[index]->policy.name));
  else if (problem != told)
    listenerLog_.error("{}", problem);
  told = problem;
  return problem.empty();
}

bool Daemon::onFilesChanged(const std::string& name, std::string& told) {
  ConfigReport report;
  pipelines_.reload(name, report);
  std::string problem;
  if (report.hasErrors())
    for (const ConfigFinding& finding : report.findings())
      problem += oneLine(finding, config_.source) + "\n";
  if (problem.empty() || problem != told) report.log(log_, config_.source);
  if (problem.empty())
    log_.info("files of \"{}\" have changed and were read anew", mqtt::printable(name));
  else if (problem != told)
    log_.error("\"{}\" goes on with what it has read before", mqtt::printable(name));
  told = problem;
  return problem.empty();
}

void Daemon::reloadFiles(ConfigReport& report) {
  fileWatch_.settle();
  pipelines_.reload(report);
  for (std::size_t i = 0; i < plans_.size(); ++i)
    if (plans_[i]->tls)
      if (std::string problem = reloadTls(i); !problem.empty())
        report.error({}, std::move(problem), {}, Fault::data);
  if (report.hasErrors()) fileWatch_.unsettle();
}

/// Either everything about it is new for the connections to come, or nothing is,
/// and the reason is returned.
std::string Daemon::reloadTls(std::size_t index) {
  std::string why;
  try {
    auto context = loadTlsAnew(*plans_[index]);
    if (context) {
      listeners_[index]->setTls(std::move(context).value());
      return {};
    }
    why = context.error();
  } catch (const std::exception& exception) {
    why = exception.what();
  }
  return fmt::format("listener \"{}\" goes on with the TLS files it has: {}",
                     mqtt::printable(plans_[index]->policy.name), why);
}

/// Nobody is waited for.
void Daemon::dropClients() {
  listeners_.clear();
  clients_.forEachClient([](Client& client) { client.closeSilently(); });
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
