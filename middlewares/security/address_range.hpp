#pragma once

#include <array>
#include <cstdint>
#include <optional>
#include <string>
#include <string_view>

namespace mqttstack {

/// A block of network addresses: "10.0.0.0/8", "2001:db8::/32", one address, or
/// "local" for Unix sockets.
class AddressRange {
public:
  /// Nothing if the text is none of these, or has bits behind the prefix.
  static std::optional<AddressRange> parse(std::string_view text);

  /// Whether an address, as text like Identity::address() has it, is in it.
  bool contains(std::string_view address) const;

private:
  enum class Family : std::uint8_t { local, v4, v6 };
  struct Address {
    Family family = Family::local;
    std::array<std::uint8_t, 16> bytes{};
    unsigned bits() const noexcept { return family == Family::v4 ? 32 : 128; }
  };
  static std::optional<Address> addressOf(std::string_view text);
  static std::uint8_t maskOf(unsigned prefix, std::size_t byte) noexcept;

  Address first_;
  unsigned prefix_ = 0;
};

/// Whom a queue that is fair takes for one: an address of IPv4 as it is, and of IPv6
/// the /64 network, within which somebody has as many addresses as he likes.
std::string laneOf(std::string_view address);

}  // namespace mqttstack
