#pragma once

#include <cstdint>
#include <memory>
#include <string>
#include <vector>

#include "tests/bench/load/histogram.hpp"
#include "tests/bench/load/loop.hpp"
#include "tests/bench/load/options.hpp"
#include "tests/bench/load/report.hpp"
#include "tests/bench/load/sequence_checker.hpp"
#include "tests/bench/load/window.hpp"

namespace mqttstack::load {

/// Publishers that send as much as their window allows, or at a fixed rate, to subscribers that
/// check what they get. The scenario adds both, brings them up, and has it run.
class Traffic final : public Watcher {
public:
  Traffic(Loop& loop, const Options& options) : loop_{loop}, options_{options} {}

  /// Each message of this publisher goes to `copies` subscribers. `numbers`: how many different
  /// numbers its topic gets, in random order; 0 if it has no place for one.
  void addPublisher(const std::string& topic, std::uint32_t copies, std::uint32_t numbers = 0);
  /// A subscriber gets messages from each publisher whose index modulo `modulus` is `remainder`.
  void addSubscriber(std::vector<std::string> filters, std::uint32_t modulus,
                     std::uint32_t remainder);
  /// A subscriber that gets some of the messages of each publisher: it can check nothing.
  void addSubscriberOfSome();

  /// Connects those that were added since the last time. Throws if one does not come up.
  void bringUp();
  const std::vector<std::unique_ptr<Connection>>& connections() const noexcept {
    return connections_;
  }

  /// Warms up, measures, waits for the last messages, and adds to the report what was found.
  void run(Report& report);

  void received(Connection& connection, const ReceivedPublish& publish) override;
  void answered(Connection& connection, PacketType type) override;
  void drained(Connection& connection) override;

  /// How many SUBACKs have come that somebody else asked for.
  std::uint64_t subacks() const noexcept { return subacks_; }

private:
  struct Publisher {
    Connection* connection;
    PublishBatch batch;
    std::uint32_t copies;
    std::uint32_t numbers;
    Window window{0, 0, Window::Acknowledged::no};  // made when it begins
    std::uint16_t packetId = 0;
    bool ready = false;  // is in ready_
  };
  struct Subscriber {
    std::uint32_t modulus;  // 0: gets some of each
    std::uint32_t remainder;
    std::vector<SequenceChecker> checkers;  // of publishers remainder, remainder + modulus, …
  };
  struct Counts {
    std::uint64_t delivered = 0;  // each message once
    std::uint64_t again = 0;
    std::uint64_t late = 0;
    std::uint64_t strange = 0;  // nobody sent this, or not to who got it
    std::uint64_t sent = 0;
    std::uint64_t answered = 0;
    std::uint64_t stalls = 0;
    std::uint64_t behind = 0;  // due, but its publisher could not send
  };
  /// A connection's id is the index of its publisher, or with this bit that of its subscriber.
  static constexpr std::uint32_t kSubscriber = 1U << 31;

  void add(std::uint32_t id, Introduction introduction);
  void makeReady(Publisher& publisher);
  void publishReady();
  void publish(Publisher& publisher);
  void publishDue(std::uint64_t at);
  void stampNext(Publisher& publisher, std::size_t slot, std::uint64_t time);
  void send(Publisher& publisher, std::uint64_t count);
  /// How many it may send at once.
  std::uint64_t roomOf(const Publisher& publisher) const noexcept;
  std::uint64_t expected() const noexcept;
  std::chrono::nanoseconds untilDue(std::uint64_t at) const noexcept;
  /// Goes on until `end`, or all messages are sent.
  void go(std::uint64_t end);
  void noticeStall(std::uint64_t at);
  /// Waits for what is under way.
  void drain();
  void report(Report& report, const Snapshot& begin, const Snapshot& end, const Counts& before,
              const Counts& measured) const;

  Loop& loop_;
  const Options& options_;
  std::vector<std::unique_ptr<Connection>> connections_;
  std::size_t broughtUp_ = 0;  // of them
  std::vector<Publisher> publishers_;
  std::vector<Subscriber> subscribers_;
  std::vector<Publisher*> ready_;
  std::vector<Publisher*> turn_;  // ready_ of the last turn

  bool measuring_ = false;
  Counts counts_;
  std::uint64_t subacks_ = 0;
  Histogram latency_;
  std::uint64_t rateBegin_ = 0;
  std::size_t nextPublisher_ = 0;
  std::uint64_t progress_ = 0;    // delivered and answered when that last changed
  std::uint64_t progressAt_ = 0;  // and when that was
};

}  // namespace mqttstack::load
