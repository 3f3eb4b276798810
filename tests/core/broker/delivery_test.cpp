#include "core/broker/delivery.hpp"

#include <deque>
#include <map>
#include <random>
#include <vector>

#include <catch2/catch.hpp>

#include "tests/core/broker/support.hpp"

using namespace mqttstack;
using namespace mqttstack::broker;
using namespace mqttstack::broker::test;
using mqtt::Qos;

namespace {

Delivery deliveryOf(Qos qos, std::string_view payload = "x") {
  Delivery delivery;
  delivery.message = makeMessage("t", payload, qos);
  delivery.qos = qos;
  return delivery;
}

std::vector<std::uint16_t> idsIn(InflightWindow& window) {
  std::vector<std::uint16_t> ids;
  window.forEach([&](Delivery& delivery) { ids.push_back(delivery.packetId); });
  return ids;
}

std::vector<std::uint16_t> resendAll(InflightWindow& window) {
  std::vector<std::uint16_t> ids;
  while (Delivery* const delivery = window.nextToResend()) {
    ids.push_back(delivery->packetId);
    window.resent(*delivery);
  }
  return ids;
}

using Ids = std::vector<std::uint16_t>;

}  // namespace

TEST_CASE("the queue keeps order and counts what it holds [v311:4.6.0-6] [v5:4.6.0-6]",
          "[delivery]") {
  DeliveryQueue queue;
  std::size_t bytes = 0;
  for (int i = 0; i < 1000; ++i) {
    Delivery delivery = deliveryOf(static_cast<Qos>(i % 3), std::to_string(i));
    bytes += delivery.bytes();
    queue.push(std::move(delivery));
  }
  CHECK(queue.size() == 1000);
  CHECK(queue.bytes() == bytes);
  CHECK(queue.qos0() == 334);
  for (int i = 0; i < 1000; ++i) REQUIRE(queue.popFront().message->payload() == std::to_string(i));
  CHECK(queue.empty());
  CHECK(queue.bytes() == 0);
  CHECK(queue.qos0() == 0);
}

TEST_CASE("a full queue can drop its oldest or newest QoS 0 message, never another", "[delivery]") {
  DeliveryQueue queue;
  CHECK_FALSE(queue.dropNewestQos0());
  for (const char* payload : {"1a", "0b", "1c", "0d", "0e", "2f"})
    queue.push(deliveryOf(static_cast<Qos>(payload[0] - '0'), payload));
  CHECK(queue.dropNewestQos0()->message->payload() == "0e");
  CHECK(queue.dropOldestQos0()->message->payload() == "0b");
  CHECK(queue.dropOldestQos0()->message->payload() == "0d");
  CHECK_FALSE(queue.dropOldestQos0());
  CHECK_FALSE(queue.dropNewestQos0());
  CHECK(queue.size() == 3);
  for (const char* payload : {"1a", "1c", "2f"})
    CHECK(queue.popFront().message->payload() == payload);
  CHECK(queue.bytes() == 0);
}

TEST_CASE("removing by condition keeps the order and the counts", "[delivery]") {
  DeliveryQueue queue;
  for (int i = 0; i < 100; ++i) queue.push(deliveryOf(static_cast<Qos>(i % 2), std::to_string(i)));
  for (int i = 0; i < 40; ++i) {
    queue.popFront();
    queue.push(deliveryOf(Qos::atLeastOnce, std::to_string(100 + i)));
  }
  CHECK(queue.removeIf(0, queue.size(),
                       [](const Delivery& d) { return d.qos == Qos::atMostOnce; }) == 30);
  CHECK(queue.qos0() == 0);
  std::size_t bytes = 0;
  int last = -1;
  for (std::size_t i = 0; i < queue.size(); ++i) {
    bytes += queue[i].bytes();
    const int number = std::stoi(std::string{queue[i].message->payload()});
    CHECK(number > last);
    last = number;
  }
  CHECK(queue.bytes() == bytes);
  queue.clear();
  CHECK(queue.bytes() == 0);
}

TEST_CASE("QoS 1 leaves the window with its PUBACK [v311:4.3.2-1] [v5:4.3.2-5]", "[delivery]") {
  InflightWindow window;
  window.beginConnection(10);
  const MessagePtr message = makeMessage("t", "x", Qos::atLeastOnce);
  Delivery delivery;
  delivery.message = message;
  delivery.qos = Qos::atLeastOnce;
  const Delivery& sent = window.send(delivery);
  CHECK(sent.packetId == 1);
  CHECK(sent.state == DeliveryState::awaitingPuback);
  CHECK_FALSE(sent.dup);
  CHECK(window.bytes() == delivery.bytes());
  CHECK(window.pubrec(1, false).result == AckResult::wrongState);
  CHECK(window.pubcomp(1).result == AckResult::wrongState);
  CHECK(window.puback(2).result == AckResult::unknownId);
  CHECK(window.puback(0).result == AckResult::unknownId);
  const Acknowledged acknowledged = window.puback(1);
  CHECK(acknowledged.result == AckResult::accepted);
  CHECK(acknowledged.message == message);
  CHECK(window.puback(1).result == AckResult::unknownId);
  CHECK(window.empty());
  CHECK(window.bytes() == 0);
  CHECK(window.slotsUsed() == 0);
}

TEST_CASE("QoS 2 keeps its id and slot until PUBCOMP [v311:4.3.3-1] [v5:4.3.3-7] [v5:4.9.0-2]",
          "[delivery]") {
  InflightWindow window;
  window.beginConnection(1);
  CHECK(window.send(deliveryOf(Qos::exactlyOnce)).state == DeliveryState::awaitingPubrec);
  CHECK(window.puback(1).result == AckResult::wrongState);
  CHECK(window.pubcomp(1).result == AckResult::wrongState);
  CHECK(window.pubrec(1, false).message);
  CHECK(window.find(1)->state == DeliveryState::awaitingPubcomp);
  CHECK(window.bytes() == sizeof(Delivery));
  CHECK_FALSE(window.canSend());
  CHECK(window.pubrec(1, false).result == AckResult::repeated);
  CHECK(window.puback(1).result == AckResult::wrongState);
  CHECK(window.pubcomp(1).result == AckResult::accepted);
  CHECK(window.canSend());
  CHECK(window.bytes() == 0);
}

TEST_CASE("a failed PUBREC ends the handshake and frees the slot [v5:4.9.0-2]", "[delivery]") {
  InflightWindow window;
  window.beginConnection(1);
  window.send(deliveryOf(Qos::exactlyOnce));
  const Acknowledged acknowledged = window.pubrec(1, true);
  CHECK(acknowledged.result == AckResult::accepted);
  CHECK(acknowledged.message);
  CHECK(window.empty());
  CHECK(window.canSend());
  CHECK(window.pubcomp(1).result == AckResult::unknownId);
}

TEST_CASE("nothing is sent beyond the client's Receive Maximum [v5:3.3.4-9]", "[delivery]") {
  InflightWindow window;
  window.beginConnection(3);
  for (int i = 0; i < 3; ++i) window.send(deliveryOf(Qos::atLeastOnce));
  CHECK_FALSE(window.canSend());
  window.puback(2);
  CHECK(window.canSend());
  CHECK(window.send(deliveryOf(Qos::exactlyOnce)).packetId == 4);
  CHECK(idsIn(window) == Ids{1, 3, 4});
  CHECK(window.slotsUsed() == 3);
}

TEST_CASE(
    "a new connection sends all again in the original order, with DUP "
    "[v311:4.4.0-1] [v311:4.6.0-1] [v5:4.4.0-1] [v5:4.6.0-1] [v5:3.3.1-1]",
    "[delivery]") {
  InflightWindow window;
  window.beginConnection(10);
  for (const Qos qos :
       {Qos::atLeastOnce, Qos::exactlyOnce, Qos::exactlyOnce, Qos::atLeastOnce, Qos::atLeastOnce})
    window.send(deliveryOf(qos));
  window.pubrec(2, false);
  window.puback(4);
  window.beginConnection(10);
  CHECK(window.slotsUsed() == 0);
  CHECK(window.resuming());
  CHECK_FALSE(window.canSend());
  CHECK(window.nextToResend()->dup);
  CHECK(resendAll(window) == Ids{1, 2, 3, 5});
  CHECK_FALSE(window.find(2)->dup);
  CHECK(window.slotsUsed() == 3);  // the PUBREL takes none
  CHECK_FALSE(window.resuming());
  CHECK(window.canSend());
  for (const std::uint16_t id : Ids{1, 5}) CHECK(window.puback(id).result == AckResult::accepted);
  window.pubcomp(2);
  CHECK(window.slotsUsed() == 1);
}

TEST_CASE("what was still being stored is sent for the first time, without DUP [v5:4.3.3-2]",
          "[delivery]") {
  InflightWindow window;
  window.beginConnection(10);
  window.send(deliveryOf(Qos::exactlyOnce)).staged = true;
  window.send(deliveryOf(Qos::exactlyOnce));
  window.beginConnection(10);
  CHECK_FALSE(window.find(1)->dup);
  CHECK(window.find(2)->dup);
}

TEST_CASE("the bytes of all windows are known", "[delivery]") {
  const std::size_t before = InflightWindow::allBytes();
  {
    InflightWindow one;
    InflightWindow two;
    one.send(deliveryOf(Qos::atLeastOnce));
    two.send(deliveryOf(Qos::exactlyOnce));
    two.send(deliveryOf(Qos::exactlyOnce));
    CHECK(InflightWindow::allBytes() == before + one.bytes() + two.bytes());
    two.pubrec(1, false);
    one.puback(1);
    CHECK(one.bytes() == 0);
    CHECK(InflightWindow::allBytes() == before + two.bytes());
  }
  CHECK(InflightWindow::allBytes() == before);
}

TEST_CASE("sending again waits for slots of a smaller Receive Maximum [v5:4.9.0-1]", "[delivery]") {
  InflightWindow window;
  window.beginConnection(10);
  for (int i = 0; i < 5; ++i) window.send(deliveryOf(Qos::atLeastOnce));
  window.beginConnection(2);
  CHECK(resendAll(window) == Ids{1, 2});
  CHECK(window.resuming());
  window.puback(1);
  CHECK(resendAll(window) == Ids{3});
  // Acknowledged although not sent again: the first connection's PUBACK got lost.
  window.puback(4);
  window.puback(2);
  window.puback(3);
  CHECK(resendAll(window) == Ids{5});
  CHECK_FALSE(window.resuming());
  CHECK(window.slotsUsed() == 1);
  window.puback(5);
  CHECK(window.slotsUsed() == 0);
}

TEST_CASE("a restored window goes on where the store left it [v5:4.1.0-1]", "[delivery]") {
  InflightWindow window;
  const std::pair<std::uint16_t, DeliveryState> rows[] = {{65'534, DeliveryState::awaitingPuback},
                                                          {65'535, DeliveryState::awaitingPubcomp},
                                                          {2, DeliveryState::awaitingPubrec}};
  for (const auto& [id, state] : rows) {
    Delivery delivery = deliveryOf(Qos::exactlyOnce);
    delivery.packetId = id;
    delivery.state = state;
    CHECK(window.restore(delivery));
    CHECK_FALSE(window.restore(delivery));
  }
  window.beginConnection(5);
  CHECK(resendAll(window) == Ids{65'534, 65'535, 2});
  CHECK(window.send(deliveryOf(Qos::atLeastOnce)).packetId == 3);
  CHECK(window.pubrec(2, false).result == AckResult::accepted);
  CHECK(window.pubcomp(2).result == AckResult::accepted);
  CHECK(window.size() == 3);
}

TEST_CASE("packet ids are given out in turn, from 1 and never 0 [v311:2.3.1-1] [v5:2.2.1-3]",
          "[delivery]") {
  InflightWindow window;
  window.beginConnection(1);
  const Delivery delivery = deliveryOf(Qos::atLeastOnce);
  for (std::uint32_t round = 0; round < 2; ++round)
    for (std::uint32_t expected = 1; expected <= 65'535; ++expected) {
      const std::uint16_t id = window.send(delivery).packetId;
      if (id != expected || window.puback(id).result != AckResult::accepted)
        FAIL(id << " instead of " << expected);
    }
  CHECK(window.empty());
}

TEST_CASE("a packet id in use is never given out again [v311:2.3.1-2] [v5:2.2.1-3]", "[delivery]") {
  InflightWindow window;
  window.beginConnection(65'535);
  const Delivery delivery = deliveryOf(Qos::atLeastOnce);
  while (window.canSend()) window.send(delivery);
  CHECK(window.size() == 65'535);
  for (const std::uint16_t id : Ids{40'000, 65'535, 1}) {
    CHECK(window.puback(id).result == AckResult::accepted);
    CHECK(window.find(id) == nullptr);
    REQUIRE(window.canSend());
    CHECK(window.send(delivery).packetId == id);
    CHECK_FALSE(window.canSend());
  }
  for (const std::uint16_t id : Ids{7, 9}) window.puback(id);
  CHECK(window.send(delivery).packetId == 7);
  CHECK(window.send(delivery).packetId == 9);
}

TEST_CASE("one delivery that is never acknowledged does not keep the others' places",
          "[delivery]") {
  InflightWindow window;
  window.beginConnection(100);
  window.send(deliveryOf(Qos::exactlyOnce));
  for (int i = 0; i < 200'000; ++i) {
    const std::uint16_t id = window.send(deliveryOf(Qos::atLeastOnce)).packetId;
    if (id == 1 || window.puback(id).result != AckResult::accepted) FAIL(id);
  }
  CHECK(window.size() == 1);
  CHECK(window.find(1) != nullptr);
  CHECK(window.pubrec(1, false).result == AckResult::accepted);
}

TEST_CASE("the window agrees with a plain model under random traffic", "[delivery]") {
  const std::uint32_t seed = GENERATE(41U, 42U, 43U, 44U, 45U, 46U);
  INFO("seed " << seed);
  std::mt19937 random{seed};
  InflightWindow window;
  struct Row {
    std::uint16_t id;
    DeliveryState state;
    bool due;
    bool slot;
  };
  std::deque<Row> model;
  std::uint16_t limit = 50;
  window.beginConnection(limit);
  const auto slots = [&] {
    return std::count_if(model.begin(), model.end(), [](const Row& row) { return row.slot; });
  };
  for (int step = 0; step < 60'000; ++step) {
    const std::uint32_t action = static_cast<std::uint32_t>(random() % 1000);
    const bool due =
        std::any_of(model.begin(), model.end(), [](const Row& row) { return row.due; });
    REQUIRE(window.resuming() == due);
    REQUIRE(window.canSend() == (!due && slots() < limit));
    if (action < 2) {
      limit = static_cast<std::uint16_t>(1 + random() % 100);
      window.beginConnection(limit);
      for (Row& row : model) {
        row.due = true;
        row.slot = false;
      }
    } else if (action < 500) {
      if (due) {
        const auto next =
            std::find_if(model.begin(), model.end(), [](auto& row) { return row.due; });
        Delivery* const delivery = window.nextToResend();
        const bool publish = next->state != DeliveryState::awaitingPubcomp;
        REQUIRE((delivery != nullptr) == (!publish || slots() < limit));
        if (delivery == nullptr) continue;
        REQUIRE(delivery->packetId == next->id);
        REQUIRE(delivery->dup == publish);
        window.resent(*delivery);
        next->due = false;
        next->slot = publish;
      } else if (window.canSend()) {
        const Qos qos = random() % 2 == 0 ? Qos::atLeastOnce : Qos::exactlyOnce;
        const Delivery& sent = window.send(deliveryOf(qos));
        for (const Row& row : model)
          if (row.id == sent.packetId) FAIL(row.id << " is in use");
        REQUIRE(sent.packetId != 0);
        model.push_back({sent.packetId, sent.state, false, true});
      }
    } else if (!model.empty()) {
      // Now and then an old one stays for long, so that gaps appear.
      const std::size_t first = seed % 2 == 0 && model.size() > 3 ? 3 : 0;
      const auto row =
          model.begin() + static_cast<std::ptrdiff_t>(first + random() % (model.size() - first));
      switch (row->state) {
        case DeliveryState::awaitingPuback:
          REQUIRE(window.puback(row->id).result == AckResult::accepted);
          model.erase(row);
          break;
        case DeliveryState::awaitingPubrec:
          if (random() % 4 == 0) {
            REQUIRE(window.pubrec(row->id, true).result == AckResult::accepted);
            model.erase(row);
          } else {
            REQUIRE(window.pubrec(row->id, false).result == AckResult::accepted);
            row->state = DeliveryState::awaitingPubcomp;
            row->due = false;
          }
          break;
        default:
          REQUIRE(window.pubcomp(row->id).result == AckResult::accepted);
          model.erase(row);
      }
    }
    REQUIRE(window.size() == model.size());
    REQUIRE(window.slotsUsed() == slots());
    if (step % 1000 == 0) {
      std::size_t i = 0;
      window.forEach([&](Delivery& delivery) {
        REQUIRE(i < model.size());
        REQUIRE(delivery.packetId == model[i].id);
        REQUIRE(delivery.state == model[i].state);
        ++i;
      });
      REQUIRE(i == model.size());
    }
  }
}
