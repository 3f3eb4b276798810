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
    if (options.noLocal && !match.shared && author != nullptr &&
        author->clientId() == session.clientId())
      return;
    const mqtt::Qos qos = mqtt::lower(options.qos, message.qos());
    const bool retain = options.retainAsPublished && message.retainFlag();

    // The mark says where the session's copy is; it may be left over from another
    // message, so what it points to is asked. [v311:3.3.5-1] [v5:3.3.4-2]
    const std::uint32_t mark = session.recipientMark_;
    if (!match.shared && mark < recipients_.size() && recipients_[mark].session.get() == &session &&
        !recipients_[mark].shared) {
      Recipient& merged = recipients_[mark];
      merged.qos = std::max(merged.qos, qos);
      merged.retain = merged.retain || retain;
      merged.subscriptionIds.add(match.identifier);
      return;
    }
    if (!match.shared) session.recipientMark_ = static_cast<std::uint32_t>(recipients_.size());
    recipients_.emplace_back(session, match.identifier, qos, retain, match.shared);
  });
  return recipients_;
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
