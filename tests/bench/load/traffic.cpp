#include "tests/bench/load/traffic.hpp"

#include <algorithm>
#include <fmt/format.h>
#include <stdexcept>
#include <utility>

namespace mqttstack::load {
namespace {

std::uint64_t nanoseconds(double seconds) { return static_cast<std::uint64_t>(seconds * 1e9); }

/// Numbers that follow no pattern, the same in each run.
std::uint32_t scatter(std::uint64_t value) noexcept {
  value = (value + 1) * 0x9E37'79B9'7F4A'7C15;
  value = (value ^ value >> 32) * 0xD6E8'FEB8'6659'FD93;
  return static_cast<std::uint32_t>(value >> 32);
}

}  // namespace

void Traffic::add(std::uint32_t id, Introduction introduction) {
  const bool subscribes = (id & kSubscriber) != 0;
  introduction.login.clientId =
      fmt::format("load-{}-{}", subscribes ? "s" : "p", id & ~kSubscriber);
  introduction.login.persistent = subscribes && options_.persistent;
  introduction.login.keepAlive = options_.keepAlive;
  introduction.qos = options_.subscribeQos;
  connections_.push_back(std::make_unique<Connection>(loop_, *this, id, std::move(introduction)));
}

void Traffic::addPublisher(const std::string& topic, std::uint32_t copies, std::uint32_t numbers) {
  add(static_cast<std::uint32_t>(publishers_.size()), {});
  const PublishForm form{topic, options_.publishQos, false, options_.payload};
  publishers_.push_back(
      {connections_.back().get(),
       PublishBatch{loop_.version(), form, options_.rate > 0 ? 1 : options_.window}, copies,
       numbers});
}

void Traffic::addSubscriber(std::vector<std::string> filters, std::uint32_t modulus,
                            std::uint32_t remainder) {
  add(static_cast<std::uint32_t>(subscribers_.size()) | kSubscriber, {{}, std::move(filters), 0});
  const std::size_t publishers = options_.publishers / modulus + 1;
  subscribers_.push_back({modulus, remainder, std::vector<SequenceChecker>(publishers)});
}

void Traffic::addSubscriberOfSome() {
  add(static_cast<std::uint32_t>(subscribers_.size()) | kSubscriber, {});
  subscribers_.push_back({0, 0, {}});
}

void Traffic::bringUp() {
  const auto fresh = std::span{connections_}.subspan(broughtUp_);
  const std::size_t up = loop_.bringUp(fresh, options_.connecting, std::chrono::minutes{2});
  if (up < fresh.size())
    throw std::runtime_error{
        fmt::format("only {} of {} clients came up: {}", up, fresh.size(), loop_.firstFailure())};
  broughtUp_ = connections_.size();
}

void Traffic::run(Report& report) {
  constexpr std::uint32_t kMostUnderWay = 30'000;  // at a fixed rate
  loop_.run(std::chrono::milliseconds{100});
  for (Publisher& publisher : publishers_) {
    std::uint32_t limit = options_.rate > 0 ? kMostUnderWay : options_.window;
    if (options_.publishQos)
      limit = std::min<std::uint32_t>(limit, publisher.connection->receiveMaximum());
    publisher.window = {limit, publisher.copies,
                        options_.publishQos ? Window::Acknowledged::yes : Window::Acknowledged::no};
    makeReady(publisher);
  }
  rateBegin_ = progressAt_ = now();
  if (!options_.messages) go(now() + nanoseconds(options_.warmUp));

  const Snapshot begin = snapshot(options_);
  const Counts before = counts_;
  measuring_ = true;
  if (options_.messages) {
    go(INT64_MAX);
    drain();
  } else {
    go(now() + nanoseconds(options_.seconds));
  }
  measuring_ = false;
  Snapshot end = snapshot(options_);
  const Counts measured = counts_;
  if (options_.messages) {
    end.time = loop_.arrival();  // waiting for what was lost does not count
  } else {
    drain();
  }
  this->report(report, begin, end, before, measured);
}

void Traffic::go(std::uint64_t end) {
  constexpr std::chrono::nanoseconds kLook = std::chrono::milliseconds{20};
  for (std::uint64_t at = now(); at < end; at = now()) {
    if (options_.messages && counts_.sent == options_.messages) return;
    std::chrono::nanoseconds wait{};
    if (options_.rate > 0) {
      publishDue(at);
      wait = untilDue(now());
    } else {
      publishReady();
      if (ready_.empty()) wait = kLook;
    }
    loop_.turn(std::min({wait, kLook, std::chrono::nanoseconds{end - at}}));
    noticeStall(at);
    if (counts_.stalls && loop_.counts().lost) return;  // some will never go on
  }
}

void Traffic::makeReady(Publisher& publisher) {
  if (publisher.ready) return;
  publisher.ready = true;
  ready_.push_back(&publisher);
}

void Traffic::publishReady() {
  // Who becomes ready meanwhile waits for the next turn.
  std::swap(ready_, turn_);
  for (Publisher* publisher : turn_) publisher->ready = false;
  for (Publisher* publisher : turn_) publish(*publisher);
  turn_.clear();
}

void Traffic::publish(Publisher& publisher) {
  if (!publisher.connection->up() || publisher.connection->busy()) return;
  const std::uint64_t count = roomOf(publisher);
  if (count == 0) return;
  const std::uint64_t time = now();
  for (std::size_t slot = 0; slot < count; ++slot) stampNext(publisher, slot, time);
  send(publisher, count);
  if (!publisher.connection->busy() && publisher.window.room()) makeReady(publisher);
}

void Traffic::publishDue(std::uint64_t at) {
  const double perMessage = 1e9 / options_.rate;
  const auto due = static_cast<std::uint64_t>(static_cast<double>(at - rateBegin_) / perMessage);
  for (std::size_t refused = 0; counts_.sent < due && refused < publishers_.size();) {
    Publisher& publisher = publishers_[nextPublisher_];
    nextPublisher_ = (nextPublisher_ + 1) % publishers_.size();
    if (!publisher.connection->up() || publisher.connection->busy() || roomOf(publisher) == 0) {
      ++refused;
      ++counts_.behind;
      continue;
    }
    refused = 0;
    // It counts from when it was due: who makes us wait is to be seen in the latency.
    stampNext(publisher, 0,
              rateBegin_ +
                  static_cast<std::uint64_t>(static_cast<double>(counts_.sent + 1) * perMessage));
    send(publisher, 1);
  }
}

std::chrono::nanoseconds Traffic::untilDue(std::uint64_t at) const noexcept {
  const auto due = rateBegin_ + static_cast<std::uint64_t>(static_cast<double>(counts_.sent + 1) *
                                                           1e9 / options_.rate);
  return std::chrono::nanoseconds{due > at ? due - at : 0};
}

void Traffic::stampNext(Publisher& publisher, std::size_t slot, std::uint64_t time) {
  const auto index = static_cast<std::uint32_t>(&publisher - publishers_.data());
  const std::uint64_t sequence = publisher.window.sent() + slot + 1;
  if (options_.publishQos && ++publisher.packetId == 0) publisher.packetId = 1;
  const std::uint32_t number =
      publisher.numbers ? scatter(sequence << 16 | index) % publisher.numbers : 0;
  publisher.batch.stamp(slot, publisher.packetId,
                        {time, index, static_cast<std::uint32_t>(sequence)}, number);
}

void Traffic::send(Publisher& publisher, std::uint64_t count) {
  publisher.window.send(count);
  counts_.sent += count;
  publisher.connection->write(publisher.batch.packets(count));
}

std::uint64_t Traffic::roomOf(const Publisher& publisher) const noexcept {
  const std::uint64_t room =
      std::min<std::uint64_t>(publisher.window.room(), publisher.batch.copies());
  if (options_.messages == 0) return room;
  const auto index = static_cast<std::uint64_t>(&publisher - publishers_.data());
  const std::uint64_t quota = options_.messages / publishers_.size() +
                              (index < options_.messages % publishers_.size() ? 1 : 0);
  return std::min(room, quota - publisher.window.sent());
}

void Traffic::received(Connection& connection, const ReceivedPublish& publish) {
  const Stamp& stamp = publish.stamp;
  Subscriber* const subscriber =
      connection.id() & kSubscriber ? &subscribers_[connection.id() & ~kSubscriber] : nullptr;
  if (!subscriber || stamp.publisher >= publishers_.size() ||
      (subscriber->modulus && stamp.publisher % subscriber->modulus != subscriber->remainder)) {
    ++counts_.strange;
    return;
  }
  std::uint32_t settled = 1;
  if (subscriber->modulus) {
    using Arrival = SequenceChecker::Arrival;
    const auto seen =
        subscriber->checkers[stamp.publisher / subscriber->modulus].see(stamp.sequence);
    if (seen.arrival == Arrival::again) {
      ++counts_.again;
      return;
    }
    // A gap was settled when it was seen, whether or not it is filled later.
    settled = seen.arrival == Arrival::late ? 0 : 1 + seen.skipped;
    counts_.late += seen.arrival == Arrival::late;
  }
  ++counts_.delivered;
  if (measuring_) latency_.add(loop_.arrival() > stamp.time ? loop_.arrival() - stamp.time : 0);
  Publisher& publisher = publishers_[stamp.publisher];
  publisher.window.settle(settled);
  makeReady(publisher);
}

void Traffic::answered(Connection& connection, PacketType type) {
  if (type == PacketType::suback) ++subacks_;
  if (connection.id() & kSubscriber) return;
  Publisher& publisher = publishers_[connection.id()];
  publisher.window.acknowledge();
  ++counts_.answered;
  makeReady(publisher);
}

void Traffic::drained(Connection& connection) {
  if (!(connection.id() & kSubscriber)) makeReady(publishers_[connection.id()]);
}

void Traffic::noticeStall(std::uint64_t at) {
  const std::uint64_t progress = counts_.delivered + counts_.answered;
  if (progress != progress_) {
    progress_ = progress;
    progressAt_ = at;
  } else if (options_.rate <= 0 && at > progressAt_ + nanoseconds(options_.stall)) {
    ++counts_.stalls;
    progressAt_ = at;
    for (Publisher& publisher : publishers_) {
      publisher.window.writeOff();
      makeReady(publisher);
    }
  }
}

std::uint64_t Traffic::expected() const noexcept {
  std::uint64_t copies = 0;
  for (const Publisher& publisher : publishers_)
    copies += publisher.window.sent() * publisher.window.copies();
  return copies;
}

void Traffic::drain() {
  constexpr std::uint64_t kPatience = 2'000'000'000;
  const std::uint64_t wanted = expected();
  std::uint64_t last = counts_.delivered;
  std::uint64_t lastAt = now();
  while (counts_.delivered < wanted && now() < lastAt + kPatience) {
    loop_.turn(std::chrono::milliseconds{10});
    if (counts_.delivered != last) {
      last = counts_.delivered;
      lastAt = now();
    }
  }
  loop_.run(std::chrono::milliseconds{20});  // what comes twice may come behind the last
}

void Traffic::report(Report& report, const Snapshot& begin, const Snapshot& end,
                     const Counts& before, const Counts& measured) const {
  const Span span = between(begin, end);
  const std::uint64_t in = measured.sent - before.sent;
  const std::uint64_t out = measured.delivered - before.delivered;
  const auto lost =
      static_cast<std::int64_t>(expected()) - static_cast<std::int64_t>(counts_.delivered);
  const double each = span.brokerMicroseconds(out);
  auto& figures = report.figures;
  figures["publishers"] = publishers_.size();
  figures["subscribers"] = subscribers_.size();
  figures["window"] = options_.window;
  figures["rate"] = options_.rate;
  figures["seconds"] = span.seconds;
  figures["in_per_s"] = span.perSecond(in);
  figures["out_per_s"] = span.perSecond(out);
  figures["sent"] = counts_.sent;
  figures["expected"] = expected();
  figures["delivered"] = counts_.delivered;
  figures["lost"] = lost;
  figures["duplicates"] = counts_.again;
  figures["late"] = counts_.late;
  figures["strange"] = counts_.strange;
  figures["stalls"] = counts_.stalls;
  figures["behind"] = counts_.behind;
  figures["lost_connections"] = loop_.counts().lost;
  report.addLatency(latency_);
  figures["broker_us_per_delivery"] = each;
  figures["broker_us_per_message"] = span.brokerMicroseconds(in);
  report.addLoad(span, end);
  figures["generator_us_per_delivery"] = out ? span.ownCpu / static_cast<double>(out) * 1e6 : 0;
  figures["generator_reads"] = loop_.counts().reads;
  figures["generator_writes"] = loop_.counts().writes;
  report.line += fmt::format(
      "in {:.0f}/s, out {:.0f}/s, lost {}, duplicates {}, late {}{}{} | p50 {:.0f}, p99 {:.0f}, "
      "p99.9 {:.0f} us | broker {:.3f} us each, {:.0f} % CPU ({:.0f} % user), {:.1f} MiB | "
      "generator {:.0f} % CPU",
      span.perSecond(in), span.perSecond(out), lost, counts_.again, counts_.late,
      counts_.stalls ? ", STALLED" : "", loop_.counts().lost ? ", LOST CONNECTIONS" : "",
      latency_.percentile(0.5) * 1e-3, latency_.percentile(0.99) * 1e-3,
      latency_.percentile(0.999) * 1e-3, each, 100 * span.brokerCpu / span.seconds,
      100 * span.brokerUser, static_cast<double>(end.broker.residentBytes) / (1 << 20),
      100 * span.ownCpu / span.seconds);
}

}  // namespace mqttstack::load
