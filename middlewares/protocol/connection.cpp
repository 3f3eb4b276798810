#include "middlewares/protocol/connection.hpp"

#include <algorithm>
#include <array>
#include <fmt/format.h>
#include <utility>

#include <openssl/rand.h>

#include "core/stack/stack.hpp"
#include "core/util/metrics.hpp"

namespace mqttstack {

using mqtt::ReasonCode;

namespace {

/// A client identifier that nobody has. [v5:3.2.2-16] [v311:3.1.3-6]
std::string makeClientId() {
  std::array<unsigned char, 16> random{};
  if (RAND_bytes(random.data(), static_cast<int>(random.size())) != 1) std::abort();
  std::string id = "auto-";
  for (const unsigned char byte : random) id += fmt::format("{:02x}", byte);
  return id;
}

constexpr std::ptrdiff_t kMaxV31Characters = 23;

/// How many characters valid UTF-8 has: every byte but those that continue one.
std::ptrdiff_t characters(std::string_view text) noexcept {
  return std::count_if(text.begin(), text.end(),
                       [](char c) { return (static_cast<unsigned char>(c) & 0xC0U) != 0x80; });
}

/// Why a connection has ended, to stand behind what became of it.
std::string reasonsOf(const Client& client) {
  const ReasonCode reason = client.closeReason();
  std::string text;
  if (reason != ReasonCode::success) text.append(": ").append(toString(reason));
  std::string_view more = client.endExplanation();
  if (more.empty()) more = mqtt::explain(reason);
  if (!more.empty()) text.append(": ").append(more);
  return text;
}

}  // namespace

void Connection::Options::declare(OptionTable<Options>& table) {
  table
      .add("connect_timeout", &Options::connectTimeout,
           "How long a connection may take from being accepted to a successful CONNECT, TLS "
           "handshake and authentication included.")
      .range(std::chrono::milliseconds{100}, std::chrono::minutes{10});
  table
      .add("max_client_id_bytes", &Options::maxClientIdBytes,
           "Longer client identifiers are refused.")
      .range(23, 65'535);
  table.add("max_user_name_bytes", &Options::maxUserNameBytes, "Longer user names are refused.")
      .range(1, 65'535);
  table.add("long_v31_client_ids", &Options::longV31ClientIds,
            "Accepts client identifiers of more than 23 characters from MQTT 3.1 clients, which "
            "that version forbids.");
}

/// Cuts off a connection that does not come to a CONNACK in time.
struct Connection::Deadline {
  Deadline(Client& theClient, Metric& theCounter, TimeSpan theTime)
      : client{theClient},
        timedOut{theCounter},
        time{theTime} {}
  void expire() {
    if (client.connected()) return;
    if (!client.closing()) {
      timedOut.add();
      client.explainEnd(fmt::format("{} within {} (connect_timeout)",
                                    client.parked() ? "its CONNECT was not decided" : "no CONNECT",
                                    formatTimeSpan(time)));
    }
    // [v5:3.1.0-1] Nothing may be sent before the CONNACK, and there is none.
    client.closeSilently();
  }
  Client& client;
  Metric& timedOut;
  TimeSpan time;
  Timer timer = Timer::calling<&Deadline::expire>(*this);
};

Connection::State::State() = default;
Connection::State::State(State&&) noexcept = default;
Connection::State::~State() = default;

Connection::Connection(Setup& setup, const Options& options)
    : Middleware{setup},
      options_{options},
      state_{setup.clientFields},
      timedOut_{setup.metrics.counter("connect_timeouts",
                                      "connections without a successful CONNECT in time")} {}

void Connection::install(Client& client) {
  auto& deadline = state_(client).deadline;
  deadline = std::make_unique<Deadline>(client, timedOut_, options_.connectTimeout);
  scheduler().start(deadline->timer, options_.connectTimeout);
}

mqtt::PacketTypes Connection::packets() const noexcept {
  return mqtt::PacketType::connect | mqtt::PacketType::disconnect;
}

Flow Connection::handle(Client& client, Packet& packet, Next next, Done) {
  if (packet.type() == mqtt::PacketType::connect)
    return connect(client, packet.as<mqtt::Connect>(), next);
  return disconnect(client, packet.as<mqtt::Disconnect>(), next);
}

Flow Connection::connect(Client& client, const mqtt::Connect& connect, Next next) {
  if (client.connected()) return next(ReasonCode::protocolError);  // [v5:3.1.0-2] [v311:3.1.0-2]

  // [v5:3.1.3-8] [v311:3.1.3-9]
  if (!hasGoodClientId(client, connect)) return next(ReasonCode::clientIdentifierNotValid);
  std::string clientId{connect.clientId};
  if (clientId.empty()) clientId = makeClientId();  // [v5:3.1.3-6] [v5:3.1.3-7] [v311:3.1.3-6]

  if (connect.userName && connect.userName->size() > options_.maxUserNameBytes) {
    client.explainEnd(fmt::format("a user name of {} bytes (max_user_name_bytes = {})",
                                  connect.userName->size(), options_.maxUserNameBytes));
    return next(ReasonCode::badUserNameOrPassword);
  }

  broker::IdentityFields fields;
  fields.principal = "anonymous";
  fields.clientId = std::move(clientId);
  fields.address = client.identity()->address();
  fields.listener = client.listener().name;
  fields.anonymous = true;
  if (const net::TlsInfo* tls = client.peer().tls(); tls && tls->hasCertificate)
    fields.certificateName = tls->commonName;
  client.setIdentity(broker::makeIdentity(std::move(fields)));
  return next();
}

bool Connection::hasGoodClientId(Client& client, const mqtt::Connect& connect) const {
  const std::string_view id = connect.clientId;
  const bool v31 = connect.version == mqtt::ProtocolVersion::v31;
  const bool mayBeEmpty = connect.version == mqtt::ProtocolVersion::v5 ||
                          (connect.version == mqtt::ProtocolVersion::v311 && connect.cleanStart);
  if (id.empty() && !mayBeEmpty)  // [v311:3.1.3-8]
    client.explainEnd("it is empty, which takes MQTT 3.1.1 with a clean session, or MQTT 5");
  else if (id.size() > options_.maxClientIdBytes)
    client.explainEnd(fmt::format("it has {} bytes (max_client_id_bytes = {})", id.size(),
                                  options_.maxClientIdBytes));
  else if (v31 && !options_.longV31ClientIds && characters(id) > kMaxV31Characters)
    client.explainEnd(
        fmt::format("it has {} characters, and MQTT 3.1 allows {} "
                    "(long_v31_client_ids = true allows more)",
                    characters(id), kMaxV31Characters));
  else
    return true;
  return false;
}

Flow Connection::disconnect(Client& client, const mqtt::Disconnect& disconnect, Next next) {
  const auto expiry = disconnect.properties.number(mqtt::PropertyId::sessionExpiryInterval);
  if (expiry.value_or(0) != 0 && client.session() && !client.session()->persistent())
    return next(ReasonCode::protocolError);
  // [v5:3.14.4-3] [v311:3.14.4-3] With any other code the will is still due.
  state_(client).saidGoodbye = disconnect.code == ReasonCode::success;
  client.closeSilently();
  return next();
}

Flow Connection::on(SessionEstablished& established, SyncNext next, Done) {
  State& state = state_(established.client);
  state.deadline.reset();
  state.established = true;
  log().info("{} connected to listener \"{}\", MQTT {}{}", established.client.describe(),
             established.client.listener().name, toString(established.client.version()),
             established.present ? ", session resumed" : "");
  return next();
}

Flow Connection::on(CloseClient& close, SyncNext next, Done) {
  close.client.close(close.reason);
  return next();
}

Flow Connection::on(ConnectionLost& lost, SyncNext next, Done) {
  state_(lost.client).deadline.reset();
  return next();
}

Flow Connection::on(ConnectionClosed& closed, Next next, Done) {
  Client& client = closed.client;
  State& state = state_(client);
  // Only who was accepted has a session to leave, and a will to be published.
  if (!state.established) {
    if (lines_.admits(scheduler().now(), log()))
      log().info("{} was not accepted{}", client.describe(), reasonsOf(client));
    return next();
  }
  state.established = false;
  if (client.closeReason() != ReasonCode::success)
    log().info("{} was disconnected{}", client.describe(), reasonsOf(client));
  else if (state.saidGoodbye)
    log().info("{} disconnected", client.describe());
  else
    log().info("{} {}{}", client.describe(),
               client.stalled() ? "was cut off" : "vanished without DISCONNECT", reasonsOf(client));

  const auto goOn = [](std::error_code error, auto&, Next proceed, Done) { return proceed(error); };
  if (state.saidGoodbye)
    return client.stack().call(CleanDisconnect{client, *client.session()}, next, goOn);
  return client.stack().call(UncleanDisconnect{client, *client.session()}, next, goOn);
}

void Connection::validate(const Stack& stack, Diagnostics& diagnostics) const {
  const auto own = stack.position(this);
  for (const auto first :
       {stack.firstHandler<NegotiateConnection>(), stack.firstHandler<OpenSession>(),
        stack.firstHandler<SubscribeTopic>(), stack.firstHandler<UncleanDisconnect>()}) {
    if (!first || !own || *own < *first) continue;
    const std::string& other = stack.middlewares()[*first]->name();
    diagnostics.error("\"" + name() + "\" stands behind \"" + other +
                          "\", which works with the clients that it lets in",
                      "move \"" + name() + "\" in front of \"" + other + "\"");
    return;
  }
}

}  // namespace mqttstack
