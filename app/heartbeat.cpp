#include "app/heartbeat.hpp"

#include <chrono>
#include <fmt/format.h>

namespace mqttstack {
namespace {

/// How old the figures of the status may be.
constexpr std::chrono::seconds kReportInterval{5};

std::int64_t perSecond(std::int64_t count, Duration time) {
  const double seconds = std::chrono::duration<double>{time}.count();
  return seconds <= 0 ? 0 : static_cast<std::int64_t>(static_cast<double>(count) / seconds + 0.5);
}

}  // namespace

Heartbeat::Heartbeat(ServiceManager& manager, Scheduler& scheduler, const Metrics& metrics)
    : manager_{manager},
      scheduler_{scheduler},
      metrics_{metrics} {}

void Heartbeat::start() {
  if (!manager_.present()) return;
  manager_.ready(lastStatus_ = status());
  if (!reportTimer_.running()) scheduler_.start(reportTimer_, kReportInterval);
  if (!pingTimer_.running() && manager_.heartbeat().count() > 0) ping();
}

void Heartbeat::stop() noexcept {
  pingTimer_.cancel();
  reportTimer_.cancel();
}

void Heartbeat::ping() {
  manager_.ping();
  scheduler_.start(pingTimer_, manager_.heartbeat());
}

void Heartbeat::report() {
  std::string now = status();
  if (now != lastStatus_ && manager_.status(now)) lastStatus_ = std::move(now);
  scheduler_.start(reportTimer_, kReportInterval);
}

std::string Heartbeat::status() {
  const std::int64_t received = metrics_.value("publish_received");
  const std::int64_t sent = metrics_.value("publish_sent");
  const std::int64_t clients = metrics_.value("connections");
  const TimePoint now = scheduler_.now();
  const Duration time = countedAt_ == TimePoint{} ? Duration{} : now - countedAt_;
  std::string text = fmt::format(
      "{}{}{} client{} connected; messages received: {}/s, {} in total; sent: {}/s, {} in total",
      notice_, notice_.empty() ? "" : " ", clients, clients == 1 ? "" : "s",
      perSecond(received - received_, time), received, perSecond(sent - sent_, time), sent);
  countedAt_ = now;
  received_ = received;
  sent_ = sent;
  return text;
}

}  // namespace mqttstack
