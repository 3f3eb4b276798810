#include "tests/bench/load/connection.hpp"

#include <algorithm>
#include <array>
#include <cerrno>
#include <cstring>
#include <sys/epoll.h>
#include <sys/socket.h>
#include <sys/uio.h>
#include <unistd.h>
#include <utility>

#include "tests/bench/load/connack.hpp"
#include "tests/bench/load/loop.hpp"

namespace mqttstack::load {

Connection::Connection(Loop& loop, Watcher& watcher, std::uint32_t id, Introduction introduction)
    : loop_{loop},
      watcher_{watcher},
      id_{id},
      introduction_{std::move(introduction)} {}

Connection::~Connection() {
  if (socket_ >= 0) ::close(socket_);
}

void Connection::open(std::size_t index) {
  socket_ = loop_.endpoint_.connect(index);
  state_ = State::connecting;
  if (socket_ < 0) return fail(std::strerror(errno));
  waitsForRoom_ = true;
  epoll_event event{};
  event.events = EPOLLIN | EPOLLOUT;
  event.data.ptr = this;
  ::epoll_ctl(loop_.epoll_, EPOLL_CTL_ADD, socket_, &event);
}

void Connection::write(std::string_view batch) {
  batch_ = batch;
  flush();
}

void Connection::flush() {
  while (pendingWritten_ < pending_.size() || !batch_.empty()) {
    const ssize_t written = writeSome();
    ++loop_.counts_.writes;
    if (written < 0 && errno != EAGAIN) return fail(std::strerror(errno));
    if (written > 0) wrote(static_cast<std::size_t>(written));
    const bool rest = pendingWritten_ < pending_.size() || !batch_.empty();
    if (written < 0 || (rest && !tls_)) return awaitRoom(true);
  }
  awaitRoom(false);
}

void Connection::close() {
  if (up() && batch_.empty() && pendingWritten_ == 0) {
    appendDisconnect(pending_);
    static_cast<void>(writeSome());
  }
  if (socket_ >= 0) ::close(std::exchange(socket_, -1));
  state_ = State::closed;
}

void Connection::onEvents(std::uint32_t events) {
  if (closed()) return;
  if (state_ == State::connecting) return finishConnecting();
  if (state_ == State::handshake) return shakeHands();
  if (events & EPOLLOUT) {
    flush();
    if (up() && !busy()) watcher_.drained(*this);
  }
  if (events & (EPOLLIN | EPOLLHUP | EPOLLERR)) receive();
}

void Connection::finishConnecting() {
  int error = 0;
  socklen_t size = sizeof error;
  ::getsockopt(socket_, SOL_SOCKET, SO_ERROR, &error, &size);
  if (error) return fail(std::strerror(error));
  tls_ = loop_.endpoint_.startTls(socket_);
  if (tls_) {
    state_ = State::handshake;
    shakeHands();
  } else {
    introduce();
  }
}

void Connection::shakeHands() {
  const int result = SSL_do_handshake(tls_.get());
  if (result == 1) return introduce();
  const int error = SSL_get_error(tls_.get(), result);
  if (error != SSL_ERROR_WANT_READ && error != SSL_ERROR_WANT_WRITE)
    return fail("the TLS handshake failed");
  awaitRoom(error == SSL_ERROR_WANT_WRITE);
}

void Connection::introduce() {
  state_ = State::connack;
  appendConnect(pending_, loop_.version_, introduction_.login);
  flush();
}

void Connection::receive() {
  while (!closed() && receiveOnce()) {
  }
  if (!closed() && !pending_.empty() && !waitsForRoom_) flush();
}

bool Connection::receiveOnce() {
  std::vector<char>& memory = loop_.memory_;
  const std::size_t kept = reader_.restore(memory);
  const ssize_t size = readSome(memory.data() + kept, memory.size() - kept);
  ++loop_.counts_.reads;
  if (size < 0 && errno == EAGAIN) return false;
  if (size <= 0) {
    fail(size ? std::strerror(errno) : "the broker closed the connection");
    return false;
  }
  loop_.arrival_ = now();
  const bool legal = reader_.read(
      {memory.data(), kept + static_cast<std::size_t>(size)}, loop_.version_,
      [this](const ReceivedPublish& publish) { return onPublish(publish); },
      [this](PacketType type, std::string_view body) { return onPacket(type, body); });
  if (!legal) fail("what the broker sends is not MQTT");
  return tls_ != nullptr;  // the library may hold more; a socket's event comes again
}

bool Connection::onPublish(const ReceivedPublish& publish) {
  if (publish.qos)
    appendAnswer(pending_, publish.qos == 1 ? PacketType::puback : PacketType::pubrec,
                 publish.packetId);
  watcher_.received(*this, publish);
  return !closed();
}

bool Connection::onPacket(PacketType type, std::string_view body) {
  const auto packetId = [&] {
    return body.size() < 2 ? std::uint16_t{0}
                           : static_cast<std::uint16_t>(static_cast<unsigned char>(body[0]) << 8 |
                                                        static_cast<unsigned char>(body[1]));
  };
  switch (type) {
    case PacketType::connack:
      onConnack(body);
      break;
    case PacketType::suback:
      onSuback(body);
      break;
    case PacketType::pubrec:
      appendAnswer(pending_, PacketType::pubrel, packetId());
      break;
    case PacketType::pubrel:
      appendAnswer(pending_, PacketType::pubcomp, packetId());
      break;
    case PacketType::puback:
    case PacketType::pubcomp:
    case PacketType::unsuback:
    case PacketType::pingresp:
      watcher_.answered(*this, type);
      break;
    case PacketType::disconnect:
      fail("the broker sent DISCONNECT");
      break;
    default:
      fail("the broker sent what only clients send");
      break;
  }
  return !closed();
}

void Connection::onConnack(std::string_view body) {
  const Connack connack = readConnack(body, loop_.version_);
  if (connack.code) return fail("refused by CONNACK with " + std::to_string(connack.code));
  receiveMaximum_ = connack.receiveMaximum;
  if (introduction_.filters.empty()) return becomeUp();
  state_ = State::suback;
  appendSubscribe(pending_, loop_.version_, 1, introduction_.filters, introduction_.qos);
}

void Connection::onSuback(std::string_view body) {
  const std::size_t codes = loop_.version_ == Version::v5 ? 3 : 2;  // MQTT 5: no properties
  for (std::size_t i = codes; i < body.size(); ++i)
    loop_.counts_.refused += static_cast<unsigned char>(body[i]) >= 0x80;
  if (state_ == State::suback) return becomeUp();
  watcher_.answered(*this, PacketType::suback);
}

void Connection::becomeUp() {
  state_ = State::up;
  ++loop_.counts_.up;
}

void Connection::fail(const std::string& why) {
  if (up()) {
    ++loop_.counts_.lost;
  } else {
    ++loop_.counts_.failed;
  }
  if (loop_.firstFailure_.empty()) loop_.firstFailure_ = introduction_.login.clientId + ": " + why;
  state_ = State::closed;
  close();
}

ssize_t Connection::readSome(char* into, std::size_t size) {
  if (!tls_) return ::recv(socket_, into, size, 0);
  const int result = SSL_read(tls_.get(), into, static_cast<int>(size));
  if (result > 0) return result;
  if (SSL_get_error(tls_.get(), result) != SSL_ERROR_WANT_READ) return 0;
  errno = EAGAIN;
  return -1;
}

ssize_t Connection::writeSome() {
  std::array<iovec, 2> pieces;
  std::size_t count = 0;
  const auto add = [&](std::string_view piece) {
    if (!piece.empty()) pieces[count++] = {const_cast<char*>(piece.data()), piece.size()};
  };
  if (!batchBegun_) add(std::string_view{pending_}.substr(pendingWritten_));
  add(batch_);
  if (tls_) {
    const int result =
        SSL_write(tls_.get(), pieces[0].iov_base, static_cast<int>(pieces[0].iov_len));
    if (result > 0) return result;
    // The library has begun to send this piece: the same one must come again.
    batchBegun_ = pieces[0].iov_base == batch_.data();
    errno = SSL_get_error(tls_.get(), result) == SSL_ERROR_WANT_WRITE ? EAGAIN : EPIPE;
    return -1;
  }
  msghdr message{};
  message.msg_iov = pieces.data();
  message.msg_iovlen = count;
  return ::sendmsg(socket_, &message, MSG_NOSIGNAL);
}

void Connection::wrote(std::size_t bytes) noexcept {
  if (!batchBegun_ && pendingWritten_ < pending_.size()) {
    const std::size_t small = std::min(bytes, pending_.size() - pendingWritten_);
    pendingWritten_ += small;
    bytes -= small;
    if (pendingWritten_ == pending_.size()) {
      pending_.clear();
      pendingWritten_ = 0;
    }
  }
  batch_.remove_prefix(bytes);
  batchBegun_ = (batchBegun_ || bytes > 0) && !batch_.empty();
}

void Connection::awaitRoom(bool wanted) {
  if (waitsForRoom_ == wanted) return;
  waitsForRoom_ = wanted;
  watchSocket();
}

void Connection::stopReading() {
  reads_ = false;
  watchSocket();
}

void Connection::watchSocket() {
  epoll_event event{};
  if (reads_) event.events |= EPOLLIN;
  if (waitsForRoom_) event.events |= EPOLLOUT;
  event.data.ptr = this;
  ::epoll_ctl(loop_.epoll_, EPOLL_CTL_MOD, socket_, &event);
}

}  // namespace mqttstack::load
