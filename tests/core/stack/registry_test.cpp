#include "core/stack/registry.hpp"

#include <string>
#include <vector>

#include <catch2/catch.hpp>

#include "core/util/metrics.hpp"
#include "tests/support/manual_clock.hpp"
#include "tests/support/manual_loop.hpp"

namespace mqttstack {
namespace {

/// What an instance needs to be made.
struct Workshop {
  std::unique_ptr<Middleware> make(std::string_view type, const OptionValues& values = {}) {
    Setup setup{"instance", fields, scheduler, metrics, sink, loop};
    return registry.make(type, setup, values, "/etc", diagnostics);
  }
  Registry registry;
  ClientFields fields;
  test::ManualScheduler scheduler;
  Metrics metrics;
  LogSink sink;
  test::ManualLoop loop;
  Diagnostics diagnostics;
};

class Plain final : public Middleware {
public:
  static constexpr std::string_view kName = "plain";
  static constexpr std::string_view kSummary = "Does nothing.";
  using Options = NoOptions;
  Plain(Setup& setup, const Options&) : Middleware{setup} {}
};

class Busy final : public Middleware,
                   public HandlesPackets,
                   public Handles<CloseClient>,
                   public Handles<RelayMessage> {
public:
  static constexpr std::string_view kName = "busy";
  static constexpr std::string_view kSummary = "Does a lot.";
  using Executes = Callbacks<OpenSession>;
  using MayExecute = Callbacks<MessageDropped, SessionEnded>;
  using Filters = Callbacks<RelayMessage>;
  static constexpr mqtt::PacketTypes kAnswers = mqtt::PacketType::pingreq;
  static constexpr std::string_view kOnlyOne = "worker";

  struct Options {
    std::uint16_t count = 3;
    std::string name;
    static void declare(OptionTable<Options>& table) {
      table.add("count", &Options::count, "How many.").range(1, 5);
      table.add("name", &Options::name, "Whose.").required();
    }
  };
  Busy(Setup& setup, const Options& given, Diagnostics& diagnostics)
      : Middleware{setup},
        options{given},
        field_{setup.clientFields} {
    if (options.name == "nobody") diagnostics.errorAt("name", "nobody is nobody");
  }
  Flow handle(Client&, Packet&, Next next, Done) override { return next(); }
  Flow on(CloseClient&, SyncNext next, Done) override { return next(); }
  Flow on(RelayMessage&, Next next, Done) override { return next(); }

  Options options;

private:
  PerClient<int> field_;
};

TEST_CASE("a registry makes middlewares by name", "[registry]") {
  Workshop shop;
  shop.registry.add<Plain>();
  shop.registry.add<Busy>();
  CHECK(shop.registry.names() == std::vector<std::string>{"busy", "plain"});
  CHECK(shop.registry.has("plain"));
  CHECK_FALSE(shop.registry.has("Plain"));
  CHECK_FALSE(shop.registry.has(""));

  const auto plain = shop.make("plain");
  REQUIRE(dynamic_cast<Plain*>(plain.get()));
  CHECK(plain->name() == "instance");

  const auto busy = shop.make("busy", {{"name", std::string{"me"}}, {"count", std::int64_t{5}}});
  REQUIRE(dynamic_cast<Busy*>(busy.get()));
  CHECK(dynamic_cast<Busy&>(*busy).options.count == 5);
  CHECK(dynamic_cast<Busy&>(*busy).options.name == "me");
  CHECK(shop.diagnostics.findings().empty());
}

TEST_CASE("a name that is taken is a mistake of the program", "[registry]") {
  Registry registry;
  registry.add<Plain>();
  CHECK_THROWS_AS(registry.add<Plain>(), std::logic_error);
}

TEST_CASE("everything that is wrong with an instance's options is told at once", "[registry]") {
  Workshop shop;
  shop.registry.add<Busy>();
  CHECK_FALSE(shop.make("busy", {{"count", std::int64_t{9}}, {"conut", std::int64_t{1}}}));
  REQUIRE(shop.diagnostics.errorCount() == 3);
  std::vector<std::string> messages;
  for (const Finding& finding : shop.diagnostics.findings()) messages.push_back(finding.message);
  CHECK(messages == std::vector<std::string>{"\"count\" has to be a value from 1 to 5",
                                             "option \"name\" is missing",
                                             "unknown option \"conut\""});
}

TEST_CASE("a constructor may find more that is wrong", "[registry]") {
  Workshop shop;
  shop.registry.add<Busy>();
  shop.make("busy", {{"name", std::string{"nobody"}}});
  REQUIRE(shop.diagnostics.errorCount() == 1);
  CHECK(shop.diagnostics.findings().front().place.option == "name");
}

TEST_CASE("a registry describes what it can make", "[registry]") {
  Registry registry;
  registry.add<Plain>();
  registry.add<Busy>();
  const MiddlewareInfo& busy = registry.info("busy");
  CHECK(busy.name == "busy");
  CHECK(busy.summary == "Does a lot.");
  REQUIRE(busy.options.size() == 2);
  CHECK(busy.options[0].name == "count");
  CHECK(busy.options[0].range == "1 to 5");
  CHECK(busy.options[1].required);
  CHECK(busy.handles == std::vector<std::string>{"closeClient", "relayMessage"});
  CHECK(busy.executes == std::vector<std::string>{"openSession"});
  CHECK(busy.mayExecute == std::vector<std::string>{"messageDropped", "sessionEnded"});
  CHECK(busy.filters == std::vector<std::string>{"relayMessage"});
  CHECK(busy.answers("closeClient"));
  CHECK_FALSE(busy.answers("relayMessage"));
  CHECK_FALSE(busy.answers("openSession"));
  CHECK(busy.asks("openSession"));
  CHECK(busy.asks("sessionEnded"));
  CHECK_FALSE(busy.asks("closeClient"));
  CHECK(busy.answeredPackets.contains(mqtt::PacketType::pingreq));
  CHECK_FALSE(busy.answeredPackets.contains(mqtt::PacketType::connect));
  CHECK(busy.onlyOne == "worker");
  CHECK(registry.info("plain").answeredPackets.empty());
  CHECK(registry.info("plain").onlyOne.empty());
  CHECK_FALSE(busy.needsCertificate);
  CHECK(registry.info("plain").handles.empty());
  CHECK(registry.info("plain").executes.empty());
  CHECK(registry.handlersOf("relayMessage") == std::vector<std::string>{"busy"});
  CHECK(registry.handlersOf("openSession").empty());
}

}  // namespace
}  // namespace mqttstack
