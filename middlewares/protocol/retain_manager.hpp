#pragma once

#include <memory>
#include <string_view>
#include <vector>

#include "core/stack/callbacks.hpp"
#include "core/stack/client.hpp"
#include "core/stack/middleware.hpp"
#include "core/stack/options.hpp"
#include "core/stack/per_client.hpp"
#include "core/util/timer_wheel.hpp"

namespace mqttstack {

/// Has messages with the RETAIN flag stored, wherever they come from, and gives
/// new subscriptions the retained messages that match: in slices, no faster than
/// the client takes them, so that `#` over a million topics holds nobody up.
///
/// Stands behind the backend.
class RetainManager final : public Middleware,
                            public Handles<NegotiateConnection>,
                            public Handles<RetainMessage>,
                            public Handles<SubscribeTopic>,
                            public Handles<UnsubscribeTopic>,
                            public Handles<ClientDrained>,
                            public Handles<RemoveOfflineMessages>,
                            public Handles<ConnectionLost> {
public:
  static constexpr std::string_view kName = "retain_manager";
  static constexpr std::string_view kSummary =
      "Stores retained messages and sends them to new subscriptions.";
  static constexpr std::string_view kOnlyOne = kName;

  struct Options {
    std::uint16_t replaySlice = 256;
    bool retainAvailable = true;
    static void declare(OptionTable<Options>& table);
  };

  using Executes = Callbacks<StoreRetainedMessage, LookupRetainedMessages, ForwardMessage>;
  using Filters = Callbacks<RelayMessage, SubscribeTopic, UnsubscribeTopic, RemoveOfflineMessages>;

  RetainManager(Setup& setup, const Options& options);

  void validate(const Stack& stack, Diagnostics& diagnostics) const override;
  Flow on(NegotiateConnection& negotiate, SyncNext next, Done done) override;
  Flow on(RetainMessage& retain, SyncNext next, Done done) override;
  Flow on(SubscribeTopic& subscribe, Next next, Done done) override;
  Flow on(UnsubscribeTopic& unsubscribe, Next next, Done done) override;
  Flow on(ClientDrained& drained, SyncNext next, Done done) override;
  Flow on(RemoveOfflineMessages& taken, SyncNext next, Done done) override;
  Flow on(ConnectionLost& lost, SyncNext next, Done done) override;

private:
  struct Replay;
  class Replays;
  struct State {
    State();
    State(State&&) noexcept;
    ~State();
    std::shared_ptr<Replays> replays;  // while there are any
  };

  Options options_;
  LoopExecutor& loop_;
  PerClient<State> state_;
};

}  // namespace mqttstack
