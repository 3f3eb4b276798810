#pragma once

#include <string_view>

#include "middlewares/backends/backend.hpp"

namespace mqttstack {

/// Keeps sessions, subscriptions, queued and retained messages in memory, and
/// finds the sessions that a message is for. What it keeps is gone when the
/// daemon stops.
class MemoryBackend final : public Backend {
public:
  static constexpr std::string_view kName = "memory_backend";
  static constexpr std::string_view kSummary =
      "Keeps sessions, subscriptions, queued and retained messages in memory.";
  using Options = BackendLimits;

  MemoryBackend(Setup& setup, const Options& options) : Backend{setup, options} {}
};

}  // namespace mqttstack
