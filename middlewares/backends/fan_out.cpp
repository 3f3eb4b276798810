#include "middlewares/backends/fan_out.hpp"

#include <algorithm>
#include <cstdint>
#include <utility>

#include "core/stack/client.hpp"
#include "core/stack/stack.hpp"

namespace mqttstack {
namespace {

constexpr std::chrono::milliseconds kSlice{5};
constexpr std::size_t kLookEvery = 256;  // deliveries, at the clock

inline ForwardResult forward(const RelayMessage& relay, const broker::Recipient& recipient,
                             Stack& home) {
  broker::Session& session = *recipient.session;
  ForwardMessage forward{session, relay.message, recipient.qos, recipient.retain,
                         recipient.subscriptionIds};
  (session.stack() ? *session.stack() : home).run(forward);
  return forward.result;
}

}  // namespace

/// A message on its way, and who is still to get it.
struct FanOut::Rest {
  Deferred later;
  broker::TopicIndex& index;
  RelayMessage& relay;  // while `later` waits
  std::unique_ptr<broker::Recipients> recipients;
  std::span<const broker::Recipient> all;
  std::size_t position;
  Stack& home;
};

FanOut::FanOut(const Clock& clock, LoopExecutor& loop, std::function<void(const RelayMessage&)> cut)
    : clock_{clock},
      loop_{loop},
      cut_{std::move(cut)} {}

FanOut::~FanOut() = default;

void FanOut::clear() noexcept { waiting_.clear(); }

/// For one relay; depth_ is to be lowered when its walk is over.
broker::Recipients& FanOut::takeList() {
  if (depth_ == recipients_.size()) recipients_.push_back(std::make_unique<broker::Recipients>());
  return *recipients_[depth_++];
}

std::span<const broker::Recipient> FanOut::collect(broker::TopicIndex& index,
                                                   const RelayMessage& relay,
                                                   broker::Recipients& recipients) {
  const std::uint64_t cutBefore = index.matchesCut();
  const std::span<const broker::Recipient> all = recipients.collect(index, *relay.message);
  if (index.matchesCut() != cutBefore) [[unlikely]]
    cut_(relay);
  return all;
}

Flow FanOut::deliver(broker::TopicIndex& index, RelayMessage& relay, Stack& home, Next next) {
  broker::Recipients& recipients = takeList();
  const std::span<const broker::Recipient> all = collect(index, relay, recipients);
  std::size_t position = 0;
  const bool finished = deliverSlice(index, relay, all, position, home, kLookEvery);
  --depth_;
  if (finished) {
    recipients.clear();
    tellPublisher(relay);
    return next();
  }
  auto taken = std::exchange(recipients_[depth_], std::make_unique<broker::Recipients>());
  return next.defer([&](Deferred later) {
    waiting_.push_back(std::make_shared<Rest>(
        Rest{std::move(later), index, relay, std::move(taken), all, position, home}));
    loop_.post([this, rest = std::weak_ptr{waiting_.back()}] {
      if (const auto kept = rest.lock()) goOn(kept);
    });
  });
}

bool FanOut::deliverNow(broker::TopicIndex& index, RelayMessage& relay, Stack& home) {
  broker::Recipients& recipients = takeList();
  std::size_t position = 0;
  deliverSlice(index, relay, collect(index, relay, recipients), position, home, SIZE_MAX);
  --depth_;
  recipients.clear();
  return !tellPublisher(relay);
}

void FanOut::goOn(const std::shared_ptr<Rest>& rest) {
  const bool given = rest->later.waiting();  // and so there still is a message
  if (given &&
      !deliverSlice(rest->index, rest->relay, rest->all, rest->position, rest->home, kLookEvery))
    return loop_.post([this, again = std::weak_ptr{rest}] {
      if (const auto kept = again.lock()) goOn(kept);
    });
  std::erase(waiting_, rest);
  if (given) tellPublisher(rest->relay);
  rest->later.next();
}

/// Delivers until all have got it, then returns true, or until time is up. The
/// clock is looked at every so many deliveries.
bool FanOut::deliverSlice(broker::TopicIndex& index, RelayMessage& relay,
                          std::span<const broker::Recipient> all, std::size_t& position,
                          Stack& home, std::size_t lookEvery) {
  const bool many = all.size() - position > lookEvery;
  const TimePoint end = many ? clock_.now() + kSlice : TimePoint::max();
  const bool outer = std::exchange(rejected_, false);
  do {
    const std::size_t stop = position + std::min(lookEvery, all.size() - position);
    while (position < stop) {
      const broker::Recipient& recipient = all[position++];
      if (recipient.session->ended()) continue;
      if (forward(relay, recipient, home) == ForwardResult::denied && recipient.group) [[unlikely]]
        deliverToAnother(index, relay, recipient, home);
      ++relay.matched;
    }
  } while (position < all.size() && !loop_.late() && clock_.now() < end);
  relay.rejected = relay.rejected || rejected_;
  rejected_ = outer;
  return position == all.size();
}

/// The member of a shared group whose turn it is may not read the message: the others
/// may. (What a client itself refuses is not for others. [v5:4.8.2-6])
void FanOut::deliverToAnother(broker::TopicIndex& index, const RelayMessage& relay,
                              const broker::Recipient& denied, Stack& home) {
  std::uint32_t place = 0;
  while (const auto other = broker::Recipients::another(index, *relay.message, denied, place))
    if (forward(relay, *other, home) != ForwardResult::denied) return;
}

/// True if it can be told that a session had no room; MQTT 3 has no way to say so.
bool FanOut::tellPublisher(RelayMessage& relay) {
  const bool told = relay.rejected && relay.client && relay.client->isV5();
  if (told) relay.acknowledgement.share().fail(mqtt::ReasonCode::quotaExceeded);
  return told;
}

}  // namespace mqttstack
