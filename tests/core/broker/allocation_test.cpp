#include <string>

#include <catch2/catch.hpp>

#include "core/broker/delivery.hpp"
#include "core/broker/recipients.hpp"
#include "core/broker/retained_tree.hpp"
#include "tests/core/broker/support.hpp"
#include "tests/support/allocations.hpp"

using namespace mqttstack;
using namespace mqttstack::broker;
using namespace mqttstack::broker::test;

TEST_CASE("matching and collecting allocates nothing once it has run", "[allocation]") {
  TopicIndex index{1};
  Recipients recipients;
  std::vector<SessionPtr> sessions;
  for (int i = 0; i < 100; ++i) {
    sessions.push_back(connectedSession(std::to_string(i)));
    index.subscribe("room/+/t", *sessions.back(), options(mqtt::Qos::atLeastOnce), 1);
    index.subscribe("room/#", *sessions.back(), options(mqtt::Qos::atMostOnce), 2);
    index.subscribe("$share/g/room/1/t", *sessions.back(), options(mqtt::Qos::atMostOnce));
    index.subscribe("own/" + std::to_string(i) + "/+", *sessions.back(), {});
  }
  std::vector<std::string> topics;
  for (int i = 0; i < 64; ++i) topics.push_back("room/" + std::to_string(i) + "/t");
  std::size_t copies = 0;
  const auto round = [&] {
    for (const std::string& topic : topics) {
      const MessagePtr message = makeMessage(topic, "payload", mqtt::Qos::atLeastOnce);
      copies += recipients.collect(index, *message).size();
      recipients.clear();
    }
  };
  for (int i = 0; i < 4; ++i) round();
  const std::size_t before = mqttstack::test::allocations();
  copies = 0;
  for (int i = 0; i < 10; ++i) round();
  const std::size_t after = mqttstack::test::allocations();
  CHECK(after == before);
  CHECK(copies == 10 * (64 * 100 + 1));
  for (const SessionPtr& session : sessions) index.removeSession(*session);
}

TEST_CASE("queue and window allocate nothing while their size stays in range", "[allocation]") {
  DeliveryQueue queue;
  InflightWindow window;
  window.beginConnection(20);
  const auto round = [&] {
    for (int i = 0; i < 200; ++i) {
      Delivery delivery;
      delivery.message = makeMessage("t", "payload", mqtt::Qos::exactlyOnce);
      delivery.qos = i % 2 == 0 ? mqtt::Qos::atLeastOnce : mqtt::Qos::exactlyOnce;
      delivery.subscriptionIds.add(1);
      delivery.subscriptionIds.add(2);
      queue.push(std::move(delivery));
      if (i % 10 != 9) continue;
      while (window.canSend() && !queue.empty()) window.send(queue.popFront());
      std::uint16_t ids[20];
      std::size_t count = 0;
      window.forEach([&](Delivery& sent) { ids[count++] = sent.packetId; });
      for (std::size_t k = 0; k < count; ++k) {
        if (window.puback(ids[k]).result == AckResult::accepted) continue;
        window.pubrec(ids[k], false);
        window.pubcomp(ids[k]);
      }
    }
  };
  for (int i = 0; i < 5; ++i) round();
  const std::size_t before = mqttstack::test::allocations();
  for (int i = 0; i < 500; ++i) round();
  const std::size_t after = mqttstack::test::allocations();
  CHECK(after == before);
  CHECK(window.empty());
}

TEST_CASE("updating a retained message allocates nothing", "[allocation]") {
  RetainedTree tree{1};
  std::vector<std::string> topics;
  for (int i = 0; i < 100; ++i) topics.push_back("state/" + std::to_string(i));
  const auto round = [&] {
    for (const std::string& topic : topics) tree.store(makeMessage(topic, "value"));
  };
  for (int i = 0; i < 3; ++i) round();
  const std::size_t before = mqttstack::test::allocations();
  round();
  const std::size_t after = mqttstack::test::allocations();
  CHECK(after == before);
}
