#pragma once

#include <cstddef>
#include <cstdint>
#include <map>
#include <string>
#include <string_view>
#include <utility>

#include "core/stack/callbacks.hpp"

namespace mqttstack {

class Metrics;
struct Metric;

/// Who decided, and by which of its rules, for logs: "acl_file:14", "password_file";
/// "nobody" if there is no opinion.
std::string decidedBy(const Verdict& verdict);

/// Counts decisions, all of them together and each kind by who made it and by
/// which rule: `auth_refused`, `auth_refused{by="password_file"}`,
/// `authorization_denied{by="acl_file:14"}`. Used by those who ask, since those who
/// answer must have no side effects.
class DecisionCounter {
public:
  DecisionCounter(Metrics& metrics, std::string_view name, std::string_view help);

  void add(const Verdict& verdict);

private:
  /// More rules than this are counted together, so that a file of many rules does
  /// not make as many counters.
  static constexpr std::size_t kCountedApart = 1000;

  Metric& byWhom(const Verdict& verdict);

  Metrics& metrics_;
  std::string name_;
  std::string help_;
  Metric& all_;
  std::map<std::pair<std::string, std::uint32_t>, Metric*, std::less<>> apart_;
};

}  // namespace mqttstack
