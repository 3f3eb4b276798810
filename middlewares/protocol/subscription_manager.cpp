#include "middlewares/protocol/subscription_manager.hpp"

#include <memory>
#include <string>
#include <utility>

#include "core/mqtt/packet_rules.hpp"
#include "core/mqtt/topic.hpp"
#include "core/stack/sequence.hpp"
#include "core/stack/stack.hpp"
#include "core/util/metrics.hpp"

namespace mqttstack {

using mqtt::ReasonCode;

namespace {

/// What others decided, as far as the packet that answers may say it.
char legalCode(mqtt::PacketType answer, ReasonCode code) noexcept {
  // [v5:3.9.3-2] [v5:3.11.3-2] [v311:3.9.3-2]
  const bool legal = mqtt::isLegalReason(answer, code, mqtt::Sender::server);
  return static_cast<char>(legal ? code : ReasonCode::unspecifiedError);
}

}  // namespace

void SubscriptionManager::Options::declare(OptionTable<Options>& table) {
  table.add("wildcard_subscriptions", &Options::wildcardSubscriptions,
            "Whether filters may have + and #. If not, clients are told so.");
  table.add("shared_subscriptions", &Options::sharedSubscriptions,
            "Whether there are shared subscriptions ($share/group/filter).");
  table.add("subscription_identifiers", &Options::subscriptionIdentifiers,
            "Whether MQTT 5 clients may give subscriptions an identifier.");
  table
      .add(
          "max_filters", &Options::maxFilters,
          "How many filters one SUBSCRIBE or UNSUBSCRIBE may hold. Those behind are refused (MQTT "
          "5: reason 0x97, or 0x83); in an UNSUBSCRIBE of MQTT 3, which has no way to refuse, they "
          "end the connection.")
      .range(1, 65'535);
}

SubscriptionManager::SubscriptionManager(Setup& setup, const Options& options)
    : Middleware{setup},
      options_{options},
      filtersRefused_{
          setup.metrics.counter("subscribe_filters_refused",
                                "filters beyond what one SUBSCRIBE or UNSUBSCRIBE may hold")} {}

mqtt::PacketTypes SubscriptionManager::packets() const noexcept {
  return mqtt::PacketType::subscribe | mqtt::PacketType::unsubscribe;
}

Flow SubscriptionManager::on(NegotiateConnection& negotiate, SyncNext next, Done) {
  negotiate.terms.wildcardSubscriptions = options_.wildcardSubscriptions;
  negotiate.terms.sharedSubscriptions = options_.sharedSubscriptions;
  negotiate.terms.subscriptionIdentifiers = options_.subscriptionIdentifiers;
  return next();
}

/// Why there can be no subscription to `filter` here; `success` if there can.
ReasonCode SubscriptionManager::judge(std::string_view filter) const noexcept {
  if (!options_.wildcardSubscriptions && mqtt::hasWildcard(filter))
    return ReasonCode::wildcardSubscriptionsNotSupported;
  if (!options_.sharedSubscriptions && mqtt::splitSharedFilter(filter).shared())
    return ReasonCode::sharedSubscriptionsNotSupported;
  return ReasonCode::success;
}

/// What a SUBSCRIBE must not ask for since the CONNACK said so. An MQTT 3 CONNACK
/// doesn't say; there, the filters concerned are refused. [v311:3.8.3-2]
std::error_code SubscriptionManager::judge(const mqtt::Subscribe& subscribe) const noexcept {
  if (!options_.subscriptionIdentifiers &&
      subscribe.properties.number(mqtt::PropertyId::subscriptionIdentifier))
    return ReasonCode::subscriptionIdentifiersNotSupported;
  if (options_.wildcardSubscriptions && options_.sharedSubscriptions) return {};
  for (mqtt::SubscribeEntries entries = subscribe.entries; !entries.empty();)
    if (const ReasonCode code = judge(entries.takeFront().filter); code != ReasonCode::success)
      return code;
  return {};
}

/// Calls stored(error) as soon as what was done to the session is safe: at once
/// if it ends with the connection.
template <class Stored>
void SubscriptionManager::whenStored(Client& client, Stored stored) {
  if (!client.session()->durable()) return stored(std::error_code{});
  client.stack().execute(
      AwaitStored{client, *client.session()},
      [stored = std::move(stored)](std::error_code error, AwaitStored&) mutable { stored(error); });
}

class SubscriptionManager::Subscribing final : public Sequence {
public:
  Subscribing(const SubscriptionManager& manager, Client& client, const mqtt::Subscribe& subscribe,
              Deferred later)
      : manager_{manager},
        client_{client},
        later_{std::move(later)},
        entries_{subscribe.entries},
        packetId_{subscribe.packetId},
        identifier_{
            subscribe.properties.number(mqtt::PropertyId::subscriptionIdentifier).value_or(0)} {}

private:
  bool step() override {
    if (entries_.empty()) return false;
    const mqtt::SubscribeEntry entry = entries_.takeFront();
    if (codes_.size() >= manager_.options_.maxFilters) {
      manager_.filtersRefused_.add();
      codes_.push_back(static_cast<char>(ReasonCode::quotaExceeded));
      return stepDone({}), true;
    }
    if (const ReasonCode code = manager_.judge(entry.filter); code != ReasonCode::success) {
      codes_.push_back(static_cast<char>(code));
      return stepDone({}), true;
    }
    SubscribeTopic subscribe{client_, *client_.session(), entry.filter, entry.options, identifier_};
    subscribe.granted = static_cast<ReasonCode>(entry.options.qos);
    client_.stack().execute(std::move(subscribe), [self = sharedFrom(*this)](std::error_code error,
                                                                             SubscribeTopic& done) {
      // [v5:3.8.4-6] [v5:3.9.3-1] [v311:3.8.4-5] [v311:3.9.3-1]
      self->codes_.push_back(legalCode(mqtt::PacketType::suback, done.granted));
      self->stepDone(error);
    });
    return true;
  }

  void finished(std::error_code error) override {
    if (error) return later_.fail(error);
    whenStored(client_, [self = sharedFrom(*this)](std::error_code why) { self->answer(why); });
  }

  /// A subscription that could not be stored has been undone. [v5:3.8.4-7]
  void answer(std::error_code error) {
    if (error)
      for (char& code : codes_)
        if (!mqtt::isFailure(static_cast<ReasonCode>(code)))
          code = static_cast<char>(mqtt::reasonOf(error));
    // [v5:3.8.4-1] [v5:3.8.4-2] [v5:2.2.1-6] [v311:3.8.4-1] [v311:3.8.4-2] [v311:2.3.1-7]
    client_.send(mqtt::Suback{packetId_, codes_, {}});
    later_.done();
  }

  const SubscriptionManager& manager_;
  Client& client_;  // pinned by the walk that waits for us, as is the packet
  Deferred later_;
  mqtt::SubscribeEntries entries_;
  std::uint16_t packetId_;
  std::uint32_t identifier_;
  std::string codes_;
};

class SubscriptionManager::Unsubscribing final : public Sequence {
public:
  Unsubscribing(const SubscriptionManager& manager, Client& client,
                const mqtt::Unsubscribe& unsubscribe, Deferred later)
      : manager_{manager},
        client_{client},
        later_{std::move(later)},
        filters_{unsubscribe.filters},
        packetId_{unsubscribe.packetId} {}

private:
  bool step() override {
    if (filters_.empty()) return false;
    if (codes_.size() >= manager_.options_.maxFilters) {
      manager_.filtersRefused_.add();
      if (!client_.isV5()) return stepDone(ReasonCode::quotaExceeded), true;
      codes_.push_back(static_cast<char>(ReasonCode::implementationSpecificError));
      filters_.takeFront();
      return stepDone({}), true;
    }
    client_.stack().execute(
        UnsubscribeTopic{client_, *client_.session(), filters_.takeFront()},
        [self = sharedFrom(*this)](std::error_code error, UnsubscribeTopic& done) {
          // [v5:3.11.3-1]
          self->codes_.push_back(legalCode(mqtt::PacketType::unsuback, done.code));
          self->stepDone(error);
        });
    return true;
  }

  void finished(std::error_code error) override {
    if (error) return later_.fail(error);
    whenStored(client_, [self = sharedFrom(*this)](std::error_code why) {
      if (why) return self->later_.fail(why);
      // [v5:3.10.4-4] [v5:3.10.4-5] [v311:3.10.4-4] [v311:3.10.4-5]
      self->client_.send(mqtt::Unsuback{self->packetId_, self->codes_, {}});
      self->later_.done();
    });
  }

  const SubscriptionManager& manager_;
  Client& client_;
  Deferred later_;
  mqtt::UnsubscribeFilters filters_;
  std::uint16_t packetId_;
  std::string codes_;
};

Flow SubscriptionManager::handle(Client& client, Packet& packet, Next next, Done) {
  if (packet.type() == mqtt::PacketType::unsubscribe)
    return next.defer([&](Deferred later) {
      std::make_shared<Unsubscribing>(*this, client, packet.as<mqtt::Unsubscribe>(),
                                      std::move(later))
          ->run();
    });

  const auto& subscribe = packet.as<mqtt::Subscribe>();
  if (client.isV5())
    if (const std::error_code error = judge(subscribe)) return next(error);
  return next.defer([&](Deferred later) {
    std::make_shared<Subscribing>(*this, client, subscribe, std::move(later))->run();
  });
}

}  // namespace mqttstack
