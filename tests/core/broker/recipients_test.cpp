#include "core/broker/recipients.hpp"

#include <map>
#include <string>
#include <vector>

#include <catch2/catch.hpp>

#include "core/broker/session_table.hpp"
#include "tests/core/broker/support.hpp"

using namespace mqttstack;
using namespace mqttstack::broker;
using namespace mqttstack::broker::test;
using mqtt::Qos;

namespace {

struct Fixture {
  ~Fixture() {
    for (const SessionPtr& session : sessions) index.removeSession(*session);
  }
  Session& client(const std::string& id) {
    sessions.push_back(connectedSession(id));
    return *sessions.back();
  }
  std::span<Recipient> collect(const MessagePtr& message) {
    return recipients.collect(index, *message);
  }
  static std::vector<std::uint32_t> idsOf(const Recipient& recipient) {
    std::vector<std::uint32_t> ids;
    recipient.subscriptionIds.forEach([&](std::uint32_t id) { ids.push_back(id); });
    std::sort(ids.begin(), ids.end());
    return ids;
  }

  std::vector<SessionPtr> sessions;
  TopicIndex index{1};
  Recipients recipients;
};

MessagePtr published(std::string_view topic, Qos qos, bool retain = false,
                     IdentityPtr author = {}) {
  MessageFields fields;
  fields.topic = topic;
  fields.payload = "p";
  fields.qos = qos;
  fields.retain = retain;
  fields.author = std::move(author);
  return Message::create(std::move(fields));
}

}  // namespace

TEST_CASE(
    "overlapping subscriptions make one copy at the highest QoS with all identifiers "
    "[v311:3.3.5-1] [v5:3.3.4-2] [v5:3.3.4-3] [v5:3.3.4-4]",
    "[recipients]") {
  Fixture f;
  Session& a = f.client("a");
  Session& b = f.client("b");
  f.index.subscribe("x/y", a, options(Qos::atMostOnce), 3);
  f.index.subscribe("x/#", a, options(Qos::exactlyOnce), 1);
  f.index.subscribe("x/+", a, options(Qos::atLeastOnce), 2);
  f.index.subscribe("+/y", a, options(Qos::atLeastOnce), 0);
  f.index.subscribe("#", b, options(Qos::atLeastOnce));
  const auto all = f.collect(published("x/y", Qos::exactlyOnce));
  REQUIRE(all.size() == 2);
  for (const Recipient& one : all) {
    if (one.session.get() == &a) {
      CHECK(one.qos == Qos::exactlyOnce);
      CHECK(Fixture::idsOf(one) == std::vector<std::uint32_t>{1, 2, 3});
    } else {
      CHECK(one.qos == Qos::atLeastOnce);
      CHECK(one.subscriptionIds.empty());
    }
    CHECK(one.group == nullptr);
  }
}

TEST_CASE("no copy has a higher QoS than the message [v311:3.8.4-6] [v5:3.8.4-8]", "[recipients]") {
  Fixture f;
  Session& a = f.client("a");
  f.index.subscribe("x", a, options(Qos::exactlyOnce));
  for (const Qos qos : {Qos::atMostOnce, Qos::atLeastOnce, Qos::exactlyOnce}) {
    const auto all = f.collect(published("x", qos));
    REQUIRE(all.size() == 1);
    CHECK(all[0].qos == qos);
  }
}

TEST_CASE("a No Local subscription does not count for its own client's messages [v5:3.8.3-3]",
          "[recipients]") {
  Fixture f;
  Session& a = f.client("a");
  Session& b = f.client("b");
  mqtt::SubscriptionOptions noLocal = options(Qos::exactlyOnce);
  noLocal.noLocal = true;
  f.index.subscribe("x", a, noLocal, 1);
  f.index.subscribe("x", b, noLocal, 2);

  auto all = f.collect(published("x", Qos::exactlyOnce, false, identityOf("a")));
  REQUIRE(all.size() == 1);
  CHECK(all[0].session.get() == &b);

  f.index.subscribe("#", a, options(Qos::atMostOnce), 3);
  all = f.collect(published("x", Qos::exactlyOnce, false, identityOf("a")));
  REQUIRE(all.size() == 2);
  for (const Recipient& one : all)
    if (one.session.get() == &a) {
      CHECK(one.qos == Qos::atMostOnce);
      CHECK(Fixture::idsOf(one) == std::vector<std::uint32_t>{3});
    }
  CHECK(f.collect(published("x", Qos::exactlyOnce)).size() == 2);
}

TEST_CASE(
    "RETAIN is sent as published if a merged subscription wants it [v5:3.3.1-12] [v5:3.3.1-13]",
    "[recipients]") {
  Fixture f;
  Session& a = f.client("a");
  f.index.subscribe("x", a, options(Qos::atMostOnce));
  CHECK_FALSE(f.collect(published("x", Qos::atMostOnce, true))[0].retain);
  mqtt::SubscriptionOptions asPublished;
  asPublished.retainAsPublished = true;
  f.index.subscribe("#", a, asPublished);
  REQUIRE(f.collect(published("x", Qos::atMostOnce, true)).size() == 1);
  CHECK(f.collect(published("x", Qos::atMostOnce, true))[0].retain);
  CHECK_FALSE(f.collect(published("x", Qos::atMostOnce, false))[0].retain);
}

TEST_CASE("a shared subscription makes a copy of its own, with its own identifier [v5:4.8.2-5]",
          "[recipients]") {
  Fixture f;
  Session& a = f.client("a");
  f.index.subscribe("x", a, options(Qos::atMostOnce), 1);
  f.index.subscribe("$share/g/x", a, options(Qos::exactlyOnce), 2);
  f.index.subscribe("$share/h/x", a, options(Qos::atLeastOnce), 3);
  f.index.subscribe("x/#", a, options(Qos::atMostOnce), 4);
  const auto all = f.collect(published("x", Qos::exactlyOnce));
  REQUIRE(all.size() == 3);
  std::map<std::vector<std::uint32_t>, std::pair<Qos, bool>> rows;
  for (const Recipient& one : all) rows[Fixture::idsOf(one)] = {one.qos, one.group != nullptr};
  CHECK(rows == decltype(rows){{{1, 4}, {Qos::atMostOnce, false}},
                               {{2}, {Qos::exactlyOnce, true}},
                               {{3}, {Qos::atLeastOnce, true}}});
}

TEST_CASE("recipients survive changes of the index and the end of sessions", "[recipients]") {
  SessionTable table{1};
  TopicIndex index{1};
  Recipients recipients;
  for (int i = 0; i < 100; ++i) {
    const SessionPtr session = table.create("c" + std::to_string(i), identityOf("c"));
    index.subscribe("x", *session, options(Qos::atLeastOnce), 5);
  }
  int walked = 0;
  for (const Recipient& one : recipients.collect(index, *published("x", Qos::atLeastOnce))) {
    if (++walked == 1) {
      std::vector<SessionPtr> all;
      table.forEach([&](Session& session) { all.emplace_back(&session); });
      for (const SessionPtr& session : all) {
        index.removeSession(*session);
        table.remove(*session);
      }
    }
    CHECK(one.session->ended());
    CHECK(one.subscriptionIds.size() == 1);
  }
  CHECK(walked == 100);
  CHECK(index.subscriptions() == 0);
}

TEST_CASE("a recipient becomes a delivery with what it holds", "[recipients]") {
  Fixture f;
  Session& a = f.client("a");
  mqtt::SubscriptionOptions wanted = options(Qos::atLeastOnce);
  wanted.retainAsPublished = true;
  f.index.subscribe("x", a, wanted, 12);
  const MessagePtr message = published("x", Qos::exactlyOnce, true);
  const Delivery delivery = std::move(f.collect(message)[0]).toDelivery(message);
  CHECK(delivery.message == message);
  CHECK(delivery.qos == Qos::atLeastOnce);
  CHECK(delivery.retain);
  CHECK(delivery.subscriptionIds.size() == 1);
  CHECK(delivery.state == DeliveryState::queued);
}
