#pragma once

#include <memory>
#include <string_view>

#include "core/stack/callbacks.hpp"
#include "core/stack/client.hpp"
#include "core/stack/middleware.hpp"
#include "core/stack/options.hpp"

namespace mqttstack {

/// Answers CONNECT: opens the client's session, settles the terms of the
/// connection, sends the CONNACK, and sees to it that a session that is resumed
/// has its subscriptions. Keeps the subscriptions of sessions that outlive their
/// connection stored, and lets go of the session when the connection ends.
///
/// Stands behind everything that may refuse a CONNECT, and behind the backend.
class SessionManager final : public Middleware,
                             public HandlesPackets,
                             public Handles<SubscribeTopic>,
                             public Handles<UnsubscribeTopic>,
                             public Handles<ConnectionLost> {
public:
  static constexpr std::string_view kName = "session_manager";
  static constexpr std::string_view kSummary =
      "Answers CONNECT; opens, resumes and suspends sessions.";
  static constexpr std::string_view kOnlyOne = kName;
  static constexpr mqtt::PacketTypes kAnswers =
      mqtt::PacketType::connect | mqtt::PacketType::disconnect | mqtt::PacketType::auth;

  struct Options {
    TimeSpan maxSessionExpiry = std::chrono::hours{24 * 7};
    static void declare(OptionTable<Options>& table);
  };

  using Executes = Callbacks<OpenSession, SuspendSession, StoreSubscription, RemoveSubscription,
                             ClearSubscriptions, LookupSubscriptions, ClearOfflineMessages>;
  using MayExecute =
      Callbacks<NegotiateConnection, SessionEstablished, SubscribeTopic, UnsubscribeTopic>;
  using Filters = Callbacks<SubscribeTopic, UnsubscribeTopic>;

  SessionManager(Setup& setup, const Options& options);

  void validate(const Stack& stack, Diagnostics& diagnostics) const override;
  mqtt::PacketTypes packets() const noexcept override;
  Flow handle(Client& client, Packet& packet, Next next, Done done) override;
  Flow on(SubscribeTopic& subscribe, Next next, Done done) override;
  Flow on(UnsubscribeTopic& unsubscribe, Next next, Done done) override;
  Flow on(ConnectionLost& lost, SyncNext next, Done done) override;

private:
  class Opening;

  Flow disconnect(Client& client, const mqtt::Disconnect& disconnect, Next next) const;
  std::uint32_t limited(std::uint32_t expiry) const noexcept;
  std::uint32_t wantedExpiry(const mqtt::Connect& connect) const noexcept;
  std::error_code negotiate(Client& client, const mqtt::Connect& connect,
                            ConnectionTerms& terms) const;
  static void accept(Client& client, const mqtt::Connect& connect, const ConnectionTerms& terms,
                     bool present);
  static void suspend(Client& client);

  Options options_;
};

}  // namespace mqttstack
