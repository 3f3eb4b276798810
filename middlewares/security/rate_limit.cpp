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
  table.add("bytes_per_second", &Options::bytesPerSecond,
            "How many bytes of topics and payloads it may publish per second in the long run; 0: "
            "any number.");
  table
      .add("byte_burst", &Options::byteBurst,
           "How many bytes it may publish at once after it has been quiet. A message that is "
           "larger waits for as long as its bytes take.")
      .range(ByteCount{1024}, ByteCount{1024 * 1024 * 1024});
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
  bucket.messages = options_.burst;
  bucket.bytes = static_cast<double>(options_.byteBurst.count);
  bucket.filledAt = scheduler().now();
}

Flow RateLimit::handle(Client& client, Packet& packet, Next next, Done done) {
  const auto& publish = packet.as<mqtt::Publish>();
  Bucket& bucket = buckets_(client);
  fill(bucket);
  bucket.messages -= 1;
  bucket.bytes -= static_cast<double>(publish.topic.size() + publish.payload.size());
  const Seconds wait = waitFor(bucket);
  if (wait <= Seconds::zero()) return next();

  if (options_.action == Excess::disconnect) {
    disconnected_.add();
    log().info("{} published faster than it may", client.describe());
    client.close(mqtt::ReasonCode::messageRateTooHigh);
    return done();
  }

  delayed_.add();
  return next.defer([&](Deferred deferred) {
    bucket.waiting = std::move(deferred);
    scheduler().start(bucket.timer, std::chrono::duration_cast<Duration>(wait));
  });
}

void RateLimit::fill(Bucket& bucket) const {
  const TimePoint now = scheduler().now();
  const double passed = Seconds{now - bucket.filledAt}.count();
  bucket.filledAt = now;
  bucket.messages =
      std::min<double>(options_.burst, bucket.messages + passed * options_.messagesPerSecond);
  bucket.bytes =
      std::min(static_cast<double>(options_.byteBurst.count),
               bucket.bytes + passed * static_cast<double>(options_.bytesPerSecond.count));
}

Seconds RateLimit::waitFor(const Bucket& bucket) const {
  const Seconds forMessages{-bucket.messages / options_.messagesPerSecond};
  if (options_.bytesPerSecond.count == 0) return forMessages;
  const Seconds forBytes{-bucket.bytes / static_cast<double>(options_.bytesPerSecond.count)};
  return std::max(forMessages, forBytes);
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
    : messages{other.messages},
      bytes{other.bytes},
      filledAt{other.filledAt},
      waiting{std::exchange(other.waiting, std::nullopt)},
      timer{std::move(other.timer)} {
  timer.setOwner(this);
}

/// Called by the timer: the tokens are there. Going on may end the client, and
/// this bucket with it, so the Deferred is taken out first.
void RateLimit::Bucket::letGo() {
  std::optional<Deferred> deferred = std::exchange(waiting, std::nullopt);
  deferred->next();
}

}  // namespace mqttstack
