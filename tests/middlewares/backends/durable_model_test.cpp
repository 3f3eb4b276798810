#include <algorithm>
#include <deque>
#include <fmt/format.h>
#include <optional>
#include <set>
#include <string>
#include <vector>

#include <catch2/catch.hpp>

#include "tests/middlewares/backends/row_store.hpp"

/// One message, a publisher, a subscriber, a disk, and everything that can happen
/// to them in any order: each state that can be reached is reached, and from each
/// of them everything comes to a good end.
namespace mqttstack::test {
namespace {

enum class Step : char {
  publisherReads = 'p',
  subscriberReads = 's',
  commit = 'c',
  crash = 'X',          // the broker is killed, and comes back
  publisherLost = 'P',  // a connection is cut, and the client comes back
  subscriberLost = 'S',
};
constexpr Step kSteps[]{Step::publisherReads, Step::subscriberReads, Step::commit,
                        Step::crash,          Step::publisherLost,   Step::subscriberLost};
using Path = std::string;

/// What the publisher knows of its message.
enum class Knows : char { sent = '1', recorded = '2', done = '3' };

class World {
public:
  World(Version version, unsigned qos) : version_{version}, qos_{qos} {
    broker_.emplace(rows_);
    subscriber_ = broker_->joinStored(version_, connect("s"));
    broker_->subscribeStored(*subscriber_, "t", qos_);
    publisher_ = broker_->joinStored(version_, connect("p"));
    send(false);
  }

  void take(Step step) {
    switch (step) {
      case Step::publisherReads:
        return publisherReads();
      case Step::subscriberReads:
        return subscriberReads();
      case Step::commit:
        broker_->commit();
        return;
      case Step::crash:
        subscriber_.reset();
        publisher_.reset();
        broker_.reset();
        broker_.emplace(rows_);
        publisher_ = dial(*broker_, version_, connect("p"));
        subscriber_ = dial(*broker_, version_, connect("s"));
        publisherConnected_ = subscriberConnected_ = false;
        return;
      case Step::publisherLost:
        publisher_->reset();
        publisher_ = dial(*broker_, version_, connect("p"));
        publisherConnected_ = false;
        return;
      case Step::subscriberLost:
        subscriber_->reset();
        subscriber_ = dial(*broker_, version_, connect("s"));
        subscriberConnected_ = false;
        return;
    }
  }

  /// Nothing goes wrong any more. Returns what is wrong at the end.
  std::string finish() {
    for (int i = 0; i < 20; ++i) {
      broker_->commitAll();
      publisherReads();
      subscriberReads();
    }
    broker_->commitAll();
    if (!wrong_.empty()) return wrong_;
    if (knows_ != Knows::done) return "the publisher never got its answer";
    if (got_ == 0) return "the message was lost";
    if (qos_ == 2 && got_ != 1) return "the message came " + std::to_string(got_) + " times";
    if (!rows_.queue.empty() || !rows_.incoming.empty())
      return "the store keeps: " + rows_.digest();
    return {};
  }

  const std::string& wrong() const noexcept { return wrong_; }

  /// Two worlds with the same signature have the same future.
  std::string signature() {
    return fmt::format("{}|{}|{}|{}|{}|{}|{}|{}|{}", rows_.digest(), static_cast<char>(knows_),
                       got_ > 1 ? 2 : got_, fmt::join(receivedIds_, ","), publisherConnected_,
                       subscriberConnected_, mqttstack::toHex(publisher_->record().written),
                       mqttstack::toHex(subscriber_->record().written),
                       broker_->backend().committer && broker_->backend().committer->pending()) +
           fmt::format("|{}", broker_->metrics.value("queued_messages"));
  }

private:
  static Connect connect(const std::string& name, Version version) {
    Connect made = persistent(version, name);
    made.keepAlive = 0;
    return made;
  }
  Connect connect(const std::string& name) const { return connect(name, version_); }

  void send(bool dup) {
    publisher_->send(
        publishPacket(version_, {.topic = "t", .payload = "x", .qos = qos_, .id = 1, .dup = dup}));
  }

  /// Strips the CONNACK; false if it has not come.
  bool accepted(std::vector<std::string>& packets, bool& connected, const char* who) {
    if (connected || packets.empty()) return connected;
    const auto connack = readConnack(version_, packets.front());
    if (connack.code != 0) fail(fmt::format("{} was refused", who));
    if (!connack.sessionPresent) fail(fmt::format("the session of {} was lost", who));
    packets.erase(packets.begin());
    connected = true;
    return true;
  }

  void publisherReads() {
    auto packets = split(publisher_->received());
    const bool before = publisherConnected_;
    if (!accepted(packets, publisherConnected_, "the publisher")) return;
    if (!before && knows_ == Knows::sent) send(true);
    if (!before && knows_ == Knows::recorded) publisher_->send(pubrelPacket(1));
    for (const std::string& packet : packets) {
      const Ack ack = readAck(version_, packet);
      const unsigned type = ack.firstByte >> 4U;
      if (type == 5) {
        knows_ = Knows::recorded;
        publisher_->send(pubrelPacket(1));
      } else {
        knows_ = Knows::done;
      }
      // Whatever the disk has by now has to be enough.
      if (type != 7 && got_ == 0 && rows_.queue.empty())
        fail("acknowledged what is neither stored nor delivered");
    }
  }

  void subscriberReads() {
    auto packets = split(subscriber_->received());
    if (!accepted(packets, subscriberConnected_, "the subscriber")) return;
    for (const std::string& packet : packets) {
      const unsigned type = static_cast<unsigned char>(packet[0]) >> 4U;
      if (type == 6) {
        const unsigned id = readAck(version_, packet).id;
        receivedIds_.erase(id);
        subscriber_->send(pubcompPacket(id));
        continue;
      }
      const Publish publish = readPublish(version_, packet);
      if (publish.qos == 1) {
        ++got_;
        subscriber_->send(pubackPacket(publish.id));
      } else {
        if (receivedIds_.insert(publish.id).second) ++got_;
        subscriber_->send(pubrecPacket(publish.id));
      }
    }
    if (qos_ == 2 && got_ > 1) fail("the message came twice");
  }

  void fail(std::string what) {
    if (wrong_.empty()) wrong_ = std::move(what);
  }

  Version version_;
  unsigned qos_;
  Rows rows_;
  std::optional<DurableBroker> broker_;
  std::optional<Peer> publisher_;
  std::optional<Peer> subscriber_;
  bool publisherConnected_ = true;
  bool subscriberConnected_ = true;
  Knows knows_ = Knows::sent;
  unsigned got_ = 0;
  std::set<unsigned> receivedIds_;
  std::string wrong_;
};

/// Disasters happen this often on one path.
constexpr std::ptrdiff_t kDisasters = 2;

bool isDisaster(char step) { return step == 'X' || step == 'P' || step == 'S'; }

/// All paths, the shortest first. Returns how many different states there are.
std::size_t explore(Version version, unsigned qos, std::size_t depth) {
  std::set<std::string> known;
  std::deque<Path> paths{""};
  while (!paths.empty()) {
    const Path path = paths.front();
    paths.pop_front();
    for (const Step step : kSteps) {
      const Path longer = path + static_cast<char>(step);
      const auto disasters = std::count_if(longer.begin(), longer.end(), isDisaster);
      if (disasters > kDisasters) continue;
      World world{version, qos};
      for (const char each : longer) world.take(static_cast<Step>(each));
      INFO("path " << longer);
      REQUIRE(world.wrong() == "");
      const bool isNew = known.insert(world.signature() + std::to_string(disasters)).second;
      if (!isNew) continue;
      REQUIRE(world.finish() == "");
      if (longer.size() < depth) paths.push_back(longer);
    }
  }
  return known.size();
}

TEST_CASE("whatever happens in whatever order, QoS 1 arrives at least once", "[durable_model]") {
  CHECK(explore(Version::v311, 1, 9) > 50);
}

TEST_CASE("whatever happens in whatever order, QoS 2 arrives exactly once", "[durable_model]") {
  CHECK(explore(GENERATE(Version::v311, Version::v5), 2, 12) > 200);
}

}  // namespace
}  // namespace mqttstack::test
