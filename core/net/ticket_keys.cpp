#include "core/net/ticket_keys.hpp"

#include <algorithm>
#include <cstdlib>

#include <openssl/crypto.h>
#include <openssl/rand.h>

namespace mqttstack::net {
namespace {

void fill(TicketKeys::Key& key) {
  if (RAND_bytes(key.name.data(), static_cast<int>(key.name.size())) != 1 ||
      RAND_priv_bytes(key.cipher.data(), static_cast<int>(key.cipher.size())) != 1 ||
      RAND_priv_bytes(key.mac.data(), static_cast<int>(key.mac.size())) != 1)
    std::abort();
}

void wipe(TicketKeys::Key& key) { OPENSSL_cleanse(&key, sizeof key); }

}  // namespace

TicketKeys::TicketKeys(std::chrono::seconds period, TimePoint now) : period_{period}, madeAt_{now} {
  fill(current_);
}

TicketKeys::~TicketKeys() {
  wipe(current_);
  if (previous_) wipe(*previous_);
}

void TicketKeys::turn(TimePoint now) {
  const auto age = now - madeAt_;
  if (age < period_) return;
  if (previous_) wipe(*previous_);
  previous_.reset();
  if (age < 2 * period_) previous_ = current_;
  fill(current_);
  madeAt_ = now;
}

const TicketKeys::Key& TicketKeys::sealing(TimePoint now) {
  turn(now);
  return current_;
}

const TicketKeys::Key* TicketKeys::opening(std::span<const unsigned char, kNameSize> name,
                                           TimePoint now) {
  turn(now);
  const auto isCalled = [name](const Key& key) {
    return std::equal(name.begin(), name.end(), key.name.begin());
  };
  if (isCalled(current_)) return &current_;
  return previous_ && isCalled(*previous_) ? &*previous_ : nullptr;
}

}  // namespace mqttstack::net
