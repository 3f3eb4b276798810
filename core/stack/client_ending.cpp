#include <fmt/format.h>
#include <string>
#include <utility>

#include "core/stack/client.hpp"
#include "core/stack/options.hpp"

// What the log hears of a connection's end; client.cpp ends it.
namespace mqttstack {

void Client::explainEnd(std::string why) {
  if (!endExplanation_) endExplanation_ = std::make_unique<std::string>(std::move(why));
}

void Client::explainLoss(std::error_code why) {
  stalled_ = why == std::errc::timed_out;
  if (stalled_)
    explainEnd(fmt::format("it took nothing for {} (write_timeout)",
                           formatTimeSpan(listener_.writeTimeout)));
  else
    explainEnd((why.category() == std::system_category() ? "" : "TLS: ") + why.message());
}

/// That a packet is too large: a CONNECT may have less than others.
void Client::explainSize() {
  const bool connect = maximumPacketSize() < listener_.maximumPacketSize;
  explainEnd(fmt::format(
      "more than {} bytes ({})", maximumPacketSize(),
      connect ? "the most that a CONNECT may have" : "max_packet_size of the listener"));
}

/// Which options checkLimits() has judged by.
void Client::explainLimit(mqtt::ReasonCode reason) {
  explainEnd(reason == mqtt::ReasonCode::packetTooLarge
                 ? "more than max_user_properties or max_user_property_bytes of the listener"
                 : "more than max_topic_bytes or max_topic_levels of the listener");
}

}  // namespace mqttstack
