#pragma once

#include <array>
#include <cstddef>
#include <cstdint>
#include <string_view>
#include <vector>

#include "core/broker/identity.hpp"
#include "core/broker/text_hash.hpp"
#include "middlewares/security/acl_rules.hpp"

namespace mqttstack {

/// Remembers what rules have decided. It is never stale: an identity cannot
/// change, nor can the rules, and an entry keeps its identity alive, so that no
/// other can come to have the same address. New rules want a new cache, or
/// clear().
///
/// Bounded: a decision takes the place of another one whose turn it is to have
/// bad luck.
class AclCache {
public:
  explicit AclCache(const AclRules& rules);

  /// As AclRules::decide(). REQUIRES: `who` is counted, as makeIdentity() makes it.
  AclRules::Decision decide(const broker::Identity& who, AclAccess access,
                            std::string_view subject);

private:
  // 128 bytes an entry: two cache lines.
  static constexpr std::size_t kEntries = 8192;
  static constexpr std::size_t kLongest = 100;
  static constexpr std::size_t kIdentities = 1024;

  struct Entry {
    broker::IdentityPtr who;
    std::uint64_t hash = 0;
    AclRules::Decision decision{};
    AclAccess access{};
    std::uint8_t size = 0;
    std::array<char, kLongest> subject;
  };
  struct Known {
    broker::IdentityPtr who;
    AclRules::Sections sections;
  };

  const AclRules::Sections& sectionsFor(const broker::Identity& who, std::uint64_t hash);

  const AclRules& rules_;
  broker::TextHash hash_;
  std::vector<Entry> entries_;
  std::vector<Known> known_;
};

}  // namespace mqttstack
