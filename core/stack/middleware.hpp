#pragma once

#include <cstdint>
#include <functional>
#include <optional>
#include <string>
#include <string_view>
#include <type_traits>
#include <vector>

#include "core/mqtt/protocol.hpp"
#include "core/stack/diagnostics.hpp"
#include "core/stack/flow.hpp"
#include "core/util/log.hpp"

namespace mqttstack {

class Client;
class ClientFields;
class LoopExecutor;
class Metrics;
class Scheduler;
class Stack;
struct Packet;

/// What a middleware may use from its constructor on. The references outlive
/// it.
struct Setup {
  std::string name;  ///< of the instance, as the pipeline file lists it
  ClientFields& clientFields;
  Scheduler& scheduler;
  Metrics& metrics;
  const LogSink& log;
  LoopExecutor& loop;  ///< brings results of other threads back (see core/util/worker.hpp)
  /// Ends the daemon, with an exit code that its supervisor can tell from others:
  /// for who cannot keep a promise any more. Empty in tests. The reason was logged.
  std::function<void()> giveUp{};
  /// Somebody wants to know everything that is wrong: validate() may take its time,
  /// and look into files that start() would look into.
  bool thorough = false;
};

/// Base of every middleware. One instance serves all clients of all pipelines
/// that list it; what it knows about one client it keeps in a PerClient field.
///
/// Life: constructor and validate() have no effects and report everything that
/// is wrong; start() takes timers, threads, locks and files; stop() gives them
/// back. `mqtt-stackd check` runs the first half beside a running daemon.
///
/// A middleware takes part in three ways, each by inheriting:
/// - install() for every new connection (always),
/// - HandlesPackets for the packets of clients,
/// - Handles<Callback> for each callback that it answers.
///
/// It may declare, for documentation and for the check at wiring:
/// - `using Executes = Callbacks<…>`: callbacks that it executes and that
///   somebody has to answer,
/// - `using MayExecute = Callbacks<…>`: callbacks that nobody needs to answer,
/// - `using Filters = Callbacks<…>`: callbacks that it handles, to stop or to watch
///   them, and that another one has to answer,
/// - `static constexpr mqtt::PacketTypes kAnswers`: packets that it answers, so that
///   who stands behind it comes too late for them,
/// - `static constexpr std::string_view kOnlyOne`: what a pipeline cannot have two of,
///   `"backend"` or its own name,
/// - `static constexpr bool kNeedsCertificate = true`: it judges logins, and only those
///   that show a certificate.
class Middleware {
public:
  explicit Middleware(const Setup& setup);
  Middleware(const Middleware&) = delete;
  Middleware& operator=(const Middleware&) = delete;
  virtual ~Middleware() = default;

  /// The instance's name, for logs and metrics.
  const std::string& name() const noexcept { return name_; }

  /// Called once per connection, before its first packet is read.
  virtual void install(Client&) {}

  /// Called for each pipeline that lists this instance, when it is complete.
  /// Reports an order or a combination that cannot work.
  virtual void validate(const Stack&, Diagnostics&) const {}

  /// How bad it is that nothing in a pipeline executes this callback, which is
  /// about rights and which the class handles; nothing if the options leave this
  /// instance without a word to say to it.
  virtual std::optional<Severity> unasked(std::string_view) const { return Severity::error; }

  /// Called once, after everything was found valid, before the first client.
  /// Reports what cannot be had (a lock, a file) as errors.
  virtual void start(Diagnostics&) {}
  /// Called once, after the last client is gone.
  virtual void stop() {}

protected:
  const Logger& log() const noexcept { return log_; }
  Scheduler& scheduler() const noexcept { return scheduler_; }

  /// The first pipeline that lists this instance: where things run that have no
  /// client. Whatever has a client runs on client.stack().
  /// REQUIRES: the pipeline is wired.
  Stack& home() const noexcept { return *home_; }
  /// The pipeline of that name, if it lists this instance; home() if not.
  Stack& stackNamed(std::string_view name) const noexcept;

private:
  friend class Stack;
  friend class Registry;

  std::string name_;
  Logger log_;
  Scheduler& scheduler_;
  Stack* home_ = nullptr;
  std::vector<Stack*> stacks_;   // that list it
  std::uint32_t firstSlot_ = 0;  // its PerClient fields are [firstSlot_, lastSlot_)
  std::uint32_t lastSlot_ = 0;
};

/// A list of callback types.
template <class...>
struct Callbacks {};

/// How a callback may be answered.
enum class CallbackKind : std::uint8_t {
  sync,      ///< at once: its handlers get a SyncNext, and it costs no walk
  deferred,  ///< at once or later
};

template <class Callback>
using NextFor = std::conditional_t<Callback::kKind == CallbackKind::sync, SyncNext, Next>;

/// Inherit to receive a callback. Who does not inherit is never visited.
/// Handlers run in the order of the pipeline until one does not continue.
template <class Callback>
class Handles {
public:
  virtual Flow on(Callback& callback, NextFor<Callback> next, Done done) = 0;

protected:
  ~Handles() = default;
};

/// Inherit to see packets of the types that packets() names.
class HandlesPackets {
public:
  /// Called for each packet in the order of the pipeline. done() consumes the
  /// packet; an error closes the client with that reason.
  virtual Flow handle(Client& client, Packet& packet, Next next, Done done) = 0;
  virtual mqtt::PacketTypes packets() const noexcept { return mqtt::PacketTypes::all(); }

protected:
  ~HandlesPackets() = default;
};

}  // namespace mqttstack
