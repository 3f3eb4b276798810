#include "core/net/admission.hpp"

#include <algorithm>

namespace mqttstack::net {

std::string_view toString(Refusal refusal) noexcept {
  switch (refusal) {
    case Refusal::total:
      return "max_connections of [limits]";
    case Refusal::listener:
      return "max_connections";
    case Refusal::address:
      return "max_connections_per_address";
    case Refusal::rate:
      return "connection_rate_per_address";
  }
  return "";
}

Admission::~Admission() {
  if (place_) place_->value.owner->leave(*place_);
}

Admissions::Admissions(const ConnectionLimits& limits, ConnectionBudget& budget)
    : limits_{limits},
      budget_{budget} {}

Expected<Admission, Refusal> Admissions::admit(const PeerAddress& address, TimePoint now) {
  const auto reached = [](std::size_t open, std::size_t maximum) {
    return maximum != 0 && open >= maximum;
  };
  const bool counts = (limits_.perAddress != 0 || limits_.perAddressAndSecond != 0) &&
                      (limits_.loopback || !address.isLoopback());
  AddressTable::Entry* entry = &uncounted_;
  if (counts) {
    // Whoever is refused has used up a token all the same.
    entry = &addresses_.use(NetworkKey::of(address),
                            {this, static_cast<double>(limits_.perAddressAndSecond), now});
    if (!takeToken(entry->value, now)) return Unexpected{Refusal::rate};
    if (reached(entry->holders, limits_.perAddress)) return Unexpected{Refusal::address};
  }
  if (reached(open_, limits_.connections)) return Unexpected{Refusal::listener};
  if (reached(budget_.open, budget_.maximum)) return Unexpected{Refusal::total};
  if (entry != &uncounted_) addresses_.hold(*entry);
  ++open_;
  ++budget_.open;
  return Admission{*entry};
}

bool Admissions::takeToken(AddressRecord& address, TimePoint now) const noexcept {
  if (limits_.perAddressAndSecond == 0) return true;
  const double perSecond = limits_.perAddressAndSecond;
  const std::chrono::duration<double> passed = now - address.filledAt;
  address.tokens = std::min(perSecond, address.tokens + passed.count() * perSecond);
  address.filledAt = now;
  if (address.tokens < 1) return false;
  address.tokens -= 1;
  return true;
}

void Admissions::leave(AddressTable::Entry& place) noexcept {
  --open_;
  --budget_.open;
  if (&place != &uncounted_) addresses_.release(place);
}

}  // namespace mqttstack::net
