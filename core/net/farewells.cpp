#include "core/net/farewells.hpp"

#include <cerrno>
#include <sys/socket.h>
#include <utility>

namespace mqttstack::net {

class Farewells::Farewell final : public EventTarget {
public:
  using Clock = std::chrono::steady_clock;

  Farewell(Farewells& all, Descriptor socket, std::unique_ptr<LastWords> words)
      : all_{all},
        socket_{std::move(socket)},
        words_{std::move(words)},
        deadline_{Clock::now() + all.limits_.time},
        token_{all.reactor_.add(*this)} {}
  ~Farewell() { all_.reactor_.remove(token_); }
  Farewell(const Farewell&) = delete;
  Farewell& operator=(const Farewell&) = delete;

  /// Does what can be done now; returns whether all is over.
  bool proceed() {
    if (!shutDown_ && (!words_ || words_->speak())) {
      words_.reset();
      shutDown_ = true;
      if (::shutdown(socket_.get(), SHUT_WR) != 0) return true;
      if (watched_) all_.reactor_.rewatch(token_, socket_.get(), EPOLLIN);
    }
    // Before its last words are out a TLS connection may still need its input.
    if (!shutDown_) return false;
    if (heldUp_ || discard()) return true;
    if (discarded_ > all_.limits_.bytes) holdUp();
    return false;
  }

  /// Waits for the peer; returns false if that isn't possible.
  bool watch() {
    const std::uint32_t events = heldUp_ ? EPOLLRDHUP : shutDown_ ? EPOLLIN : EPOLLOUT;
    watched_ = !all_.reactor_.watch(token_, socket_.get(), events);
    return watched_;
  }

  void onEvents(std::uint32_t) override {
    if (proceed()) all_.remove(self);
  }
  void onSoon() override {}

  Clock::time_point deadline() const noexcept { return deadline_; }

  std::list<Farewell>::iterator self;

private:
  /// Returns whether the peer has hung up, too.
  bool discard() {
    // Not the shared buffer: whoever calls close() may be looking at it.
    char sink[4096];
    const ssize_t got = ::recv(socket_.get(), sink, sizeof sink, MSG_DONTWAIT);
    if (got < 0) return errno != EAGAIN && errno != EINTR;
    discarded_ += static_cast<std::size_t>(got);
    return got == 0;
  }

  /// Who sends and sends is not read any more. Closing now would be a reset, which
  /// may overtake what we said; so the peer stands still until it hangs up, or its
  /// time is over.
  void holdUp() {
    heldUp_ = true;
    if (watched_) all_.reactor_.rewatch(token_, socket_.get(), EPOLLRDHUP);
  }

  Farewells& all_;
  Descriptor socket_;
  std::unique_ptr<LastWords> words_;
  Clock::time_point deadline_;
  std::size_t discarded_ = 0;
  Reactor::Token token_;
  bool shutDown_ = false;
  bool heldUp_ = false;
  bool watched_ = false;
};

Farewells::Farewells(Reactor& reactor) : reactor_{reactor}, timer_{reactor.io()} {}

Farewells::~Farewells() = default;

void Farewells::add(Descriptor socket, std::unique_ptr<LastWords> words) {
  reactor_.unwatch(socket.get());
  const auto added = all_.emplace(all_.end(), *this, std::move(socket), std::move(words));
  added->self = added;
  if (added->proceed() || !added->watch()) {
    all_.erase(added);
    return;
  }
  if (all_.size() > limits_.connections) all_.pop_front();
  if (all_.size() == 1) armTimer();
}

void Farewells::remove(std::list<Farewell>::iterator farewell) {
  all_.erase(farewell);
  if (all_.empty()) timer_.cancel();
}

void Farewells::armTimer() {
  timer_.expires_at(all_.front().deadline());
  timer_.async_wait([this, alive = std::weak_ptr{alive_}](std::error_code error) {
    if (error || alive.expired()) return;
    const auto now = std::chrono::steady_clock::now();
    while (!all_.empty() && all_.front().deadline() <= now) all_.pop_front();
    if (!all_.empty()) armTimer();
  });
}

}  // namespace mqttstack::net
