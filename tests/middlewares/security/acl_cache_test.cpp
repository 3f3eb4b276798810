#include "middlewares/security/acl_cache.hpp"

#include <random>
#include <string>
#include <vector>

#include <catch2/catch.hpp>

using namespace mqttstack;

namespace {

broker::IdentityPtr identity(std::string principal, std::string clientId) {
  broker::IdentityFields fields;
  fields.principal = std::move(principal);
  fields.clientId = std::move(clientId);
  return broker::makeIdentity(std::move(fields));
}

AclRules compile(std::string_view text) {
  return AclRules::compile(text, [](std::size_t line, const std::string& problem, auto&&) {
    FAIL(line << ": " << problem);
  });
}

}  // namespace

TEST_CASE("the cache says what the rules say, whoever asks what in which order", "[acl_cache]") {
  const auto rules = compile(
      "user u1\ntopic t/#\ntopic deny receive t/2\nuser u2\ntopic read +/3\n"
      "pattern write c/%c\npattern read %u/#\n");
  AclCache cache{rules};
  std::mt19937 random{4711};
  const auto pick = [&random](int count) {
    return static_cast<int>(random() % static_cast<unsigned>(count));
  };
  std::vector<broker::IdentityPtr> who(50);
  for (int i = 0; i < 50'000; ++i) {
    auto& one = who[static_cast<std::size_t>(pick(50))];
    // Identities come and go, and their memory is used again.
    if (!one || pick(10) == 0)
      one = identity("u" + std::to_string(pick(4)), "c" + std::to_string(pick(4)));
    const char* const firsts[] = {"t", "c", "u1", "u2", "u3"};
    std::string topic = std::string{firsts[pick(5)]} + "/" + std::to_string(pick(5));
    if (pick(3) == 0) topic = "c/c" + std::to_string(pick(4));
    if (pick(20) == 0) topic += std::string(200, 'x');
    const AclAccess access[] = {AclAccess::publish, AclAccess::subscribe, AclAccess::receive};
    const AclAccess what = access[pick(3)];
    const auto cached = cache.decide(*one, what, topic);
    const auto fresh = rules.decide(*one, what, topic);
    REQUIRE(cached.outcome == fresh.outcome);
    REQUIRE(cached.line == fresh.line);
  }
}

TEST_CASE("an identity that is gone leaves no decision to who comes to its place", "[acl_cache]") {
  const auto rules = compile("user alice\ntopic a\n");
  AclCache cache{rules};
  auto alice = identity("alice", "c");
  CHECK(cache.decide(*alice, AclAccess::publish, "a").outcome == AclRules::Outcome::allowed);
  alice = nullptr;
  for (int i = 0; i < 1000; ++i) {
    const auto mallory = identity("mallory", "c");
    REQUIRE(cache.decide(*mallory, AclAccess::publish, "a").outcome ==
            AclRules::Outcome::unmatched);
  }
}
