#pragma once

#include <memory>
#include <optional>
#include <string>
#include <vector>

#include "app/config.hpp"
#include "app/config_report.hpp"
#include "app/pipelines.hpp"
#include "core/net/listener.hpp"
#include "core/stack/client.hpp"
#include "core/util/expected.hpp"

namespace mqttstack {

/// A listener as it will be opened: everything about it is checked but whether
/// the address can be had.
struct ListenerPlan {
  net::ListenerOptions socket;
  ListenerPolicy policy;
  net::ConnectionLimits limits;
  const Pipeline* pipeline;
  /// Clients without credentials get in for no other reason than that they are on
  /// this machine.
  bool anonymousOnLoopback = false;
  /// What `socket.tls` was made of, to make it anew when the files change.
  std::optional<net::TlsOptions> tls;
};

/// What a listener lets in: `pipeline "default", anonymous allowed, TLS`.
std::string describePolicy(const ListenerPlan& plan);

/// Reads the TLS files of a listener once more, while it runs. The error is a
/// sentence that names the file and a remedy. REQUIRES: it has TLS.
Expected<std::shared_ptr<net::TlsContext>, std::string> loadTlsAnew(const ListenerPlan& plan);

/// Works out the listeners of a configuration and reports what is wrong with
/// them: names, addresses, TLS files, and what would be open to the network
/// without anybody having said so. Reads the TLS files; has no other effect.
/// The pipelines must outlive the plans.
std::vector<std::unique_ptr<ListenerPlan>> planListeners(const Config& config,
                                                         const Pipelines& pipelines,
                                                         ConfigReport& report);

/// Whether only this machine can reach it.
bool isLoopback(const net::Endpoint& endpoint);

/// Whether both cannot be listened on at the same time.
bool overlap(const net::Endpoint& a, const net::Endpoint& b);

}  // namespace mqttstack
