#include <algorithm>
#include <fmt/format.h>
#include <memory>
#include <stdexcept>
#include <string>
#include <vector>

#include "tests/bench/load/crowd.hpp"
#include "tests/bench/load/pinger.hpp"
#include "tests/bench/load/scenarios.hpp"

namespace mqttstack::load {
namespace {

std::uint64_t endOf(const Options& options) {
  return now() + static_cast<std::uint64_t>(options.seconds * 1e9);
}

/// What others do meanwhile. prepare() is over before the client begins to ping; make() takes as
/// long as the options say, and returns how much was done.
class Trouble {
public:
  Trouble(Loop& loop, const Options& options) : loop_{loop}, options_{options} {}
  virtual ~Trouble() = default;
  virtual void prepare() {}
  virtual std::uint64_t make() = 0;

protected:
  Loop& loop_;
  const Options& options_;
};

class Nothing final : public Trouble {
public:
  using Trouble::Trouble;
  std::uint64_t make() override {
    loop_.run(std::chrono::nanoseconds{static_cast<std::int64_t>(options_.seconds * 1e9)});
    return 0;
  }
};

/// Clients connect, subscribe, and leave without a word, as many at a time as `connecting` says.
class Connects final : public Trouble, public Watcher {
public:
  using Trouble::Trouble;
  std::uint64_t make() override {
    const std::uint64_t end = endOf(options_);
    const std::uint64_t before = loop_.counts().up;
    std::uint32_t next = 0;
    std::vector<std::unique_ptr<Connection>> clients(options_.connecting);
    while (now() < end) {
      for (auto& client : clients) {
        if (client && !client->up() && !client->closed()) continue;
        Introduction introduction;
        introduction.login.clientId = fmt::format("load-{}", next);
        introduction.filters = {fmt::format("load/c/{}", next)};
        client = std::make_unique<Connection>(loop_, *this, next, std::move(introduction));
        client->open(next++);
      }
      loop_.turn(std::chrono::milliseconds{10});
    }
    return loop_.counts().up - before;
  }
};

/// Clients subscribe and unsubscribe, each as fast as it is answered, to filters with a wildcard,
/// among others that stay.
class Churn final : public Trouble, public Watcher {
public:
  using Trouble::Trouble;
  void prepare() override {
    constexpr std::uint32_t kOfEach = 1'000;  // as many as brokers usually allow
    for (std::uint32_t first = 0; first < options_.filters; first += kOfEach)
      keepFilters(first, std::min(kOfEach, options_.filters - first));
    for (std::uint32_t i = 0; i < options_.clients; ++i)
      clients_.push_back(std::make_unique<Connection>(loop_, *this, i, introduction(i)));
    if (loop_.bringUp(clients_, options_.connecting, std::chrono::seconds{60}) < clients_.size())
      throw std::runtime_error{"a client did not come up: " + loop_.firstFailure()};
  }
  std::uint64_t make() override {
    const std::uint64_t end = endOf(options_);
    done_ = 0;
    for (const auto& client : clients_) turnOver(*client);
    while (now() < end) loop_.turn(std::chrono::milliseconds{10});
    return done_;
  }

private:
  static Introduction introduction(std::uint32_t number) {
    Introduction introduction;
    introduction.login.clientId = fmt::format("load-churn-{}", number);
    return introduction;
  }

  /// A client that does nothing else.
  void keepFilters(std::uint32_t first, std::uint32_t count) {
    constexpr std::uint32_t kAtOnce = 100;
    Connection& keeper = crowd_.join({});
    crowd_.bringUp();
    const std::uint32_t end = first + count;
    for (std::uint16_t packetId = 1; first < end; ++packetId) {
      std::vector<std::string> filters;
      while (first < end && filters.size() < kAtOnce)
        filters.push_back(fmt::format("d/+/{:07}/y", first++));
      appendSubscribe(keeper.pending(), options_.version, packetId, filters, 0);
      keeper.flush();
      const std::uint64_t answered = crowd_.answers();
      while (crowd_.answers() == answered && keeper.up()) loop_.turn(std::chrono::seconds{1});
    }
    if (!keeper.up() || loop_.counts().refused)
      throw std::runtime_error{"the broker does not take so many filters: " + loop_.firstFailure()};
  }

  /// One client: to another filter, and away from it when that is answered.
  void turnOver(Connection& connection) {
    const std::vector<std::string> filters{
        fmt::format("d/+/{:07}/{}", done_ % std::max(options_.filters, 1U), connection.id())};
    appendSubscribe(connection.pending(), options_.version, 2, filters, 0);
    appendUnsubscribe(connection.pending(), options_.version, 3, filters);
    connection.flush();
  }
  void answered(Connection& connection, PacketType type) override {
    ++done_;
    if (type == PacketType::unsuback) turnOver(connection);
  }

  Crowd crowd_{loop_, options_};
  std::vector<std::unique_ptr<Connection>> clients_;
  std::uint64_t done_ = 0;
};

/// Every message goes to all clients; the next is sent when all have it.
class Broadcast final : public Trouble {
public:
  using Trouble::Trouble;
  void prepare() override {
    Introduction introduction;
    introduction.filters = {"load/all"};
    for (std::uint32_t i = 0; i < options_.clients; ++i) crowd_.join(introduction);
    publisher_ = &crowd_.join({});
    crowd_.bringUp();
  }
  std::uint64_t make() override {
    const std::uint64_t end = endOf(options_);
    PublishBatch batch{options_.version, {"load/all", 0, false, options_.payload}, 1};
    for (std::uint32_t sequence = 1; now() < end; ++sequence) {
      batch.stamp(0, 0, {now(), 0, sequence});
      publisher_->write(batch.packets(1));
      crowd_.awaitMessages(std::uint64_t{sequence} * options_.clients);
    }
    return crowd_.messages();
  }

private:
  Crowd crowd_{loop_, options_};
  Connection* publisher_ = nullptr;
};

/// Clients ask for all retained messages, and read them or don't.
class Replay final : public Trouble {
public:
  Replay(Loop& loop, const Options& options, bool reading)
      : Trouble{loop, options},
        reading_{reading} {}
  void prepare() override {
    Connection& publisher = crowd_.join({});
    for (std::uint32_t i = 0; i < options_.clients; ++i) readers_.push_back(&crowd_.join({}));
    crowd_.bringUp();
    crowd_.publishAll(publisher, {fmt::format("a/{}/c", kNumberPlace), 1, true, options_.payload},
                      options_.stored);
  }
  std::uint64_t make() override {
    const std::uint64_t end = endOf(options_);
    const std::vector<std::string> all{"#"};
    for (Connection* reader : readers_) {
      if (!reading_) reader->stopReading();
      appendSubscribe(reader->pending(), options_.version, 1, all, options_.subscribeQos);
      reader->flush();
    }
    const std::uint64_t wanted = std::uint64_t{options_.stored} * options_.clients;
    while (now() < end && crowd_.messages() < wanted) loop_.turn(std::chrono::milliseconds{10});
    return crowd_.messages();
  }

private:
  bool reading_;
  Crowd crowd_{loop_, options_};
  std::vector<Connection*> readers_;
};

std::unique_ptr<Trouble> makeTrouble(Loop& loop, const Options& options) {
  if (options.trouble == "connects") return std::make_unique<Connects>(loop, options);
  if (options.trouble == "churn") return std::make_unique<Churn>(loop, options);
  if (options.trouble == "broadcast") return std::make_unique<Broadcast>(loop, options);
  if (options.trouble == "replay") return std::make_unique<Replay>(loop, options, true);
  if (options.trouble == "unread") return std::make_unique<Replay>(loop, options, false);
  return std::make_unique<Nothing>(loop, options);
}

}  // namespace

Report measureHealth(Loop& loop, const Options& options) {
  const auto trouble = makeTrouble(loop, options);
  trouble->prepare();
  Pinger pinger{options};
  const Snapshot begin = snapshot(options);
  const std::uint64_t done = trouble->make();
  const Snapshot end = snapshot(options);
  const Pinger::Result result = pinger.stop();

  const Span span = between(begin, end);
  Report report{"health", options};
  auto& figures = report.figures;
  figures["while"] = options.trouble;
  figures["seconds"] = span.seconds;
  figures["done"] = done;
  figures["done_per_s"] = span.perSecond(done);
  figures["broker_us_per_done"] = span.brokerMicroseconds(done);
  figures["failed"] = loop.counts().failed;
  figures["first_failure"] = loop.firstFailure();
  figures["pings"] = result.sent;
  figures["unanswered"] = result.unanswered;
  report.addLatency(result.waits);
  report.addLoad(span, end);
  report.line = fmt::format(
      "{}: {} done, {:.0f}/s, {:.2f} us each | {} pings, {} unanswered, waited {:.2f} ms (median), "
      "{:.2f} (99 %), {:.2f} (longest) | broker {:.0f} % CPU",
      options.trouble, done, span.perSecond(done), span.brokerMicroseconds(done), result.sent,
      result.unanswered, result.waits.percentile(0.5) * 1e-6, result.waits.percentile(0.99) * 1e-6,
      static_cast<double>(result.waits.longest()) * 1e-6,
      span.seconds > 0 ? 100 * span.brokerCpu / span.seconds : 0);
  return report;
}

}  // namespace mqttstack::load
