#include "core/stack/stack.hpp"

#include <string>
#include <vector>

#include <catch2/catch.hpp>

#include "tests/support/client_fixture.hpp"

namespace mqttstack {
namespace {

using mqtt::PacketType;
using mqtt::PacketTypes;
using mqtt::ReasonCode;
using test::CallbackStub;
using test::PacketStub;
using test::TestBroker;

/// A callback as simple as can be, answered at once.
struct Add {
  static constexpr std::string_view kName = "add";
  static constexpr CallbackKind kKind = CallbackKind::sync;
  int input = 0;
  std::vector<int> results{};
};
/// The same, which may be answered later.
struct AddLater {
  static constexpr std::string_view kName = "addLater";
  static constexpr CallbackKind kKind = CallbackKind::deferred;
  int input = 0;
  std::vector<int> results{};
};
struct NobodyHandles {
  static constexpr std::string_view kName = "nobodyHandles";
  static constexpr CallbackKind kKind = CallbackKind::deferred;
};
struct NobodyHandlesSync {
  static constexpr std::string_view kName = "nobodyHandlesSync";
  static constexpr CallbackKind kKind = CallbackKind::sync;
};

const std::error_code kError = ReasonCode::quotaExceeded;

struct Result {
  int calls = 0;
  std::error_code error{};
  bool consumed = false;
};

/// Runs a packet of that type through the broker's stack.
Result process(TestBroker& broker, Client& client, mqtt::Packet content = mqtt::Pingreq{}) {
  Result result;
  Packet packet{std::move(content), {}};
  const bool finished = broker.stack().process(client, packet, packet.type(),
                                               [&](std::error_code error, bool consumed) {
                                                 ++result.calls;
                                                 result.error = error;
                                                 result.consumed = consumed;
                                               });
  CHECK(finished);
  return result;
}

TEST_CASE(
    "a packet passes the middlewares in order, with the same client and packet [original:8.2]",
    "[stack]") {
  TestBroker broker;
  std::vector<std::string> visits;
  Client* seenClient = nullptr;
  Packet* seenPacket = nullptr;
  broker.onPackets(PacketTypes::all(), [&](Client& client, Packet& packet, Next next, Done) {
    visits.push_back("first");
    seenClient = &client;
    seenPacket = &packet;
    return next();
  });
  broker.onPackets(PacketTypes::all(), [&](Client& client, Packet& packet, Next, Done done) {
    visits.push_back("second");
    CHECK(seenClient == &client);
    CHECK(seenPacket == &packet);
    return done();
  });
  broker.onPackets(PacketTypes::all(), [&](Client&, Packet&, Next next, Done) {
    visits.push_back("third");
    return next();
  });

  const Result result = process(broker, broker.open().client());
  CHECK(visits == std::vector<std::string>{"first", "second"});
  CHECK(result.calls == 1);
  CHECK_FALSE(result.error);
  CHECK(result.consumed);
}

TEST_CASE("an error ends a packet's walk and reaches whoever started it [original:8.3]",
          "[stack]") {
  TestBroker broker;
  broker.onPackets(PacketTypes::all(),
                   [](Client&, Packet&, Next next, Done) { return next(kError); });
  auto& later = broker.onPackets(PacketTypes::all());
  const Result result = process(broker, broker.open().client());
  CHECK(result.calls == 1);
  CHECK(result.error == kError);
  CHECK(later.calls == 0);
}

TEST_CASE("no error is a plain next()", "[stack]") {
  TestBroker broker;
  broker.onPackets(PacketTypes::all(),
                   [](Client&, Packet&, Next next, Done) { return next(std::error_code{}); });
  auto& later = broker.onPackets(PacketTypes::all());
  const Result result = process(broker, broker.open().client());
  CHECK(later.calls == 1);
  CHECK_FALSE(result.consumed);
}

TEST_CASE("a packet that nobody listens to is through at once", "[stack]") {
  TestBroker broker;
  auto& others = broker.onPackets(PacketType::publish | PacketType::connect);
  const Result result = process(broker, broker.open().client());
  CHECK(result.calls == 1);
  CHECK_FALSE(result.error);
  CHECK_FALSE(result.consumed);
  CHECK(others.calls == 0);
}

TEST_CASE("only the types that packets() names are visited", "[stack]") {
  TestBroker broker;
  auto& pings = broker.onPackets(PacketType::pingreq);
  auto& all = broker.onPackets(PacketTypes::all());
  auto& none = broker.onPackets(PacketTypes{});
  Client& client = broker.open().client();
  process(broker, client, mqtt::Pingreq{});
  process(broker, client, mqtt::Disconnect{});
  process(broker, client, mqtt::Auth{});
  process(broker, client, mqtt::Connect{});
  CHECK(pings.calls == 1);
  CHECK(all.calls == 4);
  CHECK(none.calls == 0);
}

/// Notes that a client was installed.
class Installed final : public Middleware {
public:
  Installed(const Setup& setup, std::vector<std::string>& log) : Middleware{setup}, log_{log} {}
  void install(Client& client) override {
    log_.push_back(name());
    last = &client;
  }
  Client* last = nullptr;

private:
  std::vector<std::string>& log_;
};

TEST_CASE("install() of every middleware is called with the client, in order [original:8.4]",
          "[stack]") {
  TestBroker broker;
  std::vector<std::string> log;
  auto& a = broker.useNamed<Installed>("a", log);
  auto& b = broker.useNamed<Installed>("b", log);
  auto& c = broker.useNamed<Installed>("c", log);
  Client& client = broker.open().client();
  CHECK(log == std::vector<std::string>{"a", "b", "c"});
  CHECK(a.last == &client);
  CHECK(b.last == &client);
  CHECK(c.last == &client);
}

class ThrowsInInstall final : public Middleware {
public:
  using Middleware::Middleware;
  void install(Client&) override { throw std::runtime_error{"no room"}; }
};

TEST_CASE("a client whose install() throws is not served", "[stack]") {
  TestBroker broker;
  broker.useNamed<ThrowsInInstall>("broken");
  auto peer = broker.open();
  peer.send(test::hex("C0 00"));
  CHECK(peer.closed());
  CHECK(peer.gone());
  REQUIRE(broker.logged(LogLevel::error) == 1);
  CHECK(broker.log.front().text.find("broken") != std::string::npos);
}

/// Shows its home.
class Homebody final : public Middleware {
public:
  using Middleware::Middleware;
  Stack& where() const { return home(); }
};

TEST_CASE("the first stack that uses a middleware is its home [original:8.5]", "[stack]") {
  TestBroker broker;
  Stack& first = broker.stack();
  auto& shared = broker.use<Homebody>();
  Stack& second = broker.addStack("second");
  auto& own = broker.use<Homebody>();
  second.use(shared);
  CHECK(&shared.where() == &first);
  CHECK(&own.where() == &second);
  CHECK(first.middlewares() == std::vector<Middleware*>{&shared});
  CHECK(second.middlewares() == std::vector<Middleware*>{&own, &shared});
}

TEST_CASE("a sync callback visits its handlers in order and collects their results [original:8.6]",
          "[stack]") {
  TestBroker broker;
  broker.on<Add>([](Add& add, SyncNext next, Done) {
    add.results.push_back(add.input + 1);
    return next();
  });
  broker.onPackets(PacketTypes::all());
  broker.on<Add>([](Add& add, SyncNext next, Done) {
    add.results.push_back(add.input + 2);
    return next();
  });
  Add add{1};
  CHECK_FALSE(broker.stack().run(add));
  CHECK(add.results == std::vector<int>{2, 3});
}

TEST_CASE("done() of a sync callback's handler keeps it from the later ones", "[stack]") {
  TestBroker broker;
  broker.on<Add>([](Add&, SyncNext, Done done) { return done(); });
  auto& later = broker.on<Add>();
  Add add;
  CHECK_FALSE(broker.stack().run(add));
  CHECK(later.calls == 0);
}

TEST_CASE("an error of a sync callback's handler is returned", "[stack]") {
  TestBroker broker;
  broker.on<Add>();
  broker.on<Add>([](Add&, SyncNext next, Done) { return next(kError); });
  auto& later = broker.on<Add>();
  Add add;
  CHECK(broker.stack().run(add) == kError);
  CHECK(later.calls == 0);
}

TEST_CASE(
    "a callback that may be deferred collects results, and all see one context [original:8.6] "
    "[original:8.9]",
    "[stack]") {
  TestBroker broker;
  AddLater* seen = nullptr;
  broker.on<AddLater>([&](AddLater& add, Next next, Done) {
    seen = &add;
    add.results.push_back(add.input + 1);
    return next();
  });
  broker.on<AddLater>([&](AddLater& add, Next next, Done) {
    CHECK(seen == &add);
    add.results.push_back(add.input + 2);
    return next();
  });
  int calls = 0;
  CHECK(broker.stack().execute(AddLater{1}, [&](std::error_code error, AddLater& add) {
    ++calls;
    CHECK_FALSE(error);
    CHECK(add.results == std::vector<int>{2, 3});
  }));
  CHECK(calls == 1);
}

TEST_CASE("an error of a later handler is reported to whoever executed the callback [original:8.8]",
          "[stack]") {
  TestBroker broker;
  broker.on<AddLater>();
  broker.on<AddLater>([](AddLater&, Next next, Done) { return next(kError); });
  auto& last = broker.on<AddLater>();
  std::error_code seen;
  broker.stack().execute(AddLater{}, [&](std::error_code error, AddLater&) { seen = error; });
  CHECK(seen == kError);
  CHECK(last.calls == 0);
}

TEST_CASE("a callback that nobody handles is through at once [original:8.7]", "[stack]") {
  TestBroker broker;
  broker.on<Add>();
  int calls = 0;
  CHECK(broker.stack().execute(NobodyHandles{}, [&](std::error_code error, NobodyHandles&) {
    ++calls;
    CHECK_FALSE(error);
  }));
  CHECK(calls == 1);
  NobodyHandlesSync nobody;
  CHECK_FALSE(broker.stack().run(nobody));
  CHECK_FALSE(broker.stack().handled<NobodyHandles>());
  CHECK(broker.stack().walkBlocks() == 0);
}

TEST_CASE("a stack knows who handles what, and where", "[stack]") {
  TestBroker broker;
  auto& packets = broker.onPackets(PacketTypes::all());
  auto& first = broker.on<Add>();
  broker.on<Add>();
  const Stack& stack = broker.stack();
  CHECK(stack.handled<Add>());
  CHECK_FALSE(stack.handled<AddLater>());
  CHECK(stack.firstHandler<Add>() == 1);
  CHECK(stack.firstHandler<AddLater>() == std::nullopt);
  CHECK(stack.position(&packets) == 0);
  CHECK(stack.position(&first) == 1);
  CHECK(stack.position(nullptr) == std::nullopt);
}

class Complains final : public Middleware {
public:
  using Middleware::Middleware;
  void validate(const Stack& stack, Diagnostics& diagnostics) const override {
    diagnostics.error("not in " + stack.name());
    diagnostics.warningAt("path", "strange");
  }
};

TEST_CASE("validate() asks everybody, and says where each finding belongs", "[stack]") {
  TestBroker broker;
  auto& shared = broker.useNamed<Complains>("a");
  broker.useNamed<Complains>("b");
  broker.addStack("other").use(shared);
  const auto findings = broker.validate();
  REQUIRE(findings.size() == 6);
  CHECK(findings[0].severity == Severity::error);
  CHECK(findings[0].message == "not in default");
  CHECK(findings[0].place.pipeline == "default");
  CHECK(findings[0].place.instance == "a");
  CHECK(findings[1].severity == Severity::warning);
  CHECK(findings[1].place.option == "path");
  CHECK(findings[2].place.instance == "b");
  CHECK(findings[2].place.option.empty());
  CHECK(findings[4].place.pipeline == "other");
  CHECK(findings[4].place.instance == "a");
}

TEST_CASE("a callback made in a handler runs to its end inside it", "[stack]") {
  TestBroker broker;
  Stack& stack = broker.stack();
  std::vector<std::string> order;
  broker.on<AddLater>([&](AddLater& add, Next next, Done) -> Flow {
    order.push_back("depth " + std::to_string(add.input));
    if (add.input == 3) {
      add.results = {42};
      return next();
    }
    return stack.call(AddLater{add.input + 1}, next,
                      [&](std::error_code error, AddLater& inner, Next innerNext, Done) -> Flow {
                        CHECK_FALSE(error);
                        add.results = inner.results;
                        return innerNext();
                      });
  });
  auto& behind = broker.on<AddLater>();
  CHECK(stack.execute(AddLater{0}, [&](std::error_code, AddLater& add) {
    CHECK(add.results == std::vector<int>{42});
  }));
  CHECK(order == std::vector<std::string>{"depth 0", "depth 1", "depth 2", "depth 3"});
  CHECK(behind.calls == 4);
  CHECK(stack.walks() == 0);
  CHECK(stack.walkBlocks() == 4);
}

TEST_CASE("what a continuation decides is what the handler that called decides", "[stack]") {
  TestBroker broker;
  Stack& stack = broker.stack();
  enum class Decision { next, done, error };
  const auto decision = GENERATE(Decision::next, Decision::done, Decision::error);
  broker.on<AddLater>([&](AddLater&, Next next, Done) -> Flow {
    return stack.call(NobodyHandles{}, next,
                      [&](std::error_code, NobodyHandles&, Next innerNext, Done done) -> Flow {
                        if (decision == Decision::next) return innerNext();
                        if (decision == Decision::done) return done();
                        return innerNext(kError);
                      });
  });
  auto& behind = broker.on<AddLater>();
  std::error_code seen;
  stack.execute(AddLater{}, [&](std::error_code error, AddLater&) { seen = error; });
  CHECK(behind.calls == (decision == Decision::next ? 1 : 0));
  CHECK(seen == (decision == Decision::error ? kError : std::error_code{}));
}

}  // namespace
}  // namespace mqttstack
