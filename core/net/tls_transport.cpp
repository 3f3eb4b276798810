#include "core/net/tls_transport.hpp"

#include <algorithm>
#include <array>
#include <cerrno>
#include <cstring>
#include <utility>

#include <openssl/err.h>
#include <openssl/ssl.h>

#include "core/net/socket_bio.hpp"
#include "core/net/tls_context.hpp"
#include "core/net/tls_error.hpp"
#include "core/net/tls_info.hpp"

namespace mqttstack::net {
namespace {

constexpr std::size_t kRecordSize = 16 * 1024;
constexpr std::size_t kBulk = kRecordSize / 2;

enum class Wrote : std::uint8_t { all, wait, failed };

/// Offers bytes that make one record at most.
Wrote offer(SSL* ssl, const char* bytes, std::size_t size) {
  ERR_clear_error();
  if (SSL_write(ssl, bytes, static_cast<int>(size)) > 0) return Wrote::all;
  return SSL_get_error(ssl, -1) == SSL_ERROR_WANT_WRITE ? Wrote::wait : Wrote::failed;
}

std::error_code connectionError(SSL* ssl, int reason) {
  const int number = errno;
  if (reason == SSL_ERROR_SSL) return takeTlsError(ssl);
  const bool told = reason == SSL_ERROR_SYSCALL && number != 0 && number != EAGAIN;
  return {told ? number : ECONNRESET, std::system_category()};
}

/// Takes the bytes of several buffers one record at a time.
class Gatherer {
public:
  explicit Gatherer(std::span<const iovec> buffers) : buffers_{buffers} {}

  /// The next bytes, at most one record; empty at the end. They lie in the
  /// buffers themselves if one of them fills the record, else in `scratch`.
  std::span<const char> next(std::span<char, kRecordSize> scratch) {
    std::size_t size = 0;
    while (!buffers_.empty() && size < kRecordSize) {
      const iovec& buffer = buffers_.front();
      const char* from = static_cast<const char*>(buffer.iov_base) + offset_;
      const std::size_t part = std::min(buffer.iov_len - offset_, kRecordSize - size);
      if (part == kRecordSize) {
        skip(part);
        return {from, part};
      }
      if (part > 0) std::memcpy(scratch.data() + size, from, part);
      size += part;
      skip(part);
    }
    return scratch.first(size);
  }

private:
  void skip(std::size_t size) {
    offset_ += size;
    if (offset_ < buffers_.front().iov_len) return;
    offset_ = 0;
    buffers_ = buffers_.subspan(1);
  }

  std::span<const iovec> buffers_;
  std::size_t offset_ = 0;
};

/// Finishes the record begun, then says close_notify.
class TlsLastWords final : public LastWords {
public:
  TlsLastWords(SslPtr ssl, std::string unsent) : ssl_{std::move(ssl)}, unsent_{std::move(unsent)} {}

  bool speak() override {
    if (!unsent_.empty()) {
      const Wrote wrote = offer(ssl_.get(), unsent_.data(), unsent_.size());
      if (wrote != Wrote::all) return wrote == Wrote::failed;
      unsent_.clear();
    }
    ERR_clear_error();
    const int said = SSL_shutdown(ssl_.get());
    return said >= 0 || SSL_get_error(ssl_.get(), said) != SSL_ERROR_WANT_WRITE;
  }

private:
  SslPtr ssl_;
  std::string unsent_;
};

}  // namespace

void SslDeleter::operator()(SSL* connection) const noexcept { SSL_free(connection); }

TlsTransport::TlsTransport(Reactor& loop, Descriptor socket, PeerInfo peerInfo, TlsContext& context)
    : SocketTransport{loop, std::move(socket), std::move(peerInfo)},
      ssl_{SSL_new(context.native())} {
  BIO* bio = ssl_ ? newSocketBio(descriptor()) : nullptr;
  if (!bio) {
    ssl_.reset();
    return;
  }
  SSL_set_bio(ssl_.get(), bio, bio);
  SSL_set_accept_state(ssl_.get());
}

bool TlsTransport::prepare(std::uint32_t events) {
  if (ready_) {
    if (readNeedsWritable_ && (events & EPOLLOUT) != 0) {
      readNeedsWritable_ = false;
      callSoon();
    }
    return true;
  }
  if (!ssl_) {
    fail({ENOMEM, std::system_category()});
    return false;
  }
  // What isn't read now stays in the socket, and epoll reports it again.
  if (!reactor().takeCostlyStep()) return false;
  ERR_clear_error();
  const int done = SSL_do_handshake(ssl_.get());
  if (done == 1) {
    finishHandshake();
    return true;
  }
  const int reason = SSL_get_error(ssl_.get(), done);
  if (reason == SSL_ERROR_WANT_READ || reason == SSL_ERROR_WANT_WRITE)
    awaitWritable(reason == SSL_ERROR_WANT_WRITE);
  else
    failGently(connectionError(ssl_.get(), reason));
  return false;
}

void TlsTransport::finishHandshake() {
  ready_ = true;
  mutablePeer().setTls(readTlsInfo(ssl_.get()));
  awaitWritable(false);
  if (writeAwaited_) oweWritable();
  if (hasBufferedInput()) callSoon();
}

SocketTransport::ReadResult TlsTransport::read(std::span<char> buffer) {
  if (readFailure_) return {.input = Input::failed, .error = readFailure_};
  ReadResult result;
  while (result.size < buffer.size()) {
    ERR_clear_error();
    const int got = SSL_read(ssl_.get(), buffer.data() + result.size,
                             static_cast<int>(buffer.size() - result.size));
    if (got > 0) {
      result.size += static_cast<std::size_t>(got);
      // A little has most likely emptied the socket; asking again would cost a
      // system call. If not, epoll says so.
      if (SSL_has_pending(ssl_.get()) == 0 && result.size < kBulk) return result;
      continue;
    }
    switch (const int reason = SSL_get_error(ssl_.get(), got)) {
      case SSL_ERROR_WANT_READ:
        return result;
      case SSL_ERROR_WANT_WRITE:
        readNeedsWritable_ = true;
        awaitWritable(true);
        return result;
      case SSL_ERROR_ZERO_RETURN:
        result.input = Input::ended;
        return result;
      default:
        readFailure_ = connectionError(ssl_.get(), reason);
        result.input = Input::failed;
        result.error = readFailure_;
        return result;
    }
  }
  result.input = Input::buffered;
  return result;
}

bool TlsTransport::hasBufferedInput() const noexcept {
  return ssl_ && ready_ &&
         (SSL_has_pending(ssl_.get()) != 0 ||
          (SSL_get_shutdown(ssl_.get()) & SSL_RECEIVED_SHUTDOWN) != 0 || readFailure_);
}

Result<std::size_t> TlsTransport::write(std::span<const iovec> buffers) {
  if (!mayWrite()) return Unexpected{std::error_code{EPIPE, std::system_category()}};
  if (!ready_) {
    writeAwaited_ = true;
    return std::size_t{0};
  }
  if (!unsent_.empty()) {
    oweWritable();
    return std::size_t{0};
  }
  std::array<char, kRecordSize> scratch;
  std::size_t taken = 0;
  Gatherer gatherer{buffers};
  for (auto record = gatherer.next(scratch); !record.empty(); record = gatherer.next(scratch)) {
    switch (offer(ssl_.get(), record.data(), record.size())) {
      case Wrote::all:
        taken += record.size();
        break;
      case Wrote::wait: {
        // The library has begun to send the record and must be given the same
        // bytes again. They count as taken.
        unsent_.assign(record.data(), record.size());
        taken += record.size();
        if (gatherer.next(scratch).empty())
          awaitWritable(true);
        else
          oweWritable();
        return taken;
      }
      case Wrote::failed:
        setBroken();
        return Unexpected{std::error_code{EPIPE, std::system_category()}};
    }
  }
  return taken;
}

bool TlsTransport::continueWriting() {
  if (unsent_.empty()) return true;
  switch (offer(ssl_.get(), unsent_.data(), unsent_.size())) {
    case Wrote::all:
      std::string{}.swap(unsent_);
      return true;
    case Wrote::wait:
      return false;
    case Wrote::failed:
      break;
  }
  setBroken();
  return true;
}

std::unique_ptr<LastWords> TlsTransport::lastWords() {
  if (!ssl_ || !ready_ || readFailure_) return nullptr;
  return std::make_unique<TlsLastWords>(std::move(ssl_), std::move(unsent_));
}

}  // namespace mqttstack::net
