#pragma once

#include <string_view>
#include <system_error>

#include "core/stack/callbacks.hpp"
#include "core/stack/drops.hpp"
#include "core/stack/middleware.hpp"
#include "core/stack/options.hpp"
#include "core/util/line_limit.hpp"
#include "middlewares/security/decisions.hpp"

namespace mqttstack {

/// Asks, at every moment when somebody is about to do something, whether that
/// identity may: authorizePacket (and authorizeDelivery) are answered by
/// others. What nobody allows is denied.
///
/// - CONNECT with a will: refused as not authorized if the will may not be
///   published.
/// - A message that is relayed, a client's own or a will: judged by its author;
///   refused, it stops here with the reason. inbound_manager tells an MQTT 5
///   publisher; an MQTT 3 publisher gets the usual acknowledgement.
///   [v311:3.3.5-2] Messages without author are the broker's own and pass.
/// - SUBSCRIBE, filter by filter, and the subscriptions of a session that is
///   resumed: `granted` becomes "not authorized", or what the option says.
///   `$share/g/f` is judged by `f`.
/// - Delivery, also of retained messages: dropped for that one receiver, so that
///   a right that was taken away, or a `#`, reads nothing it should not. A session
///   that may read all that its filters match is known for that (authorizeReception)
///   until a right changes or it subscribes again: nothing has to be asked then.
/// - A message that had to wait, when it is sent. So a session that has no connection,
///   or is being resumed, also keeps what cannot be decided yet (`undecided`).
///
/// Passes everything else: a PINGREQ needs no permission.
///
/// If those who decide fail, nothing is allowed: a message is refused as
/// "implementation specific error", which makes an MQTT 3 publisher try again
/// later; a subscription as "unspecified error"; resuming a session fails as a
/// whole rather than to lose subscriptions for good.
///
/// Anything about a client is decided on that client's pipeline. A message whose
/// author is gone (a will after a restart) is judged on this instance's home.
class Authorization final : public Middleware,
                            public HandlesPackets,
                            public Handles<RelayMessage>,
                            public Handles<SubscribeTopic>,
                            public Handles<ForwardMessage>,
                            public Handles<ForwardWaiting> {
public:
  static constexpr std::string_view kName = "authorization";
  static constexpr std::string_view kSummary =
      "Asks whether a client may publish, subscribe, leave a will, and read what it is sent.";

  struct Options {
    mqtt::ReasonCode deniedFilter = mqtt::ReasonCode::notAuthorized;
    static void declare(OptionTable<Options>& table);
  };

  using Executes = Callbacks<AuthorizePacket>;
  using MayExecute =
      Callbacks<AuthorizeDelivery, AuthorizeReception, LookupSubscriptions, MessageDropped>;
  using Filters = Callbacks<RelayMessage, SubscribeTopic, ForwardMessage, ForwardWaiting>;

  Authorization(Setup& setup, const Options& options);

  mqtt::PacketTypes packets() const noexcept override { return mqtt::PacketType::connect; }
  Flow handle(Client& client, Packet& packet, Next next, Done done) override;
  Flow on(RelayMessage& relay, Next next, Done done) override;
  Flow on(SubscribeTopic& subscription, Next next, Done done) override;
  Flow on(ForwardMessage& delivery, SyncNext next, Done done) override;
  Flow on(ForwardWaiting& delivery, SyncNext next, Done done) override;

  /// It has to stand before whoever stores, subscribes or delivers.
  void validate(const Stack& stack, Diagnostics& diagnostics) const override;

private:
  static bool readsAll(Stack& stack, broker::Session& session);
  bool mayBeSent(Stack& stack, const broker::Session& session, const broker::Message& message,
                 bool retain, bool cleared);
  Stack& stackOf(const broker::Session& session) const {
    return session.stack() ? *session.stack() : home();
  }
  void logDenial(const broker::Identity& who, std::string_view what, std::string_view topic,
                 const Verdict& verdict);

  Options options_;
  DecisionCounter denied_;
  Drops drops_;
  LineLimit lines_{"denials"};
};

}  // namespace mqttstack
