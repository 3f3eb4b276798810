#include "core/stack/flow.hpp"

#include <optional>
#include <stdexcept>
#include <vector>

#include <catch2/catch.hpp>

#include "tests/support/client_fixture.hpp"

namespace mqttstack {
namespace {

using mqtt::PacketTypes;
using mqtt::ReasonCode;
using test::AcceptConnect;
using test::TestBroker;

struct Ask {
  static constexpr std::string_view kName = "ask";
  static constexpr CallbackKind kKind = CallbackKind::deferred;
  int depth = 0;
};
struct AskNow {
  static constexpr std::string_view kName = "askNow";
  static constexpr CallbackKind kKind = CallbackKind::sync;
};
struct AskAbout {
  static constexpr std::string_view kName = "askAbout";
  static constexpr CallbackKind kKind = CallbackKind::deferred;
  const broker::Identity& identity;
  broker::Session& session;
};

const std::error_code kError = ReasonCode::quotaExceeded;
const std::error_code kCancelled = std::make_error_code(std::errc::operation_canceled);
const std::error_code kThrown = ReasonCode::implementationSpecificError;

/// A stack whose first handler keeps each Deferred for the test to settle.
struct Waiting {
  std::vector<std::error_code> results;
  TestBroker broker;
  std::vector<Deferred> kept;
  std::optional<Next> firstsNext;
  test::CallbackStub<Ask>& first = broker.on<Ask>([this](Ask&, Next next, Done) {
    firstsNext.emplace(next);
    return next.defer([this](Deferred later) { kept.push_back(std::move(later)); });
  });
  test::CallbackStub<Ask>& second = broker.on<Ask>();

  bool ask() {
    return broker.stack().execute(
        Ask{}, [this](std::error_code error, Ask&) { results.push_back(error); });
  }
  Deferred take() {
    Deferred one = std::move(kept.front());
    kept.erase(kept.begin());
    return one;
  }
};

using Results = std::vector<std::error_code>;

TEST_CASE("a walk that is answered inside defer() goes on at once", "[flow]") {
  TestBroker broker;
  const auto how = GENERATE(0, 1, 2);
  broker.on<Ask>([&](Ask&, Next next, Done) {
    return next.defer([&](Deferred later) {
      if (how == 0) later.next();
      if (how == 1) later.done();
      if (how == 2) later.fail(kError);
    });
  });
  auto& behind = broker.on<Ask>();
  std::error_code seen = kCancelled;
  CHECK(broker.stack().execute(Ask{}, [&](std::error_code error, Ask&) { seen = error; }));
  CHECK(behind.calls == (how == 0 ? 1 : 0));
  CHECK(seen == (how == 2 ? kError : std::error_code{}));
  CHECK(broker.stack().parkedWalks() == 0);
}

TEST_CASE("a walk that is answered later waits and then goes on", "[flow]") {
  Waiting t;
  CHECK_FALSE(t.ask());
  CHECK(t.broker.stack().parkedWalks() == 1);
  CHECK(t.results.empty());
  REQUIRE(t.kept.front().waiting());

  SECTION("next") {
    t.take().next();
    CHECK(t.second.calls == 1);
    CHECK(t.results == Results{{}});
  }
  SECTION("done") {
    t.take().done();
    CHECK(t.second.calls == 0);
    CHECK(t.results == Results{{}});
  }
  SECTION("fail") {
    t.take().fail(kError);
    CHECK(t.second.calls == 0);
    CHECK(t.results == Results{kError});
  }
  CHECK(t.broker.stack().parkedWalks() == 0);
  CHECK(t.broker.stack().walks() == 0);
}

TEST_CASE("a Deferred that is dropped fails its walk", "[flow]") {
  Waiting t;
  t.ask();
  t.kept.clear();
  CHECK(t.results == Results{kCancelled});
  CHECK(t.second.calls == 0);
}

TEST_CASE("a Deferred that is dropped inside defer() fails its walk", "[flow]") {
  TestBroker broker;
  broker.on<Ask>([](Ask&, Next next, Done) { return next.defer([](Deferred) {}); });
  std::error_code seen;
  CHECK(broker.stack().execute(Ask{}, [&](std::error_code error, Ask&) { seen = error; }));
  CHECK(seen == kCancelled);
}

TEST_CASE("settling twice does nothing the second time", "[flow]") {
  Waiting t;
  t.ask();
  Deferred later = t.take();
  later.next();
  CHECK_FALSE(later.waiting());
  later.fail(kError);
  later.done();
  CHECK(t.results == Results{{}});
  CHECK(t.second.calls == 1);

  // The walk's memory is used again by another, which is not this one's business.
  t.ask();
  later.next();
  CHECK(t.results.size() == 1);
  CHECK(t.broker.stack().walkBlocks() == 1);
}

TEST_CASE("a Deferred that is moved settles from its new place", "[flow]") {
  Waiting t;
  t.ask();
  Deferred first = t.take();
  Deferred second{std::move(first)};
  CHECK_FALSE(first.waiting());
  first.fail(kError);
  CHECK(t.results.empty());
  CHECK(second.waiting());
  second.next();
  CHECK(t.results == Results{{}});
}

TEST_CASE("a Deferred that is assigned over fails what it was to settle", "[flow]") {
  Waiting t;
  t.ask();
  t.ask();
  Deferred a = t.take();
  Deferred b = t.take();
  a = std::move(b);
  CHECK(t.results == Results{kCancelled});
  CHECK(a.waiting());
  a.next();
  CHECK(t.results == Results{kCancelled, {}});

  t.ask();
  Deferred c = t.take();
  Deferred& same = c;
  c = std::move(same);
  CHECK(c.waiting());
  c.next();
  CHECK(t.results.size() == 3);
}

TEST_CASE("settleWith() may defer again, as often as it likes", "[flow]") {
  TestBroker broker;
  std::optional<Deferred> kept;
  const auto keep = [&](Deferred later) { kept.emplace(std::move(later)); };
  std::optional<Next> handlers;
  broker.on<Ask>([&](Ask&, Next next, Done) {
    handlers.emplace(next);
    return next.defer(keep);
  });
  auto& behind = broker.on<Ask>();
  int ends = 0;
  CHECK_FALSE(broker.stack().execute(Ask{}, [&](std::error_code error, Ask&) {
    ++ends;
    CHECK_FALSE(error);
  }));
  for (int i = 0; i < 3; ++i) {
    Deferred now = std::move(*kept);
    kept.reset();
    now.settleWith([&] { return handlers->defer(keep); });
    CHECK(ends == 0);
    CHECK_FALSE(now.waiting());
    REQUIRE(kept->waiting());
    CHECK(broker.stack().parkedWalks() == 1);
  }
  SECTION("and is settled in the end") {
    kept->settleWith([&] { return (*handlers)(); });
  }
  SECTION("also by a defer() that is answered inside") {
    kept->settleWith([&] { return handlers->defer([](Deferred later) { later.next(); }); });
  }
  CHECK(ends == 1);
  CHECK(behind.calls == 1);
  CHECK(broker.stack().walks() == 0);
}

TEST_CASE("settleWith() is not asked when the walk is over", "[flow]") {
  Waiting t;
  t.ask();
  t.broker.stack().cancelWalks();
  bool asked = false;
  t.take().settleWith([&]() -> Flow {
    asked = true;
    return Done{}();
  });
  CHECK_FALSE(asked);
  CHECK(t.results == Results{kCancelled});
}

TEST_CASE("walks that wait when their stack is destroyed end once, with an error", "[flow]") {
  ClientFields fields;
  auto stack = std::make_unique<Stack>("short-lived", fields);
  TestBroker broker;  // for what a middleware needs
  std::vector<Deferred> kept;
  stack->use(broker.on<Ask>([&](Ask&, Next next, Done) {
    return next.defer([&](Deferred later) { kept.push_back(std::move(later)); });
  }));
  Results results;
  for (int i = 0; i < 3; ++i)
    stack->execute(Ask{}, [&](std::error_code error, Ask&) { results.push_back(error); });
  CHECK(stack->parkedWalks() == 3);
  stack.reset();
  CHECK(results == Results{kCancelled, kCancelled, kCancelled});

  CHECK_FALSE(kept[0].waiting());
  kept[0].next();
  kept[1].fail(kError);
  kept.clear();
  CHECK(results.size() == 3);
}

TEST_CASE("calls nested three deep may be deferred at each depth", "[flow]") {
  TestBroker broker;
  Stack& stack = broker.stack();
  const int deferAt = GENERATE(0, 1, 2, 3);
  std::optional<Deferred> kept;
  std::vector<int> left;
  broker.on<Ask>([&](Ask& ask, Next next, Done) -> Flow {
    if (ask.depth != deferAt) return next();
    return next.defer([&](Deferred later) { kept.emplace(std::move(later)); });
  });
  broker.on<Ask>([&](Ask& ask, Next next, Done) -> Flow {
    if (ask.depth == 3) return next();
    return stack.call(Ask{ask.depth + 1}, next,
                      [&left, &ask](std::error_code error, Ask& inner, Next on, Done) -> Flow {
                        left.push_back(inner.depth);
                        CHECK(inner.depth == ask.depth + 1);
                        return on(error);
                      });
  });
  Results results;
  CHECK_FALSE(
      stack.execute(Ask{0}, [&](std::error_code error, Ask&) { results.push_back(error); }));
  CHECK(stack.parkedWalks() == static_cast<std::size_t>(deferAt) + 1);
  CHECK(left.empty());

  SECTION("and go on") {
    kept->next();
    CHECK(left == std::vector<int>{3, 2, 1});
    CHECK(results == Results{{}});
  }
  SECTION("and fail") {
    kept->fail(kError);
    std::vector<int> expected;
    for (int depth = deferAt; depth > 0; --depth) expected.push_back(depth);
    CHECK(left == expected);
    CHECK(results == Results{kError});
  }
  SECTION("and are cancelled from the inside out") {
    stack.cancelWalks();
    CHECK(left.size() == static_cast<std::size_t>(deferAt));
    CHECK(results == Results{kCancelled});
  }
  CHECK(stack.parkedWalks() == 0);
  CHECK(stack.walks() == 0);
}

// Exceptions.

/// One line in the log, one end with an error, no memory lost.
void checkThrown(TestBroker& broker, const Results& results, std::error_code error = kThrown) {
  CHECK(results == Results{error});
  CHECK(broker.logged(LogLevel::error) == 1);
  CHECK(broker.stack().parkedWalks() == 0);
  CHECK(broker.stack().walks() == 0);
}

TEST_CASE("a handler that throws fails its walk, and is named in the log", "[flow]") {
  TestBroker broker;
  broker.useNamed<test::CallbackStub<Ask>>(
      "culprit", [](Ask&, Next, Done) -> Flow { throw std::runtime_error{"out of\nluck"}; });
  auto& behind = broker.on<Ask>();
  Results results;
  CHECK(broker.stack().execute(Ask{},
                               [&](std::error_code error, Ask&) { results.push_back(error); }));
  checkThrown(broker, results);
  CHECK(behind.calls == 0);
  CHECK(broker.log.front().text ==
        "culprit of pipeline \"default\" threw in ask: out of\\x0aluck; this is a defect of that "
        "middleware");
}

TEST_CASE("what is thrown need not be an exception", "[flow]") {
  TestBroker broker;
  broker.on<Ask>([](Ask&, Next, Done) -> Flow { throw 42; });
  Results results;
  broker.stack().execute(Ask{}, [&](std::error_code error, Ask&) { results.push_back(error); });
  checkThrown(broker, results);
}

TEST_CASE("a handler of packets that throws fails its walk", "[flow]") {
  TestBroker broker;
  broker.onPackets(PacketTypes::all(),
                   [](Client&, Packet&, Next, Done) -> Flow { throw std::runtime_error{"x"}; });
  auto peer = broker.open();
  Packet packet{mqtt::Pingreq{}, {}};
  Results results;
  broker.stack().process(peer.client(), packet, packet.type(),
                         [&](std::error_code error, bool) { results.push_back(error); });
  checkThrown(broker, results);
}

TEST_CASE("a handler of a sync callback that throws fails it", "[flow]") {
  TestBroker broker;
  broker.on<AskNow>([](AskNow&, SyncNext, Done) -> Flow { throw std::runtime_error{"x"}; });
  auto& behind = broker.on<AskNow>();
  AskNow ask;
  checkThrown(broker, {broker.stack().run(ask)});
  CHECK(behind.calls == 0);
}

TEST_CASE("a handler that throws out of defer() fails its walk", "[flow]") {
  TestBroker broker;
  std::optional<Deferred> kept;
  const bool keeps = GENERATE(false, true);
  broker.on<Ask>([&](Ask&, Next next, Done) {
    return next.defer([&](Deferred later) {
      if (keeps) kept.emplace(std::move(later));
      throw std::runtime_error{"x"};
    });
  });
  Results results;
  CHECK(broker.stack().execute(Ask{},
                               [&](std::error_code error, Ask&) { results.push_back(error); }));
  checkThrown(broker, results);
  if (kept) {
    CHECK_FALSE(kept->waiting());
    kept->next();
  }
  checkThrown(broker, results);
}

TEST_CASE("a handler that throws after having deferred fails its walk", "[flow]") {
  TestBroker broker;
  std::optional<Deferred> kept;
  broker.on<Ask>([&](Ask&, Next next, Done) -> Flow {
    const Flow flow = next.defer([&](Deferred later) { kept.emplace(std::move(later)); });
    CHECK(flow.pending());
    throw std::runtime_error{"x"};
  });
  Results results;
  broker.stack().execute(Ask{}, [&](std::error_code error, Ask&) { results.push_back(error); });
  checkThrown(broker, results);
  kept.reset();
  checkThrown(broker, results);
}

TEST_CASE("settleWith() whose function throws fails the walk", "[flow]") {
  Waiting t;
  t.ask();
  Deferred later = t.take();
  SECTION("at once") {
    later.settleWith([]() -> Flow { throw std::runtime_error{"x"}; });
  }
  SECTION("after having deferred again") {
    later.settleWith([&]() -> Flow {
      const Flow flow =
          t.firstsNext->defer([&](Deferred again) { t.kept.push_back(std::move(again)); });
      CHECK(flow.pending());
      throw std::runtime_error{"x"};
    });
    REQUIRE(t.kept.size() == 1);
    CHECK_FALSE(t.kept.front().waiting());
  }
  checkThrown(t.broker, t.results);
}

TEST_CASE("a continuation that throws is logged, and nothing leaks", "[flow]") {
  TestBroker broker;
  Stack& stack = broker.stack();
  const auto thrower = [](std::error_code, auto&) { throw std::runtime_error{"x"}; };
  SECTION("behind handlers") {
    broker.on<Ask>();
    CHECK(stack.execute(Ask{}, thrower));
  }
  SECTION("where nobody handles") { CHECK(stack.execute(Ask{}, thrower)); }
  SECTION("when it was deferred") {
    std::optional<Deferred> kept;
    broker.on<Ask>([&](Ask&, Next next, Done) {
      return next.defer([&](Deferred later) { kept.emplace(std::move(later)); });
    });
    CHECK_FALSE(stack.execute(Ask{}, thrower));
    kept->next();
  }
  CHECK(broker.logged(LogLevel::error) == 1);
  CHECK(stack.walks() == 0);
}

TEST_CASE("a handler whose continuation of a call throws fails its own walk", "[flow]") {
  TestBroker broker;
  Stack& stack = broker.stack();
  std::optional<Deferred> kept;
  const bool deferred = GENERATE(false, true);
  broker.on<Ask>([&](Ask& ask, Next next, Done) -> Flow {
    if (ask.depth == 1) {
      if (!deferred) return next();
      return next.defer([&](Deferred later) { kept.emplace(std::move(later)); });
    }
    return stack.call(Ask{1}, next, [](std::error_code, Ask&, Next, Done) -> Flow {
      throw std::runtime_error{"x"};
    });
  });
  Results results;
  stack.execute(Ask{}, [&](std::error_code error, Ask&) { results.push_back(error); });
  if (deferred) {
    REQUIRE(kept);
    kept->next();
  }
  checkThrown(broker, results);
}

// What a walk keeps alive.

TEST_CASE("a client lives as long as its walk waits", "[flow]") {
  TestBroker broker;
  std::optional<Deferred> kept;
  broker.use<AcceptConnect>();
  broker.onPackets(mqtt::PacketType::subscribe, [&](Client&, Packet&, Next next, Done) {
    return next.defer([&](Deferred later) { kept.emplace(std::move(later)); });
  });
  Client* seen = nullptr;
  broker.on<ConnectionClosed>([&](ConnectionClosed& closed, Next next, Done) {
    seen = &closed.client;
    return next();
  });
  auto peer = broker.connect();
  peer.send(test::hex("82 06 0001 0001 'a' 00"));
  REQUIRE(kept);
  peer.reset();
  CHECK_FALSE(peer.gone());
  CHECK(seen == nullptr);
  kept->done();
  broker.run();
  CHECK(peer.gone());
  CHECK(seen != nullptr);
}

TEST_CASE("sessions and identities live as long as a walk that names them waits", "[flow]") {
  TestBroker broker;
  std::optional<Deferred> kept;
  broker.on<AskAbout>([&](AskAbout&, Next next, Done) {
    return next.defer([&](Deferred later) { kept.emplace(std::move(later)); });
  });
  broker::IdentityFields fields;
  fields.principal = "somebody";
  auto identity = broker::makeIdentity(std::move(fields));
  broker::SessionPtr session{new broker::Session{"client", identity}};
  std::string seen;
  broker.stack().execute(AskAbout{*identity, *session}, [&](std::error_code, AskAbout& ask) {
    seen = ask.identity.principal() + " " + ask.session.clientId();
  });
  CHECK(session->owners() == 2);
  CHECK(identity->owners() == 4);  // ours, twice the session's, the walk's
  session.reset();
  identity.reset();
  kept->next();
  CHECK(seen == "somebody client");
}

}  // namespace
}  // namespace mqttstack
