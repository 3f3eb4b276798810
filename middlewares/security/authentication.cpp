#include "middlewares/security/authentication.hpp"

#include <utility>

#include "core/mqtt/packet_rules.hpp"
#include "core/mqtt/text.hpp"
#include "core/stack/client.hpp"
#include "core/stack/stack.hpp"
#include "core/util/metrics.hpp"

namespace mqttstack {

using mqtt::PropertyId;
using mqtt::ReasonCode;

namespace {

/// The certificate that the peer has shown, if our CA vouches for it.
const net::TlsInfo* certificateOf(const Client& client) {
  const net::TlsInfo* tls = client.peer().tls();
  return tls && tls->hasCertificate ? tls : nullptr;
}

// How somebody tries to get in, for the log.
std::string userOf(const mqtt::Connect& connect) {
  return connect.userName ? "user \"" + mqtt::printable(*connect.userName) + '"'
                          : std::string{"without user name"};
}
std::string methodOf(const ContinueAuthentication& step) {
  return "method \"" + mqtt::printable(step.method) + '"';
}

ReasonCode reasonOfFailure(std::error_code error) {
  return error.category() == mqtt::reasonCategory() ? mqtt::reasonOf(error)
                                                    : ReasonCode::serverUnavailable;
}

}  // namespace

Authentication::Authentication(Setup& setup, const Options&)
    : Middleware{setup},
      accepted_{setup.metrics, "auth_accepted", "clients that were let in"},
      refused_{setup.metrics, "auth_refused", "clients whose credentials were refused"},
      expired_{setup.metrics.counter("auth_expired", "clients whose credentials have ended")},
      state_{setup.clientFields} {}

Flow Authentication::handle(Client& client, Packet& packet, Next next, Done) {
  if (packet.type() == mqtt::PacketType::auth) return auth(client, packet.as<mqtt::Auth>(), next);
  // It is who it is: a second CONNECT changes nothing. [v311:3.1.0-2] [v5:3.1.0-2]
  if (client.connected()) return next(ReasonCode::protocolError);
  const auto& packetOfClient = packet.as<mqtt::Connect>();
  if (const auto method = packetOfClient.properties.text(PropertyId::authenticationMethod))
    return beginExchange(client, *method, packetOfClient, next);
  return connect(client, packetOfClient, next);
}

// By user name, password and certificate.

Flow Authentication::connect(Client& client, const mqtt::Connect& connect, Next next) {
  const net::TlsInfo* const certificate = certificateOf(client);
  if (!connect.userName && !connect.password && !certificate) {
    AuthenticateConnection nothing{*client.identity(), {}, {}};
    return decide(client, connect, nothing, {}, next);
  }
  // Kept by the continuation for as long as somebody decides.
  const broker::IdentityPtr identity = client.identity();
  return client.stack().call(
      AuthenticateConnection{*identity, connect.userName, connect.password, certificate}, next,
      [this, &client, &connect, identity](std::error_code error, AuthenticateConnection& login,
                                          Next onward, Done done) {
        // Gone meanwhile: it must not take over a session any more.
        if (client.closing()) return done();
        return decide(client, connect, login, error, onward);
      });
}

Flow Authentication::decide(Client& client, const mqtt::Connect& connect,
                            AuthenticateConnection& login, std::error_code error, Next next) {
  if (error)
    return refuse(client, userOf(connect), reasonOfFailure(error), login.verdict,
                  error.category() == mqtt::reasonCategory()
                      ? "an authenticator failed"
                      : "an authenticator failed: " + error.message(),
                  next);
  if (login.verdict.allowed()) {
    if (login.validUntil && *login.validUntil <= scheduler().now())
      return refuse(client, userOf(connect), ReasonCode::notAuthorized, login.verdict,
                    "the credentials have ended", next);
    std::string principal = std::move(login.principal);
    if (principal.empty()) principal = connect.userName.value_or("");
    // Everybody without a name would have everybody's session.
    if (principal.empty())
      return refuse(client, userOf(connect), ReasonCode::notAuthorized, login.verdict,
                    decidedBy(login.verdict) + " lets it in without saying who it is", next);
    admit(client, std::move(principal), std::move(login.groups), std::move(login.grants));
    accept(client, login.verdict);
    if (login.validUntil) cutOffAt(client, *login.validUntil);
    return next();
  }
  if (login.verdict.opinion == Opinion::deny)
    return refuse(client, userOf(connect), login.verdict.reason, login.verdict, {}, next);
  if (connect.userName || connect.password)
    return refuse(client, userOf(connect), ReasonCode::badUserNameOrPassword, login.verdict,
                  "no authenticator knows the user", next);
  if (!client.listener().allowAnonymous)
    return refuse(client, userOf(connect), ReasonCode::notAuthorized, login.verdict,
                  "the listener allows no anonymous clients", next);
  admitAnonymous(client);
  return next();
}

void Authentication::admitAnonymous(Client& client) {
  broker::IdentityFields fields = client.identity()->fields();
  fields.principal = "anonymous";
  fields.anonymous = true;
  client.setIdentity(broker::makeIdentity(std::move(fields)));
  Verdict verdict;
  verdict.allow("anonymous");
  accepted_.add(verdict);
}

void Authentication::admit(Client& client, std::string principal, std::vector<std::string> groups,
                           broker::Grants grants) {
  broker::IdentityFields fields = client.identity()->fields();
  fields.principal = std::move(principal);
  fields.groups = std::move(groups);
  fields.grants = std::move(grants);
  fields.anonymous = false;
  client.setIdentity(broker::makeIdentity(std::move(fields)));
}

/// After admit(): the line names who it is now.
void Authentication::accept(const Client& client, const Verdict& verdict) {
  accepted_.add(verdict);
  log().debug("{}: accepted by {}", client.describe(), decidedBy(verdict));
}

Flow Authentication::refuse(Client& client, const std::string& login, ReasonCode reason,
                            const Verdict& verdict, std::string_view why, Next next) {
  refused_.add(verdict);
  // [v311:3.2.2-5] [v5:3.1.4-2]
  if (!mqtt::isFailure(reason)) reason = ReasonCode::notAuthorized;
  if (!lines_.admits(scheduler().now(), log())) return next(reason);
  if (why.empty())
    log().info("{}, {}: refused by {}: {}", client.describe(), login, decidedBy(verdict),
               toString(reason));
  else
    log().info("{}, {}: refused, since {}: {}", client.describe(), login, why, toString(reason));
  return next(reason);
}

// By a method of enhanced authentication.

Flow Authentication::beginExchange(Client& client, std::string_view method,
                                   const mqtt::Connect& connect, Next next) {
  auto& exchange = state_(client).exchange;
  exchange = std::make_unique<Exchange>();
  exchange->method = method;
  const broker::IdentityPtr identity = client.identity();
  return client.stack().call(
      ContinueAuthentication{*identity, exchange->method,
                             connect.properties.text(PropertyId::authenticationData).value_or(""),
                             exchange->state},
      next,
      [this, &client, identity](std::error_code error, ContinueAuthentication& step, Next onward,
                                Done done) {
        if (client.closing()) return done();
        if (error || !(step.proceeds || step.verdict.allowed()))
          return refuse(client, methodOf(step), failureOf(client, error, step), step.verdict,
                        whyOf(error, step), onward);
        return continueFirst(client, step, onward, done);
      });
}

/// The first step, which came with the CONNECT: either all is said, or the
/// CONNECT waits.
Flow Authentication::continueFirst(Client& client, ContinueAuthentication& step, Next next, Done) {
  Exchange& exchange = *state_(client).exchange;
  if (!step.proceeds) {
    exchange.running = false;
    exchange.lastWord = std::move(step.reply);
    admit(client, std::move(step.principal), std::move(step.groups));
    accept(client, step.verdict);
    return next();
  }
  if (!ask(client, exchange, step.reply)) return next(ReasonCode::packetTooLarge);
  return next.defer([&](Deferred connect) {
    exchange.connect = std::move(connect);
    client.expectAuthentication();
  });
}

Flow Authentication::auth(Client& client, const mqtt::Auth& auth, Next next) {
  Exchange* const exchange = state_(client).exchange.get();
  // [v5:4.12.0-7] [v5:4.12.0-5] [v5:4.12.1-1]
  if (!exchange || auth.properties.text(PropertyId::authenticationMethod) != exchange->method)
    return next(ReasonCode::protocolError);
  // [v5:4.12.0-3] An exchange goes on where it was begun, and is begun where there is none.
  const bool again = auth.code == ReasonCode::reAuthenticate;
  if (again == exchange->running || (again && !client.connected()))
    return next(ReasonCode::protocolError);
  if (again) {
    exchange->running = true;
    exchange->state.reset();
  }
  const broker::IdentityPtr identity = client.identity();
  return client.stack().call(
      ContinueAuthentication{*identity, exchange->method,
                             auth.properties.text(PropertyId::authenticationData).value_or(""),
                             exchange->state},
      next,
      [this, &client, identity](std::error_code error, ContinueAuthentication& step, Next onward,
                                Done done) {
        if (client.closing()) return done();
        if (error || !(step.proceeds || step.verdict.allowed()))
          return refuse(client, methodOf(step), failureOf(client, error, step), step.verdict,
                        whyOf(error, step), onward);
        return continueAgain(client, step, onward, done);
      });
}

/// A later step, which came with an AUTH: of the exchange that began with the
/// CONNECT, or of one that the client has begun since.
Flow Authentication::continueAgain(Client& client, ContinueAuthentication& step, Next next,
                                   Done done) {
  Exchange& exchange = *state_(client).exchange;
  if (step.proceeds)
    return ask(client, exchange, step.reply) ? done() : next(ReasonCode::packetTooLarge);

  exchange.running = false;
  exchange.state.reset();
  if (!client.connected()) {
    exchange.lastWord = std::move(step.reply);
    admit(client, std::move(step.principal), std::move(step.groups));
    accept(client, step.verdict);
    // The CONNECT goes on from here, to its CONNACK.
    std::optional<Deferred> connect = std::exchange(exchange.connect, std::nullopt);
    connect->next();
    return done();
  }
  // Its session belongs to who it was.
  if (step.principal != client.identity()->principal()) {
    log().info("{}: tried to become \"{}\"", client.describe(), mqtt::printable(step.principal));
    refused_.add(step.verdict);
    return next(ReasonCode::notAuthorized);
  }
  // Rights that hang on the identity stay with it if nothing has changed.
  if (step.groups != client.identity()->groups())
    admit(client, std::move(step.principal), std::move(step.groups), client.identity()->grants());
  accept(client, step.verdict);
  mqtt::PropertyWriter properties;
  properties.add(PropertyId::authenticationMethod, exchange.method);
  if (!step.reply.empty()) properties.add(PropertyId::authenticationData, step.reply);
  client.send(mqtt::Auth{ReasonCode::success, properties.properties()});
  return done();
}

/// Sends an AUTH that wants an answer; false if it is too large for the client.
bool Authentication::ask(Client& client, const Exchange& exchange, std::string_view data) {
  mqtt::PropertyWriter properties;
  properties.add(PropertyId::authenticationMethod, exchange.method);  // [v5:4.12.0-5]
  if (!data.empty()) properties.add(PropertyId::authenticationData, data);
  // [v5:4.12.0-2]
  return client.send(mqtt::Auth{ReasonCode::continueAuthentication, properties.properties()});
}

/// Why a step has failed. [v5:4.12.0-1] [v5:4.12.0-4] [v5:4.12.1-2]
ReasonCode Authentication::failureOf(const Client& client, std::error_code error,
                                     const ContinueAuthentication& step) {
  if (!error && step.verdict.opinion == Opinion::none) return ReasonCode::badAuthenticationMethod;
  const ReasonCode reason = error ? reasonOfFailure(error) : step.verdict.reason;
  const bool canBeTold = !client.connected() || mqtt::isLegalReason(mqtt::PacketType::disconnect,
                                                                    reason, mqtt::Sender::server);
  return canBeTold ? reason : ReasonCode::notAuthorized;
}

/// More than `nobody` says, where nobody knows the method.
std::string_view Authentication::whyOf(std::error_code error, const ContinueAuthentication& step) {
  return !error && step.verdict.opinion == Opinion::none ? "no authenticator offers this method"
                                                         : "";
}

Flow Authentication::on(NegotiateConnection& negotiation, SyncNext next, Done) {
  if (const Exchange* exchange = state_(negotiation.client).exchange.get()) {
    negotiation.terms.authenticationMethod = exchange->method;
    negotiation.terms.authenticationData = exchange->lastWord;
  }
  return next();
}

Flow Authentication::on(ConnectionLost& lost, SyncNext next, Done) {
  State& state = state_(lost.client);
  state.expiry.reset();
  if (state.exchange)
    const std::optional<Deferred> dropped = std::exchange(state.exchange->connect, std::nullopt);
  return next();
}

// Credentials that end.

void Authentication::cutOffAt(Client& client, TimePoint when) {
  auto& expiry = state_(client).expiry;
  expiry = std::make_unique<Expiry>(*this, client);
  scheduler().start(expiry->timer, when - scheduler().now());
}

void Authentication::expired(Client& client) {
  expired_.add();
  log().info("{}: its credentials have ended", client.describe());
  client.close(ReasonCode::notAuthorized);
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
