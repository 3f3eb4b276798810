#pragma once

#include <array>
#include <chrono>
#include <optional>
#include <span>

namespace mqttstack::net {

/// The keys that session tickets are sealed with. They live in memory only, and
/// a new one takes over every period; the one before it is good for opening
/// tickets for one period more. So what was sealed is no longer worth stealing
/// keys for after two of them.
///
/// Time is passed in. A turn is made by whoever comes first after it is due.
class TicketKeys {
public:
  using TimePoint = std::chrono::steady_clock::time_point;
  static constexpr std::size_t kNameSize = 16;

  struct Key {
    std::array<unsigned char, kNameSize> name;  ///< stands in the ticket, in the clear
    std::array<unsigned char, 32> cipher;
    std::array<unsigned char, 32> mac;
  };

  TicketKeys(std::chrono::seconds period, TimePoint now);
  TicketKeys(const TicketKeys&) = delete;
  TicketKeys& operator=(const TicketKeys&) = delete;
  /// Wipes them.
  ~TicketKeys();

  /// The key for a new ticket.
  const Key& sealing(TimePoint now);

  /// The key of a ticket that a peer shows; null if it is gone, or was never ours.
  const Key* opening(std::span<const unsigned char, kNameSize> name, TimePoint now);

private:
  void turn(TimePoint now);

  std::chrono::seconds period_;
  TimePoint madeAt_;
  Key current_;
  std::optional<Key> previous_;
};

}  // namespace mqttstack::net
