#include "core/net/socket_transport.hpp"

#include <algorithm>
#include <cassert>
#include <cerrno>
#include <sys/socket.h>
#include <sys/uio.h>
#include <utility>

namespace mqttstack::net {
namespace {

std::error_code fromErrno(int number) { return {number, std::system_category()}; }

constexpr std::size_t kMaxBuffers = 1024;  // the kernel's IOV_MAX

}  // namespace

SocketTransport::SocketTransport(Reactor& reactor, Descriptor socket, PeerInfo peer)
    : reactor_{reactor},
      token_{reactor.add(*this)},
      socket_{std::move(socket)},
      peer_{std::move(peer)} {}

SocketTransport::~SocketTransport() { reactor_.remove(token_); }

void SocketTransport::setHandler(TransportHandler& handler) {
  const bool first = handler_ == nullptr;
  handler_ = &handler;
  if (!first) return;
  events_ = EPOLLIN;
  watched_ = !reactor_.watch(token_, socket_.get(), events_);
  if (!watched_) reactor_.callSoon(token_);
}

Result<std::size_t> SocketTransport::write(std::span<const iovec> buffers) {
  if (!mayWrite()) return Unexpected{fromErrno(EPIPE)};
  std::size_t taken = 0;
  for (; !buffers.empty(); buffers = buffers.subspan(std::min(buffers.size(), kMaxBuffers))) {
    const auto part = buffers.first(std::min(buffers.size(), kMaxBuffers));
    std::size_t size = 0;
    for (const iovec& buffer : part) size += buffer.iov_len;
    if (size == 0) continue;
    msghdr message{};
    message.msg_iov = const_cast<iovec*>(part.data());
    message.msg_iovlen = part.size();
    const ssize_t sent = ::sendmsg(socket_.get(), &message, MSG_NOSIGNAL | MSG_DONTWAIT);
    if (sent < 0 && errno != EAGAIN && errno != EINTR && errno != ENOBUFS) {
      setBroken();
      return Unexpected{fromErrno(errno)};
    }
    if (sent > 0) taken += static_cast<std::size_t>(sent);
    if (sent < 0 || static_cast<std::size_t>(sent) < size) {
      oweWritable();
      break;
    }
  }
  return taken;
}

void SocketTransport::pauseReading() { paused_ = true; }

void SocketTransport::resumeReading() {
  if (!paused_) return;
  paused_ = false;
  if (closing_ || !handler_) return;
  if (hungUp_ || broken_ || hasBufferedInput()) reactor_.callSoon(token_);
  if (!ended_) waitFor(events_ | EPOLLIN);
}

void SocketTransport::close(CloseMode mode) {
  if (closing_) return;
  closing_ = true;
  if (mode == CloseMode::graceful && !broken_ && !hungUp_) {
    std::unique_ptr<LastWords> words = lastWords();
    if (words || !ended_) reactor_.farewells().add(std::move(socket_), std::move(words));
    socket_.reset();
  } else {
    const linger now{.l_onoff = 1, .l_linger = 0};
    if (mode == CloseMode::abortive)
      ::setsockopt(socket_.get(), SOL_SOCKET, SO_LINGER, &now, sizeof now);
    socket_.reset();
  }
  watched_ = false;
  reactor_.callSoon(token_);
}

void SocketTransport::onEvents(std::uint32_t events) {
  if (closing_) return;
  if ((events & (EPOLLHUP | EPOLLERR)) != 0 && handleHangup()) return;
  if (!prepare(events)) return;
  const bool dead = (events & (EPOLLHUP | EPOLLERR)) != 0;
  if ((events & EPOLLOUT) != 0 && !dead && (broken_ || continueWriting())) {
    if (owesWritable_ && !broken_) {
      owesWritable_ = false;
      Reactor& reactor = reactor_;
      const Reactor::Token token = token_;
      handler_->onWritable();
      if (!reactor.knows(token) || closing_) return;
    } else {
      waitFor(events_ & ~std::uint32_t{EPOLLOUT});
    }
  }
  if ((events & EPOLLIN) == 0 && !dead) return;
  if (paused_ || ended_)
    waitFor(events_ & ~std::uint32_t{EPOLLIN});
  else
    receive();
}

// epoll reports a hang-up for ever. Returns whether there is nothing to read now.
bool SocketTransport::handleHangup() {
  if (ended_) {
    fail(socketError());
    return true;
  }
  if (!paused_ || readsWhilePaused()) return false;
  // What has arrived waits in the kernel until the handler wants it.
  hungUp_ = true;
  watched_ = false;
  reactor_.unwatch(socket_.get());
  return true;
}

void SocketTransport::onSoon() {
  if (closing_) {
    reactor_.remove(token_);
    handler_->onClosed({});
    return;
  }
  if (!watched_ && !hungUp_) {
    // setHandler() could not put the socket on epoll.
    fail(fromErrno(ENOSPC));
    return;
  }
  if (paused_) return;
  if (ended_) {
    if (hungUp_) fail(socketError());
    return;
  }
  if (prepare(0)) receive();
}

void SocketTransport::receive() {
  const std::span<char> buffer = reactor_.readBuffer();
  const ReadResult got = read(buffer);
  if (got.size > 0) {
    reactor_.countRead(got.size);
    // The handler may destroy this, so whatever is left to do is asked for first.
    if (got.input != Input::more || hungUp_ || broken_) reactor_.callSoon(token_);
    handler_->onData(std::string_view{buffer.data(), got.size});
    return;
  }
  switch (got.input) {
    case Input::failed:
      fail(got.error);
      return;
    case Input::ended:
      if (broken_) {
        fail(fromErrno(ECONNRESET));
        return;
      }
      ended_ = true;
      if (hungUp_) reactor_.callSoon(token_);
      handler_->onEnd();
      return;
    case Input::buffered:
      reactor_.callSoon(token_);
      return;
    case Input::more:
      if (broken_) fail(fromErrno(ECONNRESET));
      return;
  }
}

SocketTransport::ReadResult SocketTransport::read(std::span<char> buffer) {
  const ssize_t got = ::recv(socket_.get(), buffer.data(), buffer.size(), MSG_DONTWAIT);
  if (got > 0) return {.size = static_cast<std::size_t>(got)};
  if (got == 0) return {.input = Input::ended};
  if (errno == EAGAIN || errno == EINTR) return {};
  return {.input = Input::failed, .error = fromErrno(errno)};
}

bool SocketTransport::prepare(std::uint32_t) { return true; }
bool SocketTransport::continueWriting() { return true; }
std::unique_ptr<LastWords> SocketTransport::lastWords() { return nullptr; }
bool SocketTransport::readsWhilePaused() const noexcept { return false; }
bool SocketTransport::hasBufferedInput() const noexcept { return false; }

void SocketTransport::awaitWritable(bool wanted) {
  waitFor(wanted ? events_ | EPOLLOUT : events_ & ~std::uint32_t{EPOLLOUT});
}

void SocketTransport::setBroken() {
  broken_ = true;
  reactor_.callSoon(token_);
}

void SocketTransport::oweWritable() {
  owesWritable_ = true;
  awaitWritable(true);
}

void SocketTransport::waitFor(std::uint32_t events) {
  if (events == events_) return;
  events_ = events;
  if (watched_) reactor_.rewatch(token_, socket_.get(), events);
}

std::error_code SocketTransport::socketError() const noexcept {
  int error = 0;
  socklen_t size = sizeof error;
  ::getsockopt(socket_.get(), SOL_SOCKET, SO_ERROR, &error, &size);
  return fromErrno(error != 0 ? error : ECONNRESET);
}

void SocketTransport::fail(std::error_code why) {
  closing_ = true;
  reactor_.remove(token_);
  socket_.reset();
  handler_->onClosed(why);
}

void SocketTransport::failGently(std::error_code why) {
  closing_ = true;
  reactor_.remove(token_);
  reactor_.farewells().add(std::move(socket_), nullptr);
  handler_->onClosed(why);
}

}  // namespace mqttstack::net
