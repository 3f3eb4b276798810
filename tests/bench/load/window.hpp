#pragma once

#include <algorithm>
#include <cstdint>

namespace mqttstack::load {

/// How many messages a publisher may have under way. A message is under way until all subscribers
/// have got it and, if it is to be acknowledged, that has happened too.
class Window {
public:
  enum class Acknowledged : std::uint8_t { no, yes };

  /// `copies` is how many subscribers get each message; with none, only acknowledgements count.
  Window(std::uint64_t limit, std::uint64_t copies, Acknowledged acknowledged) noexcept
      : limit_{limit},
        copies_{copies},
        acknowledged_{acknowledged} {}

  /// How many may be sent now.
  std::uint64_t room() const noexcept {
    const std::uint64_t waiting = underWay();
    return waiting < limit_ ? limit_ - waiting : 0;
  }
  std::uint64_t sent() const noexcept { return sent_; }
  std::uint64_t copies() const noexcept { return copies_; }

  void send(std::uint64_t messages) noexcept { sent_ += messages; }
  /// So many copies have come, or will not come any more.
  void settle(std::uint64_t copies) noexcept {
    settled_ = std::min(settled_ + copies, sent_ * copies_);
  }
  void acknowledge() noexcept { acks_ = std::min(acks_ + 1, sent_); }
  /// Gives up waiting for everything that is under way: it was lost.
  void writeOff() noexcept {
    settled_ = sent_ * copies_;
    acks_ = sent_;
  }

private:
  std::uint64_t underWay() const noexcept {
    const std::uint64_t unreceived = copies_ ? sent_ - settled_ / copies_ : 0;
    const std::uint64_t unanswered = acknowledged_ == Acknowledged::yes ? sent_ - acks_ : 0;
    return std::max(unreceived, unanswered);
  }

  std::uint64_t limit_;
  std::uint64_t copies_;
  Acknowledged acknowledged_;
  std::uint64_t sent_ = 0;
  std::uint64_t settled_ = 0;  // in copies
  std::uint64_t acks_ = 0;
};

}  // namespace mqttstack::load
