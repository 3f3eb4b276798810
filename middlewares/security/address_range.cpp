#include "middlewares/security/address_range.hpp"

#include <arpa/inet.h>
#include <charconv>

namespace mqttstack {

std::optional<AddressRange::Address> AddressRange::addressOf(std::string_view text) {
  Address address;
  if (text == "local") return address;
  const std::string terminated{text};
  address.family = Family::v4;
  if (::inet_pton(AF_INET, terminated.c_str(), address.bytes.data()) == 1) return address;
  address.family = Family::v6;
  if (::inet_pton(AF_INET6, terminated.c_str(), address.bytes.data()) == 1) return address;
  return std::nullopt;
}

/// The bits of a byte that belong to the prefix.
std::uint8_t AddressRange::maskOf(unsigned prefix, std::size_t byte) noexcept {
  const auto before = static_cast<unsigned>(byte) * 8;
  if (prefix <= before) return 0;
  if (prefix >= before + 8) return 0xFF;
  return static_cast<std::uint8_t>(0xFF00U >> (prefix - before));
}

std::optional<AddressRange> AddressRange::parse(std::string_view text) {
  const std::size_t slash = text.find('/');
  const auto address = addressOf(text.substr(0, slash));
  if (!address) return std::nullopt;
  AddressRange range;
  range.first_ = *address;
  range.prefix_ = address->bits();
  if (slash != std::string_view::npos) {
    const std::string_view length = text.substr(slash + 1);
    const auto [stop, error] =
        std::from_chars(length.data(), length.data() + length.size(), range.prefix_);
    if (error != std::errc{} || stop != length.data() + length.size() ||
        range.prefix_ > address->bits() || address->family == Family::local)
      return std::nullopt;
  }
  for (std::size_t i = 0; i < address->bytes.size(); ++i)
    if ((address->bytes[i] & ~maskOf(range.prefix_, i) & 0xFFU) != 0) return std::nullopt;
  return range;
}

bool AddressRange::contains(std::string_view address) const {
  const auto parsed = addressOf(address);
  if (!parsed || parsed->family != first_.family) return false;
  for (std::size_t i = 0; i < first_.bytes.size(); ++i)
    if (((parsed->bytes[i] ^ first_.bytes[i]) & maskOf(prefix_, i)) != 0) return false;
  return true;
}

std::string laneOf(std::string_view address) {
  constexpr std::size_t kNetworkBytes = 8;
  std::array<unsigned char, 16> bytes{};
  std::string lane{address};
  if (::inet_pton(AF_INET6, lane.c_str(), bytes.data()) == 1)
    lane.assign(bytes.begin(), bytes.begin() + kNetworkBytes);
  return lane;
}

}  // namespace mqttstack
