#include "middlewares/security/authentication.hpp"

#include <utility>

#include "core/mqtt/text.hpp"
#include "core/stack/client.hpp"
#include "core/stack/stack.hpp"
#include "core/util/metrics.hpp"

namespace mqttstack {

using mqtt::ReasonCode;

Authentication::Authentication(Setup& setup, const Options&)
    : Middleware{setup},
      accepted_{setup.metrics.counter("auth_accepted", "clients that were let in")},
      refused_{setup.metrics.counter("auth_refused", "clients whose credentials were refused")} {}

Flow Authentication::handle(Client& client, Packet& packet, Next next, Done) {
  // It is who it is: a second CONNECT changes nothing. [v311:3.1.0-2] [v5:3.1.0-2]
  if (client.connected()) return next(ReasonCode::protocolError);
  const auto& connect = packet.as<mqtt::Connect>();
  if (!connect.userName && !connect.password) {
    if (client.listener().allowAnonymous) return admit(client, "anonymous", {}, true, next);
    return refuse(client, connect, ReasonCode::notAuthorized,
                  "the listener, which allows no anonymous clients", next);
  }
  // Kept by the continuation for as long as somebody decides.
  const broker::IdentityPtr identity = client.identity();
  return client.stack().call(
      AuthenticateConnection{*identity, connect.userName, connect.password}, next,
      [this, &client, &connect, identity](std::error_code error, AuthenticateConnection& login,
                                          Next onward, Done done) {
        // Gone meanwhile: it must not take over a session any more.
        if (client.closing()) return done();
        return decide(client, connect, login, error, onward);
      });
}

Flow Authentication::decide(Client& client, const mqtt::Connect& connect,
                            AuthenticateConnection& login, std::error_code error, Next next) {
  if (error) {
    const bool reasoned = error.category() == mqtt::reasonCategory();
    return refuse(client, connect, reasoned ? mqtt::reasonOf(error) : ReasonCode::serverUnavailable,
                  "an authenticator that failed: " + error.message(), next);
  }
  if (login.verdict.allowed()) {
    std::string principal = std::move(login.principal);
    if (principal.empty()) principal = connect.userName.value_or("");
    return admit(client, std::move(principal), std::move(login.groups), false, next);
  }
  if (login.verdict.opinion == Opinion::deny)
    return refuse(client, connect, login.verdict.reason, login.verdict.by, next);
  return refuse(client, connect, ReasonCode::badUserNameOrPassword,
                "nobody, since nobody knows the user", next);
}

Flow Authentication::admit(Client& client, std::string principal, std::vector<std::string> groups,
                           bool anonymous, Next next) {
  broker::IdentityFields fields = client.identity()->fields();
  fields.principal = std::move(principal);
  fields.groups = std::move(groups);
  fields.anonymous = anonymous;
  client.setIdentity(broker::makeIdentity(std::move(fields)));
  accepted_.add();
  return next();
}

Flow Authentication::refuse(Client& client, const mqtt::Connect& connect, ReasonCode reason,
                            std::string_view by, Next next) {
  refused_.add();
  // [v311:3.2.2-5] [v5:3.1.4-2]
  if (!mqtt::isFailure(reason)) reason = ReasonCode::notAuthorized;
  if (connect.userName)
    log().info("{}, user \"{}\": refused by {}: {}", client.describe(),
               mqtt::printable(*connect.userName), by, toString(reason));
  else
    log().info("{}, without user name: refused by {}: {}", client.describe(), by, toString(reason));
  return next(reason);
}

void Authentication::validate(const Stack& stack, Diagnostics& diagnostics) const {
  const auto own = stack.position(this);
  for (const auto first : {stack.firstHandler<OpenSession>(), stack.firstHandler<RelayMessage>()}) {
    if (!first || !own || *own < *first) continue;
    const std::string& other = stack.middlewares()[*first]->name();
    diagnostics.error("\"" + name() + "\" stands behind \"" + other +
                          "\", which works with the identity of clients",
                      "move \"" + name() + "\" before \"" + other + "\"");
    return;
  }
}

}  // namespace mqttstack
