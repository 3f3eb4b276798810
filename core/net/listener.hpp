#pragma once

#include <array>
#include <chrono>
#include <cstdint>
#include <functional>
#include <memory>
#include <string>
#include <string_view>
#include <system_error>
#include <vector>

#include <asio/steady_timer.hpp>

#include "core/net/admission.hpp"
#include "core/net/descriptor.hpp"
#include "core/net/endpoint.hpp"
#include "core/net/reactor.hpp"
#include "core/net/transport.hpp"
#include "core/util/expected.hpp"

namespace mqttstack::net {

class TlsContext;

struct ListenerOptions {
  std::string name;  ///< as in the configuration; peers carry it
  Endpoint endpoint;
  std::shared_ptr<TlsContext> tls;  ///< null: plain

  /// TCP probes an idle peer after this long, every third of it. Connections
  /// without MQTT keep alive depend on it.
  std::chrono::seconds tcpKeepAlive{60};
  /// A peer that takes nothing of what was sent for so long is cut off by the
  /// kernel. 0: never.
  std::chrono::milliseconds tcpUserTimeout{60'000};
  /// Decides who comes in; null: everybody. Outlives the connections.
  Admissions* admissions = nullptr;
};

/// Why a listener could not be opened.
struct ListenError {
  std::error_code code;  ///< what the system said
  std::string address;   ///< which could not be had: "127.0.0.1:1883"
  std::string message;   ///< "cannot listen on 127.0.0.1:1883: Address already in use"
  std::string remedy;    ///< may be empty

  /// The message, with the remedy in parentheses.
  std::string text() const;
};

/// Accepts connections on one endpoint, which may be several addresses
/// ("localhost" is IPv4 and IPv6). Owned by the daemon; closes when destroyed,
/// while the accepted connections live on.
///
/// When the process has no descriptors left, waiting connections are accepted
/// with a spare one and dropped, so that their peers know, and accepting rests
/// for a moment.
class Listener {
public:
  /// Gets each new connection, and must give it a handler or drop it. May
  /// destroy the listener.
  using OnAccept = std::function<void(std::unique_ptr<Transport>)>;
  /// Gets a line about what is wrong, at most one per second.
  using OnTrouble = std::function<void(std::string_view)>;
  /// Hears of each connection that a limit refused.
  using OnRefused = std::function<void(Refusal)>;

  /// Binds and listens. The reactor must outlive the listener.
  static Expected<std::unique_ptr<Listener>, ListenError> open(Reactor& reactor,
                                                               ListenerOptions options,
                                                               OnAccept onAccept,
                                                               OnTrouble onTrouble = {});
  /// Takes sockets that somebody else has opened, as a service manager does. What
  /// the options say of the endpoint is left aside.
  /// REQUIRES: there is one at least, and all are stream sockets that listen.
  static Expected<std::unique_ptr<Listener>, ListenError> adopt(Reactor& reactor,
                                                                ListenerOptions options,
                                                                std::vector<Descriptor> sockets,
                                                                OnAccept onAccept,
                                                                OnTrouble onTrouble = {});
  ~Listener();
  Listener(const Listener&) = delete;
  Listener& operator=(const Listener&) = delete;

  /// The port, also where the endpoint says 0.
  std::uint16_t boundPort() const noexcept { return port_; }
  /// What it listens on: "0.0.0.0:1883", several separated by ", ". A Unix socket
  /// is its path.
  std::string text() const;
  /// Whether only this machine can reach it.
  bool isLoopback() const;
  const std::string& name() const noexcept { return *name_; }

  void onRefused(OnRefused action) { onRefused_ = std::move(action); }

  /// Has connections accepted from now on use these certificates. REQUIRES: was
  /// opened with TLS.
  void setTls(std::shared_ptr<TlsContext> tls) noexcept { options_.tls = std::move(tls); }

  /// Connections dropped for want of descriptors.
  std::uint64_t dropped() const noexcept { return dropped_; }
  /// Connections that were refused because of a limit.
  std::uint64_t refused(Refusal refusal) const noexcept {
    return refused_[static_cast<std::size_t>(refusal)];
  }

private:
  class Socket;
  enum class Accepted : std::uint8_t { one, none, gone };

  Listener(Reactor& reactor, ListenerOptions options, OnAccept onAccept, OnTrouble onTrouble);
  Expected<void, ListenError> openAll();
  Expected<void, ListenError> watchAll();
  Accepted acceptOne(int listening);
  bool dropOne(int listening);
  void outOfDescriptors(int listening, int error);
  void refuse(Descriptor socket, const PeerAddress& from, Refusal refusal);
  void rest();
  void complain(std::string_view line);

  Reactor& reactor_;
  ListenerOptions options_;
  std::shared_ptr<const std::string> name_;
  OnAccept onAccept_;
  OnTrouble onTrouble_;
  OnRefused onRefused_;
  std::vector<std::unique_ptr<Socket>> sockets_;
  Descriptor spare_;
  asio::steady_timer restTimer_;
  std::chrono::steady_clock::time_point lastComplaint_{};
  std::uint64_t dropped_ = 0;
  std::array<std::uint64_t, 4> refused_{};  // by Refusal
  std::uint16_t port_ = 0;
  bool resting_ = false;
  std::shared_ptr<void> alive_ = std::make_shared<char>();  // queued handlers look at it
};

}  // namespace mqttstack::net
