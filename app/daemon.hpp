#pragma once

#include <cstdint>
#include <functional>
#include <memory>
#include <string>
#include <vector>

#include <asio/io_context.hpp>
#include <asio/signal_set.hpp>

#include "app/config.hpp"
#include "app/exit_codes.hpp"
#include "app/file_watch.hpp"
#include "app/heartbeat.hpp"
#include "app/inherited_sockets.hpp"
#include "app/listeners.hpp"
#include "app/memory_return.hpp"
#include "app/pipelines.hpp"
#include "app/service_manager.hpp"
#include "core/net/asio_executor.hpp"
#include "core/net/asio_scheduler.hpp"
#include "core/net/listener.hpp"
#include "core/net/reactor.hpp"
#include "core/stack/client.hpp"
#include "core/util/log.hpp"
#include "core/util/metrics.hpp"

namespace mqttstack {

/// The running broker: one loop, and everything that lives on it.
///
/// Making one has no effects and reports what is wrong with the configuration.
/// Then run() once, if nothing was.
class Daemon {
public:
  /// What it is made for.
  enum class Purpose : std::uint8_t {
    run,
    check,  ///< only to know what is wrong, however long that takes
  };
  /// All of them outlive the daemon.
  Daemon(const Config& config, const Registry& registry, const LogSink& log, ConfigReport& report,
         Purpose purpose = Purpose::run);
  Daemon(const Daemon&) = delete;
  Daemon& operator=(const Daemon&) = delete;
  ~Daemon();

  /// Keeps whoever started the process informed. REQUIRES: called before run().
  void reportTo(ServiceManager manager) { manager_ = std::move(manager); }

  /// Gives sockets that were passed to this process to the listeners of their
  /// names, which then open none of their own. Reports a name that no listener
  /// has. REQUIRES: called before run().
  void inherit(std::vector<InheritedSocket> sockets, ConfigReport& report);

  /// Called from the loop when the process is asked to reload (SIGHUP). Returns
  /// what went wrong, in a sentence for the status; empty if nothing did.
  void onReload(std::function<std::string()> action) { onReload_ = std::move(action); }

  /// Has the middlewares read their files anew (see Reloadable), and the
  /// listeners their certificates. For onReload.
  void reloadFiles(ConfigReport& report);

  /// Starts the middlewares, opens the listeners, and serves clients until
  /// SIGTERM or SIGINT comes. Everything that went wrong was logged; what kept it
  /// from starting is the last line.
  ExitCode run();

  const std::vector<std::unique_ptr<ListenerPlan>>& listeners() const noexcept { return plans_; }
  const Pipelines& pipelines() const noexcept { return pipelines_; }

private:
  /// Why a listener is not open.
  struct Failure {
    ExitCode code;
    std::string line;
  };

  ExitCode start();
  void stopMiddlewares();
  std::vector<Failure> openListeners();
  void open(std::size_t index, std::vector<Failure>& failures);
  void checkInherited(const ListenerPlan& plan, const net::Listener& listener,
                      std::vector<Failure>& failures);
  void tellListeners();
  void awaitSignal();
  void onSignal(int signal);
  void reload();
  void limitConnections(std::uint64_t openFiles);
  Metric& refusals(net::Refusal refusal);
  void watchFiles();
  bool onTlsChanged(std::size_t index, std::string& told);
  bool onFilesChanged(const std::string& name, std::string& told);
  std::string reloadTls(std::size_t index);
  void dropClients();
  void sayGoodbye();
  void giveUp();

  const Config& config_;
  Logger log_;
  Logger listenerLog_;
  ServiceManager manager_;
  std::function<std::string()> onReload_;

  // Destroyed backwards: listeners, pipelines, then what they stand on.
  net::ConnectionBudget budget_;
  std::vector<std::unique_ptr<net::Admissions>> admissions_;  // for each plan
  asio::io_context io_{1};
  net::AsioScheduler scheduler_{io_};
  net::Reactor reactor_{io_};
  net::AsioExecutor executor_{io_, reactor_.flushList()};
  MemoryReturn memoryReturn_{scheduler_};
  Metrics metrics_;
  Heartbeat heartbeat_{manager_, scheduler_, metrics_};
  ClientContext clients_;
  Pipelines pipelines_;
  std::vector<std::unique_ptr<ListenerPlan>> plans_;
  std::vector<std::vector<net::Descriptor>> inherited_;  // for each plan; empty: it opens its own
  std::vector<std::unique_ptr<net::Listener>> listeners_;
  FileWatch fileWatch_;
  asio::signal_set signals_{io_};
  bool stopping_ = false;
  bool atOnce_ = false;
  bool gaveUp_ = false;
};

}  // namespace mqttstack
