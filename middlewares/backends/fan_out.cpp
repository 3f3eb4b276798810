#include "middlewares/backends/fan_out.hpp"

#include <algorithm>
#include <utility>

#include "core/stack/stack.hpp"

namespace mqttstack {
namespace {

constexpr std::chrono::milliseconds kSlice{5};
/// The clock is looked at every so many deliveries.
constexpr std::size_t kLookEvery = 256;

}  // namespace

/// A message on its way, and who is still to get it.
struct FanOut::Rest {
  Deferred later;
  RelayMessage& relay;  // while `later` waits
  std::unique_ptr<broker::Recipients> recipients;
  std::span<const broker::Recipient> all;
  std::size_t position;
  Stack& home;
};

FanOut::FanOut(const Clock& clock, LoopExecutor& loop) : clock_{clock}, loop_{loop} {}

FanOut::~FanOut() = default;

void FanOut::clear() noexcept { waiting_.clear(); }

Flow FanOut::deliver(broker::TopicIndex& index, RelayMessage& relay, Stack& home, Next next) {
  if (depth_ == recipients_.size()) recipients_.push_back(std::make_unique<broker::Recipients>());
  std::unique_ptr<broker::Recipients>& own = recipients_[depth_++];
  broker::Recipients& recipients = *own;
  const std::span<const broker::Recipient> all = recipients.collect(index, *relay.message);
  std::size_t position = 0;
  const bool finished = deliverSlice(relay, all, position, home);
  --depth_;
  if (finished) {
    recipients.clear();
    return next();
  }
  auto taken = std::exchange(recipients_[depth_], std::make_unique<broker::Recipients>());
  return next.defer([&](Deferred later) {
    waiting_.push_back(std::make_shared<Rest>(
        Rest{std::move(later), relay, std::move(taken), all, position, home}));
    loop_.post([this, rest = std::weak_ptr{waiting_.back()}] {
      if (const auto kept = rest.lock()) goOn(kept);
    });
  });
}

void FanOut::goOn(const std::shared_ptr<Rest>& rest) {
  const bool given = rest->later.waiting();  // and so there still is a message
  if (given && !deliverSlice(rest->relay, rest->all, rest->position, rest->home))
    return loop_.post([this, again = std::weak_ptr{rest}] {
      if (const auto kept = again.lock()) goOn(kept);
    });
  std::erase(waiting_, rest);
  rest->later.next();
}

/// Delivers until all have got it, then returns true, or until time is up.
bool FanOut::deliverSlice(RelayMessage& relay, std::span<const broker::Recipient> all,
                          std::size_t& position, Stack& home) const {
  const bool many = all.size() - position > kLookEvery;
  const TimePoint end = many ? clock_.now() + kSlice : TimePoint::max();
  while (true) {
    const std::size_t stop = std::min(position + kLookEvery, all.size());
    while (position < stop) {
      const broker::Recipient& recipient = all[position++];
      broker::Session& session = *recipient.session;
      if (session.ended()) continue;
      ForwardMessage forward{session, relay.message, recipient.qos, recipient.retain,
                             recipient.subscriptionIds};
      (session.stack() ? *session.stack() : home).run(forward);
      ++relay.matched;
    }
    if (position == all.size()) return true;
    if (clock_.now() >= end) return false;
  }
}

}  // namespace mqttstack
