#include <cstddef>
#include <optional>
#include <string>
#include <string_view>
#include <system_error>
#include <utility>

#include "tests/bench/measure.hpp"
#include "tests/support/client_fixture.hpp"

/// Prints what the pipeline itself takes: to walk a packet along those that listen to its type, to
/// run a callback, to ask one callback from within another, and to wait.
namespace {

using namespace mqttstack;
using bench::measure;
using mqtt::PacketType;
using test::TestBroker;

struct Decide {
  static constexpr std::string_view kName = "decide";
  static constexpr CallbackKind kKind = CallbackKind::deferred;
  int input = 0;
};
struct Collect {
  static constexpr std::string_view kName = "collect";
  static constexpr CallbackKind kKind = CallbackKind::sync;
  int sum = 0;
};

class Passes final : public Middleware, public HandlesPackets {
public:
  Passes(const Setup& setup, mqtt::PacketTypes types) : Middleware{setup}, types_{types} {}
  mqtt::PacketTypes packets() const noexcept override { return types_; }
  Flow handle(Client&, Packet&, Next next, Done) override { return next(); }

private:
  mqtt::PacketTypes types_;
};

/// Two kinds of each, so that the compiler can't know which is called.
template <int kKind>
class Agrees final : public Middleware, public Handles<Decide> {
public:
  using Middleware::Middleware;
  Flow on(Decide&, Next next, Done) override { return next(); }
};

template <int kKind>
class Adds final : public Middleware, public Handles<Collect> {
public:
  using Middleware::Middleware;
  Flow on(Collect& collect, SyncNext next, Done) override {
    ++collect.sum;
    return next();
  }
};

/// Asks Decide about each packet, as authorization asks about each message.
class Asks final : public Middleware, public HandlesPackets {
public:
  using Middleware::Middleware;
  mqtt::PacketTypes packets() const noexcept override { return PacketType::pingreq; }
  Flow handle(Client& client, Packet&, Next next, Done) override {
    return client.stack().call(Decide{1}, next,
                               [](std::error_code, Decide&, Next on, Done) { return on(); });
  }
};

/// Keeps each decision until somebody settles it.
class Waits final : public Middleware, public Handles<Decide> {
public:
  using Middleware::Middleware;
  Flow on(Decide&, Next next, Done) override {
    return next.defer([this](Deferred decision) { waiting_.emplace(std::move(decision)); });
  }
  void settle() {
    Deferred decision = std::move(*waiting_);
    decision.next();
  }

private:
  std::optional<Deferred> waiting_;
};

/// A broker with one client, whose pipeline is put together by `use`.
template <class Use>
void withPipeline(Use use) {
  TestBroker broker;
  broker.use<test::AcceptConnect>();
  use(broker, [&broker](const char* name) {
    Client& client = broker.connect().client();
    Packet packet{mqtt::Pingreq{}, {}};
    std::size_t walks = 0;
    measure(name, [&] {
      broker.stack().process(client, packet, PacketType::publish,
                             [&](std::error_code, bool) { ++walks; });
    });
    bench::keep(walks);
  });
}

void measurePackets() {
  for (const std::size_t count : {0U, 1U, 4U, 13U}) {
    withPipeline([&](TestBroker& broker, auto measureAs) {
      for (std::size_t i = 0; i < count; ++i) broker.use<Passes>(PacketType::publish);
      measureAs(("a packet passes " + std::to_string(count) + " middlewares").c_str());
    });
  }
  withPipeline([&](TestBroker& broker, auto measureAs) {
    for (std::size_t i = 0; i < 13; ++i) broker.use<Passes>(PacketType::subscribe);
    measureAs("a packet that none of 13 middlewares listens to");
  });
}

void measureCallbacks() {
  for (const std::size_t count : {0U, 1U, 4U}) {
    TestBroker broker;
    for (std::size_t i = 0; i < count; ++i) {
      if (i % 2) {
        broker.use<Agrees<1>>();
        broker.use<Adds<1>>();
      } else {
        broker.use<Agrees<0>>();
        broker.use<Adds<0>>();
      }
    }
    Stack* stack = &broker.stack();
    const std::string handlers = std::to_string(count) + " handlers";
    measure(("a callback that may wait, " + handlers).c_str(), [&] {
      bench::keep(stack);  // or its handlers were known beforehand
      stack->execute(Decide{1}, [](std::error_code, Decide& decide) { bench::keep(decide); });
    });
    measure(("a callback that may not, " + handlers).c_str(), [&] {
      Collect collect;
      bench::keep(stack);
      static_cast<void>(stack->run(collect));
      bench::keep(collect);
    });
  }
}

void measureQuestions() {
  TestBroker broker;
  broker.use<test::AcceptConnect>();
  broker.use<Asks>();
  broker.use<Agrees<0>>();
  Client& client = broker.connect().client();
  Packet packet{mqtt::Pingreq{}, {}};
  const auto walk = [&] {
    broker.stack().process(client, packet, PacketType::pingreq, [](std::error_code, bool) {});
  };
  measure("a packet about which a callback is asked, answered at once", walk);
}

void measureWaiting() {
  TestBroker broker;
  auto& waits = broker.use<Waits>();
  Stack& stack = broker.stack();
  measure("a callback that waits and is settled", [&] {
    stack.execute(Decide{1}, [](std::error_code, Decide& decide) { bench::keep(decide); });
    waits.settle();
  });
}

}  // namespace

int main() {
  measurePackets();
  measureCallbacks();
  measureQuestions();
  measureWaiting();
  return 0;
}
