#include "middlewares/security/rate_limit.hpp"

#include <algorithm>
#include <chrono>
#include <utility>

#include "core/stack/client.hpp"
#include "core/util/metrics.hpp"

namespace mqttstack {

using Seconds = std::chrono::duration<double>;

void RateLimit::Options::declare(OptionTable<Options>& table) {
  table
      .add("messages_per_second", &Options::messagesPerSecond,
           "How many messages a client may publish per second in the long run.")
      .range(0.01, 1'000'000);
  table
      .add("burst", &Options::burst,
           "How many it may publish at once after it has been quiet for long enough.")
      .range(1, 1'000'000);
  table.addChoice("action", &Options::action,
                  {{"delay", Excess::delay}, {"disconnect", Excess::disconnect}},
                  "What happens to a client that publishes more: it has to wait, or it is cut "
                  "off (MQTT 5: reason 0x96).");
}

RateLimit::RateLimit(Setup& setup, const Options& options)
    : Middleware{setup},
      options_{options},
      buckets_{setup.clientFields},
      delayed_{setup.metrics.counter("rate_limit_delayed", "PUBLISH packets that had to wait")},
      disconnected_{setup.metrics.counter("rate_limit_disconnected",
                                          "clients cut off because they published too fast")} {}

void RateLimit::install(Client& client) {
  Bucket& bucket = buckets_(client);
  bucket.tokens = options_.burst;
  bucket.filledAt = scheduler().now();
}

Flow RateLimit::handle(Client& client, Packet&, Next next, Done done) {
  Bucket& bucket = buckets_(client);
  fill(bucket);
  bucket.tokens -= 1;
  if (bucket.tokens >= 0) return next();

  if (options_.action == Excess::disconnect) {
    disconnected_.add();
    log().info("{} published more than {} messages per second", client.describe(),
               options_.messagesPerSecond);
    client.close(mqtt::ReasonCode::messageRateTooHigh);
    return done();
  }

  delayed_.add();
  const Seconds wait{-bucket.tokens / options_.messagesPerSecond};
  return next.defer([&](Deferred deferred) {
    bucket.waiting = std::move(deferred);
    scheduler().start(bucket.timer, std::chrono::duration_cast<Duration>(wait));
  });
}

void RateLimit::fill(Bucket& bucket) const {
  const TimePoint now = scheduler().now();
  const Seconds passed = now - bucket.filledAt;
  bucket.tokens =
      std::min<double>(options_.burst, bucket.tokens + passed.count() * options_.messagesPerSecond);
  bucket.filledAt = now;
}

/// The connection is gone while its packet waits: there is nobody left to slow
/// down, and no reason to publish sooner what came too fast. The Deferred is
/// dropped, which ends the walk.
Flow RateLimit::on(ConnectionLost& lost, SyncNext next, Done) {
  Bucket& bucket = buckets_(lost.client);
  bucket.timer.cancel();
  const std::optional<Deferred> dropped = std::exchange(bucket.waiting, std::nullopt);
  return next();
}

/// A client that is carried over to another pipeline takes its bucket along.
RateLimit::Bucket::Bucket(Bucket&& other) noexcept
    : tokens{other.tokens},
      filledAt{other.filledAt},
      waiting{std::exchange(other.waiting, std::nullopt)},
      timer{std::move(other.timer)} {
  timer.setOwner(this);
}

/// Called by the timer: the token is there. Going on may end the client, and
/// this bucket with it, so the Deferred is taken out first.
void RateLimit::Bucket::letGo() {
  std::optional<Deferred> deferred = std::exchange(waiting, std::nullopt);
  deferred->next();
}

}  // namespace mqttstack
