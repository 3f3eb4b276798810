#pragma once

#include <chrono>
#include <cstddef>
#include <cstdint>
#include <memory>
#include <vector>

#include "tests/bench/load/loop.hpp"
#include "tests/bench/load/options.hpp"
#include "tests/bench/load/sequence_checker.hpp"

namespace mqttstack::load {

/// Clients of scenarios that do one thing after the other, and what they have got altogether.
class Crowd final : public Watcher {
public:
  Crowd(Loop& loop, const Options& options) : loop_{loop}, options_{options} {}
  /// Closes them.
  ~Crowd() override;

  /// Adds one, which has no client identifier yet: it gets one.
  Connection& join(Introduction introduction);
  /// Connects those that have been added since. The second throws if one does not come up.
  std::size_t tryToBringUp(std::chrono::seconds limit);
  void bringUp();

  /// Messages, each counted once; how many came again or late, if they are of one publisher and
  /// come to one client; and when the first and the last came.
  std::uint64_t messages() const noexcept { return messages_; }
  std::uint64_t again() const noexcept { return again_; }
  std::uint64_t late() const noexcept { return late_; }
  std::uint64_t firstAt() const noexcept { return firstAt_; }
  std::uint64_t lastAt() const noexcept { return loop_.arrival(); }
  std::uint64_t answers() const noexcept { return answers_; }

  /// From now on messages have the sequence numbers 1, 2, 3 … and are checked.
  void checkOrder() { checking_ = true; }
  /// Waits until there have been so many messages, or none for some seconds.
  void awaitMessages(std::uint64_t count);
  /// Publishes so many messages and waits until they are acknowledged, at most as many under way as
  /// the window says. Their topics get the numbers 0, 1, 2 … Throws if they are not acknowledged.
  void publishAll(Connection& connection, const PublishForm& form, std::uint32_t count);

  void received(Connection& connection, const ReceivedPublish& publish) override;
  void answered(Connection& connection, PacketType type) override;

private:
  Loop& loop_;
  const Options& options_;
  std::vector<std::unique_ptr<Connection>> connections_;
  std::size_t broughtUp_ = 0;
  bool checking_ = false;
  SequenceChecker checker_;
  std::uint64_t messages_ = 0;
  std::uint64_t again_ = 0;
  std::uint64_t late_ = 0;
  std::uint64_t answers_ = 0;
  std::uint64_t firstAt_ = 0;
};

}  // namespace mqttstack::load
