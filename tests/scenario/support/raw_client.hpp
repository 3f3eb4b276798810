#pragma once

#include <chrono>
#include <filesystem>
#include <memory>
#include <source_location>
#include <stdexcept>
#include <string>
#include <vector>

#include <openssl/types.h>

#include "tests/scenario/support/daemon.hpp"
#include "tests/support/raw_packets.hpp"

namespace mqttstack {

/// How long a test waits for something that has to come.
constexpr std::chrono::milliseconds kPatience{10'000};

/// What an expectation throws: where in the test, what was expected, what came.
struct ExpectationFailed : std::runtime_error {
  ExpectationFailed(const std::source_location& where, const std::string& what);
};

/// TLS as a client sees it. Empty paths are left out.
struct ClientTls {
  std::filesystem::path authority{};
  std::filesystem::path certificate{};
  std::filesystem::path key{};
  /// TLS1_2_VERSION, TLS1_3_VERSION, or 0 for what both sides have best.
  int onlyVersion = 0;
  /// The name to ask for (SNI), which the certificate has to be for.
  std::string serverName{"localhost"};
};

/// An MQTT client that does nothing by itself: it blocks, sends exactly the bytes that it is told
/// to, and hands out whole packets. Each expectation has a deadline and throws
/// `ExpectationFailed`. Destroying a client closes its socket without a DISCONNECT.
class RawClient {
public:
  using Where = std::source_location;

  explicit RawClient(const Endpoint& server, Version version = Version::v311);
  /// Over TLS; throws when the handshake fails.
  RawClient(const Endpoint& server, Version version, const ClientTls& tls);
  /// From a local address of its own, for more connections than one address has ports.
  RawClient(const Endpoint& server, Version version, const std::string& localAddress);
  ~RawClient();
  RawClient(RawClient&& other) noexcept;
  RawClient& operator=(RawClient&&) = delete;

  [[nodiscard]] Version version() const { return version_; }

  // Bytes.
  void send(const Bytes& bytes, Where where = Where::current());
  /// Sends as much as goes out without waiting and returns how much that was.
  std::size_t sendWithoutWaiting(const Bytes& bytes);
  /// The next whole packet.
  [[nodiscard]] Bytes receive(Where where = Where::current());
  void expect(const Bytes& packet, Where where = Where::current());
  /// The server ends the connection, with nothing before that.
  void expectClosed(Where where = Where::current());
  /// The server has nothing for this client: the answer to a PINGREQ is the next that comes.
  void expectNothing(Where where = Where::current());
  /// Everything sent so far has been processed.
  void settle(Where where = Where::current()) { expectNothing(where); }
  /// No more bytes will come from this client, which goes on reading.
  void closeSending();
  /// Ends the connection the hard way: with a reset.
  void reset();
  /// Closes the socket without a DISCONNECT.
  void drop();
  /// Asks the kernel for the smallest receive buffer.
  void shrinkReceiveBuffer();

  // Packets of this client's version.
  Connack connect(const Connect& connect = {}, Where where = Where::current());
  /// Expects CONNACK `code` and the end of the connection. `v3` and `v5` are the two codes.
  void expectRefused(unsigned v3, unsigned v5, Where where = Where::current());
  /// Expects the end of the connection; from MQTT 5 on a DISCONNECT with `reason` before it.
  void expectDisconnected(unsigned reason, Where where = Where::current());
  /// Expects the answer to a malformed CONNECT: MQTT 5 CONNACK `reason`, MQTT 3 only the close.
  void expectConnectRejected(unsigned reason, Where where = Where::current());
  /// Subscribes with packet identifier 1 and expects that the QoS asked for is granted.
  void subscribe(const std::vector<Filter>& filters, const Properties& properties = {},
                 Where where = Where::current());
  void unsubscribe(const std::vector<std::string>& filters, Where where = Where::current());
  void publish(const Publish& publish, Where where = Where::current());
  /// Sends a PUBLISH and carries out the sender's part of its QoS to the end.
  void publishFully(const Publish& publish, Where where = Where::current());
  /// Receives a PUBLISH like `wanted` (properties in any order) and returns it.
  Publish expectPublish(const Publish& wanted, Where where = Where::current());
  /// The same, and carries out the receiver's part of its QoS to the end.
  Publish expectPublishFully(const Publish& wanted, Where where = Where::current());
  /// A PUBACK, PUBREC, PUBREL or PUBCOMP, in any of the legal forms of its success code. PUBACK
  /// and PUBREC may also say that nobody subscribes.
  void expectAck(unsigned firstByte, unsigned id, unsigned reason = 0,
                 Where where = Where::current());
  /// Messages of the new subscription may come before the SUBACK: they are received afterwards.
  void expectSuback(unsigned id, const std::vector<unsigned>& codes,
                    Where where = Where::current());
  /// The codes are those of MQTT 5; MQTT 3 has none.
  void expectUnsuback(unsigned id, const std::vector<unsigned>& codes,
                      Where where = Where::current());
  void disconnect(unsigned reason = 0, Where where = Where::current());

private:
  enum class Readiness { read, write };

  void open(const Endpoint& server, const std::string& localAddress);
  void handshake(const ClientTls& tls);
  /// Waits until the socket is ready; false after the deadline.
  bool await(Readiness readiness, std::chrono::steady_clock::time_point deadline) const;
  /// Appends what came to `received_`; false when the server has closed.
  bool readMore(std::chrono::steady_clock::time_point deadline, const Where& where);
  /// The length of the packet at the front of `received_`; 0 while it is incomplete.
  [[nodiscard]] std::size_t frontPacketLength() const;
  [[nodiscard]] std::string pending() const;

  Version version_;
  int socket_ = -1;
  std::unique_ptr<SSL_CTX, void (*)(SSL_CTX*)> context_;
  std::unique_ptr<SSL, void (*)(SSL*)> tls_;
  Bytes received_;
};

/// First bytes of the acknowledgements.
constexpr unsigned kPuback = 0x40;
constexpr unsigned kPubrec = 0x50;
constexpr unsigned kPubrel = 0x62;
constexpr unsigned kPubcomp = 0x70;

/// A CONNECT whose session outlives the connection.
[[nodiscard]] Connect durable(Version version, const std::string& clientId);

/// Lets real time pass. Only for what the standard measures in whole seconds.
void letPass(std::chrono::milliseconds time);

}  // namespace mqttstack
