#pragma once

#include <cstddef>
#include <functional>
#include <memory>
#include <span>
#include <vector>

#include "core/broker/recipients.hpp"
#include "core/broker/topic_index.hpp"
#include "core/stack/callbacks.hpp"
#include "core/util/clock.hpp"
#include "core/util/worker.hpp"

namespace mqttstack {

/// Gives messages to the sessions that they are for: the part of relayMessage
/// that every backend has. What is for so many that it takes long is given out
/// in slices, between which the loop gets its turn; its publisher's next packets
/// wait meanwhile, so that no subscriber gets them out of order.
class FanOut {
public:
  /// `cut` is called with each message for which finding its receivers took so long
  /// that not all of them may have been found: broker::TopicIndex::matchesCut().
  FanOut(const Clock& clock, LoopExecutor& loop, std::function<void(const RelayMessage&)> cut);
  FanOut(const FanOut&) = delete;
  FanOut& operator=(const FanOut&) = delete;
  ~FanOut();

  /// Executes forwardMessage for each session that `index` says, on the pipeline
  /// of that session, or on `home` if it has none. A backend returns the result
  /// from its handler of relayMessage.
  Flow deliver(broker::TopicIndex& index, RelayMessage& relay, Stack& home, Next next);
  /// The same in one go, however many they are: what is stored of a message is
  /// stored together. False if the message was refused for one of them.
  bool deliverNow(broker::TopicIndex& index, RelayMessage& relay, Stack& home);

  /// The message cannot be taken for the session that it is just being given to,
  /// and its publisher is to know: MQTT 5 has a way to tell it.
  void reject() noexcept { rejected_ = true; }

  /// Gives up what is not delivered yet: the relays that wait fail. For the end
  /// of the daemon.
  void clear() noexcept;

private:
  struct Rest;

  void goOn(const std::shared_ptr<Rest>& rest);
  broker::Recipients& takeList();
  std::span<const broker::Recipient> collect(broker::TopicIndex& index, const RelayMessage& relay,
                                             broker::Recipients& recipients);
  bool deliverSlice(broker::TopicIndex& index, RelayMessage& relay,
                    std::span<const broker::Recipient> all, std::size_t& position, Stack& home,
                    std::size_t lookEvery);
  static void deliverToAnother(broker::TopicIndex& index, const RelayMessage& relay,
                               const broker::Recipient& denied, Stack& home);
  static bool tellPublisher(RelayMessage& relay);

  const Clock& clock_;
  LoopExecutor& loop_;
  std::function<void(const RelayMessage&)> cut_;
  // A delivery may lead to another message, so each relay within a relay has a
  // list of its own.
  std::vector<std::unique_ptr<broker::Recipients>> recipients_;  // by depth
  std::size_t depth_ = 0;
  bool rejected_ = false;  // the message that is being given out, for somebody
  std::vector<std::shared_ptr<Rest>> waiting_;
};

}  // namespace mqttstack
