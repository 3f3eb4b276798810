#pragma once

#include <cerrno>
#include <deque>
#include <functional>
#include <memory>
#include <stdexcept>
#include <string>
#include <string_view>
#include <system_error>
#include <utility>
#include <vector>

#include "core/mqtt/frame_reader.hpp"
#include "core/stack/callbacks.hpp"
#include "core/stack/client.hpp"
#include "core/stack/registry.hpp"
#include "core/stack/stack.hpp"
#include "core/util/metrics.hpp"
#include "tests/support/fake_transport.hpp"
#include "tests/support/manual_clock.hpp"
#include "tests/support/manual_loop.hpp"
#include "tests/support/packet_parts.hpp"
#include "tests/support/packets.hpp"

/// A broker without sockets, whose loop a test turns by hand:
///
///     TestBroker broker;
///     broker.use<AcceptConnect>();
///     auto& echo = broker.use<Echo>(Echo::Options{...});
///     Peer peer = broker.connect(mqtt::ProtocolVersion::v5);
///     peer.send(mqtt::Pingreq{});
///     CHECK(peer.received() == hex("D0 00"));
namespace mqttstack::test {

class TestBroker;

/// The other end of one connection. A handle: copies name the same one; valid
/// as long as the broker.
class Peer {
public:
  Peer(const Peer&) = default;
  Peer& operator=(const Peer&) = default;
  ~Peer() {}  // not trivial: a connection that is merely there is no unused variable

  /// Sends bytes, and has the broker do everything that follows from it.
  void send(std::string_view bytes);
  /// Sends a packet, encoded for this peer's version.
  void send(const mqtt::Packet& packet) { send(encoded(packet, connection_->version)); }
  /// Sends bytes without turning the loop: several of these arrive in one turn.
  void push(std::string_view bytes) { transport().push(bytes); }
  /// Finishes sending (FIN), or resets the connection; and turns the loop.
  void end();
  void reset(std::error_code why = {ECONNRESET, std::system_category()});

  /// The bytes that came since the last look at them.
  std::string received() { return std::exchange(connection_->record.written, {}); }
  /// The first packet of those, as bytes; the others stay. Empty if there is none.
  std::string receivedPacket();
  /// The packets that came since; their views last until the program ends.
  /// Throws if what came isn't whole packets that a server may send.
  std::vector<mqtt::Packet> packets();

  /// The broker has closed the connection, or it was reset.
  bool closed() const { return record().closed.has_value() || gone(); }
  /// The client object no longer exists.
  bool gone() const { return record().destroyed; }
  /// The broker doesn't read.
  bool paused() const { return record().paused; }

  /// REQUIRES: !gone().
  Client& client() const { return *connection_->client; }
  FakeTransport& transport() const { return *connection_->record.transport; }
  const FakeTransport::Record& record() const { return connection_->record; }
  mqtt::ProtocolVersion version() const { return connection_->version; }

private:
  friend class TestBroker;
  struct Connection {
    FakeTransport::Record record;
    Client* client = nullptr;
    mqtt::ProtocolVersion version = mqtt::ProtocolVersion::v311;
  };
  Peer(TestBroker& broker, Connection& connection) : broker_{&broker}, connection_{&connection} {}

  TestBroker* broker_;
  Connection* connection_;
};

/// A middleware that answers one callback with a function.
template <class Callback>
class CallbackStub final : public Middleware, public Handles<Callback> {
public:
  using Answer = std::function<Flow(Callback&, NextFor<Callback>, Done)>;
  CallbackStub(const Setup& setup, Answer answer) : Middleware{setup}, answer_{std::move(answer)} {}
  Flow on(Callback& callback, NextFor<Callback> next, Done done) override {
    ++calls;
    return answer_ ? answer_(callback, next, done) : next();
  }
  std::size_t calls = 0;

private:
  Answer answer_;
};

/// A middleware that handles packets with a function.
class PacketStub final : public Middleware, public HandlesPackets {
public:
  using Answer = std::function<Flow(Client&, Packet&, Next, Done)>;
  PacketStub(const Setup& setup, mqtt::PacketTypes types, Answer answer)
      : Middleware{setup},
        types_{types},
        answer_{std::move(answer)} {}
  mqtt::PacketTypes packets() const noexcept override { return types_; }
  Flow handle(Client& client, Packet& packet, Next next, Done done) override {
    ++calls;
    return answer_ ? answer_(client, packet, next, done) : next();
  }
  std::size_t calls = 0;

private:
  mqtt::PacketTypes types_;
  Answer answer_;
};

/// The least that a client needs: accepts every CONNECT, answers PINGREQ, and
/// closes on DISCONNECT.
class AcceptConnect final : public Middleware, public HandlesPackets {
public:
  explicit AcceptConnect(const Setup& setup) : Middleware{setup} {}
  mqtt::PacketTypes packets() const noexcept override {
    using enum mqtt::PacketType;
    return connect | pingreq | disconnect;
  }
  Flow handle(Client& client, Packet& packet, Next next, Done done) override {
    if (packet.type() == mqtt::PacketType::connect) {
      if (client.connected()) return next(mqtt::ReasonCode::protocolError);
      client.sendAccepting(mqtt::Connack{});
      return next();
    }
    if (packet.type() == mqtt::PacketType::pingreq)
      client.send(mqtt::Pingresp{});
    else
      client.closeSilently();
    return done();
  }
};

/// Everything that clients need around them. Pipelines are put together with
/// use(), in order, before the first connection. At the end all connections are
/// reset, deferred walks cancelled, and everything is checked for leaks by
/// whoever runs the test under a sanitizer.
class TestBroker {
public:
  struct LogLine {
    LogLevel level;
    std::string component;
    std::string text;
  };

  TestBroker() { addStack("default"); }
  TestBroker(const TestBroker&) = delete;
  TestBroker& operator=(const TestBroker&) = delete;
  ~TestBroker() {
    for (auto& connection : connections_)
      if (connection.record.transport) Peer{*this, connection}.reset();
    for (auto& stack : stacks_) stack->cancelWalks();
    run();
    if (started_)
      for (auto& middleware : middlewares_) middleware->stop();
  }

  ManualScheduler scheduler;
  ManualLoop loop;
  net::FlushList flushList;
  Metrics metrics;
  std::vector<LogLine> log;
  LogSink sink{LogLevel::debug,
               [this](LogLevel level, std::string_view component, std::string_view text) {
                 log.push_back({level, std::string{component}, std::string{text}});
               }};
  ListenerPolicy listener{"test"};
  ClientFields fields;
  ClientContext context{scheduler, flushList, metrics, sink};
  Diagnostics diagnostics;

  // Pipelines.

  /// Makes another pipeline; use() goes on with this one.
  Stack& addStack(std::string name) {
    stacks_.push_back(std::make_unique<Stack>(std::move(name), fields, Logger{sink, "stack"}));
    return *stacks_.back();
  }
  /// The pipeline that was added last.
  Stack& stack() const { return *stacks_.back(); }

  /// Makes a middleware and appends it to the pipeline. What follows the Setup
  /// in its constructor is given (Options usually); Options that are left out
  /// are the defaults, Diagnostics are supplied.
  template <class M, class... Args>
  M& use(Args&&... args) {
    return useNamed<M>(nameOf<M>(), std::forward<Args>(args)...);
  }
  template <class M, class... Args>
  M& useNamed(std::string name, Args&&... args) {
    Setup setup{std::move(name), fields, scheduler, metrics, sink, loop};
    auto middleware = construct<M>(setup, std::forward<Args>(args)...);
    M& result = *middleware;
    middlewares_.push_back(std::move(middleware));
    stack().use(result);
    return result;
  }
  /// Appends a stand-in that answers a callback (with next() if null), or
  /// handles packets.
  template <class Callback>
  CallbackStub<Callback>& on(typename CallbackStub<Callback>::Answer answer = {}) {
    return useNamed<CallbackStub<Callback>>("stub", std::move(answer));
  }
  PacketStub& onPackets(mqtt::PacketTypes types, PacketStub::Answer answer = {}) {
    return useNamed<PacketStub>("stub", types, std::move(answer));
  }

  /// What validate() of all middlewares has to say.
  std::vector<Finding> validate() const {
    Diagnostics found;
    for (const auto& stack : stacks_) stack->validate(found);
    return found.findings();
  }

  // Connections.

  /// A connection on which nothing has been sent. Starts the middlewares if
  /// this is the first.
  Peer open(Stack& stack, mqtt::ProtocolVersion version = mqtt::ProtocolVersion::v311,
            net::PeerAddress address = {}) {
    if (!std::exchange(started_, true))
      for (auto& middleware : middlewares_) middleware->start(diagnostics);
    Peer::Connection& connection = connections_.emplace_back();
    connection.version = version;
    auto transport =
        std::make_unique<FakeTransport>(connection.record, net::PeerInfo{address, nullptr});
    connection.client = Client::accept(context, stack, listener, std::move(transport)).get();
    return {*this, connection};
  }
  Peer open(mqtt::ProtocolVersion version = mqtt::ProtocolVersion::v311) {
    return open(stack(), version);
  }

  /// A connection on which CONNECT was sent. The answer waits in received().
  Peer connectWith(const mqtt::Connect& connect) { return connectWith(stack(), connect); }
  Peer connectWith(Stack& stack, const mqtt::Connect& connect) {
    Peer peer = open(stack, connect.version);
    peer.send(mqtt::Packet{connect});
    return peer;
  }
  /// A connection that was accepted; throws if it wasn't. The CONNACK is gone.
  Peer connect(mqtt::ProtocolVersion version = mqtt::ProtocolVersion::v311,
               std::string_view clientId = "client", bool cleanStart = true) {
    return connect(stack(), version, clientId, cleanStart);
  }
  Peer connect(Stack& stack, mqtt::ProtocolVersion version, std::string_view clientId = "client",
               bool cleanStart = true) {
    mqtt::Connect packet;
    packet.version = version;
    packet.clientId = clientId;
    packet.cleanStart = cleanStart;
    Peer peer = connectWith(stack, packet);
    const auto answer = peer.packets();
    const auto* connack = answer.empty() ? nullptr : std::get_if<mqtt::Connack>(&answer.front());
    if (!connack || connack->code != mqtt::ReasonCode::success || peer.closed())
      throw std::runtime_error{"the client was not accepted"};
    return peer;
  }

  // Time.

  /// Turns the loop until nothing is left to do.
  void run() {
    for (int turn = 0; turn < 10'000; ++turn) {
      flushList.run();
      bool more = loop.poll() || !flushList.empty();
      for (std::size_t i = 0; i < connections_.size(); ++i)
        if (FakeTransport* transport = connections_[i].record.transport) more |= transport->poll();
      if (!more) return;
    }
    throw std::runtime_error{"the loop never comes to rest"};
  }
  /// Lets time pass, and does what is due.
  void advance(Duration by) {
    scheduler.advance(by);
    run();
  }

  /// How many lines of that level or above were logged.
  std::size_t logged(LogLevel level) const {
    std::size_t count = 0;
    for (const LogLine& line : log) count += line.level >= level;
    return count;
  }

private:
  template <class M>
  static std::string nameOf() {
    if constexpr (requires { M::kName; })
      return std::string{M::kName};
    else
      return "test";
  }
  template <class M, class... Args>
  std::unique_ptr<M> construct(Setup& setup, Args&&... args) {
    if constexpr (std::is_constructible_v<M, Setup&, Args...>)
      return Registry::construct<M>(setup, std::forward<Args>(args)...);
    else if constexpr (std::is_constructible_v<M, Setup&, Args..., Diagnostics&>)
      return Registry::construct<M>(setup, std::forward<Args>(args)..., diagnostics);
    else
      return construct<M>(setup, typename M::Options{});
  }

  std::deque<Peer::Connection> connections_;
  std::vector<std::unique_ptr<Middleware>> middlewares_;
  std::vector<std::unique_ptr<Stack>> stacks_;
  bool started_ = false;
};

inline void Peer::send(std::string_view bytes) {
  if (connection_->record.transport) transport().push(bytes);
  broker_->run();
}

inline void Peer::end() {
  if (connection_->record.transport) transport().end();
  broker_->run();
}

inline void Peer::reset(std::error_code why) {
  if (connection_->record.transport) {
    connection_->record.paused = false;  // a reset is heard also by who doesn't read
    transport().reset(why);
  }
  broker_->run();
}

inline std::string Peer::receivedPacket() {
  std::string& all = connection_->record.written;
  std::string packet = all.substr(0, mqtt::nextFrame(all, mqtt::kMaxPacketBytes).size);
  all.erase(0, packet.size());
  return packet;
}

inline std::vector<mqtt::Packet> Peer::packets() {
  std::vector<mqtt::Packet> packets;
  std::string_view bytes = keep(received());
  while (!bytes.empty()) {
    const mqtt::Frame frame = mqtt::nextFrame(bytes, mqtt::kMaxPacketBytes);
    if (frame.state != mqtt::Frame::State::complete)
      throw std::runtime_error{"not a whole packet: " + toHex(bytes)};
    const auto packet =
        mqtt::decode(bytes.substr(0, frame.size), connection_->version, mqtt::Sender::server);
    if (!packet) throw std::runtime_error{"not a legal packet: " + toHex(bytes)};
    packets.push_back(*packet);
    bytes.remove_prefix(frame.size);
  }
  return packets;
}

/// The DISCONNECT, or the refusing CONNACK, by which an MQTT 5 client hears
/// `code`, with the words that explain `why`.
inline std::string farewell(mqtt::ReasonCode code) {
  mqtt::PropertyWriter words;
  words.add(mqtt::PropertyId::reasonString, mqtt::explain(code));
  return encoded(mqtt::Disconnect{code, words.properties()}, mqtt::ProtocolVersion::v5);
}
inline std::string refusal(mqtt::ReasonCode code, mqtt::ReasonCode why) {
  mqtt::PropertyWriter words;
  words.add(mqtt::PropertyId::reasonString, mqtt::explain(why));
  return encoded(mqtt::Connack{false, code, words.properties()}, mqtt::ProtocolVersion::v5);
}

}  // namespace mqttstack::test
