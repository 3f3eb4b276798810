#include "tests/scenario/support/raw_client.hpp"

#include <algorithm>
#include <arpa/inet.h>
#include <cerrno>
#include <csignal>
#include <cstring>
#include <fcntl.h>
#include <filesystem>
#include <netinet/in.h>
#include <netinet/tcp.h>
#include <poll.h>
#include <sys/socket.h>
#include <sys/un.h>
#include <system_error>
#include <thread>
#include <unistd.h>

#include <openssl/err.h>
#include <openssl/ssl.h>

namespace mqttstack {
namespace {

using Clock = std::chrono::steady_clock;

[[noreturn]] void fail(const char* what) {
  throw std::system_error(errno, std::generic_category(), what);
}

[[noreturn]] void failTls(const std::string& what) {
  char text[256];
  ERR_error_string_n(ERR_get_error(), text, sizeof text);
  ERR_clear_error();  // or the next client takes the rest for its own
  throw std::runtime_error(what + ": " + text);
}

/// An IPv4 address, an IPv6 address in brackets, or the path of a Unix socket.
struct SocketAddress {
  sockaddr_storage storage{};
  socklen_t size = 0;

  [[nodiscard]] const sockaddr* get() const { return reinterpret_cast<const sockaddr*>(&storage); }
};

SocketAddress addressOf(const std::string& address, std::uint16_t port) {
  SocketAddress result;
  const auto keep = [&result](const auto& typed) {
    std::memcpy(&result.storage, &typed, sizeof typed);
    result.size = sizeof typed;
  };
  if (address.starts_with('/')) {
    sockaddr_un local{};
    local.sun_family = AF_UNIX;
    address.copy(local.sun_path, sizeof local.sun_path - 1);
    keep(local);
    return result;
  }
  if (address.starts_with('[')) {
    sockaddr_in6 six{};
    six.sin6_family = AF_INET6;
    six.sin6_port = htons(port);
    if (inet_pton(AF_INET6, address.substr(1, address.size() - 2).c_str(), &six.sin6_addr) == 1) {
      keep(six);
      return result;
    }
  }
  sockaddr_in four{};
  four.sin_family = AF_INET;
  four.sin_port = htons(port);
  if (inet_pton(AF_INET, address.c_str(), &four.sin_addr) != 1) {
    throw std::runtime_error("not an address: " + address);
  }
  keep(four);
  return result;
}

Properties inOrderOfId(Properties properties) {
  std::stable_sort(properties.begin(), properties.end(),
                   [](const Property& a, const Property& b) { return a.id < b.id; });
  return properties;
}

/// Where the tests read the packet, `read` runs with the place of the expectation.
template <typename Read>
auto at(const std::source_location& where, Read read) {
  try {
    return read();
  } catch (const ExpectationFailed&) {
    throw;
  } catch (const std::runtime_error& error) {
    throw ExpectationFailed(where, error.what());
  }
}

std::string list(const std::vector<unsigned>& codes) {
  Bytes bytes;
  for (const auto code : codes) bytes += u8(code);
  return "[" + toHex(bytes) + "]";
}

}  // namespace

ExpectationFailed::ExpectationFailed(const std::source_location& where, const std::string& what)
    : std::runtime_error(std::filesystem::path(where.file_name()).filename().string() + ":" +
                         std::to_string(where.line()) + ": " + what) {}

RawClient::RawClient(const Endpoint& server, Version version)
    : version_(version),
      context_(nullptr, SSL_CTX_free),
      tls_(nullptr, SSL_free) {
  open(server, "");
}

RawClient::RawClient(const Endpoint& server, Version version, const std::string& localAddress)
    : version_(version),
      context_(nullptr, SSL_CTX_free),
      tls_(nullptr, SSL_free) {
  open(server, localAddress);
}

RawClient::RawClient(const Endpoint& server, Version version, const ClientTls& tls)
    : version_(version),
      context_(nullptr, SSL_CTX_free),
      tls_(nullptr, SSL_free) {
  open(server, "");
  try {
    handshake(tls);
  } catch (...) {
    close(socket_);
    throw;
  }
}

RawClient::RawClient(RawClient&& other) noexcept
    : version_(other.version_),
      socket_(std::exchange(other.socket_, -1)),
      context_(std::move(other.context_)),
      tls_(std::move(other.tls_)),
      received_(std::move(other.received_)) {}

RawClient::~RawClient() { drop(); }

void RawClient::open(const Endpoint& server, const std::string& localAddress) {
  static const auto ignored = std::signal(SIGPIPE, SIG_IGN);
  static_cast<void>(ignored);
  const auto remote = addressOf(server.address, server.port);
  socket_ = socket(remote.storage.ss_family, SOCK_STREAM | SOCK_CLOEXEC, 0);
  if (socket_ < 0) fail("socket");
  const int on = 1;
  setsockopt(socket_, IPPROTO_TCP, TCP_NODELAY, &on, sizeof on);
  try {
    if (!localAddress.empty()) {
      setsockopt(socket_, IPPROTO_IP, IP_BIND_ADDRESS_NO_PORT, &on, sizeof on);
      const auto local = addressOf(localAddress, 0);
      if (bind(socket_, local.get(), local.size) != 0) fail("bind");
    }
    if (::connect(socket_, remote.get(), remote.size) != 0) fail("connect");
    if (fcntl(socket_, F_SETFL, O_NONBLOCK) != 0) fail("fcntl");
  } catch (...) {
    close(socket_);
    throw;
  }
}

void RawClient::handshake(const ClientTls& tls) {
  context_.reset(SSL_CTX_new(TLS_client_method()));
  if (tls.onlyVersion != 0) {
    SSL_CTX_set_min_proto_version(context_.get(), tls.onlyVersion);
    SSL_CTX_set_max_proto_version(context_.get(), tls.onlyVersion);
  }
  if (!tls.authority.empty()) {
    if (SSL_CTX_load_verify_file(context_.get(), tls.authority.c_str()) != 1) failTls("authority");
    SSL_CTX_set_verify(context_.get(), SSL_VERIFY_PEER, nullptr);
  }
  if (!tls.certificate.empty()) {
    if (SSL_CTX_use_certificate_chain_file(context_.get(), tls.certificate.c_str()) != 1 ||
        SSL_CTX_use_PrivateKey_file(context_.get(), tls.key.c_str(), SSL_FILETYPE_PEM) != 1) {
      failTls("client certificate");
    }
  }
  tls_.reset(SSL_new(context_.get()));
  SSL_set_fd(tls_.get(), socket_);
  SSL_set_tlsext_host_name(tls_.get(), tls.serverName.c_str());
  if (!tls.authority.empty()) SSL_set1_host(tls_.get(), tls.serverName.c_str());
  const auto deadline = Clock::now() + kPatience;
  for (;;) {
    const int result = SSL_connect(tls_.get());
    if (result == 1) return;
    const int error = SSL_get_error(tls_.get(), result);
    const bool wantsRead = error == SSL_ERROR_WANT_READ;
    if (!wantsRead && error != SSL_ERROR_WANT_WRITE) failTls("handshake");
    if (!await(wantsRead ? Readiness::read : Readiness::write, deadline)) {
      throw std::runtime_error("handshake: no answer");
    }
  }
}

bool RawClient::await(Readiness readiness, Clock::time_point deadline) const {
  const auto left = std::chrono::ceil<std::chrono::milliseconds>(deadline - Clock::now());
  if (left.count() <= 0) return false;
  const short events = readiness == Readiness::read ? POLLIN : POLLOUT;
  pollfd poller{socket_, events, 0};
  return poll(&poller, 1, static_cast<int>(left.count())) > 0;
}

std::size_t RawClient::sendWithoutWaiting(const Bytes& bytes) {
  std::size_t sent = 0;
  while (sent < bytes.size()) {
    const auto* data = bytes.data() + sent;
    const auto left = bytes.size() - sent;
    const auto count =
        tls_ ? static_cast<ssize_t>(SSL_write(tls_.get(), data, static_cast<int>(left)))
             : ::send(socket_, data, left, MSG_NOSIGNAL);
    if (count <= 0) break;
    sent += static_cast<std::size_t>(count);
  }
  return sent;
}

void RawClient::send(const Bytes& bytes, Where where) {
  const auto deadline = Clock::now() + kPatience;
  Bytes rest = bytes;
  for (;;) {
    rest.erase(0, sendWithoutWaiting(rest));
    if (rest.empty()) return;
    // What the server closed can't be written to: the expectation that follows will tell.
    if (!tls_ && errno != EAGAIN) return;
    if (!await(Readiness::write, deadline)) {
      throw ExpectationFailed(where, "the server does not read");
    }
  }
}

bool RawClient::readMore(Clock::time_point deadline, const Where& where) {
  char buffer[16384];
  for (;;) {
    const auto count = tls_ ? static_cast<ssize_t>(SSL_read(tls_.get(), buffer, sizeof buffer))
                            : recv(socket_, buffer, sizeof buffer, 0);
    if (count > 0) {
      received_.append(buffer, static_cast<std::size_t>(count));
      return true;
    }
    const bool again =
        tls_ ? SSL_get_error(tls_.get(), static_cast<int>(count)) == SSL_ERROR_WANT_READ
             : count < 0 && (errno == EAGAIN || errno == EINTR);
    if (!again) return false;
    if (!await(Readiness::read, deadline)) {
      throw ExpectationFailed(where, "nothing came in time" + pending());
    }
  }
}

std::string RawClient::pending() const {
  return received_.empty() ? "" : "; incomplete packet: " + toHex(received_);
}

std::size_t RawClient::frontPacketLength() const {
  std::size_t length = 0;
  for (std::size_t i = 1; i < received_.size() && i <= 4; ++i) {
    const auto byte = static_cast<unsigned char>(received_[i]);
    length |= static_cast<std::size_t>(byte & 0x7F) << (7 * (i - 1));
    if ((byte & 0x80) == 0) {
      const auto total = 1 + i + length;
      return received_.size() >= total ? total : 0;
    }
  }
  return 0;
}

Bytes RawClient::receive(Where where) {
  const auto deadline = Clock::now() + kPatience;
  for (;;) {
    if (const auto length = frontPacketLength(); length > 0) {
      const Bytes packet = received_.substr(0, length);
      received_.erase(0, length);
      return packet;
    }
    if (!readMore(deadline, where)) {
      throw ExpectationFailed(where, "the server closed the connection" + pending());
    }
  }
}

void RawClient::expect(const Bytes& packet, Where where) {
  const Bytes came = receive(where);
  if (came != packet) {
    throw ExpectationFailed(where, "expected " + toHex(packet) + ", received " + toHex(came));
  }
}

void RawClient::expectClosed(Where where) {
  const auto deadline = Clock::now() + kPatience;
  while (received_.empty() && readMore(deadline, where)) {
  }
  if (!received_.empty()) {
    throw ExpectationFailed(where,
                            "expected the end of the connection, received " + toHex(received_));
  }
}

void RawClient::expectNothing(Where where) {
  send(pingreqPacket(), where);
  expect(pingrespPacket(), where);
}

void RawClient::closeSending() {
  if (tls_) SSL_shutdown(tls_.get());
  shutdown(socket_, SHUT_WR);
}

void RawClient::reset() {
  const linger hard{1, 0};
  setsockopt(socket_, SOL_SOCKET, SO_LINGER, &hard, sizeof hard);
  drop();
}

void RawClient::drop() {
  tls_.reset();
  if (socket_ >= 0) close(std::exchange(socket_, -1));
}

void RawClient::shrinkReceiveBuffer() {
  const int smallest = 1;
  setsockopt(socket_, SOL_SOCKET, SO_RCVBUF, &smallest, sizeof smallest);
}

Connack RawClient::connect(const Connect& connect, Where where) {
  send(connectPacket(version_, connect), where);
  const auto connack = at(where, [&] { return readConnack(version_, receive(where)); });
  if (connack.code != 0) {
    throw ExpectationFailed(where, "CONNECT refused with code " + toHex(u8(connack.code)));
  }
  return connack;
}

void RawClient::expectRefused(unsigned v3, unsigned v5, Where where) {
  const unsigned code = version_ == Version::v5 ? v5 : v3;
  const auto connack = at(where, [&] { return readConnack(version_, receive(where)); });
  if (connack.code != code || connack.sessionPresent) {
    throw ExpectationFailed(where, "expected CONNACK code " + toHex(u8(code)) + ", received " +
                                       toHex(u8(connack.code)));
  }
  expectClosed(where);
}

void RawClient::expectConnectRejected(unsigned reason, Where where) {
  if (version_ == Version::v5) {
    expectRefused(0, reason, where);
  } else {
    expectClosed(where);
  }
}

void RawClient::expectDisconnected(unsigned reason, Where where) {
  if (version_ == Version::v5) {
    const Bytes came = receive(where);
    const unsigned found = at(where, [&] { return readDisconnect(version_, came); });
    if (found != reason) {
      throw ExpectationFailed(where, "expected DISCONNECT with reason " + toHex(u8(reason)) +
                                         ", received " + toHex(came));
    }
  }
  expectClosed(where);
}

void RawClient::subscribe(const std::vector<Filter>& filters, const Properties& properties,
                          Where where) {
  send(subscribePacket(version_, 1, filters, properties), where);
  std::vector<unsigned> granted;
  for (const auto& filter : filters) granted.push_back(filter.options & 3);
  expectSuback(1, granted, where);
}

void RawClient::unsubscribe(const std::vector<std::string>& filters, Where where) {
  send(unsubscribePacket(version_, 2, filters), where);
  expectUnsuback(2, std::vector<unsigned>(filters.size(), 0), where);
}

void RawClient::publish(const Publish& publish, Where where) {
  send(publishPacket(version_, publish), where);
}

void RawClient::publishFully(const Publish& publish, Where where) {
  this->publish(publish, where);
  if (publish.qos == 1) expectAck(kPuback, publish.id, 0, where);
  if (publish.qos == 2) {
    expectAck(kPubrec, publish.id, 0, where);
    send(pubrelPacket(publish.id), where);
    expectAck(kPubcomp, publish.id, 0, where);
  }
}

Publish RawClient::expectPublish(const Publish& wanted, Where where) {
  const Bytes came = receive(where);
  const Publish found = at(where, [&] { return readPublish(version_, came); });
  const bool same = found.topic == wanted.topic && found.payload == wanted.payload &&
                    found.qos == wanted.qos && found.retain == wanted.retain &&
                    found.dup == wanted.dup && (wanted.id == 0 || found.id == wanted.id) &&
                    inOrderOfId(found.properties) == inOrderOfId(wanted.properties);
  if (!same) {
    throw ExpectationFailed(
        where, "expected " + toHex(publishPacket(version_, wanted)) + ", received " + toHex(came));
  }
  return found;
}

Publish RawClient::expectPublishFully(const Publish& wanted, Where where) {
  const Publish found = expectPublish(wanted, where);
  if (found.qos == 1) send(pubackPacket(found.id), where);
  if (found.qos == 2) {
    send(pubrecPacket(found.id), where);
    expectAck(kPubrel, found.id, 0, where);
    send(pubcompPacket(found.id), where);
  }
  return found;
}

void RawClient::expectAck(unsigned firstByte, unsigned id, unsigned reason, Where where) {
  constexpr unsigned kNoMatchingSubscribers = 0x10;
  const Bytes came = receive(where);
  const Ack ack = at(where, [&] { return readAck(version_, came); });
  const bool saysNobody = reason == 0 && ack.reason == kNoMatchingSubscribers &&
                          (firstByte == kPuback || firstByte == kPubrec);
  if (ack.firstByte != firstByte || ack.id != id || (ack.reason != reason && !saysNobody)) {
    const Bytes wanted = u16(id) + (reason != 0 ? u8(reason) : Bytes());
    throw ExpectationFailed(
        where, "expected " + toHex(packet(firstByte, wanted)) + ", received " + toHex(came));
  }
}

void RawClient::expectSuback(unsigned id, const std::vector<unsigned>& codes, Where where) {
  constexpr unsigned kPublish = 0x30;
  Bytes early;
  Bytes came = receive(where);
  for (; (static_cast<unsigned char>(came[0]) & 0xF0U) == kPublish; came = receive(where)) {
    early += came;
  }
  received_.insert(0, early);
  const auto found = at(where, [&] { return readSuback(version_, came); });
  if (found.id != id || found.codes != codes) {
    throw ExpectationFailed(where, "expected SUBACK " + toHex(u16(id)) + " with " + list(codes) +
                                       ", received " + toHex(came));
  }
}

void RawClient::expectUnsuback(unsigned id, const std::vector<unsigned>& codes, Where where) {
  const Bytes came = receive(where);
  const auto found = at(where, [&] { return readUnsuback(version_, came); });
  const auto wanted = version_ == Version::v5 ? codes : std::vector<unsigned>{};
  if (found.id != id || found.codes != wanted) {
    throw ExpectationFailed(where, "expected UNSUBACK " + toHex(u16(id)) + " with " + list(wanted) +
                                       ", received " + toHex(came));
  }
}

void RawClient::disconnect(unsigned reason, Where where) {
  send(disconnectPacket(version_, reason), where);
  expectClosed(where);
}

Connect durable(Version version, const std::string& clientId) {
  Connect connect{.clientId = clientId, .clean = false};
  if (version == Version::v5) {
    connect.properties = {property(PropertyId::sessionExpiry, 3600)};
  }
  return connect;
}

void letPass(std::chrono::milliseconds time) { std::this_thread::sleep_for(time); }

}  // namespace mqttstack
