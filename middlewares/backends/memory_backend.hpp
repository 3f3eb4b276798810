#pragma once

#include <cstddef>
#include <string_view>

#include "core/broker/retained_tree.hpp"
#include "core/broker/session_table.hpp"
#include "core/broker/topic_index.hpp"
#include "core/stack/callbacks.hpp"
#include "core/stack/client.hpp"
#include "core/stack/middleware.hpp"
#include "core/stack/options.hpp"
#include "core/util/metrics.hpp"
#include "core/util/timer_wheel.hpp"
#include "middlewares/backends/fan_out.hpp"

namespace mqttstack {

/// Keeps sessions, subscriptions, queued and retained messages in memory, and
/// finds the sessions that a message is for. What it keeps is gone when the
/// daemon stops.
class MemoryBackend final : public Middleware,
                            public Handles<OpenSession>,
                            public Handles<SuspendSession>,
                            public Handles<SubscribeTopic>,
                            public Handles<UnsubscribeTopic>,
                            public Handles<StoreSubscription>,
                            public Handles<RemoveSubscription>,
                            public Handles<ClearSubscriptions>,
                            public Handles<LookupSubscriptions>,
                            public Handles<RelayMessage>,
                            public Handles<StoreRetainedMessage>,
                            public Handles<LookupRetainedMessages>,
                            public Handles<StoreOfflineMessage>,
                            public Handles<LookupOfflineMessages>,
                            public Handles<RemoveOfflineMessages>,
                            public Handles<ClearOfflineMessages> {
public:
  static constexpr std::string_view kName = "memory_backend";
  static constexpr std::string_view kSummary =
      "Keeps sessions, subscriptions, queued and retained messages in memory.";

  struct Options {
    std::uint32_t maxQueuedMessages = 10'000;
    ByteCount maxQueuedBytes{16 * 1024 * 1024};
    std::uint32_t maxRetainedMessages = 1'000'000;
    ByteCount maxRetainedBytes{256 * 1024 * 1024};
    static void declare(OptionTable<Options>& table);
  };

  using Executes = Callbacks<ForwardMessage, CloseClient>;
  using MayExecute = Callbacks<SessionEnded>;

  MemoryBackend(Setup& setup, const Options& options);
  ~MemoryBackend() override;

  void stop() override;

  Flow on(OpenSession& open, Next next, Done done) override;
  Flow on(SuspendSession& suspend, SyncNext next, Done done) override;
  Flow on(SubscribeTopic& subscribe, Next next, Done done) override;
  Flow on(UnsubscribeTopic& unsubscribe, Next next, Done done) override;
  Flow on(StoreSubscription& store, Next next, Done done) override;
  Flow on(RemoveSubscription& remove, Next next, Done done) override;
  Flow on(ClearSubscriptions& clear, Next next, Done done) override;
  Flow on(LookupSubscriptions& lookup, SyncNext next, Done done) override;
  Flow on(RelayMessage& relay, Next next, Done done) override;
  Flow on(StoreRetainedMessage& store, SyncNext next, Done done) override;
  Flow on(LookupRetainedMessages& lookup, SyncNext next, Done done) override;
  Flow on(StoreOfflineMessage& store, SyncNext next, Done done) override;
  Flow on(LookupOfflineMessages& lookup, SyncNext next, Done done) override;
  Flow on(RemoveOfflineMessages& remove, SyncNext next, Done done) override;
  Flow on(ClearOfflineMessages& clear, SyncNext next, Done done) override;

private:
  Stack& stackOf(const broker::Session& session) const noexcept {
    return session.stack() ? *session.stack() : home();
  }
  void end(broker::Session& session);
  void endExpired();
  void planExpiry();
  void sweepRetained();
  bool mayRetain(const broker::Message& message) const;
  void countRetained() noexcept;

  Options options_;
  Metric& sessionCount_;
  Metric& subscriptionCount_;
  Metric& retainedCount_;
  Metric& queuedCount_;
  bool retainedFullTold_ = false;

  broker::SessionTable sessions_;
  broker::TopicIndex index_;
  broker::RetainedTree retained_;
  FanOut fanOut_;
  Timer expiryTimer_ = Timer::calling<&MemoryBackend::endExpired>(*this);
  Timer sweepTimer_ = Timer::calling<&MemoryBackend::sweepRetained>(*this);
};

}  // namespace mqttstack
