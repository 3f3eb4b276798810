#pragma once

#include <cstddef>
#include <cstdint>
#include <string>
#include <string_view>
#include <vector>

#include "tests/bench/load/endpoint.hpp"
#include "tests/bench/load/packet_reader.hpp"
#include "tests/bench/load/packets.hpp"

namespace mqttstack::load {

class Connection;
class Loop;

/// Who wants to know what happens on a connection that is up: a scenario.
class Watcher {
public:
  virtual ~Watcher() = default;
  /// A message has come. The connection sees to its acknowledgement.
  virtual void received(Connection&, const ReceivedPublish&) {}
  /// A PUBACK, PUBCOMP, SUBACK, UNSUBACK or PINGRESP has come. A PUBREC is answered by the
  /// connection.
  virtual void answered(Connection&, PacketType) {}
  /// All that was to be written has been, after it had to wait.
  virtual void drained(Connection&) {}
};

/// What a connection does before it is up.
struct Introduction {
  Login login{};
  std::vector<std::string> filters{};  ///< to subscribe to at once
  unsigned qos = 0;                    ///< of these subscriptions
};

/// One client: its socket, what it still has to write, and what it has read of an unfinished
/// packet. Lives as long as the loop's turn goes on, even if it has been closed meanwhile.
class Connection {
public:
  /// `id` is the caller's: it numbers its connections as it likes.
  Connection(Loop& loop, Watcher& watcher, std::uint32_t id, Introduction introduction);
  Connection(const Connection&) = delete;
  Connection& operator=(const Connection&) = delete;
  ~Connection();

  std::uint32_t id() const noexcept { return id_; }
  bool up() const noexcept { return state_ == State::up; }
  bool closed() const noexcept { return state_ == State::closed; }
  /// Whether a batch would have to wait: one is being written, or the socket takes nothing.
  bool busy() const noexcept { return !batch_.empty() || waitsForRoom_; }
  /// The receive maximum that the broker named; 65,535 if none.
  std::uint16_t receiveMaximum() const noexcept { return receiveMaximum_; }

  /// Begins to connect. `index` spreads source addresses.
  void open(std::size_t index);

  /// Packets that were appended to this are written by flush().
  std::string& pending() noexcept { return pending_; }
  /// Has `batch` written, as a piece with what is pending. It is referred to, not copied.
  /// REQUIRES: !busy().
  void write(std::string_view batch);
  void flush();
  /// Takes nothing more from its socket, ever.
  void stopReading();

  /// Says goodbye, if nothing is half written, and closes.
  void close();

private:
  friend class Loop;
  enum class State : std::uint8_t { closed, connecting, handshake, connack, suback, up };

  void onEvents(std::uint32_t events);
  void finishConnecting();
  void shakeHands();
  void introduce();
  void receive();
  /// False once everything is read that is there.
  bool receiveOnce();
  bool onPublish(const ReceivedPublish& publish);
  bool onPacket(PacketType type, std::string_view body);
  void onConnack(std::string_view body);
  void onSuback(std::string_view body);
  void becomeUp();
  void fail(const std::string& why);

  /// As read and write: what they moved, 0 for the end, or -1 with errno.
  ssize_t readSome(char* into, std::size_t size);
  ssize_t writeSome();
  void wrote(std::size_t bytes) noexcept;
  void awaitRoom(bool wanted);
  void watchSocket();

  Loop& loop_;
  Watcher& watcher_;
  std::uint32_t id_;
  int socket_ = -1;
  State state_ = State::closed;
  bool waitsForRoom_ = false;
  bool reads_ = true;
  std::uint16_t receiveMaximum_ = 65'535;
  std::string pending_;  // small packets
  std::size_t pendingWritten_ = 0;
  std::string_view batch_;   // what is left of it
  bool batchBegun_ = false;  // then nothing may come between
  PacketReader reader_;
  TlsSession tls_;
  Introduction introduction_;
};

}  // namespace mqttstack::load
