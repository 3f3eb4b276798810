#include <algorithm>
#include <deque>
#include <fmt/format.h>
#include <map>
#include <optional>
#include <set>
#include <string>
#include <vector>

#include <catch2/catch.hpp>

#include "tests/middlewares/backends/row_store.hpp"

/// A story in which everything is promised that a broker can promise, told again
/// and again with a store that fails, is full, or stops at the first, the second,
/// the third … of its operations. Each packet that promises something is compared
/// with what the store has at that moment.
namespace mqttstack::test {
namespace {

using namespace std::chrono_literals;
using broker::DeliveryState;
using Verdict = RowStore::Verdict;

enum class Fault : std::uint8_t {
  none,
  full,        ///< there is no room for that one
  broken,      ///< that one fails, and all that follow
  killBefore,  ///< the process ends before that one is stored
  killAfter,   ///< it ends when that one is stored, and nobody knows yet
};

/// A client that keeps its state across connections and brokers.
struct Device {
  std::string name;
  std::optional<Peer> peer{};
  bool accepted = false;
  std::set<unsigned> incoming{};               // QoS 2 identifiers that PUBREL is to come for
  std::map<std::string, unsigned> received{};  // payloads, and how often
};

struct Published {
  std::string topic;
  std::string payload;
  unsigned qos;
  bool retain;
  bool recorded = false;  // PUBREC came
};

class Story {
public:
  Story(Version version, Fault fault, std::size_t nth)
      : version_{version},
        fault_{fault},
        nth_{nth} {
    begin();
  }

  /// Everything, as far as the fault lets it come.
  void tell() {
    connect(publisher_);
    connect(subscriber_);
    subscribe({{"t", 2}, {"u", 1}, {"gone", 1}});
    unsubscribe("gone");
    publish("t", 1);
    publish("t", 2);
    cut(subscriber_);
    publish("t", 1);
    publish("u", 2);
    publish("t", 2);
    publish("kept", 1, true);
    publish("other", 2, true);
    clear("kept");
    publish("other", 0, true);
    connect(subscriber_);
    connect(publisher_);
    removeSession();
  }

  /// Another broker finds what the first one promised.
  void judge() {
    const bool stands = fault_ == Fault::none || fault_ == Fault::full;
    if (stands) compareMemory();
    fault_ = Fault::none;
    begin();
    connect(publisher_);
    if (sessionOf(subscriber_.name) != 0) {
      connect(subscriber_);
      for (const std::string& payload : promised_) {
        INFO("promised: " << payload);
        CHECK(subscriber_.received[payload] >= 1);
      }
    }
    for (const auto& [payload, times] : subscriber_.received)
      if (payload.ends_with("q2")) CHECK(times == 1);
    compareMemory();
  }

  std::size_t operations() const noexcept { return operations_; }

private:
  void begin() {
    for (Device* each : {&publisher_, &subscriber_}) {
      each->peer.reset();
      each->accepted = false;
    }
    broker_.reset();
    broker_.emplace(rows_);
    over_ = false;
    broker_->store().judge = [this](std::span<const Operation> unit) { return judgeUnit(unit); };
  }

  Verdict judgeUnit(std::span<const Operation> unit) {
    const auto count =
        static_cast<std::size_t>(std::count_if(unit.begin(), unit.end(), [](const Operation& each) {
          return !std::holds_alternative<std::monostate>(each);
        }));
    const bool hit = operations_ < nth_ && nth_ <= operations_ + count;
    const bool behind = nth_ <= operations_;
    operations_ += count;
    switch (fault_) {
      case Fault::none:
        return Verdict::store;
      case Fault::full:
        return hit ? Verdict::refuse : Verdict::store;
      case Fault::broken:
        return hit || behind ? Verdict::fail : Verdict::store;
      case Fault::killBefore:
        over_ = over_ || hit;
        return over_ ? Verdict::fail : Verdict::store;
      case Fault::killAfter:
        over_ = over_ || hit;
        return Verdict::store;
    }
    return Verdict::store;
  }

  // What clients do.

  void connect(Device& device, bool fresh = false) {
    for (int attempt = 0; attempt < 3 && !over_; ++attempt) {
      Connect packet = persistent(version_, device.name);
      packet.clean = fresh;
      packet.keepAlive = 0;
      device.accepted = false;
      device.peer = dial(*broker_, version_, packet);
      settle();
      if (device.accepted) break;
    }
    if (!device.accepted || &device != &publisher_) return;
    for (const auto& [id, message] : underWay_) send(id, message, true);
    settle();
  }

  void cut(Device& device) {
    if (over_) return;
    device.peer->reset();
    device.accepted = false;
    settle();
  }

  bool ready(Device& device) {
    if (!device.accepted) connect(device);
    return device.accepted && !over_;
  }

  void subscribe(std::vector<std::pair<std::string, unsigned>> filters) {
    if (!ready(subscriber_)) return;
    for (const auto& [filter, qos] : filters) asked_.push_back(filter);
    std::vector<Filter> entries;
    for (const auto& [filter, qos] : filters) entries.push_back({filter, qos});
    say(subscriber_, subscribePacket(version_, 1, entries));
    settle();
  }

  void unsubscribe(const std::string& filter) {
    if (!ready(subscriber_)) return;
    say(subscriber_, unsubscribePacket(version_, 2, {filter}));
    asked_ = {filter};
    settle();
  }

  void publish(const std::string& topic, unsigned qos, bool retain = false) {
    if (!ready(publisher_)) return;
    const unsigned id = ++lastId_;
    const unsigned arrivesAt = topic == "u" ? std::min(qos, 1U) : qos;
    const Published message{topic, fmt::format("{}:q{}", id, arrivesAt), qos, retain};
    if (qos != 0) underWay_.emplace(id, message);
    send(id, message, false);
    settle();
  }

  void clear(const std::string& topic) {
    if (!ready(publisher_)) return;
    underWay_.emplace(++lastId_, Published{topic, "", 1, true});
    send(lastId_, underWay_.at(lastId_), false);
    settle();
  }

  void send(unsigned id, const Published& message, bool dup) {
    if (message.recorded) return say(publisher_, pubrelPacket(id));
    say(publisher_, publishPacket(version_, {.topic = message.topic,
                                             .payload = message.payload,
                                             .qos = message.qos,
                                             .id = message.qos == 0 ? 0 : id,
                                             .retain = message.retain,
                                             .dup = dup}));
  }

  static void say(Device& device, const std::string& packet) {
    if (!device.peer->closed()) device.peer->send(packet);
  }

  /// The subscriber's session ends, and the next CONNACK says so.
  void removeSession() {
    if (!ready(subscriber_)) return;
    removing_ = sessionOf(subscriber_.name);
    connect(subscriber_, true);
    if (subscriber_.accepted) promised_.clear();
    removing_ = 0;
    if (version_ == Version::v311) cut(subscriber_);  // and so ends that one
  }

  /// Until nothing happens any more.
  void settle() {
    for (int quiet = 0, i = 0; quiet < 3 && !over_; ++i) {
      if (i == 500) throw std::runtime_error{"it never comes to rest"};
      const auto* const disk = broker_->backend().committer;
      const bool committed = disk && disk->pending();
      broker_->commit();
      if (over_) return;
      const bool said = read(publisher_) | read(subscriber_);
      quiet = committed || said ? 0 : quiet + 1;
      if (quiet == 2) broker_->advance(200ms);  // what was refused is tried again
    }
  }

  // What the broker says, against what the store has.

  std::uint64_t sessionOf(const std::string& name) const {
    for (const auto& [key, row] : rows_.sessions)
      if (row.clientId == name) return key;
    return 0;
  }

  const PutDelivery* rowOf(unsigned packetId) const {
    for (const auto& [number, row] : rows_.queue)
      if (row.session == sessionOf(subscriber_.name) && row.packetId == packetId) return &row;
    return nullptr;
  }

  bool queued(const std::string& payload) const {
    return std::any_of(rows_.queue.begin(), rows_.queue.end(), [&](const auto& row) {
      return row.second.session == sessionOf(subscriber_.name) && row.second.message &&
             row.second.message->payload() == payload;
    });
  }

  bool read(Device& device) {
    if (!device.peer) return false;
    const auto packets = split(device.peer->received());
    for (const std::string& packet : packets) take(device, packet);
    if (device.peer->closed()) device.accepted = false;
    return !packets.empty();
  }

  void take(Device& device, const std::string& packet) {
    const unsigned type = static_cast<unsigned char>(packet[0]) >> 4U;
    INFO(device.name << " reads " << described(version_, packet));
    switch (type) {
      case 2:
        return takeConnack(device, readConnack(version_, packet));
      case 3:
        return takePublish(device, readPublish(version_, packet));
      case 6: {
        const unsigned id = readAck(version_, packet).id;
        const PutDelivery* const row = rowOf(id);
        CHECK((row && row->state == DeliveryState::awaitingPubcomp));
        device.incoming.erase(id);
        return say(device, pubcompPacket(id));
      }
      case 9:
        return takeSuback(packet);
      case 11:
        for (const std::string& filter : std::exchange(asked_, {}))
          if (version_ == Version::v311 || static_cast<unsigned char>(packet.back()) < 0x80)
            CHECK_FALSE(rows_.subscriptions.contains({sessionOf(device.name), filter}));
        return;
      case 14:
        device.accepted = false;
        return;
      default:
        return takeAck(type, readAck(version_, packet));
    }
  }

  void takeConnack(Device& device, const Connack& connack) {
    if (connack.code != 0) return;
    device.accepted = true;
    if (removing_ == 0 || version_ == Version::v5) CHECK(sessionOf(device.name) != 0);
    if (removing_ != 0 && !connack.sessionPresent) CHECK_FALSE(rows_.sessions.contains(removing_));
    if (!connack.sessionPresent) device.incoming.clear();
  }

  void takeSuback(const std::string& packet) {
    const auto asked = std::exchange(asked_, {});
    for (std::size_t i = 0; i < asked.size(); ++i) {
      const auto code = static_cast<unsigned char>(packet[packet.size() - asked.size() + i]);
      if (code < 0x80) CHECK(rows_.subscriptions.contains({sessionOf(subscriber_.name), asked[i]}));
    }
  }

  void takePublish(Device& device, const Publish& publish) {
    if (publish.qos == 1) {
      ++device.received[publish.payload];
      return say(device, pubackPacket(publish.id));
    }
    const PutDelivery* const row = rowOf(publish.id);
    CHECK((row && row->state == DeliveryState::awaitingPubrec));
    if (device.incoming.insert(publish.id).second) ++device.received[publish.payload];
    say(device, pubrecPacket(publish.id));
  }

  void takeAck(unsigned type, const Ack& ack) {
    const auto found = underWay_.find(ack.id);
    if (found == underWay_.end()) return;
    Published& message = found->second;
    const bool refused = ack.reason >= 0x80;
    if (type == 7) {
      CHECK_FALSE(rows_.incoming.contains({sessionOf(publisher_.name), ack.id}));
    } else if (!refused) {
      if (message.retain)
        checkRetained(message);
      else
        checkStored(message);
    }
    if (type != 5 || refused) {
      underWay_.erase(found);
    } else {
      if (keptForSubscriber(message))
        CHECK(rows_.incoming.contains({sessionOf(publisher_.name), ack.id}));
      message.recorded = true;
      say(publisher_, pubrelPacket(ack.id));
    }
  }

  bool keptForSubscriber(const Published& message) const {
    return rows_.subscriptions.contains({sessionOf(subscriber_.name), message.topic});
  }

  void checkRetained(const Published& message) {
    const auto row = rows_.retained.find(message.topic);
    if (message.payload.empty())
      CHECK(row == rows_.retained.end());
    else
      CHECK((row != rows_.retained.end() && row->second->payload() == message.payload));
  }

  void checkStored(const Published& message) {
    if (!keptForSubscriber(message)) return;  // its subscription was refused
    CHECK((queued(message.payload) || subscriber_.received[message.payload] != 0));
    promised_.push_back(message.payload);
  }

  /// What the broker has in memory is what it has stored.
  void compareMemory() {
    settle();
    const auto number = [this](const char* metric) {
      return static_cast<std::size_t>(broker_->metrics.value(metric));
    };
    CHECK(number("sessions") == rows_.sessions.size());
    CHECK(number("subscriptions") == rows_.subscriptions.size());
    CHECK(number("retained_messages") == rows_.retained.size());
    CHECK(number("queued_messages") <= rows_.queue.size());
  }

  Version version_;
  Fault fault_;
  std::size_t nth_;
  std::size_t operations_ = 0;
  bool over_ = false;  // the process was killed

  Rows rows_;
  std::optional<DurableBroker> broker_;
  Device publisher_{"publisher"};
  Device subscriber_{"subscriber"};
  std::vector<std::string> asked_;  // filters that an answer is to come for
  std::map<unsigned, Published> underWay_;
  unsigned lastId_ = 0;
  std::uint64_t removing_ = 0;  // the session that is to end
  std::vector<std::string> promised_;
};

void tellAll(Fault fault) {
  const auto version = GENERATE(Version::v311, Version::v5);
  std::size_t operations = 0;
  {
    Story story{version, Fault::none, 0};
    story.tell();
    operations = story.operations();
    story.judge();
  }
  REQUIRE(operations > 30);
  for (std::size_t nth = 1; nth <= operations; ++nth) {
    INFO("MQTT " << static_cast<int>(version) << ", operation " << nth);
    Story story{version, fault, nth};
    story.tell();
    story.judge();
  }
}

TEST_CASE("whichever operation there is no room for, nothing is promised that is not stored",
          "[durable_faults]") {
  tellAll(Fault::full);
}

TEST_CASE("whichever operation fails, nothing is promised that is not stored", "[durable_faults]") {
  tellAll(Fault::broken);
}

TEST_CASE("whichever operation the broker is killed before or after, promises are kept",
          "[durable_faults]") {
  tellAll(GENERATE(Fault::killBefore, Fault::killAfter));
}

}  // namespace
}  // namespace mqttstack::test
