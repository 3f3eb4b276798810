#pragma once

#include <cstdint>
#include <functional>
#include <map>
#include <string>
#include <string_view>

namespace mqttstack {

/// Something that is counted, or a level that goes up and down. Plain integers:
/// they belong to the loop's thread.
struct Metric {
  std::string help;
  std::int64_t value = 0;

  void add(std::int64_t amount = 1) noexcept { value += amount; }
};

/// All counters of the daemon by name. Who counts asks for its counters once,
/// when it is made, and keeps the references.
class Metrics {
public:
  Metrics() = default;
  Metrics(const Metrics&) = delete;
  Metrics& operator=(const Metrics&) = delete;

  /// The counter of that name, made if there is none. The reference stays valid.
  Metric& counter(std::string_view name, std::string_view help) {
    const auto found = metrics_.find(name);
    if (found != metrics_.end()) return found->second;
    return metrics_.emplace(std::string{name}, Metric{std::string{help}, 0}).first->second;
  }

  const std::map<std::string, Metric, std::less<>>& all() const noexcept { return metrics_; }
  /// The value of a counter; 0 if nobody made it.
  std::int64_t value(std::string_view name) const {
    const auto found = metrics_.find(name);
    return found == metrics_.end() ? 0 : found->second.value;
  }

private:
  std::map<std::string, Metric, std::less<>> metrics_;
};

}  // namespace mqttstack
