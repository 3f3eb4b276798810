#include <algorithm>
#include <chrono>
#include <cstdio>
#include <string>

#include "middlewares/security/acl_rules.hpp"

/// Prints what a decision of an access control file takes, in nanoseconds: the
/// best of several runs, since the others were disturbed.
namespace {

using namespace mqttstack;

template <class Body>
void measure(const char* name, Body body) {
  constexpr int kRuns = 15;
  constexpr int kCalls = 200'000;
  double best = 1e9;
  for (int run = 0; run < kRuns; ++run) {
    const auto start = std::chrono::steady_clock::now();
    for (int call = 0; call < kCalls; ++call) {
      auto result = body();
      asm volatile("" : "+m"(result) : : "memory");
    }
    const std::chrono::duration<double, std::nano> taken = std::chrono::steady_clock::now() - start;
    best = std::min(best, taken.count() / kCalls);
  }
  std::printf("%-60s %8.1f ns\n", name, best);
}

AclRules compile(const std::string& text) {
  return AclRules::compile(text, [](std::size_t line, const std::string& problem, auto&&) {
    std::printf("line %zu: %s\n", line, problem.c_str());
  });
}

std::string rules(const char* format) {
  std::string text = "user alice\n";
  for (int i = 0; i < 100; ++i) {
    char line[128];
    std::snprintf(line, sizeof line, format, i);
    text += line;
  }
  return text;
}

}  // namespace

int main() {
  broker::IdentityFields fields;
  fields.principal = "alice";
  fields.clientId = "sensor-17";
  const broker::Identity alice{fields};

  const AclRules apart = compile(rules("topic read area%02d/+/temperature\n"));
  measure("100 rules, different heads, the first matches",
          [&] { return apart.mayRead(alice, "area00/kitchen/temperature"); });
  measure("100 rules, different heads, the last matches",
          [&] { return apart.mayRead(alice, "area99/kitchen/temperature"); });
  measure("100 rules, different heads, none matches",
          [&] { return apart.mayRead(alice, "elsewhere/kitchen/temperature"); });

  const AclRules alike = compile(rules("topic read building/%02d/+/temperature\n"));
  measure("100 rules, the same head, the last matches",
          [&] { return alike.mayRead(alice, "building/99/kitchen/temperature"); });
  measure("100 rules, the same head, a subscription, the last covers it",
          [&] { return alike.maySubscribe(alice, "building/99/+/temperature"); });

  const AclRules patterns = compile("pattern read devices/%c/#\npattern write devices/%c/state\n");
  measure("2 patterns with %c, the first matches",
          [&] { return patterns.mayRead(alice, "devices/sensor-17/command"); });
}
