#pragma once

#include <algorithm>
#include <chrono>
#include <csignal>
#include <cstddef>
#include <filesystem>
#include <stdexcept>
#include <string>
#include <string_view>
#include <utility>
#include <vector>

#include "core/stack/client.hpp"
#include "core/stack/packet.hpp"
#include "core/stack/registry.hpp"
#include "core/stack/reloadable.hpp"
#include "core/stack/stack.hpp"
#include "core/util/timer_wheel.hpp"

/// Middlewares to make pipelines of in tests of the daemon.
namespace mqttstack::test {

/// A name as a template argument.
template <std::size_t N>
struct Name {
  constexpr Name(const char (&text)[N]) { std::copy_n(text, N, chars); }
  constexpr operator std::string_view() const { return {chars, N - 1}; }
  char chars[N];
};

/// Does nothing, under any name.
template <Name kTheName>
class Idle final : public Middleware {
public:
  static constexpr std::string_view kName = kTheName;
  static constexpr std::string_view kSummary = "Does nothing.";
  using Options = NoOptions;
  Idle(Setup& setup, const Options&) : Middleware{setup} {}
};

/// Accepts every client.
class Door final : public Middleware, public HandlesPackets {
public:
  static constexpr std::string_view kName = "connection";
  static constexpr std::string_view kSummary = "Lets everybody in.";
  using Options = NoOptions;
  using MayExecute = Callbacks<SessionEstablished>;
  Door(Setup& setup, const Options&) : Middleware{setup} {}

  Flow handle(Client& client, Packet&, Next, Done done) override {
    client.sendAccepting(mqtt::Connack{});
    return done();
  }
  mqtt::PacketTypes packets() const noexcept override { return mqtt::PacketType::connect; }
};

struct LimitOptions {
  double grace = 1.5;
  TimeSpan after{std::chrono::seconds{60}};
  ByteCount size{1024};
  bool strict = false;
  std::vector<std::string> names{};

  static void declare(OptionTable<LimitOptions>& table) {
    table.add("grace", &LimitOptions::grace, "Factor.").range(1.0, 10.0);
    table.add("after", &LimitOptions::after, "When.");
    table.add("size", &LimitOptions::size, "How much.");
    table.add("strict", &LimitOptions::strict, "Whether it finds fault with its place.");
    table.add("names", &LimitOptions::names, "Whom.");
  }
};

/// Has an option of each kind.
class Limit final : public Middleware {
public:
  static constexpr std::string_view kName = "keep_alive";
  static constexpr std::string_view kSummary = "Has options.";
  using Options = LimitOptions;
  Limit(Setup& setup, const Options& options) : Middleware{setup}, options_{options} {}

  void validate(const Stack& stack, Diagnostics& diagnostics) const override {
    if (!options_.strict) return;
    if (stack.position(this) != std::size_t{0})
      diagnostics.error("it has to be the first", "move it");
    diagnostics.warningAt("strict", "being strict costs time");
  }

private:
  LimitOptions options_;
};

/// Sees CONNECT and leaves the answer to others.
class Watcher final : public Middleware, public HandlesPackets {
public:
  static constexpr std::string_view kName = "packet_emitter";
  static constexpr std::string_view kSummary = "Watches.";
  using Options = NoOptions;
  Watcher(Setup& setup, const Options&) : Middleware{setup} {}
  Flow handle(Client&, Packet&, Next next, Done) override { return next(); }
};

/// Says what becomes of a reload, and finds fault with it as long as a file
/// exists; one that is called "broken-disk" cannot even be looked at.
class Rereader final : public Middleware, public Reloadable {
public:
  static constexpr std::string_view kName = "rereader";
  static constexpr std::string_view kSummary = "Reads again.";
  struct Options {
    std::filesystem::path path{"no-such-file"};
    static void declare(OptionTable<Options>& table) {
      table.add("path", &Options::path, "What may not exist.");
    }
  };
  Rereader(Setup& setup, const Options& options) : Middleware{setup}, options_{options} {}
  bool reload(Diagnostics& diagnostics) override {
    log().info("reloaded");
    if (options_.path.filename() == "broken-disk") throw std::runtime_error{"input/output error"};
    const bool exists = std::filesystem::exists(options_.path);
    if (exists) diagnostics.errorAt("path", "it exists", "remove it", Fault::data);
    return !exists;
  }

private:
  Options options_;
};

/// Made once without complaint; the second one, which a reload makes to try the
/// configuration, throws. Has the process reload, then ends it.
class Fickle final : public Middleware {
public:
  static constexpr std::string_view kName = "fickle";
  static constexpr std::string_view kSummary = "Cannot be made twice.";
  using Options = NoOptions;
  Fickle(Setup& setup, const Options&) : Middleware{setup} {
    if (std::exchange(made_, true)) throw std::runtime_error{"input/output error"};
  }
  ~Fickle() override { made_ = false; }
  void start(Diagnostics&) override {
    scheduler().start(hangUp_, {});
    scheduler().start(end_, std::chrono::milliseconds{100});
  }
  void stop() override {
    hangUp_.cancel();
    end_.cancel();
  }

private:
  void hangUp() { std::raise(SIGHUP); }
  void end() { std::raise(SIGTERM); }
  Timer hangUp_ = Timer::calling<&Fickle::hangUp>(*this);
  Timer end_ = Timer::calling<&Fickle::end>(*this);
  inline static bool made_ = false;
};

/// Asks who clients are.
class Authentication final : public Middleware {
public:
  static constexpr std::string_view kName = "authentication";
  static constexpr std::string_view kSummary = "Asks.";
  using Options = NoOptions;
  using Executes = Callbacks<AuthenticateConnection>;
  Authentication(Setup& setup, const Options&) : Middleware{setup} {}
};

struct UserOptions {
  std::filesystem::path path{};
  static void declare(OptionTable<UserOptions>& table) {
    table.add("path", &UserOptions::path, "The file.").required();
  }
};

/// Knows who clients are, and reads a file when it is made.
class Users final : public Middleware, public Handles<AuthenticateConnection> {
public:
  static constexpr std::string_view kName = "password_file";
  static constexpr std::string_view kSummary = "Knows.";
  using Options = UserOptions;
  Users(Setup& setup, const Options& options, Diagnostics& diagnostics) : Middleware{setup} {
    if (!std::filesystem::exists(options.path))
      diagnostics.errorAt("path", "cannot read " + options.path.filename().string());
  }
  Flow on(AuthenticateConnection&, Next next, Done) override { return next(); }
};

class Inbound final : public Middleware {
public:
  static constexpr std::string_view kName = "inbound_manager";
  static constexpr std::string_view kSummary = "Relays.";
  using Options = NoOptions;
  using Executes = Callbacks<RelayMessage>;
  Inbound(Setup& setup, const Options&) : Middleware{setup} {}
};

class Store final : public Middleware, public Handles<RelayMessage> {
public:
  static constexpr std::string_view kName = "memory_backend";
  static constexpr std::string_view kSummary = "Stores.";
  using Options = NoOptions;
  Store(Setup& setup, const Options&) : Middleware{setup} {}
  Flow on(RelayMessage&, Next next, Done) override { return next(); }
};

/// Cannot be started.
class Unstartable final : public Middleware {
public:
  static constexpr std::string_view kName = "unstartable";
  static constexpr std::string_view kSummary = "Wants a lock that it does not get.";
  using Options = NoOptions;
  Unstartable(Setup& setup, const Options&) : Middleware{setup} {}
  void start(Diagnostics& diagnostics) override {
    diagnostics.error("the lock is taken", "stop the other one");
  }
};

/// Sends the process a signal as soon as the loop runs, and says what becomes of
/// it in the log.
class Signaller final : public Middleware {
public:
  static constexpr std::string_view kName = "signaller";
  static constexpr std::string_view kSummary = "Ends the test.";
  using Options = NoOptions;
  Signaller(Setup& setup, const Options&) : Middleware{setup} {}
  void start(Diagnostics&) override {
    log().info("started");
    scheduler().start(timer_, {});
  }
  void stop() override {
    log().info("stopped");
    timer_.cancel();
  }

private:
  void raise() { std::raise(SIGTERM); }
  Timer timer_ = Timer::calling<&Signaller::raise>(*this);
};

/// Everything above, with the names of the built-in default pipeline.
inline void registerTestMiddlewares(Registry& registry) {
  registry.add<Door>();
  registry.add<Watcher>();
  registry.add<Rereader>();
  registry.add<Limit>();
  registry.add<Authentication>();
  registry.add<Users>();
  registry.add<Inbound>();
  registry.add<Store>();
  registry.add<Unstartable>();
  registry.add<Signaller>();
  registry.add<Fickle>();
  registry.add<Idle<"last_will">>();
  registry.add<Idle<"session_manager">>();
  registry.add<Idle<"subscription_manager">>();
  registry.add<Idle<"retain_manager">>();
  registry.add<Idle<"outbound_manager">>();
}

}  // namespace mqttstack::test
