#include "middlewares/security/decisions.hpp"

#include <functional>

#include "core/util/metrics.hpp"

namespace mqttstack {

std::string decidedBy(const Verdict& verdict) {
  if (verdict.opinion == Opinion::none) return "nobody";
  std::string text{verdict.by};
  if (verdict.rule != 0) text += ':' + std::to_string(verdict.rule);
  return text;
}

DecisionCounter::DecisionCounter(Metrics& metrics, std::string_view name, std::string_view help)
    : metrics_{metrics},
      name_{name},
      help_{help},
      all_{metrics.counter(name, help)} {}

void DecisionCounter::add(const Verdict& verdict) {
  all_.add();
  byWhom(verdict).add();
}

Metric& DecisionCounter::byWhom(const Verdict& verdict) {
  const std::pair<std::string, std::uint32_t> key{verdict.by, verdict.rule};
  if (const auto found = apart_.find(key); found != apart_.end()) return *found->second;
  const std::string by = apart_.size() < kCountedApart ? decidedBy(verdict) : "others";
  Metric& metric = metrics_.counter(name_ + "{by=\"" + by + "\"}", help_);
  if (apart_.size() < kCountedApart) apart_.emplace(key, &metric);
  return metric;
}

}  // namespace mqttstack
