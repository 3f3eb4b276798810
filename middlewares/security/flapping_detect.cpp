#include "middlewares/security/flapping_detect.hpp"

#include "core/stack/client.hpp"
#include "core/util/metrics.hpp"
#include "core/util/timer_wheel.hpp"

namespace mqttstack {

void FlappingDetect::Options::declare(OptionTable<Options>& table) {
  table
      .add("disconnects", &Options::disconnects,
           "How often a client may be gone in `window` before it is kept out.")
      .range(2, 1'000'000);
  table.add("window", &Options::window, "In how long.")
      .range(std::chrono::seconds{1}, std::chrono::hours{24});
  table.add("ban", &Options::ban, "How long it is kept out.")
      .range(std::chrono::seconds{1}, std::chrono::hours{24 * 7});
  table
      .add("max_clients", &Options::maxClients,
           "How many clients are remembered, those that went last.")
      .range(1, 10'000'000);
}

FlappingDetect::FlappingDetect(Setup& setup, const Options& options)
    : Middleware{setup},
      options_{options},
      records_{options.maxClients},
      state_{setup.clientFields},
      banned_{setup.metrics.counter("flapping_detect_banned",
                                    "clients that were found to come and go all the time")},
      refused_{setup.metrics.counter("flapping_detect_refused",
                                     "connections of such clients that were refused")} {}

std::string FlappingDetect::keyOf(const Client& client) {
  return client.identity()->address() + ' ' + client.clientId();
}

Flow FlappingDetect::handle(Client& client, Packet&, Next next, Done) {
  const Record* record = records_.find(keyOf(client));
  if (!record || record->bannedUntil <= scheduler().now()) return next();
  refused_.add();
  return next(mqtt::ReasonCode::banned);
}

Flow FlappingDetect::on(SessionEstablished& established, SyncNext next, Done) {
  state_(established.client).established = true;
  return next();
}

Flow FlappingDetect::on(ConnectionLost& lost, SyncNext next, Done) {
  if (!state_(lost.client).established) return next();
  const TimePoint now = scheduler().now();
  Record& record = records_.use(keyOf(lost.client), {now, {}, 0}).value;
  if (now - record.windowBegan > options_.window) {
    record.windowBegan = now;
    record.disconnects = 0;
  }
  if (++record.disconnects < options_.disconnects) return next();
  record.disconnects = 0;
  record.bannedUntil = now + options_.ban;
  banned_.add();
  log().warning("{} was connected and gone {} times within {}; it is kept out for {}",
                lost.client.describe(), options_.disconnects, formatTimeSpan(options_.window),
                formatTimeSpan(options_.ban));
  return next();
}

}  // namespace mqttstack
