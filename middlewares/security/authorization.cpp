#include "middlewares/security/authorization.hpp"

#include <string>
#include <utility>

#include "core/mqtt/text.hpp"
#include "core/mqtt/topic.hpp"
#include "core/stack/client.hpp"
#include "core/stack/rights_version.hpp"
#include "core/stack/stack.hpp"
#include "core/util/metrics.hpp"
#include "core/util/timer_wheel.hpp"

namespace mqttstack {

using mqtt::ReasonCode;

namespace {

/// What a failed decision is told as: its own reason if it has one.
ReasonCode reasonOfFailure(std::error_code error, ReasonCode otherwise) {
  return error.category() == mqtt::reasonCategory() ? mqtt::reasonOf(error) : otherwise;
}

/// A denial's reason, which has to be a failure whatever the decider says.
ReasonCode reasonOf(const Verdict& verdict) {
  return mqtt::isFailure(verdict.reason) ? verdict.reason : ReasonCode::notAuthorized;
}

}  // namespace

void Authorization::Options::declare(OptionTable<Options>& table) {
  table.addChoice(
      "denied_filter", &Options::deniedFilter,
      {{"not_authorized", ReasonCode::notAuthorized},
       {"topic_filter_invalid", ReasonCode::topicFilterInvalid},
       {"unspecified_error", ReasonCode::unspecifiedError},
       {"implementation_specific_error", ReasonCode::implementationSpecificError}},
      "What an MQTT 5 client reads in its SUBACK for a filter that it may not subscribe "
      "to: reason code 0x87, 0x8F, 0x80 or 0x83. MQTT 3.1.1 knows 0x80 only.");
}

Authorization::Authorization(Setup& setup, const Options& options)
    : Middleware{setup},
      options_{options},
      denied_{setup.metrics, "authorization_denied",
              "messages, subscriptions, wills and deliveries denied"},
      drops_{setup.metrics} {}

Flow Authorization::handle(Client& client, Packet& packet, Next next, Done) {
  const auto& will = packet.as<mqtt::Connect>().will;
  if (!will) return next();
  const broker::IdentityPtr identity = client.identity();
  return client.stack().call(
      AuthorizePacket{*identity, Action::will, will->topic, will->qos, will->retain}, next,
      [this, &client, identity](std::error_code error, AuthorizePacket& question, Next onward,
                                Done done) {
        if (client.closing()) return done();  // it must not take over a session any more
        if (error) return onward(reasonOfFailure(error, ReasonCode::serverUnavailable));
        if (question.verdict.allowed()) return onward();
        logDenial(*identity, "leave a will for", question.topic, question.verdict);
        return onward(reasonOf(question.verdict));
      });
}

Flow Authorization::on(RelayMessage& relay, Next next, Done) {
  const broker::Message& message = *relay.message;
  if (!message.author()) return next();
  Stack* const own = relay.client ? &relay.client->stack() : relay.stack;
  Stack& stack = own ? *own : home();
  return stack.call(
      AuthorizePacket{*message.author(), Action::publish, message.topic(), message.qos(),
                      message.retainFlag()},
      next, [this](std::error_code error, AuthorizePacket& question, Next onward, Done) {
        if (error) return onward(reasonOfFailure(error, ReasonCode::implementationSpecificError));
        if (question.verdict.allowed()) return onward();
        logDenial(question.identity, "publish to", question.topic, question.verdict);
        return onward(reasonOf(question.verdict));
      });
}

Flow Authorization::on(SubscribeTopic& subscription, Next next, Done) {
  if (subscription.refused()) return next();
  const broker::IdentityPtr identity = subscription.client.identity();
  return subscription.client.stack().call(
      AuthorizePacket{*identity, Action::subscribe,
                      mqtt::splitSharedFilter(subscription.filter).filter, subscription.options.qos,
                      false, &subscription.session},
      next,
      [this, &subscription, identity](std::error_code error, AuthorizePacket& question, Next onward,
                                      Done done) {
        if (error) {
          if (subscription.restoring)
            return onward(reasonOfFailure(error, ReasonCode::serverUnavailable));
          subscription.granted = ReasonCode::unspecifiedError;
          return done();
        }
        if (question.verdict.allowed()) return onward();
        logDenial(*identity, "subscribe to", question.topic, question.verdict);
        // [v5:3.8.4-7] [v5:3.9.3-2] [v311:3.8.4-5]
        subscription.granted = options_.deniedFilter;
        return done();
      });
}

Flow Authorization::on(ForwardMessage& delivery, SyncNext next, Done done) {
  Stack& stack = stackOf(delivery.session);
  const bool cleared = readsAll(stack, delivery.session);
  if (cleared && !delivery.retain) return next();
  if (mayBeSent(stack, delivery.session, *delivery.message, delivery.retain, cleared))
    return next();
  delivery.result = ForwardResult::denied;
  drops_.drop(stack, delivery.session, *delivery.message, DropReason::notAuthorized);
  return done();
}

/// What was allowed when it came may be so no longer. The filter that it came by may
/// be gone with the right to it, so what is known of the session's filters does not
/// count. Whoever asks drops it.
Flow Authorization::on(ForwardWaiting& delivery, SyncNext next, Done done) {
  if (mayBeSent(stackOf(delivery.session), delivery.session, delivery.message, delivery.retain,
                false))
    return next();
  delivery.obstacle = DropReason::notAuthorized;
  return done();
}

/// Whether the reader may read a message, which is known if it is `cleared`, and the
/// author, if it was retained, may still publish it. Counts it if not. What cannot be
/// decided yet may wait for a session that has no connection, or is just being resumed.
bool Authorization::mayBeSent(Stack& stack, const broker::Session& session,
                              const broker::Message& message, bool retain, bool cleared) {
  if (!stack.handled<AuthorizeDelivery>()) return true;
  // A message without author is the broker's own.
  const broker::IdentityPtr& author = message.author();
  const broker::IdentityPtr& reader = session.identity();
  const bool waits = !session.connected() || !session.client()->connected();
  Verdict verdict;
  const auto may = [&](const broker::Identity& who, bool asAuthor) {
    AuthorizeDelivery question{who, message, asAuthor};
    const std::error_code error = stack.run(question);
    verdict = question.verdict;
    if (error) return false;
    return verdict.allowed() || (waits && question.undecided && verdict.opinion == Opinion::none);
  };
  if ((!retain || !author || may(*author, true)) && (cleared || (reader && may(*reader, false))))
    return true;
  denied_.add(verdict);
  if (log().wants(LogLevel::debug))
    log().debug("{} is not sent \"{}\": denied by {}", mqtt::printable(session.clientId()),
                mqtt::printable(message.topic()), decidedBy(verdict));
  return false;
}

namespace {

broker::Clearance clearanceOf(Stack& stack, const broker::Session& session) {
  // With very many, asking about each message as it comes is cheaper.
  constexpr std::uint32_t kMostFilters = 64;
  const broker::IdentityPtr& reader = session.identity();
  if (!reader || session.subscriptions() > kMostFilters ||
      stack.handlerCount<AuthorizeReception>() != stack.handlerCount<AuthorizeDelivery>())
    return broker::Clearance::partial;
  LookupSubscriptions lookup{session, session.clientId()};
  if (stack.run(lookup) || lookup.subscriptions.size() != session.subscriptions())
    return broker::Clearance::partial;
  for (const StoredSubscription& subscription : lookup.subscriptions) {
    AuthorizeReception question{*reader, mqtt::splitSharedFilter(subscription.filter).filter};
    if (stack.run(question) || !question.everything) return broker::Clearance::partial;
  }
  return broker::Clearance::full;
}

}  // namespace

/// Whether it is known that there is nothing among its subscriptions that the
/// session may not read; worked out once, when it is first asked.
bool Authorization::readsAll(Stack& stack, broker::Session& session) {
  const std::uint32_t version = rightsVersion();
  const broker::Clearance known = session.clearance(version);
  if (known != broker::Clearance::unknown) return known == broker::Clearance::full;
  const broker::Clearance found = clearanceOf(stack, session);
  session.setClearance(found, version);
  return found == broker::Clearance::full;
}

void Authorization::logDenial(const broker::Identity& who, std::string_view what,
                              std::string_view topic, const Verdict& verdict) {
  denied_.add(verdict);
  if (!lines_.admits(scheduler().now(), log()) || !log().wants(LogLevel::info)) return;
  const std::string by =
      verdict.opinion == Opinion::deny ? "denied by " + decidedBy(verdict) : "no rule allows it";
  log().info("\"{}\" (user \"{}\") at {} may not {} \"{}\": {}", mqtt::printable(who.clientId()),
             mqtt::printable(who.principal()), who.address(), what, mqtt::printable(topic), by);
}

void Authorization::validate(const Stack& stack, Diagnostics& diagnostics) const {
  const auto own = stack.position(this);
  const auto requireBefore = [&](std::optional<std::size_t> first, const char* why) {
    if (!own || !first || *own <= *first) return false;
    const std::string& other = stack.middlewares()[*first]->name();
    diagnostics.error("\"" + name() + "\" stands behind \"" + other + "\", which " + why,
                      "move \"" + name() + "\" before \"" + other + "\"");
    return true;
  };
  if (requireBefore(stack.firstHandler<OpenSession>(), "stores and subscribes without asking"))
    return;
  if (requireBefore(stack.firstHandler<ForwardMessage>(), "delivers without asking")) return;
  if (!stack.handled<AuthorizeDelivery>())
    diagnostics.warning(
        "no middleware of the pipeline judges deliveries: a client that was allowed to subscribe "
        "reads whatever its filter matches, also after its right is gone",
        "add one that handles authorizeDelivery, such as acl_file");
}

}  // namespace mqttstack
