#pragma once

#include <chrono>
#include <cstdint>
#include <deque>
#include <map>
#include <random>
#include <set>
#include <string>
#include <vector>

#include "tests/crash/wire.hpp"

/// Clients that keep what MQTT has a client keep, across their connections and
/// across brokers, and look whether the broker keeps its part.
namespace mqttstack::crash {

/// What went wrong, and how often.
struct Faults {
  std::size_t sessionsLost = 0;
  std::size_t reordered = 0;
  std::size_t twice = 0;             ///< QoS 2 messages that came twice
  std::size_t refused = 0;           ///< messages that the broker did not take
  std::vector<std::string> first{};  ///< the first few, described

  void tell(std::string text) {
    if (first.size() < 10) first.push_back(std::move(text));
  }
};

/// A client with a session that outlives its connections.
class Peer {
public:
  Peer(std::string name, Version version, Faults& faults)
      : name_{std::move(name)},
        version_{version},
        faults_{faults} {}
  virtual ~Peer() = default;

  const std::string& name() const noexcept { return name_; }
  Wire& wire() noexcept { return wire_; }
  bool established() const noexcept { return established_; }

  void connect(std::uint16_t port);
  /// Cuts the connection.
  void cut();
  /// Cuts it, and does not come back before that time.
  void leave(std::chrono::steady_clock::time_point until) {
    cut();
    awayUntil_ = until;
  }
  bool away() const noexcept { return std::chrono::steady_clock::now() < awayUntil_; }
  /// Does what there is to do. Returns false if the connection has ended.
  bool work();

protected:
  virtual void resumed(bool present) = 0;
  virtual void received(const Bytes& packet) = 0;

  std::string name_;
  Version version_;
  Faults& faults_;
  Wire wire_;

private:
  bool established_ = false;
  std::chrono::steady_clock::time_point awayUntil_{};
  bool known_ = false;  // was accepted once, so the broker has a session
};

/// Publishes two streams of numbers, one at QoS 1 and one at QoS 2, and remembers
/// which of them were acknowledged.
class Publisher final : public Peer {
public:
  Publisher(unsigned number, Version version, Faults& faults);

  /// Sends more messages, as far as the window allows.
  void publishMore(std::mt19937& random);
  bool allAcknowledged() const noexcept { return underWay_.empty(); }
  unsigned number() const noexcept { return number_; }
  /// The numbers from 1 to acknowledgedUpTo(qos) were published; see acknowledged().
  unsigned published(unsigned qos) const { return last_[qos]; }
  const std::set<unsigned>& acknowledged(unsigned qos) const { return acknowledged_[qos]; }

private:
  struct UnderWay {
    unsigned id;
    unsigned qos;
    unsigned sequence;
    bool recorded = false;  // PUBREC came
  };
  void resumed(bool present) override;
  void received(const Bytes& packet) override;
  void send(const UnderWay& message, bool dup);
  std::deque<UnderWay>::iterator find(unsigned id);

  unsigned number_;
  unsigned lastId_ = 0;
  unsigned last_[3]{};
  std::set<unsigned> acknowledged_[3];
  std::deque<UnderWay> underWay_;
};

/// Subscribes to everything, and remembers what it got.
class Subscriber final : public Peer {
public:
  Subscriber(unsigned number, Version version, Faults& faults);

  bool subscribed() const noexcept { return subscribed_; }
  bool got(unsigned publisher, unsigned qos, unsigned sequence) const;
  std::size_t messages() const noexcept { return messages_; }
  std::size_t repeated() const noexcept { return repeated_; }

private:
  struct Stream {
    std::set<unsigned> got;
    unsigned highest = 0;
  };
  void resumed(bool present) override;
  void received(const Bytes& packet) override;
  void take(const Publish& publish);

  bool subscribed_ = false;
  std::set<unsigned> incoming_;  // QoS 2 identifiers between PUBLISH and PUBREL
  std::map<std::pair<unsigned, unsigned>, Stream> streams_;
  std::size_t messages_ = 0;
  std::size_t repeated_ = 0;
};

}  // namespace mqttstack::crash
