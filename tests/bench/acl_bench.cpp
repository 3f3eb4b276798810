#include <cstdio>
#include <string>
#include <vector>

#include "middlewares/security/acl_cache.hpp"
#include "middlewares/security/acl_rules.hpp"
#include "tests/bench/measure.hpp"

/// Prints what a decision of an access control file takes. A decision is new, or
/// it is remembered.
namespace {

using namespace mqttstack;

AclRules compile(const std::string& text) {
  return AclRules::compile(text, [](std::size_t line, const std::string& problem, auto&&) {
    std::printf("line %zu: %s\n", line, problem.c_str());
  });
}

/// A thousand rules by a format with one number in it.
std::string rules(const char* format, const char* head = "user alice\n") {
  std::string text = head;
  for (int i = 0; i < 1000; ++i) {
    char line[128];
    std::snprintf(line, sizeof line, format, i);
    text += line;
  }
  return text;
}

/// The topics that such rules are about, and some that none is about.
std::vector<std::string> topics(const char* format) {
  std::vector<std::string> all;
  for (int i = 0; i < 64; ++i) {
    char topic[128];
    std::snprintf(topic, sizeof topic, format, i * 17);
    all.emplace_back(topic);
  }
  return all;
}

broker::IdentityPtr alice() {
  broker::IdentityFields fields;
  fields.principal = "alice";
  fields.clientId = "sensor-17";
  fields.address = "192.0.2.1";
  fields.listener = "lan";
  return broker::makeIdentity(std::move(fields));
}

/// New decisions about many topics, then the same ones remembered.
void compare(const char* what, const std::string& text, const char* format, AclAccess access) {
  const AclRules compiled = compile(text);
  const broker::IdentityPtr who = alice();
  const auto sections = compiled.sectionsFor(*who);
  const auto asked = topics(format);
  const auto topic = [&](std::size_t call) -> const std::string& {
    return asked[call % asked.size()];
  };
  std::printf("%s\n", what);
  bench::measure("  new", [&](std::size_t call) {
    auto decision = compiled.decide(sections, *who, access, topic(call));
    bench::keep(decision);
  });
  AclCache cache{compiled};
  bench::measure("  remembered", [&](std::size_t call) {
    auto decision = cache.decide(*who, access, topic(call));
    bench::keep(decision);
  });
}

}  // namespace

int main() {
  const std::string apart = rules("topic read area%03d/+/temperature\n");
  compare("1,000 rules of one user, different heads", apart, "area%03d/kitchen/temperature",
          AclAccess::receive);
  compare("the same, none matches", apart, "elsewhere/%d/temperature", AclAccess::receive);
  compare("1,000 rules of one user, the same head",
          rules("topic read building/%03d/+/temperature\n"), "building/%03d/kitchen/temperature",
          AclAccess::receive);
  compare("1,000 rules that start with a wildcard", rules("topic read +/%d/#\n"), "room/%d/light",
          AclAccess::publish);
  compare("1,000 rules of one user, a subscription is covered",
          rules("topic read building/%03d/#\n"), "building/%03d/+/temperature",
          AclAccess::subscribe);
  compare("1,000 users with a rule each, and a pattern",
          rules("user u%d\ntopic #\n", "pattern write devices/%c/state\nuser alice\ntopic a/#\n"),
          "devices/sensor-17/%d", AclAccess::publish);
  compare("2 patterns with %c", "pattern read devices/%c/#\npattern write devices/%c/state\n",
          "devices/sensor-17/%d", AclAccess::receive);
  return 0;
}
