#include "middlewares/protocol/session_manager.hpp"

#include <algorithm>
#include <utility>

#include "core/mqtt/text.hpp"
#include "core/stack/sequence.hpp"
#include "core/stack/stack.hpp"

namespace mqttstack {

using mqtt::PropertyId;
using mqtt::ReasonCode;

void SessionManager::Options::declare(OptionTable<Options>& table) {
  table
      .add("max_session_expiry", &Options::maxSessionExpiry,
           "The longest that a session is kept after its connection has gone. MQTT 5 clients "
           "that ask for more are told; for MQTT 3 clients without clean session it is this.")
      .range(std::chrono::seconds{0}, std::chrono::seconds{0xFFFF'FFFE});
}

SessionManager::SessionManager(Setup& setup, const Options& options)
    : Middleware{setup},
      options_{options} {}

void SessionManager::validate(const Stack& stack, Diagnostics& diagnostics) const {
  const auto backend = stack.firstHandler<OpenSession>();
  if (backend && *backend > stack.position(this))
    diagnostics.error(
        "\"" + name() + "\" stands before \"" + stack.middlewares()[*backend]->name() +
            "\", so a subscription would be stored before it is made",
        "move \"" + stack.middlewares()[*backend]->name() + "\" in front of \"" + name() + "\"");
}

mqtt::PacketTypes SessionManager::packets() const noexcept {
  using enum mqtt::PacketType;
  return connect | disconnect | auth;
}

/// Everything between CONNECT and CONNACK, some of which may have to wait.
class SessionManager::Opening final : public Sequence {
public:
  Opening(SessionManager& manager, Client& client, const mqtt::Connect& connect, Deferred later)
      : manager_{manager},
        client_{client},
        connect_{connect},
        later_{std::move(later)} {}

private:
  bool step() override {
    switch (stage_) {
      case Stage::open:
        return open();
      case Stage::clear:
        return clear();
      case Stage::restore:
        return restore();
      case Stage::withdraw:
        return withdraw();
      case Stage::done:
        break;
    }
    return false;
  }

  bool open() {
    if (const std::error_code error = manager_.negotiate(client_, connect_, terms_))
      return stepDone(error), true;
    client_.stack().execute(
        OpenSession{client_, client_.clientId(), connect_.cleanStart, terms_.sessionExpiry,
                    connect_.will ? &*connect_.will : nullptr},
        [self = sharedFrom(*this)](std::error_code error, OpenSession& opened) {
          self->opened(error, opened);
        });
    return true;
  }

  void opened(std::error_code error, OpenSession& opened) {
    if (!error && !opened.session) error = ReasonCode::serverUnavailable;
    if (!opened.session) return stepDone(error);
    client_.setSession(opened.session);
    // It could not be kept, or the client vanished meanwhile, and connectionLost has passed.
    if (error || client_.closing()) {
      if (!opened.present && opened.session->client() == &client_)
        opened.session->setExpiryInterval(0);  // it never knew of it
      return manager_.suspend(client_), stepDone(error ? error : ReasonCode::unspecifiedError);
    }
    present_ = opened.present;
    if (connect_.cleanStart) {
      stage_ = Stage::clear;  // [v5:3.1.2-4] [v311:3.1.2-6]
    } else if (present_) {
      LookupSubscriptions lookup{*opened.session, opened.session->clientId()};
      client_.stack().run(lookup);
      restored_ = std::move(lookup.subscriptions);
      stage_ = Stage::restore;
    } else {
      stage_ = Stage::done;
    }
    stepDone({});
  }

  bool clear() {
    ClearOfflineMessages clear{session()};
    client_.stack().run(clear);
    stage_ = Stage::done;
    client_.stack().execute(ClearSubscriptions{session(), session().clientId()},
                            [self = sharedFrom(*this)](std::error_code error, ClearSubscriptions&) {
                              self->stepDone(error);
                            });
    return true;
  }

  /// The subscriptions are asked for again, since what they may have changed.
  bool restore() {
    if (next_ == restored_.size()) return false;
    const StoredSubscription& stored = restored_[next_];
    SubscribeTopic subscribe{client_, session(), stored.filter, stored.options, stored.identifier};
    subscribe.restoring = true;
    subscribe.granted = static_cast<ReasonCode>(stored.options.qos);
    client_.stack().execute(
        std::move(subscribe),
        [self = sharedFrom(*this)](std::error_code error, SubscribeTopic& restored) {
          if (!error && restored.refused())
            self->stage_ = Stage::withdraw;
          else
            ++self->next_;
          self->stepDone(error);
        });
    return true;
  }

  bool withdraw() {
    stage_ = Stage::restore;
    const std::string& filter = restored_[next_++].filter;
    manager_.log().info("{} may not have its subscription to \"{}\" any more", client_.describe(),
                        mqtt::printable(filter));
    client_.stack().execute(UnsubscribeTopic{client_, session(), filter},
                            [self = sharedFrom(*this)](std::error_code error, UnsubscribeTopic&) {
                              self->stepDone(error);
                            });
    return true;
  }

  void finished(std::error_code error) override {
    if (error) return later_.fail(error);
    accept(client_, connect_, terms_, present_);
    later_.next();
  }

  broker::Session& session() const noexcept { return *client_.session(); }

  enum class Stage { open, clear, restore, withdraw, done };

  SessionManager& manager_;
  Client& client_;  // pinned by the walk that waits for us
  const mqtt::Connect& connect_;
  Deferred later_;
  Stage stage_ = Stage::open;
  ConnectionTerms terms_;
  bool present_ = false;
  std::vector<StoredSubscription> restored_;
  std::size_t next_ = 0;
};

Flow SessionManager::handle(Client& client, Packet& packet, Next next, Done) {
  if (packet.type() == mqtt::PacketType::disconnect)
    return disconnect(client, packet.as<mqtt::Disconnect>(), next);
  // A second CONNECT [v5:3.1.0-2] [v311:3.1.0-2], or an AUTH that nobody in front of
  // this has taken: no exchange is possible. [v5:4.12.0-7]
  if (client.connected() || packet.type() == mqtt::PacketType::auth)
    return next(ReasonCode::protocolError);
  return next.defer([&](Deferred later) {
    std::make_shared<Opening>(*this, client, packet.as<mqtt::Connect>(), std::move(later))->run();
  });
}

std::uint32_t SessionManager::limited(std::uint32_t expiry) const noexcept {
  const auto limit = std::chrono::duration_cast<std::chrono::seconds>(options_.maxSessionExpiry);
  return std::min(expiry, static_cast<std::uint32_t>(limit.count()));
}

std::uint32_t SessionManager::wantedExpiry(const mqtt::Connect& connect) const noexcept {
  if (connect.version == mqtt::ProtocolVersion::v5)
    return limited(connect.properties.number(PropertyId::sessionExpiryInterval).value_or(0));
  return connect.cleanStart ? 0 : limited(broker::Session::kNeverExpires);
}

/// Before the session is touched: who is refused takes nobody's place.
std::error_code SessionManager::negotiate(Client& client, const mqtt::Connect& connect,
                                          ConnectionTerms& terms) const {
  NegotiateConnection negotiate{client, connect};
  negotiate.terms.sessionExpiry = wantedExpiry(connect);
  if (const std::error_code error = client.stack().run(negotiate)) return error;
  terms = negotiate.terms;
  // A method that nobody has answered for. [v5:4.12.0-1]
  if (terms.authenticationMethod.empty() &&
      connect.properties.text(PropertyId::authenticationMethod))
    return ReasonCode::badAuthenticationMethod;
  if (!connect.will) return {};
  if (connect.will->qos > terms.maximumQos) return ReasonCode::qosNotSupported;  // [v5:3.2.2-12]
  // [v5:3.2.2-13] An MQTT 3 client cannot be told; its will is published all the same.
  if (client.isV5() && connect.will->retain && !terms.retainAvailable)
    return ReasonCode::retainNotSupported;
  return {};
}

void SessionManager::accept(Client& client, const mqtt::Connect& connect,
                            const ConnectionTerms& terms, bool present) {
  mqtt::PropertyWriter properties;
  if (client.isV5()) {
    // What has its default value is left out. [v5:3.2.2]
    if (terms.sessionExpiry !=
        connect.properties.number(PropertyId::sessionExpiryInterval).value_or(0))
      properties.add(PropertyId::sessionExpiryInterval, terms.sessionExpiry);
    if (terms.receiveMaximum != 65'535)
      properties.add(PropertyId::receiveMaximum, terms.receiveMaximum);
    if (terms.maximumQos != mqtt::Qos::exactlyOnce)  // [v5:3.2.2-9]
      properties.add(PropertyId::maximumQos, static_cast<std::uint32_t>(terms.maximumQos));
    if (!terms.retainAvailable) properties.add(PropertyId::retainAvailable, 0);
    properties.add(PropertyId::maximumPacketSize,
                   static_cast<std::uint32_t>(client.listener().maximumPacketSize));
    if (connect.clientId.empty())  // [v5:3.1.3-7] [v5:3.2.2-16]
      properties.add(PropertyId::assignedClientIdentifier, client.clientId());
    if (terms.topicAliasMaximum != 0)
      properties.add(PropertyId::topicAliasMaximum, terms.topicAliasMaximum);
    if (!terms.wildcardSubscriptions) properties.add(PropertyId::wildcardSubscriptionAvailable, 0);
    if (!terms.subscriptionIdentifiers)
      properties.add(PropertyId::subscriptionIdentifierAvailable, 0);
    if (!terms.sharedSubscriptions) properties.add(PropertyId::sharedSubscriptionAvailable, 0);
    if (terms.keepAlive != connect.keepAlive)  // [v5:3.2.2-22]
      properties.add(PropertyId::serverKeepAlive, terms.keepAlive);
  }
  // [v5:4.12.0-5] [v5:4.12.0-6]
  if (!terms.authenticationMethod.empty())
    properties.add(PropertyId::authenticationMethod, terms.authenticationMethod);
  if (!terms.authenticationData.empty())
    properties.add(PropertyId::authenticationData, terms.authenticationData);
  // [v5:3.2.2-2] [v5:3.2.2-3] [v311:3.2.2-1] [v311:3.2.2-2] MQTT 3.1 has no such flag.
  const bool tellsPresent = present && client.version() != mqtt::ProtocolVersion::v31;
  // [v5:3.1.4-5] [v5:3.2.0-1] [v311:3.2.0-1] Whatever else there is comes behind it.
  if (!client.sendAccepting({tellsPresent, ReasonCode::success, properties.properties()})) return;
  SessionEstablished established{client, *client.session(), connect, present, terms};
  client.stack().run(established);
}

Flow SessionManager::disconnect(Client& client, const mqtt::Disconnect& disconnect,
                                Next next) const {
  const auto expiry = disconnect.properties.number(PropertyId::sessionExpiryInterval);
  if (expiry && client.session()) client.session()->setExpiryInterval(limited(*expiry));
  return next();
}

Flow SessionManager::on(SubscribeTopic& subscribe, Next next, Done) {
  if (subscribe.refused() || subscribe.restoring || !subscribe.session.persistent()) return next();
  mqtt::SubscriptionOptions options = subscribe.options;
  options.qos = subscribe.grantedQos();
  return subscribe.client.stack().call(
      StoreSubscription{subscribe.session, subscribe.session.clientId(), subscribe.filter, options,
                        subscribe.identifier, subscribe.existed},
      next,
      [](std::error_code error, StoreSubscription&, Next proceed, Done) { return proceed(error); });
}

Flow SessionManager::on(UnsubscribeTopic& unsubscribe, Next next, Done) {
  if (!unsubscribe.session.persistent()) return next();
  return unsubscribe.client.stack().call(
      RemoveSubscription{unsubscribe.session, unsubscribe.session.clientId(), unsubscribe.filter},
      next, [](std::error_code error, RemoveSubscription&, Next proceed, Done) {
        return proceed(error);
      });
}

void SessionManager::suspend(Client& client) {
  if (!client.session() || client.session()->client() != &client) return;
  SuspendSession suspend{*client.session(), client};
  client.stack().run(suspend);
}

Flow SessionManager::on(ConnectionLost& lost, SyncNext next, Done) {
  suspend(lost.client);
  return next();
}

}  // namespace mqttstack
