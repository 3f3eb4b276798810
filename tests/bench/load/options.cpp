#include "tests/bench/load/options.hpp"

#include <algorithm>
#include <string>

#include <CLI/CLI.hpp>

namespace mqttstack::load {
namespace {

void addCommon(CLI::App& app, Options& options) {
  app.add_option("--host", options.host, "where the broker is")->capture_default_str();
  app.add_option("-p,--port", options.port, "its port")->capture_default_str();
  app.add_flag_callback(
      "--tls", [&options] { options.transport = Transport::tls; }, "connect with TLS");
  app.add_option("--pid", options.broker, "its process, whose CPU and memory are measured");
  app.add_option("--label", options.label, "a name for the report");
  app.add_option_function<std::string>(
         "-V,--mqtt",
         [&options](const std::string& text) {
           options.version = text == "5" ? Version::v5 : Version::v311;
         },
         "the version of MQTT")
      ->check(CLI::IsMember({"3.1.1", "5"}));
  app.add_option("-q,--publish-qos", options.publishQos)->check(CLI::Range(0, 2));
  app.add_option("-Q,--subscribe-qos", options.subscribeQos)->check(CLI::Range(0, 2));
  app.add_option("-s,--payload", options.payload, "bytes of each message")
      ->check(CLI::Range(std::size_t{16}, std::size_t{64} << 20))
      ->capture_default_str();
  app.add_option("-w,--window", options.window, "messages under way, of each publisher")
      ->check(CLI::Range(1, 30'000))
      ->capture_default_str();
  app.add_option("--connecting", options.connecting, "connections that come up at a time")
      ->check(CLI::PositiveNumber)
      ->capture_default_str();
  app.add_flag("--persistent", options.persistent, "keep sessions");
  app.add_option("--keep-alive", options.keepAlive, "seconds; nobody pings");
}

void addTraffic(CLI::App& app, Options& options) {
  app.add_option("-P,--publishers", options.publishers)
      ->check(CLI::PositiveNumber)
      ->capture_default_str();
  app.add_option("-S,--subscribers", options.subscribers)->capture_default_str();
  app.add_option("-W,--warm-up", options.warmUp, "seconds before it is measured")
      ->capture_default_str();
  app.add_option("-d,--seconds", options.seconds, "how long it is measured")->capture_default_str();
  app.add_option("-r,--rate", options.rate, "messages per second of all, instead of a window");
  app.add_option("-n,--messages", options.messages, "so many of all, all measured");
  app.add_option("--stall", options.stall, "seconds without progress: the window was lost")
      ->capture_default_str();
}

}  // namespace

bool parse(int argc, char** argv, Options& options, int& code) {
  CLI::App app{
      "Loads an MQTT broker and measures it. One line of JSON goes to the standard "
      "output, one to read to the standard error."};
  app.require_subcommand(1);
  const auto scenario = [&](const char* name, const char* what, Scenario which) {
    CLI::App* command = app.add_subcommand(name, what);
    command->callback([&options, which] { options.scenario = which; });
    addCommon(*command, options);
    return command;
  };

  CLI::App* traffic = scenario("traffic", "publishers and subscribers", Scenario::traffic);
  addTraffic(*traffic, options);
  traffic->add_option("-T,--topics", options.topics,
                      "client i uses topic i modulo this; one for each publisher if not given");
  traffic
      ->add_option_function<std::string>(
          "--subscribing",
          [&options](const std::string& text) {
            options.subscribing = text == "plus"   ? Subscribing::plus
                                  : text == "hash" ? Subscribing::hash
                                                   : Subscribing::exact;
          },
          "to the topic, or to all topics by a filter with + or #")
      ->check(CLI::IsMember({"exact", "plus", "hash"}));

  CLI::App* idle = scenario("idle", "connections that do nothing", Scenario::idle);
  idle->add_option("-N,--clients", options.clients)
      ->check(CLI::PositiveNumber)
      ->capture_default_str();
  idle->add_option("--hold", options.hold, "seconds of rest")->capture_default_str();
  idle->add_option("--broadcast", options.broadcast, "messages that all of them get in the end");

  CLI::App* filters = scenario("filters", "traffic among many filters", Scenario::filters);
  addTraffic(*filters, options);
  filters->add_option("-N,--filters", options.filters)
      ->check(CLI::Range(1, 9'999'999))
      ->capture_default_str();
  filters
      ->add_option("--form", options.filterForm,
                   "exact d/x/N/y, plus d/+/N/y, hash d/x/N/#, head +/x/N/y")
      ->check(CLI::IsMember({"exact", "plus", "hash", "head"}))
      ->capture_default_str();
  filters->add_option("--per-packet", options.filtersPerPacket, "filters in a SUBSCRIBE")
      ->check(CLI::Range(1, 1'000))
      ->capture_default_str();

  CLI::App* retained = scenario("retained", "retained messages, replayed", Scenario::retained);
  retained->add_option("-N,--stored", options.stored)
      ->check(CLI::Range(1, 9'999'999))
      ->capture_default_str();
  retained->add_option("--filter", options.replayFilter, "of topics a/N/c")->capture_default_str();

  CLI::App* health =
      scenario("health", "whether one is served while others make trouble", Scenario::health);
  health
      ->add_option(
          "--while", options.trouble,
          "connects and leaves; churn of subscriptions; broadcast to all clients; replay of "
          "retained messages, or unread ones; nothing")
      ->check(CLI::IsMember({"nothing", "connects", "churn", "broadcast", "replay", "unread"}))
      ->capture_default_str();
  health->add_option("-N,--clients", options.clients, "who churn, get the broadcast or the replay")
      ->check(CLI::PositiveNumber)
      ->capture_default_str();
  health->add_option("--stored", options.stored, "retained messages")
      ->check(CLI::Range(1, 9'999'999))
      ->capture_default_str();
  health->add_option("--filters", options.filters, "that stay while others churn")
      ->check(CLI::Range(0, 9'999'999))
      ->capture_default_str();
  health->add_option("-d,--seconds", options.seconds, "how long, at most")->capture_default_str();

  CLI::App* offline = scenario("offline", "a queue, filled and drained", Scenario::offline);
  offline->add_option("-N,--stored", options.stored)
      ->check(CLI::Range(1, 9'999'999))
      ->capture_default_str();

  try {
    app.parse(argc, argv);
  } catch (const CLI::ParseError& error) {
    code = app.exit(error);
    return false;
  }
  // Somebody who stores wants to know when it has been.
  if (options.scenario == Scenario::retained || options.scenario == Scenario::offline)
    options.publishQos = std::max(options.publishQos, 1U);
  if (options.scenario == Scenario::offline)
    options.subscribeQos = std::max(options.subscribeQos, 1U);
  return true;
}

}  // namespace mqttstack::load
