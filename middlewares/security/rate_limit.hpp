#pragma once

#include <chrono>
#include <cstdint>
#include <optional>
#include <string_view>

#include "core/stack/callbacks.hpp"
#include "core/stack/middleware.hpp"
#include "core/stack/options.hpp"
#include "core/stack/per_client.hpp"
#include "core/util/timer_wheel.hpp"

namespace mqttstack {

struct Metric;

/// Limits how much each client may publish: so many messages a second, and so many
/// bytes of topics and payloads.
///
/// A client has a bucket of `burst` tokens, which fills up again with
/// `messages_per_second`; each PUBLISH takes one. When there is none, the client
/// is made to wait: its packet is deferred, the ones behind it are not read, and
/// the peer's network buffers fill up. Or it is disconnected, as a client that
/// should know better. Bytes have tokens likewise.
///
/// docs/writing-a-middleware.md builds this one from nothing.
class RateLimit final : public Middleware, public HandlesPackets, public Handles<ConnectionLost> {
public:
  static constexpr std::string_view kName = "rate_limit";
  static constexpr std::string_view kSummary =
      "Limits how much a client may publish: messages and bytes a second.";

  enum class Excess : std::uint8_t { delay, disconnect };

  struct Options {
    double messagesPerSecond = 100;
    std::uint32_t burst = 200;
    ByteCount bytesPerSecond{0};  // any number
    ByteCount byteBurst{1024 * 1024};
    Excess action = Excess::delay;

    static void declare(OptionTable<Options>& table);
  };

  RateLimit(Setup& setup, const Options& options);

  void install(Client& client) override;
  mqtt::PacketTypes packets() const noexcept override { return mqtt::PacketType::publish; }
  Flow handle(Client& client, Packet& packet, Next next, Done done) override;
  Flow on(ConnectionLost& lost, SyncNext next, Done done) override;

private:
  /// What is kept for each client.
  struct Bucket {
    Bucket() = default;
    Bucket(Bucket&& other) noexcept;

    void letGo();

    // Less than none: the packet that waits has taken its tokens ahead.
    double messages = 0;
    double bytes = 0;
    TimePoint filledAt{};
    std::optional<Deferred> waiting;
    Timer timer = Timer::calling<&Bucket::letGo>(*this);
  };

  void fill(Bucket& bucket) const;
  /// How long until a bucket with less than none is at none again.
  std::chrono::duration<double> waitFor(const Bucket& bucket) const;

  Options options_;
  PerClient<Bucket> buckets_;
  Metric& delayed_;
  Metric& disconnected_;
};

}  // namespace mqttstack
