#pragma once

#include <cstddef>
#include <cstdint>
#include <optional>
#include <span>
#include <vector>

#include "core/broker/delivery.hpp"
#include "core/broker/message.hpp"
#include "core/broker/session.hpp"
#include "core/broker/subscription_ids.hpp"
#include "core/broker/topic_index.hpp"

namespace mqttstack::broker {

/// One copy of a message to be delivered to a session.
struct Recipient {
  Recipient(const Match& match, const Message& message)
      : session{match.session},
        qos{mqtt::lower(match.options.qos, message.qos())},
        retain{match.options.retainAsPublished && message.retainFlag()},
        group{match.group} {
    subscriptionIds.add(match.identifier);
  }

  SessionPtr session;
  SubscriptionIds subscriptionIds;
  mqtt::Qos qos;  ///< granted, and no higher than the message's
  bool retain;    ///< the RETAIN flag to be sent: set only for retain-as-published
  /// The shared group on whose behalf it goes to this session, which may be gone by
  /// now; null if there is none.
  const SharedGroup* group;

  /// The same as a Delivery of `message`, which takes the identifiers.
  Delivery toDelivery(MessagePtr message) &&;
};

/// Turns the subscriptions that match a message into the copies to be sent.
/// A backend owns one and uses it for every message it relays; after a while
/// nothing is allocated any more.
///
/// Overlapping non-shared subscriptions of a session make one copy, at the
/// highest QoS, with all their identifiers, and with the RETAIN flag as
/// published if one of them wants that. No Local subscriptions don't count for
/// what their own client published. Each shared group makes a copy of its own.
/// [v311:3.3.5-1] [v5:3.3.4-2] [v5:3.3.4-3] [v5:3.8.3-3] [v5:4.8.2-5]
class Recipients {
public:
  /// The copies to be sent. They hold what is needed, sessions included, so the
  /// index may change while the caller walks them; skip a session that has
  /// ended() meanwhile. Valid until the next collect() or clear(): a walk that
  /// may lead to another collect() needs another Recipients.
  std::span<Recipient> collect(TopicIndex& index, const Message& message);

  /// The same for another member of the shared group, if there is one who has not been
  /// asked yet: see TopicIndex::another(). REQUIRES: `instead` is for a group.
  static std::optional<Recipient> another(TopicIndex& index, const Message& message,
                                          const Recipient& instead, std::uint32_t& place);

  /// Lets go of the sessions. To be called when the walk is over.
  void clear() noexcept;

private:
  std::vector<Recipient> recipients_;
};

}  // namespace mqttstack::broker
