#include "middlewares/security/acl_cache.hpp"

#include <algorithm>

namespace mqttstack {
namespace {

std::uint64_t addressOf(const broker::Identity& who) noexcept {
  return reinterpret_cast<std::uintptr_t>(&who);
}

}  // namespace

AclCache::AclCache(const AclRules& rules)
    : rules_{rules},
      hash_{broker::randomSeed()},
      entries_(kEntries),
      known_(kIdentities) {}

AclRules::Decision AclCache::decide(const broker::Identity& who, AclAccess access,
                                    std::string_view subject) {
  const std::uint64_t whoHash = broker::foldedMultiply(addressOf(who), hash_.seed() | 1U);
  if (subject.size() > kLongest)
    return rules_.decide(sectionsFor(who, whoHash), who, access, subject);
  const std::uint64_t hash = hash_(subject) ^ (whoHash + static_cast<std::uint64_t>(access));
  Entry& entry = entries_[hash % kEntries];
  if (entry.hash == hash && entry.who.get() == &who && entry.access == access &&
      subject == std::string_view{entry.subject.data(), entry.size})
    return entry.decision;

  entry.decision = rules_.decide(sectionsFor(who, whoHash), who, access, subject);
  entry.who = broker::IdentityPtr{&who};
  entry.hash = hash;
  entry.access = access;
  entry.size = static_cast<std::uint8_t>(subject.size());
  std::copy(subject.begin(), subject.end(), entry.subject.begin());
  return entry.decision;
}

const AclRules::Sections& AclCache::sectionsFor(const broker::Identity& who, std::uint64_t hash) {
  Known& known = known_[hash % kIdentities];
  if (known.who.get() != &who) {
    known.sections = rules_.sectionsFor(who);
    known.who = broker::IdentityPtr{&who};
  }
  return known.sections;
}

}  // namespace mqttstack
