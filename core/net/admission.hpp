#pragma once

#include <chrono>
#include <cstddef>
#include <cstdint>
#include <string_view>
#include <utility>

#include "core/net/network_key.hpp"
#include "core/util/bounded_table.hpp"
#include "core/util/expected.hpp"

namespace mqttstack::net {

/// How many connections a listener takes. 0 is "any number".
struct ConnectionLimits {
  std::size_t connections = 0;            ///< at once
  std::uint32_t perAddress = 0;           ///< at once from one address
  std::uint32_t perAddressAndSecond = 0;  ///< new ones from one address; as many may come at once
  /// Whether the limits per address hold for this machine's own addresses too.
  bool loopback = false;
};

/// Which limit a connection would have broken.
enum class Refusal : std::uint8_t { total, listener, address, rate };

/// Names it as an operator knows it: the option that says it.
std::string_view toString(Refusal refusal) noexcept;

/// How many connections all listeners together may take, and have.
struct ConnectionBudget {
  std::size_t maximum = 0;  ///< 0: any number
  std::size_t open = 0;
};

class Admissions;

/// What is known of an address: how many connections it has is how often its entry
/// is held.
struct AddressRecord {
  Admissions* owner = nullptr;
  double tokens = 0;  ///< how many may come at once
  std::chrono::steady_clock::time_point filledAt{};
};
using AddressTable = BoundedTable<NetworkKey, AddressRecord, NetworkKeyHash>;

/// The place that a connection takes up while this lives. One pointer, since every
/// connection has one.
class Admission {
public:
  Admission() = default;
  Admission(Admission&& other) noexcept : place_{std::exchange(other.place_, nullptr)} {}
  Admission& operator=(Admission&& other) noexcept {
    std::swap(place_, other.place_);
    return *this;
  }
  ~Admission();

private:
  friend class Admissions;
  explicit Admission(AddressTable::Entry& place) noexcept : place_{&place} {}

  AddressTable::Entry* place_ = nullptr;
};

/// Decides at one listener's door who comes in, as cheaply as can be: before there
/// is anything but a descriptor. Outlives the connections that it let in.
class Admissions {
public:
  using TimePoint = std::chrono::steady_clock::time_point;

  Admissions(const ConnectionLimits& limits, ConnectionBudget& budget);
  Admissions(const Admissions&) = delete;
  Admissions& operator=(const Admissions&) = delete;

  Expected<Admission, Refusal> admit(const PeerAddress& address, TimePoint now);

  std::size_t open() const noexcept { return open_; }

private:
  friend class Admission;
  /// Addresses without a connection that are remembered for their rate.
  static constexpr std::size_t kRemembered = 10'000;

  bool takeToken(AddressRecord& address, TimePoint now) const noexcept;
  void leave(AddressTable::Entry& place) noexcept;

  ConnectionLimits limits_;
  ConnectionBudget& budget_;
  AddressTable addresses_{kRemembered};
  AddressTable::Entry uncounted_{{}, {this}, 0};  // where addresses don't count
  std::size_t open_ = 0;
};

}  // namespace mqttstack::net
