#include "core/broker/recipients.hpp"

#include <algorithm>
#include <utility>

namespace mqttstack::broker {

Delivery Recipient::toDelivery(MessagePtr message) && {
  Delivery delivery;
  delivery.message = std::move(message);
  delivery.subscriptionIds = std::move(subscriptionIds);
  delivery.qos = qos;
  delivery.retain = retain;
  return delivery;
}

std::span<Recipient> Recipients::collect(TopicIndex& index, const Message& message) {
  recipients_.clear();
  const Identity* const author = message.author().get();
  index.match(message.topic(), [&](const Match& match) {
    Session& session = *match.session;
    const mqtt::SubscriptionOptions& options = match.options;
    // [v5:3.8.3-3]
    if (options.noLocal && !match.group && author != nullptr &&
        author->clientId() == session.clientId())
      return;
    // The mark says where the session's copy is; it may be left over from another
    // message, so what it points to is asked. [v311:3.3.5-1] [v5:3.3.4-2]
    const std::uint32_t mark = session.recipientMark_;
    if (!match.group && mark < recipients_.size() && recipients_[mark].session.get() == &session &&
        !recipients_[mark].group) {
      Recipient& merged = recipients_[mark];
      merged.qos = std::max(merged.qos, mqtt::lower(options.qos, message.qos()));
      merged.retain = merged.retain || (options.retainAsPublished && message.retainFlag());
      merged.subscriptionIds.add(match.identifier);
      return;
    }
    if (!match.group) session.recipientMark_ = static_cast<std::uint32_t>(recipients_.size());
    recipients_.emplace_back(match, message);
  });
  return recipients_;
}

std::optional<Recipient> Recipients::another(TopicIndex& index, const Message& message,
                                             const Recipient& instead, std::uint32_t& place) {
  const Match denied{.session = instead.session.get(), .options = {}, .group = instead.group};
  const auto match = index.another(message.topic(), denied, place);
  return match ? std::optional<Recipient>{std::in_place, *match, message} : std::nullopt;
}

void Recipients::clear() noexcept {
  // A message to very many is no reason to keep the memory for good.
  constexpr std::size_t kKept = 16'384;
  const std::size_t last = recipients_.size();
  recipients_.clear();
  if (recipients_.capacity() > kKept && last < recipients_.capacity() / 8) [[unlikely]]
    recipients_ = {};
}

}  // namespace mqttstack::broker
